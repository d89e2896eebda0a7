"""Curves: one formula each, with arc length for their geodesics."""

import math
from functools import cached_property
from typing import final

import numpy as np
import torch
from scipy.special import ellipe
from torch import Tensor

from dimple.errors import SceneError
from dimple.manifolds.affine import Cell
from dimple.manifolds.base import working
from dimple.manifolds.derivatives import tangents
from dimple.manifolds.parametrized import Mapped
from dimple.settings import Finite, Positive, settings
from dimple.tensors import norm

PANELS = 256
NODES, WEIGHTS = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(16))


class Curve(Mapped):
    """A curve over an interval, or over a closed one."""

    @property
    def dim(self) -> int:
        """A curve."""
        return 1

    @cached_property
    def source(self) -> Cell:
        """The range of the parameter."""
        low, high, closed = self.interval
        return Cell((low,), (high,), (closed,))

    @property
    def interval(self) -> tuple[float, float, bool]:
        """Where the parameter begins and ends, and whether the curve closes there: a full turn."""
        return 0.0, 2 * math.pi, True

    @property
    def volume(self) -> float:
        """The length."""
        return float(self._lengths[-1])

    def geodesic(self, a: Tensor, b: Tensor) -> Tensor:
        """The arc between them, the shorter one on a closed curve."""
        place_a, place_b = (self._arc_length(working(x)) for x in (a, b))
        arc = (place_a[:, None] - place_b[None]).abs()
        if self.source.closed[0]:
            arc = torch.minimum(arc, self.volume - arc)
        return arc.to(a.device, a.dtype)

    @cached_property
    def _lengths(self) -> Tensor:
        """The arc length up to each of the panels' ends, `(PANELS + 1,)`."""
        ends = self.source.low[0] + self._panel * torch.arange(PANELS + 1, dtype=torch.float64)
        return torch.cat([torch.zeros(1, dtype=torch.float64), self._arc(ends[:-1], ends[1:]).cumsum(0)])

    @property
    def _panel(self) -> float:
        return (self.source.high[0] - self.source.low[0]) / PANELS

    def _arc_length(self, x: Tensor) -> Tensor:
        """From the start of the curve to the nearest points of `(B, n)`, `(B,)`."""
        z = self.source.coordinates(self.locate(x))[:, 0] * self._panel * PANELS
        panel = (z / self._panel).long().clamp(max=PANELS - 1)
        low = self.source.low[0]
        return self._lengths.to(x)[panel] + self._arc(low + panel * self._panel, low + z)

    def _arc(self, start: Tensor, end: Tensor) -> Tensor:
        """The length of each of the short arcs, by 16 points of Gauss's rule."""
        half = (end - start)[:, None] / 2
        z = (start[:, None] + half * (1 + NODES.to(start))).reshape(-1, 1)
        speed = norm(tangents(self.source, self.chart, z)[:, :, 0])
        return (half * WEIGHTS.to(start) * speed.reshape(len(start), len(NODES))).sum(1)


@final
@settings
class Ellipse(Curve):
    """The ellipse with half axes `a` along x and `b` along y.

    Example:
        >>> Ellipse(a=2.0, b=1.0).reach
        0.5
    """

    a: Positive = 1.0
    b: Positive = 0.5

    @property
    def ambient_dim(self) -> int:
        """The plane."""
        return 2

    @property
    def reach(self) -> float:
        """The least radius of curvature, at the ends of the long axis."""
        return min(self.a, self.b) ** 2 / max(self.a, self.b)

    @property
    def reach_is_exact(self) -> bool:
        """By formula."""
        return True

    @property
    def volume(self) -> float:
        """4 a E(1 - b^2 / a^2), by the complete elliptic integral."""
        long, short = max(self.a, self.b), min(self.a, self.b)
        return float(4 * long * ellipe(1 - (short / long) ** 2))

    def chart(self, z: Tensor) -> Tensor:
        """From the eccentric anomaly."""
        return torch.cat([self.a * z.cos(), self.b * z.sin()], dim=1)


@final
@settings
class Helix(Curve):
    """A helix around the z axis: `turns` turns of the given radius, rising by `pitch` a turn, its middle at height 0.

    Example:
        >>> helix = Helix(radius=1.0, pitch=6.283185307179586)
        >>> round(float(helix.second_form(helix.grid(3)).norm(dim=1)[0]), 6)
        0.5
    """

    radius: Positive = 1.0
    pitch: Positive = 1.0
    turns: Positive = 2.0

    @property
    def ambient_dim(self) -> int:
        """Space."""
        return 3

    @property
    def interval(self) -> tuple[float, float, bool]:
        """The angle; the height is zero in the middle."""
        return -math.pi * self.turns, math.pi * self.turns, False

    @property
    def volume(self) -> float:
        """By the theorem of Pythagoras on the unrolled cylinder."""
        return self.turns * math.hypot(2 * math.pi * self.radius, self.pitch)

    def chart(self, z: Tensor) -> Tensor:
        """From the angle."""
        return torch.cat([self.radius * z.cos(), self.radius * z.sin(), self.pitch / (2 * math.pi) * z], dim=1)


@final
@settings
class Spiral(Curve):
    """A spiral of Archimedes in the plane, from radius `inner` to `outer` in `turns` turns, started at `phase` radians.

    Example:
        >>> Spiral(inner=0.5, outer=1.0, turns=1.0).project(torch.tensor([[0.4, 0.0]]))
        tensor([[0.5000, 0.0000]])
    """

    inner: Positive = 0.25
    outer: Positive = 1.0
    turns: Positive = 1.5
    phase: Finite = 0.0

    def __post_init__(self) -> None:
        if self.inner >= self.outer:
            raise SceneError(f"Spiral: inner is {self.inner}; it must be below outer, which is {self.outer}")

    @property
    def ambient_dim(self) -> int:
        """The plane."""
        return 2

    @property
    def interval(self) -> tuple[float, float, bool]:
        """The angle from its start."""
        return 0.0, 2 * math.pi * self.turns, False

    def chart(self, z: Tensor) -> Tensor:
        """From the angle."""
        radius = self.inner + (self.outer - self.inner) / (2 * math.pi * self.turns) * z
        return torch.cat([radius * (z + self.phase).cos(), radius * (z + self.phase).sin()], dim=1)


@final
@settings
class Arc(Curve):
    """The part of a circle in the plane from the angle `start` to `stop`, in radians, around the origin.

    Example:
        >>> Arc(radius=2.0, start=0.0, stop=1.5).volume
        3.0
    """

    radius: Positive = 1.0
    start: Finite = 0.0
    stop: Finite = math.pi

    def __post_init__(self) -> None:
        if not 0 < self.stop - self.start < 2 * math.pi:
            raise SceneError(
                f"Arc: stop is {self.stop}; it must be above start, {self.start}, by less than a full turn"
            )

    @property
    def ambient_dim(self) -> int:
        """The plane."""
        return 2

    @property
    def interval(self) -> tuple[float, float, bool]:
        """The angle."""
        return self.start, self.stop, False

    @property
    def reach(self) -> float:
        """The radius, or half the opening where the ends come nearer to each other than that."""
        opening = 2 * self.radius * math.sin((self.stop - self.start) / 2)
        return self.radius if self.stop - self.start <= math.pi else min(self.radius, opening / 2)

    @property
    def reach_is_exact(self) -> bool:
        """By formula."""
        return True

    @property
    def volume(self) -> float:
        """Radius times angle."""
        return self.radius * (self.stop - self.start)

    def chart(self, z: Tensor) -> Tensor:
        """From the angle."""
        return torch.cat([self.radius * z.cos(), self.radius * z.sin()], dim=1)


@final
@settings
class Bend(Curve):
    """The letter S in the plane: two arcs of 3/4 of a turn of the same radius, which bend opposite ways.

    Example:
        >>> round(Bend(radius=1.0).volume / torch.pi, 12)
        3.0
    """

    radius: Positive = 1.0

    @property
    def ambient_dim(self) -> int:
        """The plane."""
        return 2

    @property
    def interval(self) -> tuple[float, float, bool]:
        """The angle, from one end through the middle to the other."""
        return -1.5 * math.pi, 1.5 * math.pi, False

    @property
    def volume(self) -> float:
        """Radius times angle."""
        return 3 * math.pi * self.radius

    def chart(self, z: Tensor) -> Tensor:
        """From the angle; the tangent is continuous in the middle, the curvature changes its sign there."""
        return self.radius * torch.cat([z.sin(), z.sign() * (z.cos() - 1)], dim=1)
