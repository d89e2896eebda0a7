"""Piecewise linear networks (of ReLU type): affine maps between units that change their slope at zero."""

import dataclasses
import itertools
from typing import final

import torch
from torch import Tensor

from dimple.errors import ModelError
from dimple.protocols import Classifier
from dimple.tensors import apply_in_chunks
from dimple.tracing.activations import Activation
from dimple.tracing.affine_graph import MAX_MATRIX_ENTRIES, AffineGraph, AffineMap, LogitMargin, trace_affine_graph
from dimple.tracing.fast_eval import ROWS_PER_CHUNK


@final
@dataclasses.dataclass(frozen=True)
class PiecewiseLinearLayer:
    """Layer of units `u = W x + b`, each multiplied by one slope where it is positive and by another elsewhere.

    Attributes:
        weight: W `(w, w_before)`.
        bias: b `(w,)`.
        negative_slope: `(w,)` the slopes where a unit is not positive; 0 for ReLU, -1 for the absolute value.
        positive_slope: `(w,)` the slopes where a unit is positive; a unit with two equal slopes is linear.
    """

    weight: Tensor
    bias: Tensor
    negative_slope: Tensor
    positive_slope: Tensor

    def activate(self, u: Tensor) -> Tensor:
        """Return the activations of the units `(N, w)`."""
        if bool((self.negative_slope == 0).all() and (self.positive_slope == 1).all()):
            return u.relu()
        return u * torch.where(u > 0, self.positive_slope, self.negative_slope)


@final
@dataclasses.dataclass(frozen=True)
class PiecewiseLinearNet:
    """Logit margin of one class as hidden layers and a linear readout; affine in every activation region.

    Attributes:
        layers: the hidden layers.
        weight: `(w,)` the weight of the readout.
        bias: the bias of the readout, a scalar.
    """

    layers: tuple[PiecewiseLinearLayer, ...]
    weight: Tensor
    bias: Tensor

    @property
    def num_units(self) -> int:
        """The number U of hidden units, which are numbered through the layers in order."""
        return sum(len(layer.bias) for layer in self.layers)

    @property
    def input_dim(self) -> int:
        """The dimension n of the inputs."""
        return self.layers[0].weight.shape[1]

    def to(self, device: torch.device, dtype: torch.dtype) -> "PiecewiseLinearNet":
        """Return a copy on a device and with a dtype."""
        layers = tuple(
            PiecewiseLinearLayer(
                *(getattr(layer, field.name).to(device, dtype) for field in dataclasses.fields(PiecewiseLinearLayer))
            )
            for layer in self.layers
        )
        return PiecewiseLinearNet(layers, self.weight.to(device, dtype), self.bias.to(device, dtype))

    def embed_in_3d(self) -> "PiecewiseLinearNet":
        """Return a network of the plane as one of space that ignores the third coordinate; others unchanged."""
        if self.input_dim != 2:
            return self
        first = self.layers[0]
        weight = torch.cat([first.weight, first.weight.new_zeros(len(first.weight), 1)], dim=1)
        return PiecewiseLinearNet((dataclasses.replace(first, weight=weight), *self.layers[1:]), self.weight, self.bias)

    def translate(self, origin: Tensor) -> "PiecewiseLinearNet":
        """Return the network as a function of the difference of a point and `origin` `(n,)`."""
        first = self.layers[0]
        shifted = dataclasses.replace(first, bias=first.bias + first.weight @ origin)
        return PiecewiseLinearNet((shifted, *self.layers[1:]), self.weight, self.bias)

    def logit_margin(self, x: Tensor) -> Tensor:
        """Return the logit margin `(N,)` at points `(N, n)`."""
        return apply_in_chunks(self._logit_margin_of_chunk, x, ROWS_PER_CHUNK)

    def _logit_margin_of_chunk(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            u = torch.addmm(layer.bias, x, layer.weight.T)
            x = layer.activate(u)
        return x @ self.weight + self.bias

    def activation_patterns(self, x: Tensor) -> Tensor:
        """Return which units are positive at points `(N, n)`, `(N, U)` bool, which identifies the region of a point.

        A linear unit never counts as positive, because its sign changes inside regions.
        """
        found = []
        for layer in self.layers:
            u = torch.addmm(layer.bias, x, layer.weight.T)
            found.append((u > 0) & (layer.negative_slope != layer.positive_slope))
            x = layer.activate(u)
        return torch.cat(found, dim=1)

    def later_unit_maps(self, activation_patterns: Tensor) -> Tensor:
        """Return the units of all layers but the first as affine maps in given regions.

        Args:
            activation_patterns: `(B, U)` the regions; the entries of the last layer do not matter.

        Returns:
            `(B, n + 1, U - w)`, where w is the width of the first layer; the constants are in the last row.
        """
        first = self.layers[0]
        maps = torch.cat([first.weight.T, first.bias[None]])[None].expand(len(activation_patterns), -1, -1)
        found = []
        start = 0
        for layer, next_layer in itertools.pairwise(self.layers):
            width = len(layer.bias)
            slopes = torch.where(
                activation_patterns[:, start : start + width], layer.positive_slope, layer.negative_slope
            )
            start += width
            maps = ((maps * slopes[:, None]).reshape(-1, width) @ next_layer.weight.T).reshape(
                len(maps), -1, len(next_layer.bias)
            )
            maps[:, -1] += next_layer.bias
            found.append(maps)
        if not found:
            return maps.new_zeros(len(activation_patterns), self.input_dim + 1, 0)
        return found[0] if len(found) == 1 else torch.cat(found, dim=2)


def read_piecewise_linear(classifier: Classifier, sample: Tensor, label: int) -> PiecewiseLinearNet:
    """Return the logit margin `z_label - max_other z` of a piecewise linear network, in float64.

    The result is exact up to rounding.

    Args:
        classifier: the network.
        sample: a sample `(*shape)`, whose values do not matter; the result takes flattened samples.
        label: the class.

    Raises:
        ModelError: if an operation of the network is not piecewise linear, or if there is no such class.

    Example:
        >>> from torch import nn
        >>> network = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 4))
        >>> x = torch.randn(5, 3)
        >>> z = network.double()(x.double())
        >>> expected = z[:, 0] - z[:, 1:].amax(1)
        >>> bool(torch.allclose(read_piecewise_linear(network, x[0], 0).logit_margin(x.double()), expected))
        True
    """
    graph = _trace_piecewise_linear(classifier, sample, label)
    last_use = {source: number for number, affine_map in enumerate(graph.affine_maps) for source in affine_map.sources}
    zero = graph.affine_maps[0].bias.new_zeros(())
    # The sources that are needed later, as affine functions of the outputs of the last layer: at first of the sample.
    known = {0: (torch.eye(sample.numel()).to(zero), zero.expand(sample.numel()))}
    layers = []
    for number, activation in enumerate(graph.activations):
        weight, bias = _compose(graph.affine_maps[number], known)
        kinks, slopes = _kinks_and_slopes(activation)
        ones = torch.ones_like(bias)
        blocks = [(weight, bias - kink, 0 * ones, ones) for kink in kinks]
        blocks[0] = (*blocks[0][:2], slopes[0] * ones, slopes[1] * ones)
        carried = [source for source in known if last_use.get(source, -1) > number]
        blocks += [
            (*known[source], torch.ones_like(known[source][1]), torch.ones_like(known[source][1])) for source in carried
        ]
        layers.append(PiecewiseLinearLayer(*(torch.cat(parts) for parts in zip(*blocks, strict=True))))
        # The outputs of a layer are the units at every kink, then linear units with the values of earlier sources.
        units = torch.eye(len(layers[-1].bias)).to(zero).split([len(block[1]) for block in blocks])
        changes = [1.0, *(after - before for before, after in itertools.pairwise(slopes[1:]))]
        value = sum((change * rows for change, rows in zip(changes, units, strict=False)), zero)
        known = {
            source: (rows, zero.expand(len(rows))) for source, rows in zip(carried, units[len(kinks) :], strict=True)
        }
        known[number + 1] = value, activation.value(kinks[0] * ones)
    weight, bias = _compose(graph.affine_maps[-1], known)
    if not layers:
        # A linear classifier gets one linear unit, because the other code expects a hidden layer.
        one = torch.ones_like(bias)
        return PiecewiseLinearNet((PiecewiseLinearLayer(weight, bias, one, one),), one, zero)
    return PiecewiseLinearNet(tuple(layers), weight[0], bias[0])


def is_piecewise_linear(classifier: Classifier, sample: Tensor, convolutions: bool = True) -> bool:
    """Return whether `read_piecewise_linear` can read this network, with or without convolutions."""
    try:
        graph = _trace_piecewise_linear(classifier, sample, 0)
    except ModelError:
        return False
    return convolutions or all(affine_map.uses_matrices for affine_map in graph.affine_maps)


def _trace_piecewise_linear(classifier: Classifier, sample: Tensor, label: int) -> AffineGraph:
    graph = trace_affine_graph(LogitMargin(classifier, label), sample)
    for activation in graph.activations:
        if not activation.is_piecewise_linear:
            raise ModelError(
                f"{activation.name} is not piecewise linear, and an exact level set is; use kind: adaptive"
            )
    if sum(affine_map.num_entries for affine_map in graph.affine_maps) > MAX_MATRIX_ENTRIES:
        raise ModelError("the matrices of this network are too large for an exact level set; use kind: adaptive")
    return graph


def _compose(affine_map: AffineMap, known: dict[int, tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return a map of the graph as weight and bias on the outputs of the last layer."""
    weight = bias = affine_map.bias.new_zeros(())
    assert affine_map.matrices is not None
    for source, matrix in zip(affine_map.sources, affine_map.matrices, strict=True):
        weight = weight + matrix @ known[source][0]
        bias = bias + matrix @ known[source][1]
    return weight, bias + affine_map.bias


def _kinks_and_slopes(activation: Activation) -> tuple[list[float], list[float]]:
    """Return the kinks, one at least, and the slopes before, between and after them."""
    kinks = list(activation.kinks) or [0.0]
    between = [(a + b) / 2 for a, b in itertools.pairwise(kinks)]
    points = torch.tensor([kinks[0] - 1, *between, kinks[-1] + 1], dtype=torch.float64)
    return kinks, activation.derivative(points, activation.value(points)).tolist()
