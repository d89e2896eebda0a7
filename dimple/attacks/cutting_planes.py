"""Corners of the boundary: where faces meet, a search that linearises one at a time steps to and fro between them.

A network of ReLU type is linear piece by piece, and so is its boundary. Each look gives the face of one piece. The
nearest point to the sample beyond all faces seen is looked at next, so that a corner is met as soon as its faces have
been: Kelley's cutting planes, exact where the other class is convex, and never farther than what it begins with.

Reference: Kelley 1960, The cutting-plane method for solving convex programs.
"""

import itertools

import torch
from torch import Tensor

from dimple.attacks.best_so_far import Nearest, some
from dimple.attacks.subspace_constraint import Restriction
from dimple.boundary.boundary import BACKWARD, FORWARD, Boundary
from dimple.tensors import flatten

# So many of the last faces count; the corners of three dimensions have three.
FACES = 4
# How far beyond the faces a look is aimed, and how much nearer it must promise to come, as shares of the distance.
AIM, GAIN = 1e-7, 1e-6
# What counts as beyond a face, in units of rounding.
ULPS = 1024


def shortest_beyond(normals: Tensor, levels: Tensor) -> Tensor:
    """The shortest step d with `normals d <= levels`, `(B, n)`; nan where there is none.

    Args:
        normals: `(B, F, n)`, of unit length, or zero for a face that does not count.
        levels: `(B, F)`.

    Example:
        >>> shortest_beyond(torch.eye(2)[None], torch.tensor([[-3.0, -4.0]]))
        tensor([[-3., -4.]])
    """
    count, faces, n = normals.shape
    counts = normals.any(2)
    levels = torch.where(counts, levels, 1.0)
    best, least = normals.new_full((count, n), torch.nan), normals.new_full((count,), torch.inf)
    rounding = ULPS * torch.finfo(normals.dtype).eps
    rows = torch.arange(count, device=normals.device)
    # The step stands on the faces that hold it, and there are few: each set of them is tried.
    for size in range(min(faces, n) + 1):
        held = torch.tensor(list(itertools.combinations(range(faces), size)), dtype=torch.long, device=normals.device)
        a = normals[:, held]
        weights, _ = torch.linalg.solve_ex(a @ a.mT, levels[:, held, None])
        steps = (a.mT @ weights).squeeze(3)
        lengths = steps.norm(dim=2)
        over = steps @ normals.mT - levels[:, None]
        beyond = (over <= rounding * (levels.abs()[:, None] + lengths[:, :, None])).all(2) & counts[:, held].all(2)
        length, first = torch.where(beyond, lengths, torch.inf).min(1)
        shorter = length < least
        best = torch.where(shorter[:, None], steps[rows, first], best)
        least = torch.where(shorter, length, least)
    return best


def cornered(
    boundary: Boundary,
    x: Tensor,
    y: Tensor,
    points: Tensor,
    found: Tensor,
    steps: int,
    restriction: Restriction | None = None,
    targets: Tensor | None = None,
) -> Nearest:
    """The nearest misclassified points in l2 that are met from the nearest known, or from the samples themselves.

    Args:
        x, y, restriction, targets: as in `dimple.attacks.base.Search`.
        points: `(B, n)`, flat, misclassified where `found` `(B,)`, and the samples where not.
        steps: the most looks at a sample, each a forward and a backward; who gains no more leaves the batch.
    """
    best = Nearest(x, "l2")
    every = torch.arange(len(x), device=x.device)
    best.keep(every, points, found, 0.0)
    best.settled |= best.distance == 0
    box = boundary.box if restriction is None else None
    here = points.clone()
    normals, levels = x.new_zeros(len(x), FACES, here.shape[1]), x.new_zeros(len(x), FACES)
    for step in range(steps):
        rows = best.going()
        if len(rows) == 0:
            break
        limits, goals = some(rows, restriction, targets)
        gap, gradient = boundary.gap_and_gradient(best.shaped(here[rows]), y[rows], goals)
        best.keep(rows, here[rows], gap <= 0, FORWARD + BACKWARD)
        slope = flatten(gradient if limits is None else limits.apply(gradient))
        size = slope.norm(dim=1).clamp(min=torch.finfo(slope.dtype).tiny)
        moved = here[rows] - best.origin[rows]
        normals[rows, step % FACES] = slope / size[:, None]
        level = ((slope * moved).sum(1) - gap) / size
        levels[rows, step % FACES] = level - AIM * level.abs()
        wanted = _promising(best, rows, normals, levels, step % FACES)
        best.settled[rows] |= wanted.isnan().any(1)
        goal = best.origin[rows] + wanted.nan_to_num(0.0)
        here[rows] = goal if box is None else box.clamp(goal)
    return best


def _promising(best: Nearest, rows: Tensor, normals: Tensor, levels: Tensor, newest: int) -> Tensor:
    """The step of each row that its faces ask for, if that is nearer; else that of the newest face, or nan.

    Where the boundary bends the other way faces contradict each other: all but the newest are then forgotten.
    """
    limit = (1 - GAIN) * best.distance[rows]
    step = shortest_beyond(normals[rows], levels[rows])
    lost = ~(step.norm(dim=1) < limit)
    if bool(lost.any()):
        others = torch.arange(FACES, device=rows.device) != newest
        normals[rows[lost]] = normals[rows[lost]].masked_fill(others[:, None], 0.0)
        step[lost] = normals[rows[lost], newest] * levels[rows[lost], newest, None].clamp(max=0.0)
        step[~(step.norm(dim=1) < limit)] = torch.nan
    return step
