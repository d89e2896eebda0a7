"""Closed surfaces with a hole, and the band with one side: torus, Clifford torus, Klein bottle, Moebius band."""

import math
from functools import cached_property
from typing import Annotated, final

import torch
from annotated_types import MinLen
from torch import Tensor

from dimple.errors import SceneError
from dimple.manifolds.affine import Cell
from dimple.manifolds.base import Manifold, working
from dimple.manifolds.parametrized import Mapped
from dimple.manifolds.product import Product
from dimple.manifolds.sphere import ROUNDINGS, Circle
from dimple.settings import Positive, settings

TURN = 2 * math.pi


@final
@settings
class Torus(Mapped):
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
    def source(self) -> Cell:
        """The angle around the axis and the angle around the tube."""
        return Cell((0.0, 0.0), (TURN, TURN), (True, True))

    @property
    def ambient_dim(self) -> int:
        """Space."""
        return 3

    @property
    def reach(self) -> float:
        """The tube's radius, or that of the hole where it is less."""
        return min(self.minor, self.major - self.minor)

    @property
    def reach_is_exact(self) -> bool:
        """By formula."""
        return True

    @property
    def volume(self) -> float:
        """4 pi^2 R r, by Pappus."""
        return TURN**2 * self.major * self.minor

    def chart(self, z: Tensor) -> Tensor:
        """From the two angles."""
        turn, tube = z[:, 0], z[:, 1]
        ring = self.major + self.minor * tube.cos()
        return torch.stack([ring * turn.cos(), ring * turn.sin(), self.minor * tube.sin()], dim=1)

    def locate(self, x: Tensor) -> Tensor:
        """The angle around the axis, then around the nearest point of the tube's core."""
        exact = working(x)
        across = torch.linalg.vector_norm(exact[:, :2], dim=1) - self.major
        return torch.stack([torch.atan2(exact[:, 1], exact[:, 0]), torch.atan2(exact[:, 2], across)], dim=1)

    def room(self, x: Tensor) -> Tensor:
        """To the core from inside the tube; to the axis from outside where the way leads there."""
        inward = torch.linalg.vector_norm(x[:, :2], dim=1)
        depth = torch.stack([inward - self.major, x[:, 2]], dim=1)
        core = torch.linalg.vector_norm(depth, dim=1)
        slope = -depth[:, 0] / core.clamp(min=torch.finfo(x.dtype).tiny)
        to_axis = torch.where(slope > 0, inward / slope, float("inf"))
        inside = core <= self.minor + ROUNDINGS * torch.finfo(x.dtype).eps * self.major
        return torch.where(inside, core, to_axis)


@final
@settings
class CliffordTorus(Product):
    """The flat torus in R^2k: a product of k circles in planes square to one another; of radius 1/sqrt(2) in S^3.

    Example:
        >>> CliffordTorus(radii=(1.0, 2.0)).geodesic(torch.tensor([[1.0, 0, 2, 0]]), torch.tensor([[-1.0, 0, 2, 0]]))
        tensor([[3.1416]])
    """

    radii: Annotated[tuple[Positive, ...], MinLen(1)] = (0.5**0.5, 0.5**0.5)

    @property
    def factors(self) -> tuple[Manifold, ...]:
        """The circles."""
        return tuple(Circle(radius) for radius in self.radii)


class _Twisted(Mapped):
    """A band of lines across a circle that comes back with its two ends exchanged."""

    def coordinates(self, x: Tensor) -> Tensor:
        """Modulo a turn, which exchanges the ends."""
        z = self.locate(x)
        flipped = torch.where((z[:, 0] / TURN).floor() % 2 == 1, -z[:, 1], z[:, 1])
        return self.source.coordinates(torch.stack([z[:, 0], flipped], dim=1)).to(x.device, x.dtype)


@final
@settings
class KleinBottle(_Twisted):
    """The Klein bottle in R^4: a circle of radius `minor`, carried around one of radius `major`, comes back mirrored.

    Example:
        >>> bottle = KleinBottle()
        >>> bool((bottle.distance(bottle.grid(5)) < 1e-12).all())
        True
    """

    major: Positive = 1.0
    minor: Positive = 0.4

    def __post_init__(self) -> None:
        if self.minor >= self.major:
            raise SceneError(f"KleinBottle: minor is {self.minor}; it must be below major, which is {self.major}")

    @cached_property
    def source(self) -> Cell:
        """The angle around, and the angle on the carried circle."""
        return Cell((0.0, 0.0), (TURN, TURN), (True, True))

    @property
    def ambient_dim(self) -> int:
        """The least in which it does not cross itself."""
        return 4

    def chart(self, z: Tensor) -> Tensor:
        """The carried circle turns by half a turn in the last two axes."""
        turn, tube = z[:, 0], z[:, 1]
        ring, height = self.major + self.minor * tube.cos(), self.minor * tube.sin()
        around = [ring * turn.cos(), ring * turn.sin()]
        return torch.stack([*around, height * (turn / 2).cos(), height * (turn / 2).sin()], dim=1)


@final
@settings
class Moebius(_Twisted):
    """The Moebius band in R^3: a segment of length 2 `half_width`, carried around a circle, comes back turned over.

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
    def source(self) -> Cell:
        """The angle around, and the place on the segment."""
        return Cell((0.0, -self.half_width), (TURN, self.half_width), (True, False))

    @property
    def ambient_dim(self) -> int:
        """Space."""
        return 3

    def chart(self, z: Tensor) -> Tensor:
        """The segment turns by half a turn about the circle."""
        turn, side = z[:, 0], z[:, 1]
        ring = self.radius + side * (turn / 2).cos()
        return torch.stack([ring * turn.cos(), ring * turn.sin(), side * (turn / 2).sin()], dim=1)
