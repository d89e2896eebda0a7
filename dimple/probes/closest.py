"""The nearest point of another class, searched along the boundary itself.

At the nearest point the displacement is parallel to the gap's gradient. So each step linearises the gap once and mixes
two solutions of that linearisation: the one nearest to where the search is (Newton's, back to the boundary) and the one
nearest to the sample (the projection that DeepFool and FAB repeat). The second alone overshoots wherever the boundary
bends; the share of it falls off, so that the kinks of a ReLU network are averaged out. The nearest misclassified point
of all queries is kept, and landed by secant steps along its ray.
"""

import dataclasses
import math
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dimple.boundary.boundary import Boundary
from dimple.probes.restriction import Restriction
from dimple.probes.walk import FORWARD, Walk
from dimple.tensors import chunks, flatten, generator

CONVERGED, BUDGET, NO_CROSSING = 0, 1, 2
# How many places a further start looks at, forwards only, before it chooses where to walk from.
LOOKS = 16
# Directions of further starts are chosen from so many, and places lie so far from them, relative to the radius.
POOL, WIDTH = 512, 0.7
# How many further starts travel together; the next ones look within the distance that these have found.
ROUND = 8


@final
@dataclasses.dataclass(frozen=True)
class Closest:
    """What a search found, one row a sample.

    Attributes:
        points: `(B, *shape)`, each verified to be misclassified; the sample itself where none was found.
        distance: `(B,)`, `inf` where none was found, 0 where the sample is misclassified already.
        gap: `(B,)` at the points: at most 0 where one was found.
        residual: `(B,)`, how far the linearised problem at the nearest query would still move it, as a share of the
            distance; 0 where displacement and gradient are parallel (inside the box).
        passes: `(B,)`, forwards (.4 each) and backwards (.6 each) spent on the sample.
        status: `(B,)`, 0 converged, 1 stopped by the budget, 2 no crossing.
    """

    points: Tensor
    distance: Tensor
    gap: Tensor
    residual: Tensor
    passes: Tensor
    status: Tensor


def closest(
    boundary: Boundary,
    x: Tensor,
    y: Tensor,
    norm: str = "l2",
    budget: float = 40.0,
    starts: int | None = None,
    restriction: Restriction | None = None,
) -> Closest:
    """The nearest misclassified point to each sample, as near as `budget` passes find it: an upper bound of the margin.

    Args:
        x: `(B, *shape)` samples that the classifier gives to `y` `(B,)`.
        norm: `l2` or `linf`.
        budget: the most passes spent on one start, a forward counting .4 and a backward .6.
        starts: how many searches a sample, the first from itself and the others from within the distance that it found;
            None takes 33 up to three dimensions, 9 up to 16, 3 up to 64, and 1 above.
        restriction: a subspace to stay in (l2 only); such a search ignores the boundary's box, because clamping
            would leave the subspace.

    Example:
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> closest(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1])).distance.round(decimals=3)
        tensor([2.])
    """
    starts = default_starts(flatten(x).shape[1]) if starts is None else starts
    best = _search(Walk(boundary, x, y, norm, restriction), None, budget)
    spread = _spread(starts - 1, flatten(x).shape[1], x.device).to(x.dtype) if starts > 1 else x.new_zeros(0)
    for part in chunks(len(spread), ROUND):
        count = len(spread[part])
        rows = torch.arange(len(x), device=x.device).repeat(count)
        # A nearer crossing lies within the distance already found; where none is found, the sample's size is a scale.
        radius = best.distance.where(torch.isfinite(best.distance), flatten(x).norm(dim=1))[rows]
        places = radius[:, None, None] * spread[part].repeat_interleave(len(x), dim=0)
        walk = Walk(boundary, x[rows], y[rows], norm, None if restriction is None else restriction.rows(rows))
        best = _nearest(best, _search(walk, places, budget), count)
    return best


def default_starts(n: int) -> int:
    """How many searches a sample of n dimensions gets: few dimensions have pockets that one search walks past."""
    return 33 if n <= 3 else 9 if n <= 16 else 3 if n <= 64 else 1


def _search(walk: Walk, offsets: Tensor | None, budget: float) -> Closest:
    """One start a row: the first linearisation, the steps along the boundary, the landing."""
    rivals, landings = (1, 2) if budget < 8 else (2, 3) if budget < 15 else (3, 4)
    if offsets is None:
        walk.begin(rivals)
    else:
        walk.begin_at(offsets[:, : max(1, int(budget / 4))])
    spent = float(walk.passes[0]) + FORWARD * landings
    walk.follow(max(1, int(budget - spent + 1e-6)))
    walk.land(landings)
    status = torch.where(walk.settled, CONVERGED, BUDGET).where(torch.isfinite(walk.distance), NO_CROSSING)
    points = walk.points.reshape(walk.shape)
    return Closest(points, walk.distance, walk.gap, walk.residual, walk.passes, status)


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


def _nearest(first: Closest, others: Closest, count: int) -> Closest:
    """Of all starts of a sample the nearest; what each of them cost, together."""
    distance = torch.cat([first.distance[None], others.distance.reshape(count, -1)])
    best = distance.argmin(0)

    def pick(name: str) -> Tensor:
        one, rest = getattr(first, name), getattr(others, name)
        every = torch.cat([one[None], rest.reshape(count, *one.shape)])
        return every[best, torch.arange(len(best), device=best.device)]

    passes = first.passes + others.passes.reshape(count, -1).sum(0)
    picked = {field.name: pick(field.name) for field in dataclasses.fields(Closest) if field.name != "passes"}
    return Closest(**picked, passes=passes)
