"""Looks on the sphere of the distance already found: another class just within it lies nearer than all that was found.

A walk ends where the boundary is nearest for some way around. In two or three dimensions the sphere around the sample
is small enough to be looked at all over, forwards only, and far more cheaply than by walks from more starts. Where
that shows no other class, the looks of least gap go on downhill along the sphere, into pockets between the looks.
"""

import dataclasses
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dimple.attacks.best_so_far import some
from dimple.attacks.subspace_constraint import Restriction
from dimple.boundary.boundary import BACKWARD, FORWARD, Boundary
from dimple.tensors import flatten, generator, per_sample

# The most dimensions in which it pays.
MOST = 3
# Looks in all directions, and looks around the direction of the nearest point known.
ALL_OVER, AROUND = 256, 128
# The latter lie at tangents from the first to the last of these, evenly by their logarithms.
FIRST, LAST = 1.5e-3, 1.5
# How many of the looks of either kind go on downhill, and how many steps; a step aims at so many times the distance to
# the crossing that the linearised gap has, and turns by so many radians at most.
DOWNHILL, DOWNHILL_AROUND, STEPS = 32, 8, 4
AIM, TURN = 1.05, 0.3
# A look is in a valley where it is lower than so many others next to it.
NEIGHBOURS = 4
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
) -> tuple[Tensor, Tensor, Tensor]:
    """Of many places just within the distance of each sample's point the most misclassified one.

    Args:
        x, y, restriction, targets: as in `dimple.attacks.base.Search`.
        points: `(B, n)`, flat, the nearest misclassified points known, each away from its sample.
        turn: other numbers look at other places, the same for every sample.

    Returns:
        The places `(B, n)`, whether they are misclassified, and the passes that it took, both `(B,)`.
    """
    sphere = _Sphere(boundary, x, y, (1 - WITHIN) * (points - flatten(x)).norm(dim=1), restriction, targets)
    everywhere, aside = _ways(x, turn)
    places, across = points.clone(), torch.zeros_like(y, dtype=torch.bool)
    passes = torch.full_like(sphere.radius, FORWARD * (ALL_OVER + AROUND))
    lowest = points.new_empty(len(x), DOWNHILL + DOWNHILL_AROUND, points.shape[1])
    every = torch.arange(len(x), device=x.device)
    for rows in every.split(TOGETHER // (ALL_OVER + AROUND)):
        near = normalize(points[rows] - sphere.origin[rows], dim=1)[:, None] + aside
        ways = sphere.directions(rows, torch.cat([everywhere.expand(len(rows), -1, -1), near], dim=1))
        looked, gaps = sphere.look(rows, ways)
        places[rows], across[rows] = _lowest(looked, gaps)
        first = _valleys_first(everywhere, gaps[:, :ALL_OVER]).topk(DOWNHILL, largest=False).indices
        others = ALL_OVER + gaps[:, ALL_OVER:].topk(DOWNHILL_AROUND, largest=False).indices
        lowest[rows] = ways.take_along_dim(torch.cat([first, others], dim=1)[:, :, None], 1)
    for rows in every[~across].split(TOGETHER // lowest.shape[1]):
        places[rows], across[rows] = _lowest(*sphere.downhill(rows, lowest[rows]))
        passes[rows] += lowest.shape[1] * (STEPS * (FORWARD + BACKWARD) + FORWARD)
    return places, across, passes


def _ways(x: Tensor, turn: int) -> tuple[Tensor, Tensor]:
    """Directions all over, `(ALL_OVER, n)`, and what is added to that of the nearest point known, `(AROUND, n)`."""
    n = flatten(x).shape[1]
    stream = generator(0, "closest", "surroundings", n, turn)
    everywhere = normalize(torch.randn(ALL_OVER, n, generator=stream, dtype=torch.float64), dim=1)
    aside = normalize(torch.randn(AROUND, n, generator=stream, dtype=torch.float64), dim=1)
    tangents = FIRST * (LAST / FIRST) ** torch.rand(AROUND, 1, generator=stream, dtype=torch.float64)
    return everywhere.to(x), (tangents * aside).to(x)


def _lowest(places: Tensor, gaps: Tensor) -> tuple[Tensor, Tensor]:
    """Of places `(B, M, n)` those of least gap, `(B, n)`, and whether they are misclassified, `(B,)`."""
    least, which = gaps.min(1)
    return places.take_along_dim(which[:, None, None], 1).squeeze(1), least <= 0


def _valleys_first(directions: Tensor, gaps: Tensor) -> Tensor:
    """Gaps `(B, M)` in the directions `(M, n)`, raised above all others where a neighbour is lower.

    Else most of the lowest would lie around the nearest point that is known already.
    """
    neighbours = (directions @ directions.T).topk(NEIGHBOURS + 1).indices
    valley = gaps[:, neighbours].amin(2) >= gaps
    return torch.where(valley, gaps, gaps + gaps.amax(1, keepdim=True) - gaps.amin(1, keepdim=True))


@final
@dataclasses.dataclass(frozen=True)
class _Sphere:
    """The spheres of given radii `(B,)` around the samples, and what is asked there; the rest is as in `Search`."""

    boundary: Boundary
    x: Tensor
    y: Tensor
    radius: Tensor
    restriction: Restriction | None
    targets: Tensor | None

    @property
    def origin(self) -> Tensor:
        """The samples, flat."""
        return flatten(self.x)

    def directions(self, rows: Tensor, ways: Tensor) -> Tensor:
        """Unit vectors along the allowed parts of `(R, M, n)` vectors from some samples."""
        limits, _ = some(rows, self.restriction, None)
        return normalize(ways if limits is None else limits.apply_each(ways), dim=2)

    def places(self, rows: Tensor, ways: Tensor) -> Tensor:
        """Where directions `(R, M, n)` meet the sphere, or the wall of the box before it."""
        met = self.origin[rows, None] + per_sample(self.radius[rows], ways) * ways
        box = self.boundary.box if self.restriction is None else None
        return met if box is None else box.clamp(met)

    def look(self, rows: Tensor, ways: Tensor) -> tuple[Tensor, Tensor]:
        """The places in these directions, and their gaps `(R, M)`."""
        places = self.places(rows, ways)
        return places, self.boundary.gap(*self._asked(rows, places)).reshape(places.shape[:2])

    def downhill(self, rows: Tensor, ways: Tensor) -> tuple[Tensor, Tensor]:
        """The places of least gap that walks along the sphere come to, `(R, M, n)`, and the gaps there, `(R, M)`."""
        lowest, least = ways, ways.new_full(ways.shape[:2], torch.inf)
        for _ in range(STEPS):
            gap, gradient = self.boundary.gap_and_gradient(*self._asked(rows, self.places(rows, ways)))
            gap, gradient = gap.reshape(ways.shape[:2]), gradient.reshape(ways.shape)
            lowest, least = torch.where((gap < least)[..., None], ways, lowest), torch.minimum(gap, least)
            along = self._along(rows, gradient, ways)
            slope = along.norm(dim=2).clamp(min=torch.finfo(gap.dtype).tiny)
            angle = (AIM * gap / (slope * self.radius[rows, None])).clamp(max=TURN)
            ways = normalize(ways - angle[..., None] * (along / slope[..., None]), dim=2)
        places, gap = self.look(rows, ways)
        better = gap < least
        return torch.where(better[..., None], places, self.places(rows, lowest)), torch.minimum(gap, least)

    def _along(self, rows: Tensor, gradient: Tensor, ways: Tensor) -> Tensor:
        """The part of gradients along the sphere that is allowed."""
        limits, _ = some(rows, self.restriction, None)
        allowed = gradient if limits is None else limits.apply_each(gradient)
        return allowed - (allowed * ways).sum(2, keepdim=True) * ways

    def _asked(self, rows: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        count = places.shape[1]
        goals = None if self.targets is None else self.targets[rows].repeat_interleave(count)
        return places.reshape(-1, *self.x.shape[1:]), self.y[rows].repeat_interleave(count), goals
