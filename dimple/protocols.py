"""The ideas that carry the package, as protocols, and the words for shapes.

Shape words: `B` samples of a batch, `N` points, `K` classes, `n` ambient dimension, `d` intrinsic
dimension, `*shape` the shape of one sample (`n` for a point, `channels height width` for an image).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor

Samples: TypeAlias = Float[Tensor, " B *shape"]
Points: TypeAlias = Float[Tensor, "N n"]
Scores: TypeAlias = Float[Tensor, "B K"]
PerSample: TypeAlias = Float[Tensor, " B"]
Labels: TypeAlias = Int[Tensor, " B"]
Mask: TypeAlias = Bool[Tensor, " B"]
Bases: TypeAlias = Float[Tensor, "B n d"]


class Classifier(Protocol):
    """Anything that maps samples `(B, *shape)` to scores `(B, K)`, K >= 2: every `nn.Module`, every lambda."""

    def __call__(self, x: Tensor, /) -> Tensor: ...


@runtime_checkable
class InSeries(Protocol):
    """A classifier that is others one after the other, so that who reads layers can read through it."""

    def in_series(self) -> Sequence[object]:
        """The parts, in the order in which samples go through them."""
        ...


class TangentField(Protocol):
    """Anything that knows the directions along the data at a point: a manifold, local PCA, a random subspace."""

    def tangent_basis(self, x: Tensor, /) -> Tensor:
        """Orthonormal columns `(B, n, d)` that span the tangent space at each of the samples `(B, *shape)`."""
        ...


class Trajectory(Protocol):
    """An ordered set of `(step, classifier)`: the snapshots of a run, or somebody else's checkpoint files."""

    def __iter__(self) -> Iterator[tuple[int, Classifier]]: ...

    def __len__(self) -> int: ...


class Progress(Protocol):
    """Told how far long work has come: `with progress("probe", 40) as advance: ... advance()`."""

    def __call__(self, stage: str, total: int, /) -> AbstractContextManager[Callable[[], None]]: ...
