"""Bisection: a decision-only search, for classifiers whose scores have no gradient.

Random points at many distances give a first crossing, which is bisected. From then on the normal of the boundary is
estimated by the decisions at random points around the nearest crossing; a step along it leads to a crossing on another
ray, which is bisected in turn. The point found is an upper bound of the margin, and in many dimensions a loose one.

Reference: Chen, Jordan and Wainwright, "HopSkipJumpAttack: a query-efficient decision-based attack" (S&P 2020),
algorithm 2, here with the search from the nearest crossing of all.
"""

import math

import torch
from torch import Tensor

from dimple.attacks.search import SearchProblem, SearchState, require_l2_constraint, start_search
from dimple.boundary.boundary import FORWARD_COST
from dimple.boundary.root_finding import find_roots
from dimple.tensors import broadcast_per_sample, generator, unit_vectors

# The random points of one query for the first crossing, and their distances as powers of two of the unit: the width of
# the bounds; without bounds one, and in every other round the largest coordinate of the sample.
START_POINTS = 16
START_POWERS = (-7.0, 1.0)
FREE_START_POWERS = ((-7, 4), (-2, 9), (-14, 20))
# The number of random points around a crossing: this fraction of all forwards, which decays from step to step, and at
# least and at most these numbers.
PROBED_FRACTION = 0.1
PROBED_DECAY = 0.9
MIN_PROBED = 8
MAX_PROBED = 200
# The distance of these points from the crossing, and the accuracy of a crossing, as fractions of that of the sample.
PROBE_RADIUS = 0.1
CROSSING_TOLERANCE = 0.01
# The largest number of forwards of one bisection, and of shorter steps along an estimated normal.
MAX_BISECTION_FORWARDS = 20
MAX_STEP_HALVINGS = 5
# The factors of the length of a step after one that came nearer and after one that did not.
STEP_GROWTH = 1.5
STEP_DECAY = 0.5


def bisection(problem: SearchProblem, max_passes: float) -> SearchState:
    """Search by decisions alone, without any gradient: forwards only, 2.5 of them a pass.

    The arguments are those of `dimple.attacks.search.MinimumNormAttack`. The status of a sample with a crossing is
    `DECISIONS_ONLY`.

    Example:
        >>> from dimple.boundary import Boundary
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1).sign())
        >>> problem = SearchProblem(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1]))
        >>> bool(bisection(problem, 100.0).distance < 2.01)
        True
    """
    require_l2_constraint(problem, "bisection")
    state = start_search(problem, max_passes)
    state.decisions_only = True
    rows = state.affordable(problem.all_rows, FORWARD_COST)
    if len(rows) == 0:
        return state
    state.start(state.query(rows, state.origin))
    _find_crossings(state)
    step_factor = torch.ones_like(state.distance)
    n = state.origin.shape[1]
    forwards = float(state.limit[0]) / FORWARD_COST
    number = 0
    while True:
        rows = torch.nonzero(state.found & state.is_open).squeeze(1)
        # The same number for all rows, whatever they have left, so that none depends on the others.
        fraction = PROBED_FRACTION * PROBED_DECAY**number
        count = int(min(max(MIN_PROBED, fraction * forwards), MAX_PROBED, max(MIN_PROBED, 4 * n)))
        rows = state.affordable(rows, (count + MAX_STEP_HALVINGS) * FORWARD_COST)
        if len(rows) == 0:
            if count > MIN_PROBED:
                number += 1
                continue
            return state.finish(max_passes)
        normal = _estimate_normals(state, rows, count, number)
        before = state.distance[rows].clone()
        _step_along(state, rows, normal, step_factor[rows])
        has_gained = state.distance[rows] < before
        step_factor[rows] *= torch.where(has_gained, STEP_GROWTH, STEP_DECAY)
        number += 1


def _find_crossings(state: SearchState) -> None:
    """Query random points at many distances until each sample has a crossing or no passes; bisect the nearest."""
    problem = state.problem
    n = state.origin.shape[1]
    bounds = problem.bounds
    number = 0
    while True:
        rows = torch.nonzero(~state.found & state.has_scores).squeeze(1)
        rows = state.affordable(rows, START_POINTS * FORWARD_COST)
        if len(rows) == 0:
            break
        stream = generator(0, "bisection", "start", n, number)
        directions = torch.randn(START_POINTS, n, generator=stream, dtype=torch.float64).to(state.origin)
        allowed = unit_vectors(problem.allow(rows, directions.expand(len(rows), -1, -1)))
        low, high = START_POWERS if bounds is not None else FREE_START_POWERS[number % len(FREE_START_POWERS)]
        unit = torch.ones_like(state.distance[rows])
        if bounds is not None:
            unit *= float(torch.as_tensor(bounds.high - bounds.low).max()) * math.sqrt(n)
        elif number // len(FREE_START_POWERS) % 2:
            unit = state.origin[rows].abs().amax(1)
        radii = unit[:, None] * 2.0 ** torch.linspace(low, high, START_POINTS, dtype=torch.float64).to(state.origin)
        points = state.origin[rows, None] + radii[:, :, None] * allowed
        state.query_many(rows, points if bounds is None else bounds.clamp(points))
        number += 1
    rows = torch.nonzero(state.found & state.is_open).squeeze(1)
    _bisect(state, rows, state.points[rows], state.logit_margin[rows])


def _estimate_normals(state: SearchState, rows: Tensor, count: int, number: int) -> Tensor:
    """Return unit vectors `(R, n)` towards the far side, from the decisions at random points around the crossings."""
    n = state.origin.shape[1]
    stream = generator(0, "bisection", "normal", n, number)
    directions = torch.randn(count, n, generator=stream, dtype=torch.float64).to(state.origin)
    allowed = unit_vectors(state.problem.allow(rows, directions.expand(len(rows), -1, -1)))
    radius = PROBE_RADIUS * (state.points[rows] - state.origin[rows]).norm(dim=1)
    points = state.points[rows, None] + radius[:, None, None] * allowed
    bounds = state.problem.bounds
    points = points if bounds is None else bounds.clamp(points)
    displacement = points - state.points[rows, None]
    logit_margin, _ = state.query_many(rows, points)
    decision = torch.where(logit_margin <= 0, 1.0, -1.0).to(state.origin)
    mean = decision.mean(1, keepdim=True)
    # Where all decisions agree, the mean direction is all that is known.
    weight = torch.where(mean.abs() == 1, decision, decision - mean)
    return unit_vectors((weight[:, :, None] * displacement).sum(1))


def _step_along(state: SearchState, rows: Tensor, normal: Tensor, step_factor: Tensor) -> None:
    """Step from the crossings along unit vectors, halve the step until the class is another, and bisect the new ray."""
    problem = state.problem
    points = state.points[rows]
    length = step_factor * (points - state.origin[rows]).norm(dim=1)
    direction = normal.sign() / math.sqrt(normal.shape[1]) if problem.norm == "linf" else normal
    target = points.clone()
    margin = state.logit_margin[rows].clone()
    pending = torch.arange(len(rows), device=rows.device)
    for _ in range(MAX_STEP_HALVINGS):
        moved = problem.confine(rows[pending], points[pending] + length[pending, None] * direction[pending])
        value = state.query(rows[pending], moved)
        is_far = value <= 0
        target[pending[is_far]] = moved[is_far]
        margin[pending[is_far]] = value[is_far]
        pending = pending[~is_far]
        length = length / 2
        if len(pending) == 0:
            break
    _bisect(state, rows, target, margin)


def _bisect(state: SearchState, rows: Tensor, points: Tensor, logit_margin: Tensor) -> None:
    """Move points beyond the boundary along their rays to the crossing; the state keeps those that come nearer."""
    if len(rows) == 0:
        return
    origin = state.origin[rows]
    ray = points - origin

    def function(r: Tensor, t: Tensor) -> Tensor:
        value = state.query(rows[r], origin[r] + broadcast_per_sample(t, ray) * ray[r])
        return torch.where(value == 0, -torch.finfo(value.dtype).tiny, value)

    steps = (state.remaining[rows] / FORWARD_COST).floor().clamp(0, MAX_BISECTION_FORWARDS).long()
    tolerance = CROSSING_TOLERANCE / math.sqrt(state.origin.shape[1])
    find_roots(function, state.initial_logit_margin[rows], logit_margin, steps, tolerance)
