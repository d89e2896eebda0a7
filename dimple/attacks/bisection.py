"""Bisection: a decision-only search, for classifiers whose scores have no gradient.

Random points at many distances give a first crossing, which is bisected. From then on the normal of the boundary is
estimated by the decisions at random points around the nearest crossing; a step along it leads to a crossing on another
ray, which is bisected in turn. The point found is an upper bound of the margin, and in many dimensions a loose one.

Reference: Chen, Jordan and Wainwright, "HopSkipJumpAttack: a query-efficient decision-based attack" (S&P 2020),
algorithm 2, here with the search from the nearest crossing of all.
"""

import itertools
import math

import torch
from torch import Tensor

from dimple.attacks.search import SearchProblem, SearchState, require_l2_constraint, start_search
from dimple.boundary.boundary import FORWARD_COST
from dimple.boundary.root_finding import ROOT_TOLERANCE, find_roots
from dimple.tensors import broadcast_per_sample, generator, unit_vectors

# The random points of one query for the first crossing, and their distances as powers of two of the unit: the width of
# the bounds, or without bounds the distance of a crossing that is known by then.
START_POINTS = 16
START_POWERS = (-7.0, 1.0)
# Without bounds nothing tells the unit: first come points on one ray after another, at distances of these powers of
# two. Their crossing is bisected to rounding, as far as this fraction of the forwards that are left allows, so that all
# that follows is measured in its distance, whatever the unit of the coordinates.
RAY_POINTS = 8
FREE_START_POWERS = ((-24, 25), (-20, 29), (30, 100), (-100, -30))
UNIT_FRACTION = 0.3
# The distances of random points where the first two rays have found nothing.
DENSE_START_POWERS = ((-7.0, 4.0), (-2.0, 9.0), (-14.0, 20.0))
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

    Without bounds the unit of the coordinates is first measured on a ray to the boundary; another unit or origin
    changes the distance by less than a per cent. The arguments are those of `dimple.attacks.search.MinimumNormAttack`.
    The status of a sample with a crossing is `DECISIONS_ONLY`.

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
    bounds = state.problem.bounds
    unit = torch.ones_like(state.distance)
    if bounds is not None:
        unit *= float(torch.as_tensor(bounds.high - bounds.low).max()) * math.sqrt(state.origin.shape[1])
    else:
        _find_free_crossings(state)
        rows = state.affordable(torch.nonzero(state.found & state.is_open).squeeze(1), START_POINTS * FORWARD_COST)
        unit = torch.where(state.found, (state.points - state.origin).norm(dim=1), torch.nan)
        _query_around(state, rows, unit, 0)
    for number in itertools.count():
        rows = torch.nonzero(~state.found & state.has_scores).squeeze(1)
        rows = state.affordable(rows, START_POINTS * FORWARD_COST)
        if len(rows) == 0:
            break
        _query_around(state, rows, unit, number)
    rows = torch.nonzero(state.found & state.is_open).squeeze(1)
    _bisect(state, rows, state.points[rows], state.logit_margin[rows])


def _query_around(
    state: SearchState, rows: Tensor, unit: Tensor, number: int, powers: tuple[float, float] = START_POWERS
) -> None:
    """Query one random point at each of many distances from some samples, in units `(B,)`."""
    problem = state.problem
    stream = generator(0, "bisection", "start", state.origin.shape[1], number)
    radii = unit[rows, None] * 2.0 ** torch.linspace(*powers, START_POINTS).to(state.origin)
    points = state.origin[rows, None] + radii[:, :, None] * problem.random_directions(rows, START_POINTS, stream)
    state.query_many(rows, points if problem.bounds is None else problem.bounds.clamp(points))


def _find_free_crossings(state: SearchState) -> None:
    """Query points along random rays until each sample has a crossing, and bisect the first one on its ray."""
    for number in itertools.count():
        rows = torch.nonzero(~state.found & state.has_scores).squeeze(1)
        rows = state.affordable(rows, 2 * RAY_POINTS * FORWARD_COST)
        if len(rows) == 0:
            return
        attempt, part = divmod(number, 4)
        if part > 1:
            # A class in a thin shell lies between the points of a ray: these are close, and depend on the unit.
            powers = DENSE_START_POWERS[(2 * attempt + part) % len(DENSE_START_POWERS)]
            _query_around(state, rows, torch.ones_like(state.distance), number, powers)
            continue
        # Both rays of one direction after another.
        stream = generator(0, "bisection", "ray", state.origin.shape[1], attempt)
        ray = (-1) ** part * state.problem.random_directions(rows, 1, stream)[:, 0]
        steps = 2.0 ** torch.linspace(*FREE_START_POWERS[attempt % len(FREE_START_POWERS)], RAY_POINTS)
        rows, ray = _bisect_nearest_of(state, rows, ray, steps.to(ray))
        _bisect_nearest_of(state, rows, ray, torch.linspace(0, 1, RAY_POINTS + 1)[1:-1].to(ray))


def _bisect_nearest_of(state: SearchState, rows: Tensor, ray: Tensor, distances: Tensor) -> tuple[Tensor, Tensor]:
    """Query points at distances `(M,)` on rays `(R, n)`, in their length, and bisect the nearest beyond the boundary.

    The other ones are not kept: where they lie depends on the unit of the coordinates.

    Returns:
        The rows with such a point, and the steps to their crossings.
    """
    state.passes[rows] += len(distances) * FORWARD_COST
    points = state.origin[rows, None] + distances[:, None] * ray[:, None]
    flat = state.problem.logit_margin(rows.repeat_interleave(len(distances)), points.flatten(0, 1))
    logit_margin = flat.reshape(points.shape[:2])
    is_far = logit_margin <= 0
    first = is_far.to(torch.int8).argmax(1)
    found = is_far.any(1)
    rows, first, logit_margin = rows[found], first[found, None], logit_margin[found]
    points = points[found].take_along_dim(first[:, :, None], 1)[:, 0]
    max_forwards = int(UNIT_FRACTION * float(state.remaining.max()) / FORWARD_COST)
    state.record(rows, points, logit_margin.gather(1, first)[:, 0])
    _bisect(state, rows, points, state.logit_margin[rows], max_forwards, ROOT_TOLERANCE.get(points.dtype, 1e-5))
    return rows, state.points[rows] - state.origin[rows]


def _estimate_normals(state: SearchState, rows: Tensor, count: int, number: int) -> Tensor:
    """Return unit vectors `(R, n)` towards the far side, from the decisions at random points around the crossings."""
    stream = generator(0, "bisection", "normal", state.origin.shape[1], number)
    allowed = state.problem.random_directions(rows, count, stream)
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


def _bisect(
    state: SearchState,
    rows: Tensor,
    points: Tensor,
    logit_margin: Tensor,
    max_forwards: int = MAX_BISECTION_FORWARDS,
    accuracy: float = CROSSING_TOLERANCE,
) -> None:
    """Move points beyond the boundary along their rays to the crossing; the state keeps those that come nearer."""
    if len(rows) == 0:
        return
    origin = state.origin[rows]
    ray = points - origin

    def function(r: Tensor, t: Tensor) -> Tensor:
        value = state.query(rows[r], origin[r] + broadcast_per_sample(t, ray) * ray[r])
        return torch.where(value == 0, -torch.finfo(value.dtype).tiny, value)

    steps = (state.remaining[rows] / FORWARD_COST).floor().clamp(0, max_forwards).long()
    tolerance = accuracy / math.sqrt(state.origin.shape[1])
    find_roots(function, state.initial_logit_margin[rows], logit_margin, steps, tolerance)
