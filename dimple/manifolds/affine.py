"""Flat boxes: the segment, the rectangle and their kin in any dimension, wherever they lie in R^n."""

from abc import abstractmethod
from typing import final

import torch
from torch import Tensor

from dimple.errors import SceneError
from dimple.manifolds.base import Chart, Manifold
from dimple.manifolds.triangulations import Drawn, patch
from dimple.settings import Finite, Positive, settings
from dimple.tensors import norm


class Affine(Manifold):
    """A box in R^n from `corner` along d `edges` that are orthogonal to one another."""

    @property
    @abstractmethod
    def corner(self) -> Tensor:
        """Where all chart coordinates are 0, `(n,)` float64."""

    @property
    @abstractmethod
    def edges(self) -> Tensor:
        """The orthogonal edges as columns `(n, d)` float64."""

    @property
    def reach(self) -> float:
        """Infinite: a convex set has one nearest point to everything."""
        return float("inf")

    @property
    def volume(self) -> float:
        """The product of the edges' lengths."""
        return float(norm(self.edges.T).prod())

    def room(self, x: Tensor) -> Tensor:
        """Infinite everywhere."""
        return x.new_full((len(x),), float("inf"))

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Uniform chart coordinates."""
        unit = torch.rand(count, self.dim, generator=generator, dtype=torch.float64, device=generator.device)
        return self.embed(unit)

    def embed(self, unit: Tensor) -> Tensor:
        """Chart coordinates in [0, 1]^d, `(B, d)`, as points `(B, n)`."""
        return self.corner.to(unit) + unit @ self.edges.to(unit).T

    def coordinates(self, x: Tensor) -> Tensor:
        """The share of each edge that leads to the foot of the perpendicular."""
        edges = self.edges.to(x)
        return (((x - self.corner.to(x)) @ edges) / (edges * edges).sum(0)).clamp(0, 1)

    def project(self, x: Tensor) -> Tensor:
        """Clamp the chart coordinates."""
        return self.embed(self.coordinates(x))

    def tangent_basis(self, x: Tensor) -> Tensor:
        """The directions of the edges, everywhere."""
        edges = self.edges.to(x)
        return (edges / norm(edges.T)).expand(len(x), -1, -1)

    def second_form(self, x: Tensor) -> Tensor:
        """Zero: it is flat."""
        return x.new_zeros(len(x), self.ambient_dim, self.dim, self.dim)

    def geodesic(self, a: Tensor, b: Tensor) -> Tensor:
        """Straight lines."""
        return torch.cdist(self.project(a), self.project(b), compute_mode="donot_use_mm_for_euclid_dist")

    def grid(self, per_side: int) -> Tensor | None:
        """Ends included; the middle where there is one point a side."""
        axis = torch.linspace(0, 1, per_side).double() if per_side > 1 else torch.full((1,), 0.5).double()
        return self.embed(torch.cartesian_prod(*[axis] * self.dim).reshape(-1, self.dim))

    def unfold(self) -> tuple[Manifold, Chart]:
        """The unit cell and its embedding."""
        return Cell((0.0,) * self.dim, (1.0,) * self.dim, (False,) * self.dim), self.embed

    def triangulation(self) -> Drawn | None:
        """The segment or the rectangle; nothing beyond two dimensions."""
        if self.dim > 2:
            return None
        unit, faces = patch((32,) * self.dim)
        return self.embed(torch.from_numpy(unit)).numpy(), faces


@final
@settings
class Flat(Affine):
    """The box `low <= x[:d] <= high` at `x[d:] = offset`: a segment, a plane or a d-flat in R^n, n = d + len(offset).

    Example:
        >>> plane = Flat(low=(0.0, 0.0), high=(1.0, 1.0), offset=(0.5,))
        >>> plane.project(torch.tensor([[0.2, 1.5, 0.0]]))
        tensor([[0.2000, 1.0000, 0.5000]])
    """

    low: tuple[Finite, ...] = (0.0, 0.0)
    high: tuple[Finite, ...] = (1.0, 1.0)
    offset: tuple[Finite, ...] = (0.5,)

    def __post_init__(self) -> None:
        _require_box("Flat", self.low, self.high)

    @property
    def dim(self) -> int:
        """How many coordinates vary."""
        return len(self.low)

    @property
    def ambient_dim(self) -> int:
        """The varying coordinates and the constant ones."""
        return len(self.low) + len(self.offset)

    @property
    def corner(self) -> Tensor:
        """The low end."""
        return torch.tensor(self.low + self.offset, dtype=torch.float64)

    @property
    def edges(self) -> Tensor:
        """Along the first d axes."""
        sides = torch.tensor(self.high, dtype=torch.float64) - torch.tensor(self.low, dtype=torch.float64)
        return torch.eye(self.ambient_dim, self.dim, dtype=torch.float64) * sides

    def embed(self, unit: Tensor) -> Tensor:
        """Chart coordinates in [0, 1]^d, `(B, d)`, as points `(B, n)`, without a product of matrices."""
        low, high = unit.new_tensor(self.low), unit.new_tensor(self.high)
        constant = unit.new_tensor(self.offset).expand(len(unit), -1)
        return torch.cat([low + unit * (high - low), constant], dim=1)

    def project(self, x: Tensor) -> Tensor:
        """Clamp the varying coordinates, set the constant ones."""
        inside = torch.minimum(torch.maximum(x[:, : self.dim], x.new_tensor(self.low)), x.new_tensor(self.high))
        return torch.cat([inside, x.new_tensor(self.offset).expand(len(x), -1)], dim=1)


@final
@settings
class Segment(Affine):
    """The straight line from `start` to `end`, in as many dimensions as they have coordinates.

    Example:
        >>> Segment(start=(0.0, 0.0), end=(0.6, 0.8)).volume
        1.0
    """

    start: tuple[Finite, ...] = (0.0, 0.5)
    end: tuple[Finite, ...] = (1.0, 0.5)

    def __post_init__(self) -> None:
        if len(self.start) != len(self.end) or self.start == self.end:
            raise SceneError(
                f"Segment: start {self.start} and end {self.end} make no segment; give two points of one space"
            )

    @property
    def dim(self) -> int:
        """A curve."""
        return 1

    @property
    def ambient_dim(self) -> int:
        """The coordinates of its ends."""
        return len(self.start)

    @property
    def corner(self) -> Tensor:
        """The start."""
        return torch.tensor(self.start, dtype=torch.float64)

    @property
    def edges(self) -> Tensor:
        """From start to end."""
        return (torch.tensor(self.end, dtype=torch.float64) - self.corner)[:, None]


@final
@settings
class Plane(Affine):
    """The square of side `size` around `centre` in R^3, square to `normal`.

    Example:
        >>> Plane(normal=(0.0, 0.0, 2.0)).distance(torch.tensor([[0.5, 0.5, 0.7]]))
        tensor([0.2000])
    """

    centre: tuple[Finite, Finite, Finite] = (0.5, 0.5, 0.5)
    normal: tuple[Finite, Finite, Finite] = (0.0, 0.0, 1.0)
    size: Positive = 1.0

    def __post_init__(self) -> None:
        if not any(self.normal):
            raise SceneError("Plane: normal is (0, 0, 0); give a direction")

    @property
    def dim(self) -> int:
        """A surface."""
        return 2

    @property
    def ambient_dim(self) -> int:
        """Space."""
        return 3

    @property
    def corner(self) -> Tensor:
        """Half the edges from the centre."""
        return torch.tensor(self.centre, dtype=torch.float64) - self.edges.sum(1) / 2

    @property
    def edges(self) -> Tensor:
        """Two axes of space, as nearly as they lie in the plane, right-handed with the normal."""
        normal = torch.tensor(self.normal, dtype=torch.float64)
        normal = normal / torch.linalg.vector_norm(normal)
        # The axis that is least like the normal makes the best-conditioned start.
        axis = torch.eye(3, dtype=torch.float64)[int(normal.abs().argmin())]
        first = axis - (axis @ normal) * normal
        first = first / torch.linalg.vector_norm(first)
        return self.size * torch.stack([first, torch.linalg.cross(normal, first)], dim=1)


@final
@settings
class Cell(Affine):
    """A box of parameters: open axes end at `low` and `high`, closed ones begin again there.

    It is what charts are defined on. Along a closed axis `project` leaves a point where it is, for the chart goes on.
    """

    low: tuple[Finite, ...]
    high: tuple[Finite, ...]
    closed: tuple[bool, ...]

    def __post_init__(self) -> None:
        _require_box("Cell", self.low, self.high)

    @property
    def dim(self) -> int:
        """The number of parameters."""
        return len(self.low)

    @property
    def ambient_dim(self) -> int:
        """The same: it fills its space."""
        return len(self.low)

    @property
    def corner(self) -> Tensor:
        """The low end."""
        return torch.tensor(self.low, dtype=torch.float64)

    @property
    def edges(self) -> Tensor:
        """Along the axes."""
        return torch.diag(torch.tensor(self.high, dtype=torch.float64) - self.corner)

    def project(self, x: Tensor) -> Tensor:
        """Clamp the open axes."""
        inside = torch.minimum(torch.maximum(x, x.new_tensor(self.low)), x.new_tensor(self.high))
        return torch.where(torch.tensor(self.closed, device=x.device), x, inside)

    def coordinates(self, x: Tensor) -> Tensor:
        """In [0, 1]; closed axes modulo their period."""
        unit = (x - x.new_tensor(self.low)) / (x.new_tensor(self.high) - x.new_tensor(self.low))
        return torch.where(torch.tensor(self.closed, device=x.device), unit % 1, unit.clamp(0, 1))

    def axes(self, counts: tuple[int, ...]) -> list[Tensor]:
        """`counts[i]` even steps along each axis i; the ends are among them where the axis is open."""
        unit = [
            torch.arange(count, dtype=torch.float64) / (count if closed else max(count - 1, 1))
            for count, closed in zip(counts, self.closed, strict=True)
        ]
        return [a + t * (b - a) for a, b, t in zip(self.low, self.high, unit, strict=True)]

    def nodes(self, count: int) -> Tensor:
        """A lattice of about `count` points; random ones beyond three dimensions, where a lattice is too coarse."""
        if self.dim > 3:
            return super().nodes(count)
        side = round(count ** (1 / self.dim))
        return torch.cartesian_prod(*self.axes((side,) * self.dim)).reshape(-1, self.dim)

    def grid(self, per_side: int) -> Tensor | None:
        """Ends included on open axes."""
        return torch.cartesian_prod(*self.axes((per_side,) * self.dim)).reshape(-1, self.dim)


def _require_box(owner: str, low: tuple[float, ...], high: tuple[float, ...]) -> None:
    if not low or len(low) != len(high):
        raise SceneError(f"{owner}: low has {len(low)} numbers and high {len(high)}; give d of each, d >= 1")
    if any(a >= b for a, b in zip(low, high, strict=True)):
        raise SceneError(f"{owner}: low {low} must be below high {high} in every coordinate")
