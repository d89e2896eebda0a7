"""Networks of ReLU type read as what they are: affine maps folded along the planes where their units change slope."""

import dataclasses
import itertools
from typing import final

import torch
from torch import Tensor, nn

from dimple.errors import ModelError
from dimple.tensors import in_chunks
from dimple.tracing.sequential import CHUNK, chain, composed


@final
class Abs(nn.Module):
    """The absolute value as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        """`|x|`, entry by entry."""
        return x.abs()


@final
@dataclasses.dataclass(frozen=True)
class Layer:
    """Units `u = W x + b`, each multiplied by `high` where it is positive and by `low` elsewhere.

    Attributes:
        weight: `(w, w_before)`.
        bias: `(w,)`.
        low: `(w,)` slopes; 0 for ReLU, -1 for the absolute value.
        high: `(w,)` slopes; a unit with equal slopes does not fold.
    """

    weight: Tensor
    bias: Tensor
    low: Tensor
    high: Tensor

    def folded(self, u: Tensor) -> Tensor:
        """The units `(N, w)` after the fold."""
        if bool((self.low == 0).all() and (self.high == 1).all()):
            return u.relu()
        return u * torch.where(u > 0, self.high, self.low)


@final
@dataclasses.dataclass(frozen=True)
class Folds:
    """The gap of one class as a chain of folded layers and a linear readout: linear inside every activation region.

    Attributes:
        layers: the hidden layers.
        weight: `(w,)` of the readout, with `bias` of shape `()`.
    """

    layers: tuple[Layer, ...]
    weight: Tensor
    bias: Tensor

    @property
    def units(self) -> int:
        """The number U of hidden units; unit numbers run through the layers in order."""
        return sum(len(layer.bias) for layer in self.layers)

    @property
    def inputs(self) -> int:
        """The dimension n of the points."""
        return self.layers[0].weight.shape[1]

    def to(self, device: torch.device, dtype: torch.dtype) -> "Folds":
        """A copy elsewhere or in another precision."""
        layers = tuple(
            Layer(*(getattr(layer, field.name).to(device, dtype) for field in dataclasses.fields(Layer)))
            for layer in self.layers
        )
        return Folds(layers, self.weight.to(device, dtype), self.bias.to(device, dtype))

    def lifted(self) -> "Folds":
        """A network of the plane as one of space that does not look at the third coordinate; others as they are."""
        if self.inputs != 2:
            return self
        first = self.layers[0]
        weight = torch.cat([first.weight, first.weight.new_zeros(len(first.weight), 1)], dim=1)
        return Folds((dataclasses.replace(first, weight=weight), *self.layers[1:]), self.weight, self.bias)

    def level(self, x: Tensor) -> Tensor:
        """The gap at the points `(N, n)`, `(N,)`."""
        return in_chunks(self._level, x, CHUNK)

    def _level(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            u = torch.addmm(layer.bias, x, layer.weight.T)
            x = layer.folded(u)
        return x @ self.weight + self.bias

    def patterns(self, x: Tensor) -> Tensor:
        """Which units are positive at the points `(N, n)`: `(N, U)` bool, the name of the region that holds a point.

        A unit that does not fold is never counted as positive: its sign changes inside regions.
        """
        found = []
        for layer in self.layers:
            u = torch.addmm(layer.bias, x, layer.weight.T)
            found.append((u > 0) & (layer.low != layer.high))
            x = layer.folded(u)
        return torch.cat(found, dim=1)

    def units_after(self, patterns: Tensor) -> Tensor:
        """The units of all layers but the first as affine maps in the regions `patterns` `(B, U)`: `(B, n + 1, U - w)`.

        The constant is last; the pattern of the last layer does not matter.
        """
        first = self.layers[0]
        maps = torch.cat([first.weight.T, first.bias[None]])[None].expand(len(patterns), -1, -1)
        found, start = [], 0
        for layer, after in itertools.pairwise(self.layers):
            width = len(layer.bias)
            slopes = torch.where(patterns[:, start : start + width], layer.high, layer.low)
            start += width
            maps = ((maps * slopes[:, None]).reshape(-1, width) @ after.weight.T).reshape(
                len(maps), -1, len(after.bias)
            )
            maps[:, -1] += after.bias
            found.append(maps)
        if not found:
            return maps.new_zeros(len(patterns), self.inputs + 1, 0)
        return found[0] if len(found) == 1 else torch.cat(found, dim=2)


def folds(classifier: object, label: int, others: int | None = None) -> Folds:
    """The gap `z_label - max_other z` of a network of ReLU type, exactly, in float64 on the CPU.

    Served are `nn.Sequential`s, nested or not, of Linear, ReLU, LeakyReLU, ReLU6, Hardtanh, `Abs`, Identity, Flatten
    and Dropout, and their sections. With more than two classes the maximum over the others becomes folds too.

    Args:
        others: one class to compare with, instead of the largest of all others.

    Raises:
        ModelError: if a layer of another kind is met.

    Example:
        >>> network = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 4))
        >>> x = torch.randn(5, 3)
        >>> z = network.double()(x.double())
        >>> expected = z[:, 0] - z[:, 1:].amax(1)
        >>> bool(torch.allclose(folds(network, 0).level(x.double()), expected))
        True
    """
    read = chain(classifier)
    if read.classes < 2:
        raise ModelError("an exact level set needs a network that ends in a linear layer of two or more scores")
    rivals = [other for other in range(read.classes) if other != label] if others is None else [others]
    if not all(0 <= number < read.classes for number in (label, *rivals)):
        raise ModelError(
            f"label {label} is no class of a network with {read.classes} scores; choose 0 to {read.classes - 1}"
        )
    folding = _Folding(*read.maps[0])
    for module, map_after in zip(read.between, read.maps[1:], strict=True):
        folding.append(module)
        folding.affine(*map_after)
    folding.contest(label, rivals)
    if not folding.layers:
        # A linear classifier: one unit that does not fold gives it the form of all others.
        folding.fold(torch.ones(1), torch.ones(1))
    return Folds(tuple(folding.layers), folding.weight[0], folding.bias[0])


def is_folded(classifier: object) -> bool:
    """Whether `folds` can read this network."""
    try:
        folds(classifier, 0)
    except ModelError:
        return False
    return True


@final
class _Folding:
    """A network under construction: finished layers, then the affine map that waits for its fold."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.layers: list[Layer] = []
        self.weight = weight
        self.bias = bias

    def append(self, module: nn.Module) -> None:
        """Close a layer with an activation."""
        if isinstance(module, nn.ReLU):
            self.fold(torch.zeros(1), torch.ones(1))
        elif isinstance(module, nn.LeakyReLU):
            self.fold(torch.full((1,), module.negative_slope), torch.ones(1))
        elif isinstance(module, Abs):
            self.fold(-torch.ones(1), torch.ones(1))
        elif isinstance(module, nn.Hardtanh):
            self.clip(float(module.min_val), float(module.max_val))
        else:
            raise ModelError(
                f"{type(module).__name__} is no piecewise linear layer that an exact level set reads "
                "(Linear, ReLU, LeakyReLU, Hardtanh, Abs); use kind: adaptive"
            )

    def affine(self, weight: Tensor, bias: Tensor) -> None:
        """Compose an affine map with what waits."""
        self.weight, self.bias = composed((self.weight, self.bias), (weight, bias))

    def fold(self, low: Tensor, high: Tensor) -> None:
        """Close a layer; the identity waits after it."""
        width = len(self.weight)
        self.layers.append(Layer(self.weight, self.bias, low.double().expand(width), high.double().expand(width)))
        self.weight, self.bias = torch.eye(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)

    def clip(self, low: float, high: float) -> None:
        """Hard tanh, `low + relu(u - low) - relu(u - high)`: two folds a unit."""
        eye = torch.eye(len(self.weight), dtype=torch.float64)
        ones = eye.new_ones(len(eye))
        self.affine(torch.cat([eye, eye]), torch.cat([-low * ones, -high * ones]))
        self.fold(torch.zeros(1), torch.ones(1))
        self.affine(torch.cat([eye, -eye], dim=1), low * ones)

    def contest(self, label: int, rivals: list[int]) -> None:
        """From scores to one gap; the largest rival wins a tournament of `max(a, b) = b + relu(a - b)`."""
        rows = torch.eye(len(self.weight), dtype=torch.float64)[[label, *rivals]]
        self.affine(rows, rows.new_zeros(len(rows)))
        while len(self.weight) > 2:
            count = len(self.weight) - 1
            pairs, single = count // 2, count % 2
            eye = torch.eye(count + 1, dtype=torch.float64)
            first, second = eye[1 : 2 * pairs : 2], eye[2 : 2 * pairs + 1 : 2]
            keep = torch.cat([eye[:1], second, eye[count + 1 - single : count + 1]])
            self.affine(torch.cat([keep, first - second]), eye.new_zeros(len(keep) + pairs))
            low = torch.cat([torch.ones(len(keep)), torch.zeros(pairs)])
            self.fold(low, torch.ones(len(low)))
            won = torch.zeros(len(keep), len(keep) + pairs, dtype=torch.float64)
            won[:, : len(keep)] = torch.eye(len(keep))
            won[1 : 1 + pairs, len(keep) :] = torch.eye(pairs)
            self.affine(won, won.new_zeros(len(won)))
        gap = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
        self.affine(gap, gap.new_zeros(1))
