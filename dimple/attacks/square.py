"""Square attack: random search within a fixed radius by changes of square windows, without a gradient.

Reference: Andriushchenko, Croce, Flammarion and Hein, "Square attack: a query-efficient black-box adversarial attack
via random search" (ECCV 2020), algorithms 1 to 3 with the schedule of section 5.
"""

import math

import torch
from torch import Tensor

from dimple.attacks.apgd import require_ball, shrink_radius
from dimple.attacks.search import SearchProblem, SearchState
from dimple.tensors import generator

# The fraction of the coordinates in the first windows, and the queries of 10,000 after each of which it is halved.
FIRST_FRACTION = 0.8
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
SCHEDULE_LENGTH = 10_000
# The first displacement in l2 has this number of tiles along each axis, and windows at least this side.
TILES = 5
SMALLEST_L2_SIDE = 3


def square(problem: SearchProblem, radius: float, queries: int = 5000, seed: int = 0) -> SearchState:
    """Search within a radius by random changes of windows that lower the logit margin; needs no gradient.

    The last two axes of samples `(C, H, W)` are those of the windows; the windows of other samples are intervals of
    their coordinates. Every sample has the same windows. A query costs one forward.

    Args:
        problem: the question, in l2 or l-infinity, without a subspace and without targets.
        radius: the largest distance, in the norm of the problem.
        queries: the number of points that are evaluated for a sample, unless one is adversarial.
        seed: of the windows and of their signs.

    Raises:
        SceneError: for the norm l1, a subspace or targets.

    Example:
        >>> from dimple.boundary import Boundary
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> problem = SearchProblem(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1]), "linf")
        >>> square(problem, 1.9).found, square(problem, 2.1).found
        (tensor([False]), tensor([True]))
    """
    require_ball(problem, "square")
    state = SearchState(problem, torch.inf)
    stream = generator(seed, "square", problem.norm)
    shape = problem.x.shape[1:] if problem.x.dim() == 4 else torch.Size((1, problem.origin.shape[1], 1))
    is_l2 = problem.norm == "l2"
    limit = shrink_radius(problem.origin, radius, problem.norm).reshape(-1, 1, 1, 1)
    first = _draw_tiles(shape, stream) if is_l2 else _draw_signs((shape[0], 1, shape[2]), stream).expand(shape)
    change = first.to(problem.origin).expand(len(problem.x), *shape)
    change = limit * (change / _length(change) if is_l2 else change)
    least = problem.origin.new_full((len(change),), torch.inf)
    for number in range(queries):
        rows = torch.nonzero(~state.found).squeeze(1)
        if len(rows) == 0:
            break
        candidate = change[rows]
        if number > 0:
            side = _window_side(shape, number * SCHEDULE_LENGTH // queries, SMALLEST_L2_SIDE if is_l2 else 1)
            move = _move_mass if is_l2 else _set_window
            candidate = move(candidate, limit[rows], side, stream)
        points = problem.confine(rows, problem.origin[rows] + candidate.flatten(1))
        logit_margin = state.query(rows, points).to(least)
        is_better = logit_margin < least[rows]
        least[rows[is_better]] = logit_margin[is_better]
        kept = (points - problem.origin[rows]).reshape(candidate.shape)
        change = change.index_put((rows[is_better],), kept[is_better])
    return state


def _window_side(shape: torch.Size, position: int, smallest: int) -> int:
    """Return the side of the windows, odd in l2, at a position of the schedule."""
    fraction = FIRST_FRACTION / 2 ** sum(position > end for end in HALVINGS)
    side = max(round(math.sqrt(fraction * shape[1] * shape[2])), smallest)
    return side + 1 if smallest > 1 and side % 2 == 0 else side


def _place_window(shape: torch.Size, side: int, stream: torch.Generator) -> tuple[slice, slice]:
    """Return a random place `(rows, columns)` of a window, cut to the shape `(..., H, W)`."""
    sizes = [min(side, size) for size in shape[-2:]]
    starts = [
        int(torch.randint(length - size + 1, (1,), generator=stream))
        for length, size in zip(shape[-2:], sizes, strict=True)
    ]
    rows, columns = (slice(start, start + size) for start, size in zip(starts, sizes, strict=True))
    return rows, columns


def _draw_signs(shape: tuple[int, ...], stream: torch.Generator) -> Tensor:
    return 2.0 * torch.randint(2, shape, generator=stream) - 1


def _set_window(change: Tensor, limit: Tensor, side: int, stream: torch.Generator) -> Tensor:
    """Return displacements `(R, C, H, W)` that have one sign and the full radius in a window of each channel."""
    rows, columns = _place_window(change.shape, side, stream)
    changed = change.clone()
    changed[:, :, rows, columns] = limit * _draw_signs((change.shape[1], 1, 1), stream).to(change)
    return changed


def _move_mass(change: Tensor, limit: Tensor, side: int, stream: torch.Generator) -> Tensor:
    """Return displacements `(R, C, H, W)` with the length of one window moved to another, and what was unused."""
    channels = change.shape[1]
    target = (..., *_place_window(change.shape, side, stream))
    source = (..., *_place_window(change.shape, side, stream))
    taken = torch.zeros_like(change, dtype=torch.bool)
    taken[target] = taken[source] = True
    mass = (change * taken).square().sum((2, 3), keepdim=True)
    unused = (limit.square() - _length(change).square()).clamp(min=0) / channels
    window = change[target]
    bumps = _two_bumps(window.shape[2], window.shape[3], stream).to(change) * _draw_signs((channels, 1, 1), stream).to(
        change
    )
    mixed = bumps + window / _norms(window)
    changed = change.clone()
    changed[source] = 0.0
    changed[target] = mixed / _norms(mixed) * (mass + unused).sqrt()
    return limit * changed / _length(changed)


def _draw_tiles(shape: torch.Size, stream: torch.Generator) -> Tensor:
    """Return a displacement `(C, H, W)` of tiles, each with two bumps of random signs."""
    change = torch.zeros(shape, dtype=torch.float64)
    sides = [max(size // TILES, 1) for size in shape[1:]]
    for top in range(0, shape[1] - sides[0] + 1, sides[0]):
        for left in range(0, shape[2] - sides[1] + 1, sides[1]):
            bumps = _two_bumps(sides[0], sides[1], stream) * _draw_signs((shape[0], 1, 1), stream)
            change[:, top : top + sides[0], left : left + sides[1]] = bumps
    return change


def _two_bumps(height: int, width: int, stream: torch.Generator) -> Tensor:
    """Return a bump beside its negative `(height, width)`, in random orientation, of length one."""
    is_turned = height == width and bool(torch.randint(2, (1,), generator=stream))
    half = height // 2
    bumps = torch.cat([_bump(half, width), -_bump(height - half, width)])
    bumps /= torch.linalg.vector_norm(bumps)
    return bumps.T if is_turned else bumps


def _bump(height: int, width: int) -> Tensor:
    """Return values `(height, width)`, of length one, that fall with the distance `d` from the center.

    They are as the sum of 1/k^2 over k > d.
    """
    if height == 0:
        return torch.zeros(0, width, dtype=torch.float64)
    from_center = [(torch.arange(size) - size // 2).abs() for size in (height, width)]
    distance = torch.maximum(from_center[0][:, None], from_center[1][None])
    terms = 1 / torch.arange(1, int(distance.max()) + 2, dtype=torch.float64).square()
    bump: Tensor = terms.flip(0).cumsum(0).flip(0)[distance]
    bump /= torch.linalg.vector_norm(bump)
    return bump


def _norms(change: Tensor) -> Tensor:
    """Return the lengths of each channel `(R, C, 1, 1)`, at least the smallest positive number."""
    lengths: Tensor = change.norm(dim=(2, 3), keepdim=True)
    return lengths.clamp(min=torch.finfo(change.dtype).tiny)


def _length(change: Tensor) -> Tensor:
    """Return the lengths of all channels together `(R, 1, 1, 1)`, at least the smallest positive number."""
    lengths: Tensor = change.flatten(1).norm(dim=1)[:, None, None, None]
    return lengths.clamp(min=torch.finfo(change.dtype).tiny)
