"""One walk a sample along the boundary, towards the sample: what `closest` is made of."""

import copy
import math
from typing import final

import torch
from torch import Tensor

from dimple.attacks.base import gaps_and_gradients
from dimple.attacks.projections import dual_norm, smallest_step
from dimple.attacks.subspace_constraint import Restriction
from dimple.boundary.boundary import BACKWARD, FORWARD, Boundary
from dimple.tensors import flatten
from dimple.tensors import norm as norm_of

# The share of earlier gradients in the one that is followed. In l-infinity a step takes all coordinates to their
# bounds by sign, and those of small gradient would change sides at every kink.
MEMORY = {"l1": 0.0, "l2": 0.0, "linf": 0.4}
# The share of the first stage that an l2 walk in a box steps in l-infinity. Where the first layer has thresholds, as in
# networks trained against l-infinity attacks, a change spread over all coordinates passes them and one of the same
# length in l2 does not. Without a box no axes are marked, and rotating them may change nothing. A stage shorter than
# FLAT_FROM has no such steps, for it could not come back from where they lead.
FLAT, FLAT_FROM = 0.45, 8
# A walk that starts elsewhere is pulled this much less, for it must not leave the pocket that it starts in.
LOCAL = 0.3
# A walk that has met no crossing steps on from so many times as far.
FARTHER = 2.0
# How far beyond the boundary a step aims, as a share of the distance: more after each miss, less after each hit.
AIM_FIRST, AIM_LEAST, AIM_MOST, AIM_BLIND = 0.1, 5e-4, 0.1, 1.0
AIM_MISSED, AIM_HIT, AIM_NEVER_HIT, AIM_FINE = 1.5, 0.75, 4.0, 1e-6
# A walk whose two solutions differ by less than SETTLED, as a share of the distance, aims finely, and has settled when
# they still do.
SETTLED = 1e-6
# A landing takes at most so many forwards; it ends when what is left of the gap is this share of its linear change
# along the ray.
LANDINGS = 20
LANDED = {torch.float32: 1e-5, torch.float64: 1e-11}
# Sums of costs are compared with the budget with so much allowance.
ROUNDING = 1e-4
# So many steps are taken before rows that have settled leave the batch: a GPU would wait for every look.
BETWEEN_LOOKS = 4
EVERY = slice(None)
# What a walk is about, and what it changes, a row a sample.
TASK = ("origin", "y", "targets", "first_gap")
STATE = ("here", "points", "distance", "gap", "slope", "passes", "settled", "aim", "followed")


@final
class Walk:
    """The state of a batch of walks, in rows `(B, n)`; each row has its own best point, cost and verdict.

    Attributes:
        points, distance, gap: the nearest misclassified point of all queries; `distance` is `inf` while there is none.
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
        self.passes = torch.zeros_like(self.distance)
        self.settled = torch.zeros_like(self.y, dtype=torch.bool)
        self.aim = torch.full_like(self.distance, AIM_FIRST)
        self.pull, self.first_gap = 1.0, torch.full_like(self.distance, torch.nan)
        self.followed = torch.zeros_like(self.origin)
        # The norm in which steps are short; distances are always in that of the walk.
        self.stepping, self.starts_flat = norm, norm == "l2" and self.box is not None

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
        self._keep(self.here, gap, torch.zeros_like(gap))
        self.settled |= gap <= 0
        self.first_gap = gap
        self.here = self._inside(self.origin + (1 + AIM_FIRST) * step)

    def begin_at(self, offsets: Tensor, gap: Tensor) -> None:
        """Look at `(B, M, n)` places around the sample and start from the nearest misclassified, else the least gap.

        Args:
            gap: that of the samples, `(B,)`, as the walk from them has found it.
        """
        self.pull, self.first_gap, self.starts_flat = LOCAL, gap, False
        lowest = torch.full_like(self.distance, torch.inf)
        for place in offsets.unbind(1):
            step = place if self.restriction is None else self.restriction.apply(place)
            here = self._inside(self.origin + step)
            now = self._gap(here)
            # Any misclassified place comes before all others, the nearest first.
            order = torch.where(now <= 0, -1 / norm_of(here - self.origin, self.norm), now)
            self.here = torch.where((order < lowest)[:, None], here, self.here)
            lowest = torch.minimum(order, lowest)

    def follow(self, steps: int, landings: int) -> Tensor:
        """Take at most `steps` steps, each a forward and a backward; rows that have settled leave the batch.

        Every stage ends as if it were the last, so that a longer walk is never farther.

        Args:
            landings: the forwards kept for the end of each stage.

        Returns:
            The rows whose best point is as close to the crossing on its ray as rounding allows, `(B,)`.
        """
        landed, budget = torch.zeros_like(self.settled), float(self.passes[0])
        for number, length in enumerate(stages(steps)):
            budget += length * (FORWARD + BACKWARD) + landings * FORWARD
            if number > 0:
                self.here = torch.where(torch.isfinite(self.distance)[:, None], self.points, self.here)
            for begin in range(0, length, BETWEEN_LOOKS):
                rows = torch.nonzero(~self.settled).squeeze(1)
                if len(rows) == 0:
                    break
                part = self._some(rows)
                for step in range(begin, min(begin + BETWEEN_LOOKS, length)):
                    share = self._turn(number, step, length)
                    part.stepping = self.stepping
                    part._step(self.pull * share)
                self._put(rows, part)
            self._reach(budget)
            landed = self._land(budget)
        return landed

    def _some(self, rows: Tensor) -> "Walk":
        """The walks of some rows, to be taken on by themselves and put back; all of them are this walk itself."""
        if len(rows) == len(self.origin):
            return self
        part = copy.copy(self)
        for name in (*TASK, *STATE):
            values = getattr(self, name)
            setattr(part, name, None if values is None else values[rows])
        part.restriction = None if self.restriction is None else self.restriction.rows(rows)
        return part

    def _put(self, rows: Tensor, part: "Walk") -> None:
        """Take over where some rows have come to."""
        if part is not self:
            for name in STATE:
                getattr(self, name)[rows] = getattr(part, name)

    def _turn(self, stage: int, step: int, length: int) -> float:
        """Choose the norm of one step of a stage, and say which share of the projection it takes."""
        flat = int(FLAT * length) if stage == 0 and self.starts_flat and length >= FLAT_FROM else 0
        self.stepping = "linf" if step < flat else self.norm
        if stage == 0 and step in {0, flat}:
            return 1.0
        done, all_ = (step, flat) if step < flat else (step - flat, length - flat)
        return pull_at(done, all_, self.stepping)

    def _step(self, pull: float) -> None:
        """Query the gap where every row is, and step on."""
        gap, gradient = self.boundary.gap_and_gradient(self._shaped(self.here), self.y, self.targets)
        self.passes += FORWARD + BACKWARD
        gradient = flatten(gradient)
        if self.restriction is not None:
            gradient = self.restriction.apply(gradient)
        if MEMORY[self.stepping] > 0:
            share = torch.where(self.followed.any(1, keepdim=True), MEMORY[self.stepping], 0.0).to(gradient)
            gradient = self.followed = torch.lerp(gradient, self.followed, share)
        moved = self.here - self.origin
        length, slope = norm_of(moved, self.stepping), (gradient * moved).sum(1)

        across = gap <= 0
        blind = torch.isinf(self.distance) & ~across
        aim = self.aim * torch.where(blind, AIM_NEVER_HIT, torch.where(across, AIM_HIT, AIM_MISSED).to(gap))
        aim = torch.minimum(aim.clamp(min=AIM_LEAST), torch.where(blind, AIM_BLIND, AIM_MOST).to(gap))
        fine = self.aim == AIM_FINE
        aim = torch.where(fine, AIM_FINE, aim)
        beyond = gap + aim * length * dual_norm(gradient, self.stepping)

        back = moved + smallest_step(self.here, gradient, -beyond, self.stepping, self.box)
        nearest = smallest_step(self.origin, gradient, slope - beyond, self.stepping, self.box)
        apart = nearest - back
        left = norm_of(apart, self.stepping) / length.clamp(min=torch.finfo(gap.dtype).tiny)
        self._keep(self.here, gap, slope)
        still = across & (left <= SETTLED) & (slope < 0)
        if self.stepping != self.norm:
            still = torch.zeros_like(still)
        self.settled |= still & (self.aim < AIM_FINE)
        # Half of the fine aim says that the query to come was aimed finely.
        self.aim = torch.where(fine, AIM_FINE / 2, torch.where(still, AIM_FINE, aim))
        # Where the gap rises outwards the walk is past the ridge of a thin region, and the gradient shows its far side.
        step = torch.where((across & (slope >= 0))[:, None], moved / 2, back + pull * apart)
        self.here = self._inside(self.origin + step)

    def _keep(self, here: Tensor, gap: Tensor, slope: Tensor, rows: Tensor | slice = EVERY) -> None:
        """Take over the queries that are misclassified and nearer than all before."""
        distance = norm_of(here - self.origin[rows], self.norm)
        better = (gap <= 0) & (distance < self.distance[rows])
        self.points[rows] = torch.where(better[:, None], here, self.points[rows])
        for kept, new in ((self.distance, distance), (self.gap, gap), (self.slope, slope)):
            kept[rows] = torch.where(better, new, kept[rows])

    def _reach(self, budget: float) -> None:
        """Look where the last step led; rows that have met no crossing yet step on from farther out while they can pay.

        Args:
            budget: what a row may have spent in all.
        """
        self._look(torch.nonzero(~self.settled).squeeze(1), budget)
        while True:
            blind = torch.isinf(self.distance) & (self.passes + FORWARD + BACKWARD <= budget + ROUNDING)
            rows = torch.nonzero(blind).squeeze(1)
            if len(rows) == 0:
                return
            part = self._some(rows)
            part.here = part._inside(part.origin + FARTHER * (part.here - part.origin))
            part._step(PULL_LAST)
            self._put(rows, part)
            self._look(rows, budget)

    def _look(self, rows: Tensor, budget: float) -> None:
        """A forward at where some rows are, of those that can pay."""
        rows = rows[self.passes[rows] + FORWARD <= budget + ROUNDING]
        if len(rows) == 0:
            return
        here = self.here[rows]
        gap = self._gap(here, rows)
        # The chord's slope: that at the crossing is not known, and the landing improves on it.
        self._keep(here, gap, gap - self.first_gap[rows], rows)

    def _gap(self, here: Tensor, rows: Tensor | slice = EVERY) -> Tensor:
        """The gap at one place of each of some rows, which pay for it."""
        self.passes[rows] += FORWARD
        return self.boundary.gap(self._shaped(here), self.y[rows], None if self.targets is None else self.targets[rows])

    def _land(self, budget: float) -> Tensor:
        """Pull each best point back along its ray, as close to the crossing as rounding and the budget allow.

        Secant steps from the far side, and false position with the Illinois rule once the crossing is bracketed.

        Args:
            budget: what a row may have spent in all; one that cannot pay for another look stays where it is.

        Returns:
            The rows that are that close, `(B,)`.
        """
        self.slope = torch.where(self.slope < 0, self.slope, self.gap - self.first_gap)
        ray, slope = self.points - self.origin, self.slope.clone()
        tolerance = LANDED[torch.float64 if ray.dtype == torch.float64 else torch.float32]
        low, high = torch.zeros_like(self.distance), torch.ones_like(self.distance)
        near, far, last = torch.full_like(low, torch.nan), self.gap.clone(), torch.zeros_like(low)
        for _ in range(LANDINGS):
            paid = self.passes + FORWARD <= budget + ROUNDING
            rows = torch.nonzero(self._above(tolerance) & (high - low > tolerance) & paid).squeeze(1)
            if len(rows) == 0:
                break
            a, b, above, below = low[rows], high[rows], near[rows], far[rows]
            t = torch.where(above.isnan(), b - below / slope[rows], a + (b - a) * above / (above - below)) + tolerance
            t = torch.where((t > a) & (t < b), t, (a + b) / 2)
            here = self.origin[rows] + t[:, None] * ray[rows]
            now = self._gap(here, rows)
            self._keep(here, now, self.slope[rows], rows)
            across = now <= 0
            # Two points across: their secant is the better slope.
            slope[rows] = torch.where(across & (t < b), (below - now) / (b - t), slope[rows])
            halve = torch.where(across == (last[rows] < 0), 0.5, 1.0).where(last[rows] != 0, 1.0)
            low[rows], high[rows] = torch.where(across, a, t), torch.where(across, t, b)
            near[rows] = torch.where(across, halve * above, now)
            far[rows], last[rows] = torch.where(across, now, halve * below), torch.where(across, -1.0, 1.0).to(t)
        there = ~self._above(tolerance) | (high - low <= tolerance)
        return torch.isfinite(self.distance) & there & (self.slope < 0)

    def _above(self, tolerance: float) -> Tensor:
        """Rows that a step along the ray would still bring nearer."""
        open_ = torch.isfinite(self.distance) & (self.distance > 0) & (self.slope < 0)
        return open_ & (self.gap < 2 * tolerance * self.slope)

    def _inside(self, points: Tensor) -> Tensor:
        return points if self.box is None else self.box.clamp(points)

    def _shaped(self, rows: Tensor) -> Tensor:
        return rows.reshape(len(rows), *self.shape[1:])


# The share of the projection in a step falls from the first to the last, along a cosine, in each stage of a walk; the
# first stage has so many steps, each further one sets out from the best point and has twice as many.
PULL, PULL_LAST, STAGE = {"l1": 0.5, "l2": 0.5, "linf": 0.6}, 0.03, 36


def stages(steps: int) -> list[int]:
    """How many steps each stage of a walk has; what a longer walk adds comes after what a shorter one does.

    Example:
        >>> stages(20), stages(96)
        ([20], [36, 60])
    """
    lengths: list[int] = []
    while steps > 0:
        lengths.append(min(steps, STAGE * 2 ** len(lengths)))
        steps -= lengths[-1]
    return lengths


def pull_at(step: int, steps: int, norm: str) -> float:
    """The share of the projection in one of the steps of a stage, falling off to average the kinks.

    Args:
        norm: `l1`, `l2` or `linf`, in which the steps are short.
    """
    return PULL_LAST + (PULL[norm] - PULL_LAST) * (1 + math.cos(math.pi * step / steps)) / 2
