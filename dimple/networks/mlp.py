"""Fully connected networks whose initialisation is open to the scene: it decides whether a boundary clings."""

import itertools
import math
from typing import Literal, final

import torch
from torch import Tensor, nn

from dimple.errors import SceneError
from dimple.settings import Count, Finite, NonNegative, Positive, settings

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "softplus": nn.Softplus}


@final
@settings
class MLP:
    """A network n - widths - 2 with two scores, started from PyTorch's uniform rule, U(+-1/sqrt(fan_in)), rescaled.

    Args:
        widths: units of the hidden layers.
        input_scale: factor of the first layer's weights; a list gives one factor for each input coordinate, so that a
            normal direction can be made to count as much as many would.
        bias_scale: factor of the first layer's biases: how far from the origin the first folds lie.
        output_scale: factor of the last layer's weights.
        offset: initial log-odds of class 1 far from all structure; it starts the boundary off the data.
    """

    widths: tuple[Count, ...] = (128, 128)
    activation: Literal["relu", "tanh", "gelu", "softplus"] = "relu"
    input_scale: Positive | tuple[NonNegative, ...] = 1.0
    bias_scale: NonNegative = 1.0
    output_scale: Positive = 1.0
    offset: Finite = 0.0

    def build(self, inputs: int, generator: torch.Generator) -> nn.Sequential:
        """A float32 network for `(B, inputs)` on the CPU, its weights drawn from `generator` alone."""
        if not self.widths:
            raise SceneError("network.widths is empty; give at least one hidden layer, such as [128]")
        scale = torch.tensor(self.input_scale, dtype=torch.float32)
        if scale.dim() == 1 and len(scale) != inputs:
            raise SceneError(f"network.input_scale has {len(scale)} factors; the space has {inputs} coordinates")
        sizes = [inputs, *self.widths, 2]
        layers: list[nn.Module] = []
        for fan_in, fan_out in itertools.pairwise(sizes):
            layers += [_linear(fan_in, fan_out, generator), ACTIVATIONS[self.activation]()]
        layers.pop()
        first, last = layers[0], layers[-1]
        assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
        with torch.no_grad():
            first.weight.mul_(scale)
            first.bias.mul_(self.bias_scale)
            last.weight.mul_(self.output_scale)
            last.bias.add_(torch.tensor([-self.offset / 2, self.offset / 2]))
        return nn.Sequential(*layers)


def _linear(fan_in: int, fan_out: int, generator: torch.Generator) -> nn.Linear:
    # On no device, so that no other numbers are drawn; nn.utils.skip_init would load a computer algebra system.
    layer = nn.Linear(fan_in, fan_out, device="meta")
    bound = 1 / math.sqrt(fan_in)

    def uniform(*shape: int) -> Tensor:
        return (2 * torch.rand(*shape, generator=generator) - 1) * bound

    layer.weight, layer.bias = nn.Parameter(uniform(fan_out, fan_in)), nn.Parameter(uniform(fan_out))
    return layer
