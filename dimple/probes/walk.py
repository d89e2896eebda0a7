"""One walk a sample along the boundary, towards the sample: what `closest` is made of."""

import math
from typing import final

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.probes.box import dual_norm, smallest_step
from dimple.probes.restriction import Restriction
from dimple.probes.search import BACKWARD, FORWARD, gaps_and_gradients
from dimple.tensors import flatten
from dimple.tensors import norm as norm_of

# The share of the projection in a step falls from the first to the second, along a cosine.
PULL, PULL_LAST = 0.5, 0.03
# A walk that starts elsewhere is pulled this much less, for it must not leave the pocket that it starts in.
LOCAL = 0.3
# How far beyond the boundary a step aims, as a share of the distance: more after each miss, less after each hit.
AIM_FIRST, AIM_LEAST, AIM_MOST, AIM_BLIND = 0.1, 5e-4, 0.1, 1.0
AIM_MISSED, AIM_HIT, AIM_NEVER_HIT, AIM_FINE = 1.5, 0.75, 4.0, 1e-6
# A walk whose two solutions differ by less than SETTLED, as a share of the distance, aims finely, and has settled when
# they still do. Whoever gains less than GAIN in PATIENCE steps, or a sixth of all, has its pull halved, and has settled
# when that is below SLOWEST.
SETTLED, GAIN, PATIENCE, SLOWEST = 1e-6, 1e-3, 8, 0.02


def pull_at(step: int, steps: int) -> float:
    """The share of the projection in one of the steps: all at first, then half of it, falling off to average kinks."""
    if step == 0:
        return 1.0
    return PULL_LAST + (PULL - PULL_LAST) * (1 + math.cos(math.pi * step / steps)) / 2


@final
class Walk:
    """The state of a batch of walks, in rows `(B, n)`; each row has its own best point, cost and verdict.

    Attributes:
        points, distance, gap: the nearest misclassified point of all queries; `distance` is `inf` while there is none.
        residual: what is left of the linearised step there, as a share of the distance.
        passes: forwards (.4 each) and backwards (.6 each) spent on the row.
        settled: rows that more steps would not bring nearer.
    """

    def __init__(
        self,
        boundary: Boundary,
        x: Tensor,
        y: Tensor,
        norm: str,
        restriction: Restriction | None = None,
        targets: Tensor | None = None,
    ) -> None:
        self.boundary, self.shape, self.norm, self.restriction = boundary, x.shape, norm, restriction
        self.origin, self.y, self.targets = flatten(x), y, targets
        self.box = boundary.box if restriction is None else None
        self.here = self.origin.clone()
        self.points = self.origin.clone()
        self.distance = self.origin.new_full((len(x),), torch.inf)
        self.gap, self.slope = torch.full_like(self.distance, torch.inf), torch.zeros_like(self.distance)
        self.residual = torch.full_like(self.distance, torch.inf)
        self.passes = torch.zeros_like(self.distance)
        self.settled = torch.zeros_like(self.y, dtype=torch.bool)
        self.aim = torch.full_like(self.distance, AIM_FIRST)
        self.milestone, self.pull = self.distance.clone(), torch.ones_like(self.distance)

    def begin(self, rivals: int) -> None:
        """Step to the nearest of the linearised boundaries of the highest-scoring `rivals`."""
        gap, gaps, gradients = gaps_and_gradients(self.boundary, self._shaped(self.here), self.y, rivals, self.targets)
        self.passes += FORWARD + BACKWARD * gaps.shape[1]
        flat = gradients.flatten(2)
        if self.restriction is not None:
            flat = self.restriction.apply_each(flat)
        tiny = torch.finfo(flat.dtype).tiny
        nearest = (gaps / dual_norm(flat, self.norm).clamp(min=tiny)).argmin(1)
        rows = torch.arange(len(nearest), device=nearest.device)
        step = smallest_step(self.origin, flat[rows, nearest], -gaps[rows, nearest], self.norm, self.box)
        self._keep(rows, self.here, gap, torch.zeros_like(gap), torch.zeros_like(gap))
        self.settled |= gap <= 0
        self.here = self._inside(self.origin + (1 + AIM_FIRST) * step)

    def begin_at(self, offsets: Tensor) -> None:
        """Look at `(B, M, n)` places around the sample and start from the nearest misclassified, else the least gap."""
        self.pull = torch.full_like(self.pull, LOCAL)
        lowest = torch.full_like(self.distance, torch.inf)
        for place in offsets.unbind(1):
            step = place if self.restriction is None else self.restriction.apply(place)
            here = self._inside(self.origin + step)
            gap = self.boundary.gap(self._shaped(here), self.y, self.targets)
            self.passes += FORWARD
            # Any misclassified place comes before all others, the nearest first.
            order = torch.where(gap <= 0, -1 / norm_of(here - self.origin, self.norm), gap)
            self.here = torch.where((order < lowest)[:, None], here, self.here)
            lowest = torch.minimum(order, lowest)

    def follow(self, steps: int) -> None:
        """Take at most `steps` steps, each a forward and a backward; rows that have settled leave the batch."""
        rows = torch.nonzero(~self.settled).squeeze(1)
        patience = max(PATIENCE, steps // 6)
        for step in range(steps):
            if len(rows) == 0:
                return
            self._step(rows, pull_at(step, steps))
            if step % patience == patience - 1:
                self._slow_down()
            if step % 4 == 3:
                rows = torch.nonzero(~self.settled).squeeze(1)

    def _slow_down(self) -> None:
        """Halve the pull of the walks that have gained nothing of late, and send them on from their best point."""
        stalled = (self.distance > (1 - GAIN) * self.milestone) & torch.isfinite(self.distance) & ~self.settled
        self.milestone = self.distance.clone()
        self.pull = torch.where(stalled, self.pull / 2, self.pull)
        self.settled |= self.pull < SLOWEST
        self.here = torch.where(stalled[:, None], self.points, self.here)

    def _step(self, rows: Tensor, pull: float) -> None:
        origin, here = self.origin[rows], self.here[rows]
        gap, gradient = self.boundary.gap_and_gradient(self._shaped(here), self.y[rows], self._sought(rows))
        self.passes[rows] += FORWARD + BACKWARD
        gradient = flatten(gradient)
        if self.restriction is not None:
            gradient = self.restriction.rows(rows).apply(gradient)
        moved = here - origin
        length, slope = norm_of(moved, self.norm), (gradient * moved).sum(1)

        aimed = self.aim[rows]
        blind = torch.isinf(self.distance[rows]) & (gap > 0)
        aim = aimed * torch.where(blind, AIM_NEVER_HIT, torch.where(gap > 0, AIM_MISSED, AIM_HIT).to(gap))
        aim = torch.minimum(aim.clamp(min=AIM_LEAST), torch.where(blind, AIM_BLIND, AIM_MOST).to(gap))
        fine = aimed == AIM_FINE
        aim = torch.where(fine, AIM_FINE, aim)
        beyond = gap + aim * length * dual_norm(gradient, self.norm)

        back = moved + smallest_step(here, gradient, -beyond, self.norm, self.box)
        nearest = smallest_step(origin, gradient, slope - beyond, self.norm, self.box)
        left = norm_of(nearest - back, self.norm) / length.clamp(min=torch.finfo(gap.dtype).tiny)
        self._keep(rows, here, gap, slope, left)
        still = (gap <= 0) & (left <= SETTLED)
        self.settled[rows] = still & (aimed < AIM_FINE)
        # Half of the fine aim says that the query to come was aimed finely.
        self.aim[rows] = torch.where(fine, AIM_FINE / 2, torch.where(still, AIM_FINE, aim))
        self.here[rows] = self._inside(origin + back + (pull * self.pull[rows, None]) * (nearest - back))

    def _keep(self, rows: Tensor, here: Tensor, gap: Tensor, slope: Tensor, left: Tensor) -> None:
        """Take over the queries that are misclassified and nearer than all before."""
        distance = norm_of(here - self.origin[rows], self.norm)
        better = (gap <= 0) & (distance < self.distance[rows])
        self.points[rows] = torch.where(better[:, None], here, self.points[rows])
        for kept, new in ((self.distance, distance), (self.gap, gap), (self.slope, slope), (self.residual, left)):
            kept[rows] = torch.where(better, new, kept[rows])

    def land(self, forwards: int) -> Tensor:
        """Pull each best point back along its ray by secant steps, as close to the crossing as rounding allows.

        Returns:
            The rows that are that close, `(B,)`.
        """
        ray = self.points - self.origin
        slope = self.slope.clone()
        tolerance = 1e-12 if ray.dtype == torch.float64 else 1e-6
        low, high = torch.zeros_like(self.distance), torch.ones_like(self.distance)
        for _ in range(forwards):
            rows = torch.nonzero(self._above(slope, tolerance)).squeeze(1)
            if len(rows) == 0:
                break
            a, b, gap = low[rows], high[rows], self.gap[rows]
            t = (b - gap / slope[rows] + tolerance).clamp(max=1.0)
            t = torch.where((t > a) & (t < b), t, (a + b) / 2)
            here = self.origin[rows] + t[:, None] * ray[rows]
            now = self.boundary.gap(self._shaped(here), self.y[rows], self._sought(rows))
            self.passes[rows] += FORWARD
            self._keep(rows, here, now, slope[rows], self.residual[rows])
            slope[rows] = torch.where(t < b, (gap - now) / (b - t), slope[rows])
            far = now <= 0
            low[rows], high[rows] = torch.where(far, a, t), torch.where(far, t, b)
        return torch.isfinite(self.distance) & ~self._above(slope, tolerance) & (slope < 0)

    def _above(self, slope: Tensor, tolerance: float) -> Tensor:
        """Rows that a step along the ray would still bring nearer."""
        return torch.isfinite(self.distance) & (self.distance > 0) & (slope < 0) & (self.gap < 2 * tolerance * slope)

    def _sought(self, rows: Tensor) -> Tensor | None:
        return None if self.targets is None else self.targets[rows]

    def _inside(self, points: Tensor) -> Tensor:
        return points if self.box is None else self.box.clamp(points)

    def _shaped(self, rows: Tensor) -> Tensor:
        return rows.reshape(len(rows), *self.shape[1:])
