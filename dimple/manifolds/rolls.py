"""Sheets that bend in one direction only: curves in the xy plane, extruded along z, with a flat metric."""

from functools import cached_property
from typing import final

from dimple.manifolds.affine import Segment
from dimple.manifolds.base import Manifold
from dimple.manifolds.curves import PlanarSCurve, Spiral
from dimple.manifolds.product import ProductManifold
from dimple.settings import Finite, Positive, settings


@final
@settings
class SwissRoll(ProductManifold):
    """The Swiss roll: a spiral from radius `inner` to `outer` in `turns` turns, extruded to `height` along z.

    Example:
        >>> import torch
        >>> SwissRoll().geodesic_distance(torch.tensor([[0.25, 0.0, -0.5]]), torch.tensor([[0.25, 0.0, 0.5]]))
        tensor([[1.]])
    """

    inner: Positive = 0.25
    outer: Positive = 1.0
    turns: Positive = 1.5
    height: Positive = 1.0
    phase: Finite = 0.0

    def __post_init__(self) -> None:
        Spiral(self.inner, self.outer, self.turns, self.phase)

    @cached_property
    def factors(self) -> tuple[Manifold, ...]:
        return Spiral(self.inner, self.outer, self.turns, self.phase), vertical_segment(self.height)


@final
@settings
class SCurve(ProductManifold):
    """The letter S, made of two arcs of the given radius, extruded to `height` along z.

    Example:
        >>> SCurve(radius=1.0, height=2.0).volume
        18.8495...
    """

    radius: Positive = 0.5
    height: Positive = 1.0

    @cached_property
    def factors(self) -> tuple[Manifold, ...]:
        return PlanarSCurve(self.radius), vertical_segment(self.height)


def vertical_segment(height: float) -> Segment:
    """Return the segment of length `height` in R^1, centered at 0."""
    return Segment((-height / 2,), (height / 2,))
