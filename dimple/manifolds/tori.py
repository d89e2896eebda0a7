"""Tori and one-sided surfaces: torus, Clifford torus, Klein bottle, Moebius band."""

import math
from functools import cached_property
from typing import Annotated, final

import torch
from annotated_types import MinLen
from torch import Tensor

from dimple.errors import SceneError
from dimple.manifolds.affine import ParameterDomain
from dimple.manifolds.base import Manifold, scaled_norm, to_double
from dimple.manifolds.parametrized import ParametrizedManifold
from dimple.manifolds.product import ProductManifold
from dimple.manifolds.sphere import TOLERANCE_IN_EPS, Circle
from dimple.settings import Positive, settings

FULL_TURN = 2 * math.pi


@final
@settings
class Torus(ParametrizedManifold):
    """The torus in R^3: a tube of radius `minor` around a circle of radius `major` in the xy plane.

    Example:
        >>> Torus(major=1.0, minor=0.25).distance(torch.tensor([[1.0, 0.0, 0.5]]))
        tensor([0.2500])
    """

    major: Positive = 1.0
    minor: Positive = 0.4

    def __post_init__(self) -> None:
        if self.minor >= self.major:
            raise SceneError(f"Torus: minor is {self.minor}; it must be below major, which is {self.major}")

    @cached_property
    def source(self) -> ParameterDomain:
        """Domain of the angle around the axis and the angle around the tube."""
        return ParameterDomain((0.0, 0.0), (FULL_TURN, FULL_TURN), (True, True))

    @property
    def ambient_dim(self) -> int:
        return 3

    @property
    def reach(self) -> float:
        """Radius of the tube or of the hole, the smaller one."""
        return min(self.minor, self.major - self.minor)

    @property
    def reach_is_exact(self) -> bool:
        return True

    @property
    def volume(self) -> float:
        """Area 4 pi^2 R r, by the theorem of Pappus."""
        return FULL_TURN**2 * self.major * self.minor

    def chart(self, z: Tensor) -> Tensor:
        """Return the points at the angles around the axis and around the tube, `z` `(B, 2)`."""
        turn = z[:, 0]
        tube = z[:, 1]
        ring = self.major + self.minor * tube.cos()
        return torch.stack([ring * turn.cos(), ring * turn.sin(), self.minor * tube.sin()], dim=1)

    def closest_source_points(self, x: Tensor) -> Tensor:
        """Return the angle around the axis and the angle around the closest point of the core circle, `(B, 2)`."""
        double = to_double(x)
        radial = torch.linalg.vector_norm(double[:, :2], dim=1) - self.major
        return torch.stack([torch.atan2(double[:, 1], double[:, 0]), torch.atan2(double[:, 2], radial)], dim=1)

    def medial_axis_distance(self, x: Tensor) -> Tensor:
        """Return the distance to the core circle inside the tube; outside, that to the axis if the ray meets it."""
        double = to_double(x)
        to_axis = scaled_norm(double[:, :2])
        offset = torch.stack([to_axis - self.major, double[:, 2]], dim=1)
        to_core = scaled_norm(offset)
        slope = -offset[:, 0] / to_core.clamp(min=torch.finfo(double.dtype).tiny)
        along_ray = torch.where(slope > 0, to_axis / slope, float("inf"))
        outward = to_core - self.minor
        rounding = TOLERANCE_IN_EPS * torch.finfo(x.dtype).eps * self.major
        found = torch.where(outward > 0, along_ray, to_core)
        return torch.where(outward.abs() <= rounding, self.reach, found).to(x.device, x.dtype)


@final
@settings
class CliffordTorus(ProductManifold):
    """The flat torus in R^2k, a product of k circles in orthogonal planes; by default of radius 1/sqrt(2), in S^3.

    Example:
        >>> torus = CliffordTorus(radii=(1.0, 2.0))
        >>> torus.geodesic_distance(torch.tensor([[1.0, 0, 2, 0]]), torch.tensor([[-1.0, 0, 2, 0]]))
        tensor([[3.1416]])
    """

    radii: Annotated[tuple[Positive, ...], MinLen(1)] = (0.5**0.5, 0.5**0.5)

    @property
    def factors(self) -> tuple[Manifold, ...]:
        return tuple(Circle(radius) for radius in self.radii)


class _TwistedBand(ParametrizedManifold):
    """A surface swept by a segment or circle that moves around a circle and returns mirrored."""

    def coordinates(self, x: Tensor) -> Tensor:
        """Return coordinates in [0, 1]^2; an odd number of turns mirrors the second one."""
        z = self.closest_source_points(x)
        mirrored = torch.where((z[:, 0] / FULL_TURN).floor() % 2 == 1, -z[:, 1], z[:, 1])
        return self.source.coordinates(torch.stack([z[:, 0], mirrored], dim=1)).to(x.device, x.dtype)

    def source_step(self, start: Tensor, end: Tensor) -> Tensor:
        """Return the shortest steps `(B, 2)`; the end of a step over an odd number of turns is mirrored."""
        turns = ((end[:, 0] - start[:, 0]) / FULL_TURN).round()
        mirrored = torch.where(turns % 2 == 1, -end[:, 1], end[:, 1])
        return self.source.shortest_step(start, torch.stack([end[:, 0], mirrored], dim=1))


@final
@settings
class KleinBottle(_TwistedBand):
    """The Klein bottle in R^4: a circle of radius `minor` that moves around one of radius `major` and returns mirrored.

    Example:
        >>> bottle = KleinBottle()
        >>> bool((bottle.distance(bottle.regular_grid(5)) < 1e-12).all())
        True
    """

    major: Positive = 1.0
    minor: Positive = 0.4

    def __post_init__(self) -> None:
        if self.minor >= self.major:
            raise SceneError(f"KleinBottle: minor is {self.minor}; it must be below major, which is {self.major}")

    @cached_property
    def source(self) -> ParameterDomain:
        """Domain of the angle around the large circle and the angle on the small one."""
        return ParameterDomain((0.0, 0.0), (FULL_TURN, FULL_TURN), (True, True))

    @property
    def ambient_dim(self) -> int:
        """Smallest dimension in which a Klein bottle does not intersect itself."""
        return 4

    def chart(self, z: Tensor) -> Tensor:
        """Return the points at the two angles; the small circle rotates by half a turn in the last two axes."""
        turn = z[:, 0]
        tube = z[:, 1]
        ring = self.major + self.minor * tube.cos()
        height = self.minor * tube.sin()
        around = [ring * turn.cos(), ring * turn.sin()]
        return torch.stack([*around, height * (turn / 2).cos(), height * (turn / 2).sin()], dim=1)


@final
@settings
class Moebius(_TwistedBand):
    """The Moebius band in R^3: a segment of length 2 `half_width` that moves around a circle and returns turned over.

    Example:
        >>> Moebius(radius=1.0).distance(torch.tensor([[1.0, 0.0, 0.1]]))
        tensor([0.1000])
    """

    radius: Positive = 1.0
    half_width: Positive = 0.3

    def __post_init__(self) -> None:
        if self.half_width >= self.radius:
            raise SceneError(f"Moebius: half_width is {self.half_width}; it must be below radius, {self.radius}")

    @cached_property
    def source(self) -> ParameterDomain:
        """Domain of the angle around the circle and the position on the segment."""
        return ParameterDomain((0.0, -self.half_width), (FULL_TURN, self.half_width), (True, False))

    @property
    def ambient_dim(self) -> int:
        return 3

    def chart(self, z: Tensor) -> Tensor:
        """Return the points at an angle and a position on the segment, which rotates by half a turn in all."""
        turn = z[:, 0]
        side = z[:, 1]
        ring = self.radius + side * (turn / 2).cos()
        return torch.stack([ring * turn.cos(), ring * turn.sin(), side * (turn / 2).sin()], dim=1)
