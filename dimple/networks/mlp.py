"""Fully connected networks with an adjustable initialization, which shapes the boundary that training finds."""

import itertools
from typing import Annotated, Literal, final

import torch
from annotated_types import Interval, MaxLen
from pydantic import Strict
from torch import nn

from dimple.errors import SceneError
from dimple.networks.architecture import (
    Architecture,
    InitScale,
    count_features,
    initialize,
    require_scales,
    scale_layers,
    sequence,
)
from dimple.networks.layers import ACTIVATIONS, SeededDropout
from dimple.settings import Count, Finite, Flag, NonNegative, Positive, settings

DropoutFraction = Annotated[float, Strict(), Interval(ge=0, lt=1)]


@final
@settings
class MLP(Architecture):
    """A network n - widths - K with K scores, initialized by PyTorch's U(+-1/sqrt(fan_in)) and then rescaled.

    Images are flattened first. The layers with weights are counted from 1, the layer of the inputs; the last one, of
    number `len(widths) + 1`, gives the scores.

    Args:
        widths: units of the hidden layers; without one the network is a linear classifier.
        activation: of the hidden layers.
        first_layer_weight_scale: factor of the first layer's weights; a list gives one factor for each input
            coordinate, so that one normal direction can have the weight of many.
        bias_scale: factor of the first layer's biases; it determines the distance from the origin of the hyperplanes
            where the first layer's units switch on.
        output_scale: factor of the last layer's weights.
        initial_logit_bias: constant term of the initial log-odds of class 1 against class 0; it moves the first
            boundary off the data.
        init_scale: a further factor of the weights and biases of all layers, or one for each layer.
        bias: whether the layers have biases.
        frozen: numbers of the layers whose weights and biases stay as they are initialized.
        norm: `batch` for batch normalization before each activation, or `none`.
        dropout: fraction of the hidden units that each training step leaves out.

    Example:
        >>> len(MLP(widths=(8, 8), norm="batch", dropout=0.5).build(2, torch.Generator()))
        9
    """

    widths: Annotated[tuple[Count, ...], MaxLen(1000)] = (128, 128)
    activation: Literal["relu", "leaky_relu", "tanh", "sigmoid", "gelu", "softplus", "swish"] = "relu"
    first_layer_weight_scale: Positive | tuple[NonNegative, ...] = 1.0
    bias_scale: NonNegative = 1.0
    output_scale: Positive = 1.0
    initial_logit_bias: Finite = 0.0
    init_scale: InitScale = 1.0
    bias: Flag = True
    frozen: tuple[Count, ...] = ()
    norm: Literal["none", "batch"] = "none"
    dropout: DropoutFraction = 0.0

    def __post_init__(self) -> None:
        layers = len(self.widths) + 1
        require_scales(self.init_scale, layers)
        if unknown := [number for number in self.frozen if number > layers]:
            raise SceneError(f"frozen names layer {unknown[0]}; the network has {layers} layers, counted from 1")
        if len(set(self.frozen)) == layers:
            raise SceneError(f"frozen names all {layers} layers, so there is nothing to train; leave one out")
        if not self.bias and (self.initial_logit_bias, self.bias_scale) != (0.0, 1.0):
            raise SceneError("bias is false; then leave out initial_logit_bias and bias_scale, or set bias to true")

    def build(self, shape: int | tuple[int, ...], generator: torch.Generator, classes: int = 2) -> nn.Sequential:
        in_features = count_features(shape)
        scale = torch.tensor(self.first_layer_weight_scale, dtype=torch.float32)
        if scale.dim() == 1 and len(scale) != in_features:
            raise SceneError(
                f"network.first_layer_weight_scale has {len(scale)} factors; the space has {in_features} coordinates"
            )
        sizes = [in_features, *self.widths, classes]
        linear = [nn.Linear(*pair, bias=self.bias, device="meta") for pair in itertools.pairwise(sizes)]
        network = sequence(shape, [*itertools.chain(*map(self._hidden_layer, linear[:-1])), linear[-1]])
        initialize(network, generator)
        for module in network:
            if isinstance(module, SeededDropout):
                module.seed = int(torch.randint(2**62, (), generator=generator))
        with torch.no_grad():
            linear[0].weight.mul_(scale)
            linear[-1].weight.mul_(self.output_scale)
            scale_layers(network, self.init_scale)
            if self.bias:
                linear[0].bias.mul_(self.bias_scale)
                half = self.initial_logit_bias / 2
                linear[-1].bias[:2].add_(torch.tensor([-half, half])[:classes])
        for number in self.frozen:
            linear[number - 1].requires_grad_(False)
        return network

    def _hidden_layer(self, linear: nn.Linear) -> list[nn.Module]:
        """Return a linear layer and what follows it."""
        layers: list[nn.Module] = [linear]
        if self.norm == "batch":
            layers.append(nn.BatchNorm1d(linear.out_features))
        layers.append(ACTIVATIONS[self.activation]())
        if self.dropout:
            layers.append(SeededDropout(self.dropout, seed=0))
        return layers
