"""Sparse search: the fewest coordinates whose change leads to another class, the margin in l0.

Each descent moves all coordinates down the logit margin until the class is another, then down a smooth count of the
changed coordinates until it is not, and so on; changes below a threshold, which rises beyond the boundary and falls
before it, are undone after every step. These are the dynamics of sigma-zero, with the two gradients one at a time, so
that the scale of the scores does not matter. After each descent the coordinates of the sparsest point are restored to
those of the sample where the class allows it, and the next descent starts from a random half of what is left.

Reference: Cina, Villani, Pintor, Schonherr, Biggio, Pelillo 2025, "Sigma-zero: gradient-based optimization of l0-norm
adversarial examples" (arXiv 2402.01879). Here as there each coordinate counts: a pixel of three channels is three.
"""

import itertools
import math

import torch
from torch import Tensor

from dimple.attacks.search import PASSES_TOLERANCE, SearchProblem, SearchState, start_search
from dimple.boundary.boundary import BACKWARD_COST, FORWARD_COST
from dimple.errors import SceneError
from dimple.tensors import generator

# The steps of the first and of every further descent; with fewer passes, the first has this fraction of them.
FIRST_STEPS = 24
FURTHER_STEPS = 36
FIRST_FRACTION = 0.83
# The sizes of the first and of the last step of these descents, in units of the width of the bounds.
FIRST_SIZES = (1.0, 0.3)
FURTHER_SIZES = (0.7, 0.3)
# The changes that a descent undoes are first below this size, which moves by this fraction of a step.
FIRST_THRESHOLD = 0.3
THRESHOLD_RATE = 0.01
# The smooth count is the sum of d^2 / (d^2 + SMOOTHING) over the changes d.
SMOOTHING = 0.1
# The decay of the averages of gradients and of their squares in the first descent, and in further ones.
FIRST_DECAYS = (0.8, 0.999)
FURTHER_DECAYS = (0.9, 0.999)
# The fraction of the coordinates of the sparsest point that the start of a further descent keeps.
KEPT_FRACTION = 0.5
# The coordinates that one restoration tries one by one, at most.
MAX_SINGLE_RESTORATIONS = 40
ROUNDING = 1e-8
STEP_COST = FORWARD_COST + BACKWARD_COST


def sparse_point(problem: SearchProblem, max_passes: float) -> SearchState:
    """Search for the adversarial point that differs from each sample in the fewest coordinates.

    The descents are the same for every number of passes above 30, so that more passes are never worse. Where a
    classifier has no gradient at the sample, they start from reference samples of other classes or random points.

    Args:
        problem: the question, in l0, with finite bounds.
        max_passes: the maximum number of passes for one sample, all descents and the check included.

    Raises:
        SceneError: without finite bounds, or along a subspace.

    Example:
        >>> from dimple.boundary import Boundary
        >>> two_needed = Boundary(lambda x: torch.stack([1.5 - x.sum(1), x.sum(1) - 1.5], dim=1), (0, 1))
        >>> problem = SearchProblem(two_needed, torch.zeros(1, 5), torch.tensor([0]), "l0")
        >>> sparse_point(problem, 40.0).distance
        tensor([2.])
    """
    width = _width(problem)
    state = start_search(problem, max_passes, refinement_forwards=0)
    rows = state.affordable(problem.all_rows, FORWARD_COST)
    if len(rows) == 0:
        return state
    state.start(state.query(rows, state.origin))
    first_steps = min(FIRST_STEPS, int(FIRST_FRACTION * float(state.remaining[0]) / STEP_COST))
    first_distance = state.distance
    for number in itertools.count():
        steps = FURTHER_STEPS if number else first_steps
        rows = torch.nonzero(state.has_scores & (state.distance > 1)).squeeze(1)
        rows = state.affordable(rows, steps * STEP_COST)
        if len(rows) == 0 or steps == 0:
            break
        start = _start_changes(state, rows, number) / width
        if number == 0:
            _descend(state, rows, start, width, steps, FIRST_SIZES, FIRST_DECAYS)
        else:
            _descend(state, rows, start, width, steps, FURTHER_SIZES, FURTHER_DECAYS)
        _restore(state, rows)
        first_distance = first_distance if number else state.distance.clone()
    state.restart_ratio = torch.where(first_distance > 0, state.distance / first_distance, torch.nan)
    return state.finish(max_passes)


def _start_changes(state: SearchState, rows: Tensor, number: int) -> Tensor:
    """Return the changes `(R, n)` from which descent `number` starts: zero for the first one."""
    if number == 0:
        return torch.zeros_like(state.origin[rows])
    n = state.origin.shape[1]
    stream = generator(0, "sparse", n, number)
    draws = torch.rand(n, generator=stream, dtype=torch.float64).to(state.origin)
    known = (state.points - state.origin)[rows] * (draws < KEPT_FRACTION)
    bounds = state.problem.bounds
    assert bounds is not None
    other = bounds.low + draws * (bounds.high - bounds.low) - state.origin[rows]
    references = next(state.problem.select(rows).reference_offsets(number, number), None)
    if references is not None and references.shape[1] >= number:
        other = torch.where(references[:, -1].any(1, keepdim=True), references[:, -1], other)
    return torch.where(state.found[rows, None], known, other)


def _width(problem: SearchProblem) -> Tensor:
    """Return the width of the bounds, a number or `(n,)`, one where a coordinate cannot move."""
    bounds = problem.bounds
    width = torch.as_tensor(math.inf if bounds is None else bounds.high - bounds.low).to(problem.x)
    if not bool(torch.isfinite(width).all()):
        given = "along a subspace" if problem.constraint is not None else "without finite bounds"
        raise SceneError(
            f"the margin in l0 is searched {given}, where one coordinate may move as far as it likes; "
            "give bounds such as (0, 1), or choose norm: l1"
        )
    return torch.where(width > 0, width, 1.0)


def _descend(
    state: SearchState,
    rows: Tensor,
    change: Tensor,
    width: Tensor,
    steps: int,
    sizes: tuple[float, float],
    decays: tuple[float, float],
) -> None:
    """Take the steps of one descent from changes `(R, n)` of the samples, in units of the width of the bounds."""
    origin = state.origin[rows]
    mean = torch.zeros_like(change)
    square = torch.zeros_like(change)
    threshold = torch.full_like(change[:, :1], FIRST_THRESHOLD)
    tiny = torch.finfo(change.dtype).tiny
    for step in range(steps):
        points = torch.where(change == 0, origin, origin + width * change)
        logit_margin, gradient = state.query_gradient(rows, points)
        is_far = (logit_margin < 0)[:, None]
        gradient = torch.where(is_far, change / (change * change + SMOOTHING) ** 2, width * gradient)
        gradient = gradient / gradient.abs().amax(1, keepdim=True).clamp(min=tiny)
        mean = torch.lerp(gradient, mean, decays[0])
        square = torch.lerp(gradient * gradient, square, decays[1])
        size = sizes[1] + (sizes[0] - sizes[1]) * (1 + math.cos(math.pi * step / steps)) / 2
        scale = (square / (1 - decays[1] ** (step + 1))).sqrt() + ROUNDING
        moved = change - size / (1 - decays[0] ** (step + 1)) * mean / scale
        change = (state.problem.confine(rows, origin + width * moved) - origin) / width
        threshold = (threshold + torch.where(is_far, size, -size) * THRESHOLD_RATE).clamp(0, 1)
        change = torch.where(change.abs() < threshold, 0.0, change)


def _restore(state: SearchState, rows: Tensor) -> None:
    """Restore coordinates of the sparsest points, those that matter least in first order first."""
    rows = state.affordable(rows[state.found[rows] & (state.distance[rows] > 1)], STEP_COST)
    if len(rows) == 0:
        return
    origin = state.origin[rows]
    points = state.points[rows]
    _, gradient = state.query_gradient(rows, points)
    importance = torch.where(points == origin, torch.inf, (gradient * (points - origin)).abs())
    rank = importance.argsort(dim=1, stable=True).argsort(dim=1)
    count = (points != origin).sum(1)
    # As many as possible at once, by bisection; then one after another.
    restored = torch.zeros_like(count)
    failed = count.clone()
    while True:
        active = _affordable(state, rows, failed - restored > 1)
        if len(active) == 0:
            break
        middle = (restored[active] + failed[active]) // 2
        trial = torch.where(rank[active] < middle[:, None], origin[active], points[active])
        is_far = state.query(rows[active], trial) < 0
        restored[active] = torch.where(is_far, middle, restored[active])
        failed[active] = torch.where(is_far, failed[active], middle)
    points = torch.where(rank < restored[:, None], origin, points)
    for number in range(1, MAX_SINGLE_RESTORATIONS + 1):
        active = _affordable(state, rows, restored + number < count)
        trial = torch.where(rank[active] == (restored[active] + number)[:, None], origin[active], points[active])
        is_far = state.query(rows[active], trial) < 0
        points[active] = torch.where(is_far[:, None], trial, points[active])
    _try_steepest(state, rows, gradient)


def _try_steepest(state: SearchState, rows: Tensor, gradient: Tensor) -> None:
    """Query the points that move the steepest coordinates to their bounds, one coordinate fewer as long as it helps.

    Where the classifier is linear, no other coordinates lead to another class in fewer.
    """
    origin = state.origin[rows]
    bounds = state.problem.bounds
    assert bounds is not None
    corner = torch.where(gradient > 0, bounds.low, bounds.high).to(origin)
    rank = ((corner - origin) * gradient).argsort(dim=1, stable=True).argsort(dim=1)
    active = torch.arange(len(rows), device=rows.device)
    while True:
        fewer = state.distance[rows] - 1
        active = active[(fewer[active] > 0) & (state.remaining[rows[active]] >= FORWARD_COST - PASSES_TOLERANCE)]
        if len(active) == 0:
            return
        trial = torch.where(rank[active] < fewer[active, None], corner[active], origin[active])
        active = active[state.query(rows[active], trial) < 0]


def _affordable(state: SearchState, rows: Tensor, mask: Tensor) -> Tensor:
    """Return the positions in `rows` where the mask is true and a forward is left."""
    return torch.nonzero(mask & (state.remaining[rows] >= FORWARD_COST - PASSES_TOLERANCE)).squeeze(1)
