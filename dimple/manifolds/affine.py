"""Flat boxes in R^n: segments, rectangles and boxes of any dimension, in any position."""

from abc import abstractmethod
from typing import final

import torch
from torch import Tensor

from dimple.errors import SceneError
from dimple.manifolds.base import ChartMap, Manifold, scaled_norm
from dimple.manifolds.triangulations import VerticesAndFaces, unit_grid_mesh
from dimple.settings import Finite, Positive, settings


class AffineBox(Manifold):
    """A box in R^n that extends from `corner` along d mutually orthogonal `edges`."""

    @property
    @abstractmethod
    def corner(self) -> Tensor:
        """Point at which all chart coordinates are 0, `(n,)` float64."""

    @property
    @abstractmethod
    def edges(self) -> Tensor:
        """Orthogonal edges as columns `(n, d)` float64."""

    @property
    def reach(self) -> float:
        """Infinity: every point has one closest point in a convex set."""
        return float("inf")

    @property
    def volume(self) -> float:
        """Product of the edge lengths."""
        return float(scaled_norm(self.edges.T).prod())

    def medial_axis_distance(self, x: Tensor) -> Tensor:
        """Return infinity: a convex set has no medial axis."""
        return x.new_full((len(x),), float("inf"))

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        unit = torch.rand(count, self.dim, generator=generator, dtype=torch.float64, device=generator.device)
        return self.embed(unit)

    def embed(self, coordinates: Tensor) -> Tensor:
        """Map chart coordinates in [0, 1]^d, `(B, d)`, to points `(B, n)`."""
        return self.corner.to(coordinates) + coordinates @ self.edges.to(coordinates).T

    def coordinates(self, x: Tensor) -> Tensor:
        """Return the position along each edge, as a fraction of its length, of the closest points, `(B, d)`."""
        edges = self.edges.to(x)
        length = scaled_norm(edges.T)
        return (((x - self.corner.to(x)) @ (edges / length)) / length).clamp(0, 1)

    def project(self, x: Tensor) -> Tensor:
        return self.embed(self.coordinates(x))

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Return the unit edge directions `(B, n, d)`, equal at all points."""
        edges = self.edges.to(x)
        return (edges / scaled_norm(edges.T)).expand(len(x), -1, -1)

    def second_fundamental_form(self, x: Tensor) -> Tensor:
        """Return zeros `(B, n, d, d)`: a box is flat."""
        return x.new_zeros(len(x), self.ambient_dim, self.dim, self.dim)

    def geodesic_distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the lengths `(A, B)` of the straight lines between the closest points of `a` and `b`."""
        return scaled_norm(self.project(a)[:, None] - self.project(b)[None])

    def regular_grid(self, per_side: int) -> Tensor | None:
        """Return `per_side`^d points that include the ends of every edge; the middle for one point a side."""
        axis = torch.linspace(0, 1, per_side).double() if per_side > 1 else torch.full((1,), 0.5).double()
        return self.embed(torch.cartesian_prod(*[axis] * self.dim).reshape(-1, self.dim))

    def parametrization(self) -> tuple[Manifold, ChartMap]:
        """Return the unit cube [0, 1]^d and `embed`."""
        return ParameterDomain((0.0,) * self.dim, (1.0,) * self.dim, (False,) * self.dim), self.embed

    def triangulation(self) -> VerticesAndFaces | None:
        if self.dim > 2:
            return None
        unit, faces = unit_grid_mesh((32,) * self.dim)
        return self.embed(torch.from_numpy(unit)).numpy(), faces


@final
@settings
class Flat(AffineBox):
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
        """Number d of coordinates that vary."""
        return len(self.low)

    @property
    def ambient_dim(self) -> int:
        """Number n of coordinates, varying and constant."""
        return len(self.low) + len(self.offset)

    @property
    def corner(self) -> Tensor:
        return torch.tensor(self.low + self.offset, dtype=torch.float64)

    @property
    def edges(self) -> Tensor:
        sides = torch.tensor(self.high, dtype=torch.float64) - torch.tensor(self.low, dtype=torch.float64)
        return torch.eye(self.ambient_dim, self.dim, dtype=torch.float64) * sides

    def embed(self, coordinates: Tensor) -> Tensor:
        """Map chart coordinates in [0, 1]^d, `(B, d)`, to points `(B, n)`, without a matrix product."""
        low = coordinates.new_tensor(self.low)
        high = coordinates.new_tensor(self.high)
        constant = coordinates.new_tensor(self.offset).expand(len(coordinates), -1)
        return torch.cat([low + coordinates * (high - low), constant], dim=1)

    def project(self, x: Tensor) -> Tensor:
        """Return the closest points: the varying coordinates clamped, the others set to `offset`."""
        inside = torch.minimum(torch.maximum(x[:, : self.dim], x.new_tensor(self.low)), x.new_tensor(self.high))
        return torch.cat([inside, x.new_tensor(self.offset).expand(len(x), -1)], dim=1)


@final
@settings
class Segment(AffineBox):
    """The straight line from `start` to `end`, two points of the same dimension.

    Example:
        >>> Segment(start=(0.0, 0.0), end=(0.6, 0.8)).volume
        1.0
    """

    start: tuple[Finite, ...] = (0.0, 0.5)
    end: tuple[Finite, ...] = (1.0, 0.5)

    def __post_init__(self) -> None:
        if len(self.start) != len(self.end) or self.start == self.end:
            raise SceneError(
                f"Segment: start {self.start} and end {self.end} define no segment; "
                "give two different points of the same dimension"
            )

    @property
    def dim(self) -> int:
        return 1

    @property
    def ambient_dim(self) -> int:
        return len(self.start)

    @property
    def corner(self) -> Tensor:
        return torch.tensor(self.start, dtype=torch.float64)

    @property
    def edges(self) -> Tensor:
        return (torch.tensor(self.end, dtype=torch.float64) - self.corner)[:, None]


@final
@settings
class Plane(AffineBox):
    """The square of side `size` around `center` in R^3, perpendicular to `normal`.

    Example:
        >>> Plane(normal=(0.0, 0.0, 2.0)).distance(torch.tensor([[0.5, 0.5, 0.7]]))
        tensor([0.2000])
    """

    center: tuple[Finite, Finite, Finite] = (0.5, 0.5, 0.5)
    normal: tuple[Finite, Finite, Finite] = (0.0, 0.0, 1.0)
    size: Positive = 1.0

    def __post_init__(self) -> None:
        if not any(self.normal):
            raise SceneError("Plane: normal is (0, 0, 0); give a direction")

    @property
    def dim(self) -> int:
        return 2

    @property
    def ambient_dim(self) -> int:
        return 3

    @property
    def corner(self) -> Tensor:
        return torch.tensor(self.center, dtype=torch.float64) - self.edges.sum(1) / 2

    @property
    def edges(self) -> Tensor:
        """Two edges: a coordinate axis projected into the plane, and its cross product with the normal."""
        normal = torch.tensor(self.normal, dtype=torch.float64)
        normal = normal / torch.linalg.vector_norm(normal)
        # The axis that is least parallel to the normal gives the best conditioned projection.
        axis = torch.eye(3, dtype=torch.float64)[int(normal.abs().argmin())]
        first = axis - (axis @ normal) * normal
        first = first / torch.linalg.vector_norm(first)
        return self.size * torch.stack([first, torch.linalg.cross(normal, first)], dim=1)


@final
@settings
class ParameterDomain(AffineBox):
    """A box of parameters, the usual domain of a chart: `periodic[i]` is true if axis i starts again at its end.

    `project` clamps the other axes only: along a periodic axis it leaves a point unchanged, because the chart continues
    there.
    """

    low: tuple[Finite, ...]
    high: tuple[Finite, ...]
    periodic: tuple[bool, ...]

    def __post_init__(self) -> None:
        _require_box("ParameterDomain", self.low, self.high)

    @property
    def dim(self) -> int:
        return len(self.low)

    @property
    def ambient_dim(self) -> int:
        """Number of parameters, equal to `dim`: the box fills its space."""
        return len(self.low)

    @property
    def corner(self) -> Tensor:
        return torch.tensor(self.low, dtype=torch.float64)

    @property
    def edges(self) -> Tensor:
        return torch.diag(torch.tensor(self.high, dtype=torch.float64) - self.corner)

    def project(self, x: Tensor) -> Tensor:
        """Return `(B, d)` with the axes that are not periodic clamped."""
        inside = torch.minimum(torch.maximum(x, x.new_tensor(self.low)), x.new_tensor(self.high))
        return torch.where(torch.tensor(self.periodic, device=x.device), x, inside)

    def coordinates(self, x: Tensor) -> Tensor:
        """Return coordinates in [0, 1]^d, `(B, d)`, modulo 1 on periodic axes."""
        unit = (x - x.new_tensor(self.low)) / (x.new_tensor(self.high) - x.new_tensor(self.low))
        return torch.where(torch.tensor(self.periodic, device=x.device), unit % 1, unit.clamp(0, 1))

    def shortest_step(self, start: Tensor, end: Tensor) -> Tensor:
        size = start.new_tensor(self.high) - start.new_tensor(self.low)
        turns = torch.where(torch.tensor(self.periodic, device=start.device), ((end - start) / size).round(), 0.0)
        return end - start - turns * size

    def axis_points(self, counts: tuple[int, ...]) -> list[Tensor]:
        """Return `counts[i]` evenly spaced points on each axis i; both ends are among them if it is not periodic."""
        unit = [
            torch.arange(count, dtype=torch.float64) / (count if closed else max(count - 1, 1))
            for count, closed in zip(counts, self.periodic, strict=True)
        ]
        return [a + t * (b - a) for a, b, t in zip(self.low, self.high, unit, strict=True)]

    def grid_points(self, count: int) -> Tensor:
        """Return a regular grid of about `count` points; random points above dimension 3, where grids are coarse."""
        if self.dim > 3:
            return super().grid_points(count)
        side = round(count ** (1 / self.dim))
        return torch.cartesian_prod(*self.axis_points((side,) * self.dim)).reshape(-1, self.dim)

    def regular_grid(self, per_side: int) -> Tensor | None:
        """Return `per_side`^d points that include the ends of the axes that are not periodic."""
        return torch.cartesian_prod(*self.axis_points((per_side,) * self.dim)).reshape(-1, self.dim)


def _require_box(class_name: str, low: tuple[float, ...], high: tuple[float, ...]) -> None:
    if not low or len(low) != len(high):
        raise SceneError(f"{class_name}: low has {len(low)} numbers and high {len(high)}; give d of each, d >= 1")
    if any(a >= b for a, b in zip(low, high, strict=True)):
        raise SceneError(f"{class_name}: low {low} must be below high {high} in every coordinate")
