"""Looks on the sphere of the distance already found: another class just within it lies nearer than all that was found.

A walk ends where the boundary is nearest for some way around. In two or three dimensions the sphere around the sample
is small enough to be looked at all over, forwards only, and far more cheaply than by walks from more starts.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dimple.boundary.boundary import Boundary
from dimple.probes.nearest import some
from dimple.probes.restriction import Restriction
from dimple.tensors import chunks, flatten, generator

# The most dimensions in which it pays.
MOST = 3
# Looks in all directions, and looks around the direction of the nearest point known.
ALL_OVER, AROUND = 256, 256
# The latter lie at tangents from the first to the last of these, evenly by their logarithms.
FIRST, LAST = 1.5e-3, 1.5
# How far within the sphere, as a share of its radius.
WITHIN = 1e-6
# Rows that the network is asked for at a time: larger batches leave a core's cache.
TOGETHER = 4096


def just_within(
    boundary: Boundary,
    x: Tensor,
    y: Tensor,
    points: Tensor,
    turn: int,
    restriction: Restriction | None = None,
    targets: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Of `ALL_OVER + AROUND` places just within the distance of each sample's point the most misclassified one.

    Args:
        x, y, restriction, targets: as in `dimple.probes.search.Search`.
        points: `(B, n)`, flat, the nearest misclassified points known, each away from its sample.
        turn: other numbers look at other places, the same for every sample.

    Returns:
        The places `(B, n)`, and whether they are misclassified, `(B,)`.
    """
    origin = flatten(x)
    n = origin.shape[1]
    stream = generator(0, "closest", "surroundings", n, turn)
    everywhere = normalize(torch.randn(ALL_OVER, n, generator=stream, dtype=torch.float64), dim=1).to(origin)
    aside = normalize(torch.randn(AROUND, n, generator=stream, dtype=torch.float64), dim=1)
    tangents = FIRST * (LAST / FIRST) ** torch.rand(AROUND, 1, generator=stream, dtype=torch.float64)
    aside = (tangents * aside).to(origin)
    places, across = points.clone(), torch.zeros_like(y, dtype=torch.bool)
    for part in chunks(len(x), TOGETHER // (ALL_OVER + AROUND)):
        rows = torch.arange(len(x), device=x.device)[part]
        limits, goals = some(rows, restriction, targets)
        step = points[rows] - origin[rows]
        radius = step.norm(dim=1)[:, None, None]
        ways = torch.cat([everywhere.expand(len(rows), -1, -1), step[:, None] / radius + aside], dim=1)
        count = ways.shape[1]
        if limits is not None:
            each = limits.rows(torch.arange(len(rows), device=x.device).repeat_interleave(count))
            ways = each.apply(ways.flatten(0, 1)).reshape(ways.shape)
        looked = origin[rows, None] + (1 - WITHIN) * radius * normalize(ways, dim=2)
        if boundary.box is not None and restriction is None:
            looked = boundary.box.clamp(looked)
        gaps = boundary.gap(
            looked.reshape(-1, *x.shape[1:]),
            y[rows].repeat_interleave(count),
            None if goals is None else goals.repeat_interleave(count),
        )
        least, which = gaps.reshape(len(rows), count).min(1)
        places[rows] = looked[torch.arange(len(rows), device=x.device), which]
        across[rows] = least <= 0
    return places, across
