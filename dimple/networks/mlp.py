"""Fully connected networks with an adjustable initialization, which shapes the boundary that training finds."""

import itertools
import math
from typing import Literal, final

import torch
from torch import Tensor, nn

from dimple.errors import SceneError
from dimple.networks.architecture import Architecture, count_features
from dimple.settings import Count, Finite, NonNegative, Positive, settings

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "softplus": nn.Softplus}


@final
@settings
class MLP(Architecture):
    """A network n - widths - K with K scores, initialized by PyTorch's U(+-1/sqrt(fan_in)) and then rescaled.

    Images are flattened first.

    Args:
        widths: units of the hidden layers.
        activation: of the hidden layers.
        first_layer_weight_scale: factor of the first layer's weights; a list gives one factor for each input
            coordinate, so that one normal direction can have the weight of many.
        bias_scale: factor of the first layer's biases; it determines the distance from the origin of the hyperplanes
            where the first layer's units switch on.
        output_scale: factor of the last layer's weights.
        initial_logit_bias: constant term of the initial log-odds of class 1 against class 0; it moves the first
            boundary off the data.
    """

    widths: tuple[Count, ...] = (128, 128)
    activation: Literal["relu", "tanh", "gelu", "softplus"] = "relu"
    first_layer_weight_scale: Positive | tuple[NonNegative, ...] = 1.0
    bias_scale: NonNegative = 1.0
    output_scale: Positive = 1.0
    initial_logit_bias: Finite = 0.0

    def build(self, shape: int | tuple[int, ...], generator: torch.Generator, classes: int = 2) -> nn.Sequential:
        if not self.widths:
            raise SceneError("network.widths is empty; give at least one hidden layer, such as [128]")
        in_features = count_features(shape)
        scale = torch.tensor(self.first_layer_weight_scale, dtype=torch.float32)
        if scale.dim() == 1 and len(scale) != in_features:
            raise SceneError(
                f"network.first_layer_weight_scale has {len(scale)} factors; the space has {in_features} coordinates"
            )
        sizes = [in_features, *self.widths, classes]
        layers: list[nn.Module] = []
        for fan_in, fan_out in itertools.pairwise(sizes):
            layers += [_make_linear(fan_in, fan_out, generator), ACTIVATIONS[self.activation]()]
        layers.pop()
        first = layers[0]
        last = layers[-1]
        assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
        with torch.no_grad():
            first.weight.mul_(scale)
            first.bias.mul_(self.bias_scale)
            last.weight.mul_(self.output_scale)
            last.bias[:2].add_(torch.tensor([-self.initial_logit_bias / 2, self.initial_logit_bias / 2]))
        is_flat = isinstance(shape, int) or len(shape) == 1
        return nn.Sequential(*layers) if is_flat else nn.Sequential(nn.Flatten(), *layers)


def _make_linear(fan_in: int, fan_out: int, generator: torch.Generator) -> nn.Linear:
    # On the meta device, so that torch draws no weights; nn.utils.skip_init would import a computer algebra system.
    layer = nn.Linear(fan_in, fan_out, device="meta")
    bound = 1 / math.sqrt(fan_in)

    def uniform(*shape: int) -> Tensor:
        return (2 * torch.rand(*shape, generator=generator) - 1) * bound

    layer.weight = nn.Parameter(uniform(fan_out, fan_in))
    layer.bias = nn.Parameter(uniform(fan_out))
    return layer
