"""Sheets that bend one way only: a curve in the plane of x and y, drawn out along z, flat in itself."""

from functools import cached_property
from typing import final

from dimple.manifolds.affine import Segment
from dimple.manifolds.base import Manifold
from dimple.manifolds.curves import Bend, Spiral
from dimple.manifolds.product import Product
from dimple.settings import Finite, Positive, settings


@final
@settings
class SwissRoll(Product):
    """The swiss roll: a spiral from radius `inner` to `outer` in `turns` turns, drawn out to `height` along z.

    Example:
        >>> import torch
        >>> SwissRoll().geodesic(torch.tensor([[0.25, 0.0, -0.5]]), torch.tensor([[0.25, 0.0, 0.5]]))
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
        """The spiral and the height."""
        return Spiral(self.inner, self.outer, self.turns, self.phase), upright(self.height)


@final
@settings
class SCurve(Product):
    """The letter S, made of two arcs of the given radius, drawn out to `height` along z.

    Example:
        >>> SCurve(radius=1.0, height=2.0).volume
        18.8495...
    """

    radius: Positive = 0.5
    height: Positive = 1.0

    @cached_property
    def factors(self) -> tuple[Manifold, ...]:
        """The letter and the height."""
        return Bend(self.radius), upright(self.height)


def upright(height: float) -> Segment:
    """The segment of that length around 0 on the line."""
    return Segment((-height / 2,), (height / 2,))
