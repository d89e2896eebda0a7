"""The nearest point of another class, searched along the boundary itself.

At the nearest point the displacement is parallel to the gap's gradient. So each step linearises the gap once and mixes
two solutions of that linearisation: the one nearest to where the search is (Newton's, back to the boundary) and the one
nearest to the sample (the projection that DeepFool and FAB repeat). The second alone overshoots wherever the boundary
bends; the share of it falls off, so that the kinks of a ReLU network are averaged out. The nearest misclassified point
of all queries is kept, and landed by secant steps along its ray.
"""

import dataclasses
import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dimple.attacks.base import BUDGET, CONVERGED, NO_CROSSING, Reached
from dimple.attacks.best_so_far import some
from dimple.attacks.boundary_descent import Walk, stages
from dimple.attacks.cutting_planes import cornered
from dimple.attacks.sphere_search import MOST, just_within
from dimple.attacks.subspace_constraint import Restriction
from dimple.boundary.boundary import FORWARD, Boundary
from dimple.tensors import chunks, flatten, generator

# Budgets below these look at fewer rivals when they begin, and what is no whole step is kept for the landing.
SMALL, LARGE = 8, 15
# Looks at the corners around the nearest point of several starts.
CORNERS = 12
# From so many starts on the surroundings are looked at as well; fewer are asked for where time counts.
LOOKING = 9
# How often the surroundings are looked at, by samples for which that brought a nearer point the last time.
TURNS = 6
# A sample is masked when further starts come nearer than this share of what the first found.
MASKED = 0.9
# How many places a further start looks at, forwards only, before it chooses where to walk from.
LOOKS = 16
# Directions of further starts are chosen from so many, and places lie so far from them, relative to the radius.
POOL, WIDTH = 512, 0.7
# How many further starts travel together; the next ones look within the distance that these have found.
ROUND = 8


def closest(
    boundary: Boundary,
    x: Tensor,
    y: Tensor,
    norm: str = "l2",
    budget: float = 40.0,
    restriction: Restriction | None = None,
    targets: Tensor | None = None,
    starts: int | None = None,
) -> Reached:
    """The nearest misclassified point to each sample, as near as `budget` passes find it: an upper bound of the margin.

    The call is that of every search, see `dimple.attacks.base.Search`; the budget is that of one start, and from 5
    passes on no sample exceeds it. A few forwards of it are kept for the landing; where they do not suffice, the point
    lies a little beyond the boundary, and `Margin` pulls it back.

    Args:
        starts: how many searches a sample, the first from itself, the others from within the distance that it found,
            and in l2 the last of three or more from the nearest point of all, see `attacks.cutting_planes`; of nine or
            more, in up to three dimensions, one more wherever a look around sees another class nearer still, see
            `dimple.attacks.sphere_search`. None takes 9 up to 16 dimensions, 3 up to 64, and 1 above.

    Example:
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> closest(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1])).points.abs().round(decimals=3)
        tensor([[0., 5.]])
    """
    n = flatten(x).shape[1]
    starts = default_starts(n) if starts is None else starts
    task = _Task(boundary, x, y, norm, restriction, targets)
    begun = task.walk()
    begun.begin(rivals=1 if budget < SMALL else 2 if budget < LARGE else 3)
    first = best = _finished(begun, budget)
    corners = norm == "l2" and starts > 2
    spread = _spread(starts - 1 - corners, n, x.device).to(x.dtype)
    for part in chunks(len(spread), ROUND):
        count = len(spread[part])
        rows = torch.arange(len(x), device=x.device).repeat(count)
        # A nearer crossing lies within the distance already found; where none is found, the sample's size is a scale.
        radius = best.distance.where(torch.isfinite(best.distance), flatten(x).norm(dim=1))[rows]
        places = radius[:, None, None] * spread[part].repeat_interleave(len(x), dim=0)
        walk = task.some(rows).walk()
        walk.begin_at(places[:, : max(1, int(budget / 4))], begun.first_gap[rows])
        best = _nearest(best, _finished(walk, budget), count)
    if corners:
        best = _at_corners(best, task, budget)
        if starts >= LOOKING and n <= MOST:
            best = _looking_around(best, begun.first_gap, task, budget)
    found = torch.isfinite(best.distance)
    status = torch.where(best.settled, CONVERGED, BUDGET).where(found, NO_CROSSING)
    masked = best.distance < MASKED * first.distance
    return Reached(best.points.reshape(x.shape), found, best.passes, status, best.landed, masked)


def default_starts(n: int) -> int:
    """How many searches a sample of n dimensions gets: few dimensions have pockets that one search walks past."""
    return 9 if n <= 16 else 3 if n <= 64 else 1


@dataclasses.dataclass(frozen=True)
class _Task:
    """What is asked, as `closest` is."""

    boundary: Boundary
    x: Tensor
    y: Tensor
    norm: str
    restriction: Restriction | None
    targets: Tensor | None

    def some(self, rows: Tensor) -> "_Task":
        """The same of some samples, which may come more than once."""
        limits, goals = some(rows, self.restriction, self.targets)
        return _Task(self.boundary, self.x[rows], self.y[rows], self.norm, limits, goals)

    def walk(self) -> Walk:
        """One walk a sample, not begun yet."""
        return Walk(self.boundary, self.x, self.y, self.norm, self.restriction, self.targets)


@dataclasses.dataclass(frozen=True)
class _Found:
    """What a start came to, one row a sample."""

    points: Tensor
    distance: Tensor
    passes: Tensor
    settled: Tensor
    landed: Tensor

    def some(self, rows: Tensor) -> "_Found":
        """That of some samples."""
        return _Found(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))

    def put(self, rows: Tensor, others: "_Found") -> None:
        """Take over what some samples have come to since."""
        for field in dataclasses.fields(self):
            getattr(self, field.name)[rows] = getattr(others, field.name)


def _finished(walk: Walk, budget: float) -> _Found:
    """What a walk that has begun comes to: the steps along the boundary, and forwards kept for the landing."""
    landings = 5 if budget < SMALL else 6 if budget < LARGE else 4
    left = budget - float(walk.passes[0]) - FORWARD * landings
    *before, _ = stages(max(1, int(left + 1e-6)))
    # Every stage lands; a last one too short for its landing is left out.
    steps = max(1, sum(before), int(left - FORWARD * landings * len(before) + 1e-6))
    landed = walk.follow(steps, landings)
    return _Found(walk.points, walk.distance, walk.passes, walk.settled, landed)


def _at_corners(best: _Found, task: _Task, budget: float) -> _Found:
    """The nearest of all starts, and what its corners hold that is nearer still."""
    found = torch.isfinite(best.distance)
    steps = int(min(budget, CORNERS))
    nearer = cornered(task.boundary, task.x, task.y, best.points, found, steps, task.restriction, task.targets)
    landed = best.landed & (nearer.distance >= best.distance)
    return _Found(nearer.points, nearer.distance, best.passes + nearer.passes, best.settled, landed)


def _looking_around(best: _Found, first_gap: Tensor, task: _Task, budget: float) -> _Found:
    """The nearest known, and what is found from where another class is seen that is nearer, again and again."""
    best = best.some(torch.arange(len(task.x), device=task.x.device))
    rows = torch.nonzero(torch.isfinite(best.distance) & (best.distance > 0)).squeeze(1)
    for turn in range(TURNS):
        left = task.some(rows)
        places, across, passes = just_within(
            left.boundary, left.x, left.y, best.points[rows], turn, left.restriction, left.targets
        )
        best.passes[rows] += passes
        rows, offsets = rows[across], (places - flatten(left.x))[across, None]
        if len(rows) == 0:
            break
        walk = task.some(rows).walk()
        walk.begin_at(offsets, first_gap[rows])
        nearest = _nearest(best.some(rows), _finished(walk, budget), 1)
        best.put(rows, _at_corners(nearest, task.some(rows), budget))
    return best


def _spread(count: int, n: int, device: torch.device) -> Tensor:
    """Places to look at within the unit ball, `(count, LOOKS, n)`, each row around its own direction.

    The directions are spread out: each is, of a pool of random ones, the farthest from all before. They are the same
    for every sample.
    """
    stream = generator(0, "closest", "starts", n)
    pool = normalize(torch.randn(POOL, n, generator=stream, dtype=torch.float64), dim=1)
    axes, nearness = pool[:1], pool @ pool[0]
    while len(axes) < count:
        axes = torch.cat([axes, pool[nearness.argmin()][None]])
        nearness = torch.maximum(nearness, pool @ axes[-1])
    noise = torch.randn(count, LOOKS, n, generator=stream, dtype=torch.float64) / math.sqrt(n)
    radii = torch.rand(count, LOOKS, 1, generator=stream, dtype=torch.float64) ** (1 / n)
    return (normalize(axes[:count, None] + WIDTH * noise, dim=2) * radii).to(device)


def _nearest(first: _Found, others: _Found, count: int) -> _Found:
    """Of all starts of a sample the nearest; what each of them cost, together."""
    distance = torch.cat([first.distance[None], others.distance.reshape(count, -1)])
    best = distance.argmin(0)

    def pick(name: str) -> Tensor:
        one, rest = getattr(first, name), getattr(others, name)
        every = torch.cat([one[None], rest.reshape(count, *one.shape)])
        return every[best, torch.arange(len(best), device=best.device)]

    passes = first.passes + others.passes.reshape(count, -1).sum(0)
    return _Found(pick("points"), pick("distance"), passes, pick("settled"), pick("landed"))
