"""Parametrized curves: each is one formula, and its geodesic distances are arc lengths."""

import math
from functools import cached_property
from typing import final

import numpy as np
import torch
from scipy.special import ellipe
from torch import Tensor

from dimple.errors import SceneError
from dimple.manifolds.affine import ParameterDomain
from dimple.manifolds.base import to_double
from dimple.manifolds.geometry.derivatives import chart_jacobian
from dimple.manifolds.parametrized import ParametrizedManifold
from dimple.settings import Finite, Positive, settings
from dimple.tensors import norm

# Intervals of equal width in the parameter, whose arc lengths are integrated once.
ARC_PANELS = 256
GAUSS_NODES, GAUSS_WEIGHTS = (torch.from_numpy(values) for values in np.polynomial.legendre.leggauss(16))


class ParametrizedCurve(ParametrizedManifold):
    """A curve over an interval, which is periodic if the curve is closed."""

    @property
    def dim(self) -> int:
        return 1

    @cached_property
    def source(self) -> ParameterDomain:
        low, high, closed = self.interval
        return ParameterDomain((low,), (high,), (closed,))

    @property
    def interval(self) -> tuple[float, float, bool]:
        """Lower and upper end of the parameter, and whether the curve is closed; by default a full turn, closed."""
        return 0.0, 2 * math.pi, True

    @property
    def volume(self) -> float:
        """Length of the curve."""
        return float(self._cumulative_lengths[-1])

    @property
    def volume_error(self) -> float:
        """Difference of the length and that by intervals of half the width."""
        ends = torch.linspace(self.source.low[0], self.source.high[0], 2 * ARC_PANELS + 1, dtype=torch.float64)
        return abs(float(self._cumulative_lengths[-1] - self._integrate_speed(ends[:-1], ends[1:]).sum()))

    def geodesic_distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the arc lengths `(A, B)` between the closest points; on a closed curve those of the shorter arcs."""
        position_a, position_b = (self._arc_length(to_double(x)) for x in (a, b))
        arc = (position_a[:, None] - position_b[None]).abs()
        if self.source.periodic[0]:
            arc = torch.minimum(arc, self.volume - arc)
        return arc.to(a.device, a.dtype)

    @cached_property
    def _cumulative_lengths(self) -> Tensor:
        """Arc length up to each end of the panels, `(ARC_PANELS + 1,)`."""
        ends = self.source.low[0] + self._panel_width * torch.arange(ARC_PANELS + 1, dtype=torch.float64)
        return torch.cat([torch.zeros(1, dtype=torch.float64), self._integrate_speed(ends[:-1], ends[1:]).cumsum(0)])

    @property
    def _panel_width(self) -> float:
        return (self.source.high[0] - self.source.low[0]) / ARC_PANELS

    def _arc_length(self, x: Tensor) -> Tensor:
        """Return the arc length from the start of the curve to the closest points of `(B, n)`, `(B,)`."""
        z = self.source.coordinates(self.closest_source_points(x))[:, 0] * self._panel_width * ARC_PANELS
        panel = (z / self._panel_width).long().clamp(max=ARC_PANELS - 1)
        low = self.source.low[0]
        return self._cumulative_lengths.to(x)[panel] + self._integrate_speed(low + panel * self._panel_width, low + z)

    def _integrate_speed(self, start: Tensor, end: Tensor) -> Tensor:
        """Return the lengths of short arcs, by the Gauss rule with 16 points."""
        half = (end - start)[:, None] / 2
        z = (start[:, None] + half * (1 + GAUSS_NODES.to(start))).reshape(-1, 1)
        speed = norm(chart_jacobian(self.source, self.chart, z)[:, :, 0])
        return (half * GAUSS_WEIGHTS.to(start) * speed.reshape(len(start), len(GAUSS_NODES))).sum(1)


@final
@settings
class Ellipse(ParametrizedCurve):
    """The ellipse with half axes `a` along x and `b` along y.

    Example:
        >>> Ellipse(a=2.0, b=1.0).reach
        0.5
    """

    a: Positive = 1.0
    b: Positive = 0.5

    @property
    def ambient_dim(self) -> int:
        return 2

    @property
    def reach(self) -> float:
        """Minimum radius of curvature, at the ends of the long axis."""
        return min(self.a, self.b) ** 2 / max(self.a, self.b)

    @property
    def reach_is_exact(self) -> bool:
        return True

    @property
    def volume(self) -> float:
        """Length 4 a E(1 - b^2 / a^2), with the complete elliptic integral E and a >= b."""
        long = max(self.a, self.b)
        short = min(self.a, self.b)
        return float(4 * long * ellipe(1 - (short / long) ** 2))

    def chart(self, z: Tensor) -> Tensor:
        """Return the points of the eccentric anomalies `z` `(B, 1)`."""
        return torch.cat([self.a * z.cos(), self.b * z.sin()], dim=1)


@final
@settings
class Helix(ParametrizedCurve):
    """A helix around the z axis with `turns` turns of the given radius; it rises by `pitch` a turn, centered at z = 0.

    Example:
        >>> helix = Helix(radius=1.0, pitch=6.283185307179586)
        >>> round(float(helix.second_fundamental_form(helix.regular_grid(3)).norm(dim=1)[0]), 6)
        0.5
    """

    radius: Positive = 1.0
    pitch: Positive = 1.0
    turns: Positive = 2.0

    @property
    def ambient_dim(self) -> int:
        return 3

    @property
    def interval(self) -> tuple[float, float, bool]:
        """Range of the angle, symmetric around 0, where the height is zero."""
        return -math.pi * self.turns, math.pi * self.turns, False

    @property
    def volume(self) -> float:
        """Length by the Pythagorean theorem on the unrolled cylinder."""
        return self.turns * math.hypot(2 * math.pi * self.radius, self.pitch)

    def chart(self, z: Tensor) -> Tensor:
        """Return the points at the angles `z` `(B, 1)`."""
        return torch.cat([self.radius * z.cos(), self.radius * z.sin(), self.pitch / (2 * math.pi) * z], dim=1)


@final
@settings
class Spiral(ParametrizedCurve):
    """An Archimedean spiral in the plane from radius `inner` to `outer` in `turns` turns; it starts at angle `phase`.

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
        return 2

    @property
    def interval(self) -> tuple[float, float, bool]:
        """Range of the angle, in radians from the start."""
        return 0.0, 2 * math.pi * self.turns, False

    def chart(self, z: Tensor) -> Tensor:
        """Return the points at the angles `z` `(B, 1)`, measured from the start."""
        radius = self.inner + (self.outer - self.inner) / (2 * math.pi * self.turns) * z
        return torch.cat([radius * (z + self.phase).cos(), radius * (z + self.phase).sin()], dim=1)


@final
@settings
class Arc(ParametrizedCurve):
    """The part of a circle around the origin of the plane from the angle `start` to `stop`, in radians.

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
        return 2

    @property
    def interval(self) -> tuple[float, float, bool]:
        """Range of the angle."""
        return self.start, self.stop, False

    @property
    def reach(self) -> float:
        """Radius, or half the distance of the two ends if that is less."""
        opening = 2 * self.radius * math.sin((self.stop - self.start) / 2)
        return self.radius if self.stop - self.start <= math.pi else min(self.radius, opening / 2)

    @property
    def reach_is_exact(self) -> bool:
        return True

    @property
    def volume(self) -> float:
        """Radius times angle."""
        return self.radius * (self.stop - self.start)

    def chart(self, z: Tensor) -> Tensor:
        """Return the points at the angles `z` `(B, 1)`."""
        return torch.cat([self.radius * z.cos(), self.radius * z.sin()], dim=1)


@final
@settings
class PlanarSCurve(ParametrizedCurve):
    """The letter S in the plane: two arcs of 3/4 of a turn, of the same radius, that bend in opposite directions.

    Example:
        >>> round(PlanarSCurve(radius=1.0).volume / torch.pi, 12)
        3.0
    """

    radius: Positive = 1.0

    @property
    def ambient_dim(self) -> int:
        return 2

    @property
    def interval(self) -> tuple[float, float, bool]:
        """Range of the angle from one end to the other; it is 0 in the middle."""
        return -1.5 * math.pi, 1.5 * math.pi, False

    @property
    def volume(self) -> float:
        """Radius times angle."""
        return 3 * math.pi * self.radius

    def chart(self, z: Tensor) -> Tensor:
        """Return the points at the angles `z` `(B, 1)`; the tangent is continuous at 0, the curvature is not."""
        return self.radius * torch.cat([z.sin(), z.sign() * (z.cos() - 1)], dim=1)
