"""Closest boundary point: a minimum-norm search along the boundary itself.

At the closest point the displacement is parallel to the gradient of the logit margin. Each step linearizes the margin
once and combines two solutions of the linearized problem: the one closest to the current point (Newton's step, back to
the boundary) and the one closest to the sample (the projection that DeepFool and FAB repeat). The projection alone
overshoots wherever the boundary bends; its weight decreases, so that the kinks of a ReLU network are averaged out. The
closest adversarial point of all queries is kept, and refined by secant steps along its ray.
"""

import itertools
import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dimple.attacks.boundary_descent import STEP_COST, BoundaryDescent
from dimple.attacks.cutting_planes import search_vertices
from dimple.attacks.search import CHECK_PASSES, SearchProblem, SearchState, start_search
from dimple.attacks.sparse import sparse_point
from dimple.attacks.sphere_search import MAX_DIMENSION, SPHERE_SEARCH_PASSES, search_sphere
from dimple.boundary.boundary import FORWARD_COST
from dimple.tensors import generator, norm

# Below these numbers of passes a search linearizes one and two classes at its start, above them three.
ONE_CLASS_PASSES = 6.0
TWO_CLASSES_PASSES = 7.5
# The passes of one descent where several share those of a search; with these, a search of 40 passes is one descent.
DESCENT_PASSES = 40.0 - CHECK_PASSES
# In more dimensions than this, one descent takes all passes.
MAX_RESTART_DIMENSION = 64
# A first descent without a crossing stops after this number of steps, and leaves its passes to other searches.
MAX_STEPS_UNFOUND = 20
# A restart needs at least this number of passes.
MIN_RESTART_PASSES = 6.0
# The maximum number of steps from vertex to vertex after each descent.
MAX_VERTEX_STEPS = 12
# The number of descents before the first search of the sphere around the sample.
DESCENTS_BEFORE_SPHERE = 9
# The maximum number of sphere searches of a sample; each further one needs a nearer point from the previous one.
MAX_SPHERE_SEARCHES = 6
# The number of candidate points that a restart evaluates, one forward each, to choose its start.
CANDIDATES_PER_RESTART = 16
# A restart has at most one candidate for this number of passes.
PASSES_PER_CANDIDATE = 4
# The weights of the projection in a restart are multiplied by this factor, so that it stays in the part of the region
# where it starts.
RESTART_WEIGHT_FACTOR = 0.3
# The number of random directions from which those of the restarts are chosen.
DIRECTION_POOL_SIZE = 512
# The spread of the candidates around the direction of their restart, relative to the radius.
CANDIDATE_SPREAD = 0.7
# The passes of one of the descents that search for a first crossing.
WIDE_DESCENT_PASSES = 15.0
# Where no crossing is known, the candidates of every other restart lie between these powers of two, in units of
# `SearchState.length_scale`.
WIDE_POWERS = ((-1, 2), (-2, 5), (-10, 20))

# The passes of the first descent where further searches are from reference samples: what a probe of 40 passes leaves.
FIRST_DESCENT_PASSES = 38.6 - CHECK_PASSES
# The same without reference samples. On ordinary networks a longer first descent gains most, and in l1 on all.
LONE_DESCENT_PASSES = {"l1": math.inf, "l2": 100.0 - CHECK_PASSES, "linf": 100.0 - CHECK_PASSES}
# Reference samples of other classes from which a sample is searched, at most.
MAX_REFERENCES = 128
# The forwards that find the crossing on the way to a reference sample.
CROSSING_FORWARDS = 5
# Reference samples of a round, of which the crossings are found, and the descents from the nearest of these.
REFERENCES_PER_ROUND = 8
REFERENCE_DESCENTS = 2
# All descents of a round; the others start from points around the nearest one of all.
DESCENTS_PER_ROUND = 4
# The passes of a descent from a reference sample, of one from around the nearest point, and of the one from the nearest
# point of all after them.
REFERENCE_PASSES = 20.0
PERTURBED_PASSES = 30.0
POLISHING_PASSES = 20.0
# The distance of a perturbed start from the nearest point, as a multiple of the l2 length of its displacement.
PERTURBATION = 2.0
CROSSINGS_COST = REFERENCES_PER_ROUND * CROSSING_FORWARDS * FORWARD_COST


def takes_references(n: int, max_passes: float) -> bool:
    """Return whether a search in n dimensions has passes for reference samples after its first descent."""
    cost = FIRST_DESCENT_PASSES + CHECK_PASSES + CROSSINGS_COST + REFERENCE_PASSES
    return n > MAX_RESTART_DIMENSION and max_passes >= cost


def closest_point(problem: SearchProblem, max_passes: float = 40.0, restarts: int | None = None) -> SearchState:
    """Search for the adversarial point nearest to each sample; its distance is an upper bound of the margin.

    The first descent starts from the sample, the others within the distance that is known by then. What the descents
    leave is spent on the vertices of the boundary from the nearest point of all (`dimple.attacks.cutting_planes`), and
    in up to three dimensions on the sphere around the sample (`dimple.attacks.sphere_search`), both in l2.

    Args:
        problem: the question.
        max_passes: the maximum number of passes for one sample, all descents and the refinement included.
        restarts: the number of descents, the first included, which share the passes; by default as many as can have
            40 passes each. Above 64 dimensions, by default, the first one takes up to 100 passes (all in l1), or 40
            with reference samples of the boundary; the others start from these and around the nearest point known.

    Example:
        >>> from dimple.boundary import Boundary
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> problem = SearchProblem(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1]))
        >>> closest_point(problem).points.abs().round(decimals=3)
        tensor([[0., 5.]])
    """
    if problem.norm == "l0":
        return sparse_point(problem, max_passes)
    n = problem.origin.shape[1]
    state = start_search(problem, max_passes, refinement_forwards=0)
    total = float(state.limit[0])
    share = min(total, DESCENT_PASSES)
    if n > MAX_RESTART_DIMENSION:
        is_lone = problem.boundary.reference is None
        share = min(total, LONE_DESCENT_PASSES[problem.norm] if is_lone else FIRST_DESCENT_PASSES)
    if restarts is not None:
        share = total / restarts
    if share < STEP_COST:
        return state
    first = SearchState(problem, share)
    descent = BoundaryDescent(first)
    descent.max_steps_unfound = MAX_STEPS_UNFOUND if n <= MAX_RESTART_DIMENSION else math.inf
    descent.start_from_samples(1 if share < ONE_CLASS_PASSES else 2 if share < TWO_CLASSES_PASSES else 3)
    descent.run()
    state.initial_logit_margin = first.initial_logit_margin
    state.length_scale = first.length_scale
    state.has_scores = first.has_scores
    state.absorb(problem.all_rows, first)
    if problem.norm == "l2":
        search_vertices(state, torch.nonzero(~state.found & state.has_scores).squeeze(1), MAX_VERTEX_STEPS)
    _search_widely(state)
    if n > MAX_RESTART_DIMENSION and restarts is None:
        _search_in_rounds(state)
    if n <= MAX_RESTART_DIMENSION or restarts is not None:
        _search_further(state, share, restarts)
    has_restarted = (state.passes > first.passes) & (first.distance > 0)
    state.restart_ratio = torch.where(has_restarted, state.distance / first.distance, torch.nan)
    return state.finish(max_passes)


def _search_widely(state: SearchState) -> None:
    """Search at many distances from the samples whose descents have found no crossing and have passes left."""
    n = state.origin.shape[1]
    unfound = ~state.found
    for attempt in itertools.count():
        rows = state.affordable(torch.nonzero(~state.found & state.has_scores).squeeze(1), MIN_RESTART_PASSES)
        if len(rows) == 0:
            break
        stream = generator(0, "closest", "wide", n, attempt)
        allowed = state.problem.random_directions(rows, CANDIDATES_PER_RESTART, stream)
        low, high = WIDE_POWERS[attempt % len(WIDE_POWERS)]
        radii = 2.0 ** torch.linspace(low, high, CANDIDATES_PER_RESTART, dtype=torch.float64).to(state.origin)
        candidates = state.length_scale[rows, None, None] * radii[:, None] * allowed
        # Crossings that are far beyond the scale are farther from the nearest one.
        limit = state.remaining[rows].clamp(max=WIDE_DESCENT_PASSES)
        is_free = attempt % len(WIDE_POWERS) == len(WIDE_POWERS) - 1
        _descend_from_candidates(state, rows, candidates, limit, is_first=True, is_free=is_free)
    rows = state.affordable(torch.nonzero(unfound & state.found & ~state.converged).squeeze(1), MIN_RESTART_PASSES)
    known = (state.points - state.origin)[rows, None]
    _descend_from_candidates(
        state, rows, known, state.remaining[rows].clamp(max=DESCENT_PASSES), is_first=True, is_free=True
    )


def _search_in_rounds(state: SearchState) -> None:
    """Descend from reference samples of other classes and from around the nearest point, in rounds.

    A round finds the crossings on the way to some reference samples, the nearest first, and descends from the nearest
    of these crossings, from random points around the nearest point of all, and in the end from that point itself. No
    descent is cut short: a search with more passes repeats one with fewer, and goes on, so that it is never farther.
    """
    references = state.problem.reference_offsets(MAX_REFERENCES, REFERENCES_PER_ROUND)
    for number in itertools.count():
        spent = state.passes.clone()
        polished = state.distance.clone()
        crossings = _starts_from_references(state, next(references, None))
        for place in range(DESCENTS_PER_ROUND):
            start = _perturb(state, number * DESCENTS_PER_ROUND + place)
            if place < len(crossings):
                is_reference = crossings[place].any(1)
                _descend_freely(state, is_reference, crossings[place], REFERENCE_PASSES)
                start[is_reference] = 0.0
            _descend_freely(state, start.any(1), start, PERTURBED_PASSES, starts_in_linf=True)
        rows = state.affordable(torch.nonzero(state.distance < polished).squeeze(1), POLISHING_PASSES)
        limit = torch.full_like(state.distance[rows], POLISHING_PASSES)
        _descend_from_candidates(state, rows, (state.points - state.origin)[rows, None], limit)
        if torch.equal(spent, state.passes):
            return


def _descend_freely(
    state: SearchState, mask: Tensor, start: Tensor, passes: float, starts_in_linf: bool = False
) -> None:
    """Descend from displacements `(B, n)` of the samples in a mask that can pay all passes."""
    rows = state.affordable(torch.nonzero(mask & state.is_open).squeeze(1), passes)
    limit = torch.full_like(state.distance[rows], passes)
    _descend_from_candidates(
        state, rows, start[rows, None], limit, is_first=True, is_free=True, starts_in_linf=starts_in_linf
    )


def _starts_from_references(state: SearchState, offsets: Tensor | None) -> list[Tensor]:
    """Return displacements `(B, n)` to crossings on the way to some reference samples, the nearest ones.

    They are zero for a sample without a reference or the passes.
    """
    if offsets is None:
        return []
    rows = torch.nonzero(state.is_open & offsets.any(2).any(1)).squeeze(1)
    rows = state.affordable(rows, CROSSINGS_COST + REFERENCE_PASSES)
    if len(rows) == 0:
        return []
    crossings = torch.stack([_find_crossing(state, rows, offset) for offset in offsets[rows].unbind(1)], 1)
    length = norm(crossings.flatten(0, 1), state.problem.norm).reshape(crossings.shape[:2])
    # Rows with fewer reference samples have none in some places.
    order = length.masked_fill(~crossings.any(2), torch.inf).argsort(1)[:, :REFERENCE_DESCENTS]
    starts = torch.zeros_like(state.origin)[None].repeat(order.shape[1], 1, 1)
    starts[:, rows] = crossings.take_along_dim(order[:, :, None], 1).transpose(0, 1)
    return list(starts)


def _perturb(state: SearchState, number: int) -> Tensor:
    """Return displacements `(B, n)` to random points around the nearest ones, zero for samples without one."""
    stream = generator(0, "closest", "perturbation", state.origin.shape[1], number)
    direction = state.problem.random_directions(state.problem.all_rows, 1, stream)[:, 0]
    best = state.points - state.origin
    perturbed: Tensor = best + PERTURBATION * best.norm(dim=1, keepdim=True) * direction
    return perturbed


def _find_crossing(state: SearchState, rows: Tensor, offset: Tensor) -> Tensor:
    """Return the displacements `(R, n)` to points just beyond the boundary on the way along offsets `(R, n)`."""
    near = torch.zeros_like(state.distance[rows])
    far = torch.ones_like(near)
    for _ in range(CROSSING_FORWARDS):
        middle = (near + far) / 2
        is_far = state.query(rows, state.origin[rows] + middle[:, None] * offset) <= 0
        near = torch.where(is_far, near, middle)
        far = torch.where(is_far, middle, far)
    return far[:, None] * offset


def _search_further(state: SearchState, share: float, restarts: int | None) -> None:
    """Spend the remaining passes on vertices, on further descents, and on the sphere around the sample."""
    n = state.origin.shape[1]
    searches_vertices = state.problem.norm == "l2" and restarts != 1
    searches_sphere = searches_vertices and n <= MAX_DIMENSION
    vertex_distance = torch.full_like(state.distance, torch.inf)
    sphere_distance = vertex_distance.clone()
    sphere_searches = 0
    for number in itertools.count(1):
        spent = state.passes.clone()
        if searches_vertices:
            search_vertices(
                state, torch.nonzero(state.is_open & (state.distance < vertex_distance)).squeeze(1), MAX_VERTEX_STEPS
            )
            vertex_distance = state.distance.clone()
        if restarts is None or number < restarts:
            rows = state.affordable(torch.nonzero(state.found & state.is_open).squeeze(1), MIN_RESTART_PASSES)
            # A nearer crossing lies within the distance already found.
            candidates = state.distance[rows, None, None] * _restart_offsets(number, n).to(state.origin)
            # What a restart finds is worth a search of its vertices.
            remaining = state.remaining[rows]
            reserve = (remaining / 4).clamp(max=MAX_VERTEX_STEPS) * searches_vertices
            _descend_from_candidates(state, rows, candidates, (remaining - reserve).clamp(max=share))
        if searches_sphere and number >= DESCENTS_BEFORE_SPHERE - 1 and sphere_searches < MAX_SPHERE_SEARCHES:
            rows = torch.nonzero(state.found & state.is_open & (state.distance < sphere_distance)).squeeze(1)
            rows = state.affordable(rows, SPHERE_SEARCH_PASSES)
            sphere_distance = state.distance.clone()
            search_sphere(state, rows, sphere_searches)
            sphere_searches += 1
            rows = state.affordable(rows[state.distance[rows] < sphere_distance[rows]], MIN_RESTART_PASSES)
            _descend_from_candidates(
                state, rows, (state.points - state.origin)[rows, None], state.remaining[rows].clamp(max=share)
            )
        if torch.equal(spent, state.passes):
            return


def _descend_from_candidates(
    state: SearchState,
    rows: Tensor,
    candidates: Tensor,
    limit: Tensor,
    *,
    is_first: bool = False,
    is_free: bool = False,
    starts_in_linf: bool = False,
) -> None:
    """Descend from the best of M candidate displacements `(R, M, n)` of each of some samples, within a limit `(R,)`.

    A descent without a crossing to start with queries all candidates; a free one moves as one from the sample, and may
    start with l-infinity steps as that one does.
    """
    if len(rows) == 0:
        return
    restart = SearchState(state.problem.select(rows), limit)
    restart.initial_logit_margin = state.initial_logit_margin[rows]
    descent = BoundaryDescent(restart)
    max_forwards = torch.full_like(limit, torch.inf) if is_first else (limit / PASSES_PER_CANDIDATE).clamp(min=1)
    descent.starts_in_linf &= starts_in_linf
    descent.start_from_candidates(candidates, max_forwards, 1.0 if is_free else RESTART_WEIGHT_FACTOR)
    descent.run()
    state.absorb(rows, restart)


def _restart_offsets(number: int, n: int) -> Tensor:
    """Return candidate displacements in the unit ball, `(CANDIDATES_PER_RESTART, n)`, the same for every sample.

    The candidates of a restart lie around its own direction. The directions are spread out: each is, of a pool of
    random ones, the farthest from all before.
    """
    stream = generator(0, "closest", "starts", n)
    pool = normalize(torch.randn(DIRECTION_POOL_SIZE, n, generator=stream, dtype=torch.float64), dim=1)
    direction = pool[0]
    max_cosine = pool @ direction
    for _ in range((number - 1) % DIRECTION_POOL_SIZE):
        direction = pool[max_cosine.argmin()]
        max_cosine = torch.maximum(max_cosine, pool @ direction)
    stream = generator(0, "closest", "candidates", n, number)
    noise = torch.randn(CANDIDATES_PER_RESTART, n, generator=stream, dtype=torch.float64) / math.sqrt(n)
    radii = torch.rand(CANDIDATES_PER_RESTART, 1, generator=stream, dtype=torch.float64) ** (1 / n)
    return normalize(direction + CANDIDATE_SPREAD * noise, dim=1) * radii
