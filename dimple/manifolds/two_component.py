"""Members of two or more pieces, most often one for each class."""

import itertools
import math
from functools import cached_property
from typing import Annotated, final

from annotated_types import MinLen

from dimple.errors import SceneError
from dimple.manifolds.base import Manifold
from dimple.manifolds.curves import Arc
from dimple.manifolds.embedding import Placed
from dimple.manifolds.reach import searched_gap
from dimple.manifolds.rolls import SwissRoll
from dimple.manifolds.sphere import Circle, Sphere
from dimple.manifolds.union import Pieces
from dimple.settings import Count, Finite, Positive, settings


@final
@settings
class ConcentricSpheres(Pieces):
    """Spheres S^d of several radii around the origin.

    Example:
        >>> ConcentricSpheres(radii=(1.0, 1.5)).reach
        0.25
    """

    dim: Count = 2
    radii: Annotated[tuple[Positive, ...], MinLen(2)] = (0.5, 1.0)

    def __post_init__(self) -> None:
        if len(set(self.radii)) < len(self.radii):
            raise SceneError(f"ConcentricSpheres: radii {self.radii} repeat; give different ones")

    @cached_property
    def parts(self) -> tuple[Manifold, ...]:
        """One a radius."""
        return tuple(Sphere(self.dim, radius) for radius in self.radii)

    @property
    def gap(self) -> float:
        """The least difference of two radii."""
        return min(b - a for a, b in itertools.pairwise(sorted(self.radii)))

    @property
    def reach_is_exact(self) -> bool:
        """By formula."""
        return True


@final
@settings
class Moons(Pieces):
    """Two half circles that reach into each other: the upper half of one, the lower half of the other.

    The first circle is around the origin; the second is centred `apart` radii to the right and `shift` radii up.

    Example:
        >>> Moons(radius=0.5).volume
        3.14159...
    """

    radius: Positive = 1.0
    apart: Positive = 1.0
    shift: Finite = 0.5

    def __post_init__(self) -> None:
        if self.gap < 1e-6 * self.radius:
            raise SceneError("Moons: apart and shift make the two arcs meet; with apart 1, shift 0.5 they do not")

    @cached_property
    def parts(self) -> tuple[Manifold, ...]:
        """The upper and the lower."""
        upright = ((1.0, 0.0), (0.0, 1.0))
        centre = (self.apart * self.radius, self.shift * self.radius)
        return Arc(self.radius), Placed(Arc(self.radius, math.pi, 2 * math.pi), upright, centre)


@final
@settings
class LinkedCircles(Pieces):
    """Two circles of one radius in R^3, in planes square to each other, each through the middle of the other.

    Example:
        >>> LinkedCircles(radius=1.0).gap
        1.0
    """

    radius: Positive = 1.0

    @cached_property
    def parts(self) -> tuple[Manifold, ...]:
        """One in the xy plane around the origin, one in the xz plane a radius to the right."""
        circle = Circle(self.radius)
        flat = Placed(circle, ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0)), (0.0, 0.0, 0.0))
        return flat, Placed(circle, ((1.0, 0.0), (0.0, 0.0), (0.0, 1.0)), (self.radius, 0.0, 0.0))

    @property
    def gap(self) -> float:
        """The radius, from the middle of the one to its rim, where the other passes."""
        return self.radius

    @property
    def reach_is_exact(self) -> bool:
        """By formula."""
        return True


@final
@settings
class IntertwinedRolls(Pieces):
    """Swiss rolls wound into one another: `rolls` of them, each turned by the same angle against the last.

    Example:
        >>> len(IntertwinedRolls(rolls=2).parts)
        2
    """

    rolls: Count = 2
    inner: Positive = 0.25
    outer: Positive = 1.0
    turns: Positive = 1.5
    height: Positive = 1.0

    def __post_init__(self) -> None:
        if self.rolls < 2:
            raise SceneError(f"IntertwinedRolls: rolls is {self.rolls}; it must be 2 or more")
        SwissRoll(self.inner, self.outer, self.turns, self.height)

    @cached_property
    def parts(self) -> tuple[SwissRoll, ...]:
        """Each with its own phase."""
        phases = [2 * math.pi * index / self.rolls for index in range(self.rolls)]
        return tuple(SwissRoll(self.inner, self.outer, self.turns, self.height, phase) for phase in phases)

    @cached_property
    def gap(self) -> float:
        """Between the spirals of the first roll and of any other: all are turned alike, and equally high."""
        first, *others = (part.factors[0] for part in self.parts)
        return min(searched_gap(first, other) for other in others)

    @property
    def reach(self) -> float:
        """The rolls are congruent: the reach of one of them, or half the gap."""
        return min(self.parts[0].reach, self.gap / 2)
