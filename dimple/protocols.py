"""The main interfaces of the package as protocols, and the type aliases for tensor shapes.

Letters of shapes: `B` samples of a batch, `N` points, `K` classes, `n` ambient dimension, `d` intrinsic dimension,
`*shape` the shape of one sample (`n` for a point, `channels height width` for an image).
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

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
    """A map from samples `(B, *shape)` to scores `(B, K)`, K >= 2, such as an `nn.Module` or a function."""

    def __call__(self, x: Tensor, /) -> Tensor: ...


class TangentField(Protocol):
    """A field of tangent spaces: a manifold, an estimate such as local PCA, or random subspaces."""

    def tangent_basis(self, x: Tensor, /) -> Tensor:
        """Return orthonormal columns `(B, n, d)` that span the tangent space at each sample of `x` `(B, *shape)`."""
        ...


class Trajectory(Protocol):
    """A sequence of pairs `(step, classifier)`, such as the snapshots of a run or a series of checkpoint files."""

    def __iter__(self) -> Iterator[tuple[int, Classifier]]: ...

    def __len__(self) -> int: ...


class Advance(Protocol):
    """A callback that counts finished parts of a stage, with a note on how the work goes."""

    def __call__(self, count: int = 1, note: str = "", /) -> None: ...


class Progress(Protocol):
    """A progress display.

    `with progress("probe", 40) as advance:` starts a stage of 40 parts; each call of `advance()` counts one of them.
    """

    def __call__(self, stage: str, total: int, /) -> AbstractContextManager[Advance]: ...
