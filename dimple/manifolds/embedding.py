"""Isometric placements: any manifold carried into another space without bending it."""

from abc import abstractmethod
from functools import cached_property
from typing import Literal, final

import torch
from torch import Tensor

from dimple.errors import SceneError
from dimple.manifolds.base import Chart, Manifold
from dimple.manifolds.medial_axis import along_a_part
from dimple.manifolds.sphere import Sphere
from dimple.manifolds.triangulations import Drawn
from dimple.settings import Count, Finite, Seed, settings
from dimple.tensors import generator


class Placement(Manifold):
    """The points F y + s for the points y of another manifold, F with orthonormal columns."""

    @property
    @abstractmethod
    def carried(self) -> Manifold:
        """The manifold that is placed."""

    @property
    @abstractmethod
    def axes(self) -> Tensor:
        """F, `(n, m)` float64."""

    @property
    @abstractmethod
    def shift(self) -> Tensor:
        """s, `(n,)` float64."""

    @property
    def dim(self) -> int:
        """Unchanged."""
        return self.carried.dim

    @property
    def reach(self) -> float:
        """Unchanged: directions across the old space are flat."""
        return self.carried.reach

    @property
    def reach_is_exact(self) -> bool:
        """As before."""
        return self.carried.reach_is_exact

    @property
    def volume(self) -> float:
        """Unchanged."""
        return self.carried.volume

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """The placed sample of the original."""
        return self.place(self.carried.sample(count, generator))

    def project(self, x: Tensor) -> Tensor:
        """Within the old space: what is square to it does not matter."""
        return self.place(self.carried.project(self.inside(x)))

    def tangent_basis(self, x: Tensor) -> Tensor:
        """The placed basis."""
        return self.axes.to(x) @ self.carried.tangent_basis(self.inside(x))

    def second_form(self, x: Tensor) -> Tensor:
        """The placed form."""
        return torch.einsum("nm,bmij->bnij", self.axes.to(x), self.carried.second_form(self.inside(x)))

    def coordinates(self, x: Tensor) -> Tensor:
        """Those of the original."""
        return self.carried.coordinates(self.inside(x))

    def geodesic(self, a: Tensor, b: Tensor) -> Tensor:
        """Those of the original."""
        return self.carried.geodesic(self.inside(a), self.inside(b))

    def component(self, x: Tensor) -> Tensor:
        """That of the original."""
        return self.carried.component(self.inside(x))

    def room(self, x: Tensor) -> Tensor:
        """The original's, along a way that leads through its space by a share of its length only."""
        inside = self.inside(x)
        return along_a_part(self.carried.room(inside), self.carried.distance(inside), self.distance(x), self._extent)

    @property
    def parts(self) -> tuple[Manifold, ...]:
        """The pieces of the original, each placed."""
        if len(self.carried.parts) == 1:
            return (self,)
        axes, shift = tuple(map(tuple, self.axes.tolist())), tuple(self.shift.tolist())
        return tuple(Placed(part, axes, shift) for part in self.carried.parts)

    def grid(self, per_side: int) -> Tensor | None:
        """The placed grid."""
        points = self.carried.grid(per_side)
        return None if points is None else self.place(points)

    def unfold(self) -> tuple[Manifold, Chart]:
        """The original's source, its chart placed."""
        source, chart = self.carried.unfold()
        return source, lambda z: self.place(chart(z))

    def triangulation(self) -> Drawn | None:
        """The placed mesh."""
        drawn = self.carried.triangulation()
        return None if drawn is None else (self.place(torch.from_numpy(drawn[0])).numpy(), drawn[1])

    def place(self, y: Tensor) -> Tensor:
        """Points of the old space `(B, m)` in the new one, `(B, n)`."""
        return y @ self.axes.to(y).T + self.shift.to(y)

    def inside(self, x: Tensor) -> Tensor:
        """The part of `(B, n)` in the old space, `(B, m)`."""
        return (x - self.shift.to(x)) @ self.axes.to(x)


@final
@settings
class Lift(Placement):
    """Another manifold in a space of more dimensions: the codimension as a knob.

    Args:
        of: the manifold.
        ambient_dim: the dimension of the new space.
        frame: `random` turns it every way, `axes` leaves it in the first coordinates.
        offset: where its origin goes; one number stands for all coordinates, none for zero.
        seed: which random frame.

    Example:
        >>> Lift(Sphere(dim=1), ambient_dim=100).distance(torch.zeros(1, 100))
        tensor([1.])
    """

    of: Manifold = Sphere()
    ambient_dim: Count = 10
    frame: Literal["random", "axes"] = "random"
    offset: tuple[Finite, ...] = ()
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.ambient_dim < self.of.ambient_dim:
            raise SceneError(
                f"Lift: ambient_dim is {self.ambient_dim}; the manifold alone needs {self.of.ambient_dim} dimensions"
            )
        if len(self.offset) not in (0, 1, self.ambient_dim):
            raise SceneError(f"Lift: offset has {len(self.offset)} numbers; give none, one or {self.ambient_dim}")

    @property
    def carried(self) -> Manifold:
        """The manifold."""
        return self.of

    @cached_property
    def axes(self) -> Tensor:
        """Random columns made orthonormal: uniform among all frames."""
        size = (self.ambient_dim, self.of.ambient_dim)
        if self.frame == "axes":
            return torch.eye(*size, dtype=torch.float64)
        random = torch.randn(size, generator=generator(self.seed, "lift"), dtype=torch.float64)
        q: Tensor = torch.linalg.qr(random).Q
        # The signs that make the frame uniform among all, and the same on every machine.
        return q * torch.where((q * random).sum(0) < 0, -1.0, 1.0)

    @cached_property
    def shift(self) -> Tensor:
        """The offset, written out."""
        return torch.tensor(self.offset or (0.0,), dtype=torch.float64).expand(self.ambient_dim).contiguous()


@final
@settings
class Placed(Placement):
    """Another manifold turned and moved by a given frame.

    Args:
        of: the manifold, in R^m.
        frame: n rows of m numbers, the columns orthonormal.
        offset: n numbers, where its origin goes.

    Example:
        >>> upright = Placed(Sphere(dim=1), frame=((1.0, 0.0), (0.0, 0.0), (0.0, 1.0)), offset=(1.0, 0.0, 0.0))
        >>> upright.distance(torch.tensor([[1.0, 0.0, 3.0]]))
        tensor([2.])
    """

    of: Manifold
    frame: tuple[tuple[Finite, ...], ...]
    offset: tuple[Finite, ...]

    def __post_init__(self) -> None:
        if any(len(row) != self.of.ambient_dim for row in self.frame) or len(self.frame) != len(self.offset):
            raise SceneError(
                f"Placed: frame must have {len(self.offset)} rows, one a number of offset, "
                f"of {self.of.ambient_dim} numbers"
            )
        if not torch.allclose(self.axes.T @ self.axes, torch.eye(self.of.ambient_dim, dtype=torch.float64), atol=1e-9):
            raise SceneError("Placed: frame has columns that are not orthonormal")

    @property
    def carried(self) -> Manifold:
        """The manifold."""
        return self.of

    @property
    def ambient_dim(self) -> int:
        """The rows of the frame."""
        return len(self.frame)

    @property
    def axes(self) -> Tensor:
        """The frame."""
        return torch.tensor(self.frame, dtype=torch.float64)

    @property
    def shift(self) -> Tensor:
        """The offset."""
        return torch.tensor(self.offset, dtype=torch.float64)
