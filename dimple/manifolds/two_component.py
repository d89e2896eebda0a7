"""Disjoint unions of two or more components, usually one for each class."""

import itertools
import math
from functools import cached_property
from typing import Annotated, final

from annotated_types import MinLen

from dimple.errors import SceneError
from dimple.manifolds.base import Manifold
from dimple.manifolds.curves import Arc
from dimple.manifolds.embedding import FramedEmbedding
from dimple.manifolds.geometry.reach import estimate_separation
from dimple.manifolds.rolls import SwissRoll
from dimple.manifolds.sphere import Circle, Sphere
from dimple.manifolds.union import DisjointUnion
from dimple.settings import Dimension, Finite, Positive, Repeats, settings


@final
@settings
class ConcentricSpheres(DisjointUnion):
    """Spheres S^d of different radii around the origin.

    Example:
        >>> ConcentricSpheres(radii=(1.0, 1.5)).reach
        0.25
    """

    dim: Dimension = 2
    radii: Annotated[tuple[Positive, ...], MinLen(2)] = (0.5, 1.0)

    def __post_init__(self) -> None:
        if len(set(self.radii)) < len(self.radii):
            raise SceneError(f"ConcentricSpheres: radii {self.radii} repeat; give different ones")

    @cached_property
    def components(self) -> tuple[Manifold, ...]:
        """Spheres in the order of `radii`."""
        return tuple(Sphere(self.dim, radius) for radius in self.radii)

    @property
    def separation(self) -> float:
        """Minimum difference of two radii."""
        return min(b - a for a, b in itertools.pairwise(sorted(self.radii)))

    @property
    def reach_is_exact(self) -> bool:
        return True


@final
@settings
class Moons(DisjointUnion):
    """Two interlocking half circles: the upper half of one circle and the lower half of another.

    The first circle is centered at the origin, the second `apart` radii to the right and `shift` radii up.

    Example:
        >>> Moons(radius=0.5).volume
        3.14159...
    """

    radius: Positive = 1.0
    apart: Positive = 1.0
    shift: Finite = 0.5

    def __post_init__(self) -> None:
        if self.separation < 1e-6 * self.radius:
            raise SceneError("Moons: apart and shift make the two arcs meet; with apart 1, shift 0.5 they do not")

    @cached_property
    def components(self) -> tuple[Manifold, ...]:
        """Upper half circle and lower half circle."""
        identity = ((1.0, 0.0), (0.0, 1.0))
        center = (self.apart * self.radius, self.shift * self.radius)
        return Arc(self.radius), FramedEmbedding(Arc(self.radius, math.pi, 2 * math.pi), identity, center)


@final
@settings
class LinkedCircles(DisjointUnion):
    """Two circles of one radius in R^3, in perpendicular planes, each through the center of the other.

    Example:
        >>> LinkedCircles(radius=1.0).separation
        1.0
    """

    radius: Positive = 1.0

    @cached_property
    def components(self) -> tuple[Manifold, ...]:
        """Circle in the xy plane around the origin, and circle in the xz plane, moved by the radius along x."""
        circle = Circle(self.radius)
        horizontal = FramedEmbedding(circle, ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0)), (0.0, 0.0, 0.0))
        return horizontal, FramedEmbedding(circle, ((1.0, 0.0), (0.0, 0.0), (0.0, 1.0)), (self.radius, 0.0, 0.0))

    @property
    def separation(self) -> float:
        """Radius: the distance from the center of a circle, through which the other passes, to the circle."""
        return self.radius

    @property
    def reach_is_exact(self) -> bool:
        return True


@final
@settings
class IntertwinedRolls(DisjointUnion):
    """Swiss rolls wound into one another: `rolls` of them, each rotated by the same angle relative to the one before.

    Example:
        >>> len(IntertwinedRolls(rolls=2).components)
        2
    """

    rolls: Repeats = 2
    inner: Positive = 0.25
    outer: Positive = 1.0
    turns: Positive = 1.5
    height: Positive = 1.0

    def __post_init__(self) -> None:
        if self.rolls < 2:
            raise SceneError(f"IntertwinedRolls: rolls is {self.rolls}; it must be 2 or more")
        SwissRoll(self.inner, self.outer, self.turns, self.height)

    @cached_property
    def components(self) -> tuple[SwissRoll, ...]:
        """Rolls, each with its own phase."""
        phases = [2 * math.pi * index / self.rolls for index in range(self.rolls)]
        return tuple(SwissRoll(self.inner, self.outer, self.turns, self.height, phase) for phase in phases)

    @cached_property
    def separation(self) -> float:
        """Minimum distance between the spiral of the first roll and any other; by symmetry that of all pairs."""
        first, *others = (roll.factors[0] for roll in self.components)
        return min(estimate_separation(first, other) for other in others)

    @property
    def reach(self) -> float:
        """Reach of the first roll, because all are congruent, or half the separation if that is less."""
        return min(self.components[0].reach, self.separation / 2)
