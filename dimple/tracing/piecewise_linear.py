"""Piecewise linear networks (of ReLU type): affine maps between units that change their slope at zero."""

import dataclasses
import itertools
from typing import final

import torch
from torch import Tensor, nn

from dimple.errors import ModelError
from dimple.tensors import apply_in_chunks
from dimple.tracing.sequential import ROWS_PER_CHUNK, compose_affine, read_sequential_stack


@final
class Abs(nn.Module):
    """Layer that computes the absolute value."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `|x|`, entry by entry."""
        return x.abs()


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


def read_piecewise_linear(classifier: object, label: int, other_class: int | None = None) -> PiecewiseLinearNet:
    """Return the logit margin `z_label - max_other z` of a piecewise linear network, in float64 on the CPU.

    Supported are `nn.Sequential`s, nested or not, of Linear, ReLU, LeakyReLU, ReLU6, Hardtanh, `Abs`, BatchNorm in eval
    mode after a Linear, Identity, Flatten and inactive Dropout, and their affine slices. With more than two classes the
    maximum over the others becomes hidden layers of its own. The result is exact up to rounding.

    Args:
        classifier: the network.
        label: the class.
        other_class: one class to compare with, instead of the largest of all others.

    Raises:
        ModelError: if the network contains another layer, has fewer than two scores, or lacks a class.

    Example:
        >>> network = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 4))
        >>> x = torch.randn(5, 3)
        >>> z = network.double()(x.double())
        >>> expected = z[:, 0] - z[:, 1:].amax(1)
        >>> bool(torch.allclose(read_piecewise_linear(network, 0).logit_margin(x.double()), expected))
        True
    """
    stack = read_sequential_stack(classifier)
    count = stack.num_classes
    if count < 2:
        raise ModelError("an exact level set needs a network that ends in a linear layer of two or more scores")
    other_classes = [other for other in range(count) if other != label] if other_class is None else [other_class]
    if not all(0 <= number < count for number in (label, *other_classes)):
        raise ModelError(f"label {label} is not a class of a network with {count} scores; choose 0 to {count - 1}")
    builder = _PiecewiseLinearBuilder(*stack.affine_maps[0])
    for module, affine_map in zip(stack.activations, stack.affine_maps[1:], strict=True):
        builder.append_activation(module)
        builder.append_affine(*affine_map)
    builder.append_logit_margin(label, other_classes)
    if not builder.layers:
        # A linear classifier gets one linear unit, because the other code expects a hidden layer.
        builder.append_layer(torch.ones(1), torch.ones(1))
    return PiecewiseLinearNet(tuple(builder.layers), builder.pending_weight[0], builder.pending_bias[0])


def is_piecewise_linear(classifier: object) -> bool:
    """Return whether `read_piecewise_linear` can read this network."""
    try:
        read_piecewise_linear(classifier, 0)
    except ModelError:
        return False
    return True


@final
class _PiecewiseLinearBuilder:
    """Builder of a piecewise linear network: finished layers, followed by a pending affine map."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.layers: list[PiecewiseLinearLayer] = []
        self.pending_weight = weight
        self.pending_bias = bias

    def append_activation(self, module: nn.Module) -> None:
        """Append an activation, which completes a layer.

        Raises:
            ModelError: if it is not piecewise linear.
        """
        if isinstance(module, nn.ReLU):
            self.append_layer(torch.zeros(1), torch.ones(1))
        elif isinstance(module, nn.LeakyReLU):
            self.append_layer(torch.full((1,), module.negative_slope), torch.ones(1))
        elif isinstance(module, Abs):
            self.append_layer(-torch.ones(1), torch.ones(1))
        elif isinstance(module, nn.Hardtanh):
            self.append_clip(float(module.min_val), float(module.max_val))
        else:
            raise ModelError(
                f"{type(module).__name__} is not a piecewise linear layer that an exact level set can read "
                "(Linear, ReLU, LeakyReLU, Hardtanh, Abs); use kind: adaptive"
            )

    def append_affine(self, weight: Tensor, bias: Tensor) -> None:
        """Append an affine map by composing it with the pending one."""
        self.pending_weight, self.pending_bias = compose_affine(
            (self.pending_weight, self.pending_bias), (weight, bias)
        )

    def append_layer(self, negative_slope: Tensor, positive_slope: Tensor) -> None:
        """Complete a layer from the pending map, which becomes the identity."""
        width = len(self.pending_weight)
        self.layers.append(
            PiecewiseLinearLayer(
                self.pending_weight,
                self.pending_bias,
                negative_slope.double().expand(width),
                positive_slope.double().expand(width),
            )
        )
        self.pending_weight = torch.eye(width, dtype=torch.float64)
        self.pending_bias = torch.zeros(width, dtype=torch.float64)

    def append_clip(self, low: float, high: float) -> None:
        """Append hard tanh as `low + relu(u - low) - relu(u - high)`, with two units for every unit."""
        eye = torch.eye(len(self.pending_weight), dtype=torch.float64)
        ones = eye.new_ones(len(eye))
        self.append_affine(torch.cat([eye, eye]), torch.cat([-low * ones, -high * ones]))
        self.append_layer(torch.zeros(1), torch.ones(1))
        self.append_affine(torch.cat([eye, -eye], dim=1), low * ones)

    def append_logit_margin(self, label: int, other_classes: list[int]) -> None:
        """Append the map from the scores to one logit margin.

        The maximum of the other scores is computed in rounds of pairs, each with `max(a, b) = b + relu(a - b)`.
        """
        rows = torch.eye(len(self.pending_weight), dtype=torch.float64)[[label, *other_classes]]
        self.append_affine(rows, rows.new_zeros(len(rows)))
        while len(self.pending_weight) > 2:
            count = len(self.pending_weight) - 1
            pairs = count // 2
            unpaired = count % 2
            eye = torch.eye(count + 1, dtype=torch.float64)
            first = eye[1 : 2 * pairs : 2]
            second = eye[2 : 2 * pairs + 1 : 2]
            linear = torch.cat([eye[:1], second, eye[count + 1 - unpaired : count + 1]])
            self.append_affine(torch.cat([linear, first - second]), eye.new_zeros(len(linear) + pairs))
            negative_slope = torch.cat([torch.ones(len(linear)), torch.zeros(pairs)])
            self.append_layer(negative_slope, torch.ones(len(negative_slope)))
            maxima = torch.zeros(len(linear), len(linear) + pairs, dtype=torch.float64)
            maxima[:, : len(linear)] = torch.eye(len(linear))
            maxima[1 : 1 + pairs, len(linear) :] = torch.eye(pairs)
            self.append_affine(maxima, maxima.new_zeros(len(maxima)))
        difference = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
        self.append_affine(difference, difference.new_zeros(1))
