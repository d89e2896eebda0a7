"""Cutting planes: a search for the vertices and edges of the boundary, where its faces meet.

The boundary of a ReLU network is piecewise linear. A search that linearizes one face at a time oscillates between the
faces at an edge. Here each query adds one face, and the next query is the point beyond all known faces that is nearest
to the sample, so that a vertex is found once its faces are known. These are Kelley's cutting planes: exact where the
other class is convex, and the result is never farther than the initial point.

Reference: Kelley 1960, The cutting-plane method for solving convex programs.
"""

import itertools

import torch
from torch import Tensor

from dimple.attacks.search import SearchState
from dimple.boundary.boundary import BACKWARD_COST, FORWARD_COST
from dimple.tensors import vector_norm

# The number of latest faces that count; a vertex in three dimensions has three.
MAX_FACES = 4
# How far beyond the faces a query lies, as a fraction of the distance.
OVERSHOOT = 1e-7
# The smallest expected reduction of the distance for which a query is made, as a fraction of the distance.
MIN_RELATIVE_GAIN = 1e-6
# The tolerance of the test that a step satisfies all faces, in units of rounding.
ROUNDING_ULPS = 1024


def shortest_step_into_halfspaces(normals: Tensor, levels: Tensor) -> Tensor:
    """Return the shortest step d with `normals d <= levels`, `(B, n)`; nan where there is none.

    Args:
        normals: `(B, F, n)`, of unit length, or zero for a face to be ignored.
        levels: `(B, F)`.

    Example:
        >>> shortest_step_into_halfspaces(torch.eye(2)[None], torch.tensor([[-3.0, -4.0]]))
        tensor([[-3., -4.]])
    """
    count, num_faces, n = normals.shape
    is_used = normals.any(2)
    levels = torch.where(is_used, levels, 1.0)
    best = normals.new_full((count, n), torch.nan)
    best_length = normals.new_full((count,), torch.inf)
    rounding = ROUNDING_ULPS * torch.finfo(normals.dtype).eps
    rows = torch.arange(count, device=normals.device)
    # The solution meets some of the faces with equality. There are few faces, so that every subset of them is tried.
    for size in range(min(num_faces, n) + 1):
        subsets = list(itertools.combinations(range(num_faces), size))
        active = torch.tensor(subsets, dtype=torch.long, device=normals.device)
        a = normals[:, active]
        weights, _ = torch.linalg.solve_ex(a @ a.mT, levels[:, active, None])
        steps = (a.mT @ weights).squeeze(3)
        lengths = steps.norm(dim=2)
        excess = steps @ normals.mT - levels[:, None]
        is_feasible = (excess <= rounding * (levels.abs()[:, None] + lengths[:, :, None])).all(2)
        length, first = torch.where(is_feasible & is_used[:, active].all(2), lengths, torch.inf).min(1)
        shorter = length < best_length
        best = torch.where(shorter[:, None], steps[rows, first], best)
        best_length = torch.where(shorter, length, best_length)
    return best


def search_vertices(state: SearchState, rows: Tensor, max_steps: int) -> None:
    """Search for nearer adversarial points in l2, from the nearest known points.

    Args:
        state: the state of the search.
        rows: `(R,)`, the samples to search from.
        max_steps: the maximum number of queries for a sample, each a forward and a backward; a sample whose distance no
            longer falls leaves the batch.
    """
    problem = state.problem
    current = state.points.clone()
    normals = current.new_zeros(len(current), MAX_FACES, current.shape[1])
    levels = current.new_zeros(len(current), MAX_FACES)
    for step in range(max_steps):
        rows = state.affordable(rows, FORWARD_COST + BACKWARD_COST)
        if len(rows) == 0:
            return
        logit_margin, allowed = state.query_gradient(rows, current[rows])
        length = vector_norm(allowed).clamp(min=torch.finfo(allowed.dtype).tiny)
        displacement = current[rows] - state.origin[rows]
        newest = step % MAX_FACES
        normals[rows, newest] = allowed / length[:, None]
        level = ((allowed * displacement).sum(1) - logit_margin) / length
        levels[rows, newest] = level - OVERSHOOT * level.abs()
        next_step = _choose_step(state.distance, rows, normals, levels, newest)
        is_nearer = allowed.any(1) & ~next_step.isnan().any(1)
        rows = rows[is_nearer]
        current[rows] = problem.confine(rows, state.origin[rows] + next_step[is_nearer])


def _choose_step(distance: Tensor, rows: Tensor, normals: Tensor, levels: Tensor, newest: int) -> Tensor:
    """Return the step of each row to the nearest point beyond its faces, if that is nearer than the best point.

    Otherwise return the step to the newest face alone, or nan if that is not nearer either. The faces contradict each
    other where the other class is not convex: all but the newest are then deleted.
    """
    limit = (1 - MIN_RELATIVE_GAIN) * distance[rows]
    step = shortest_step_into_halfspaces(normals[rows], levels[rows])
    failed = ~(step.norm(dim=1) < limit)
    if bool(failed.any()):
        is_old = torch.arange(MAX_FACES, device=rows.device) != newest
        failed_rows = rows[failed]
        normals[failed_rows] = normals[failed_rows].masked_fill(is_old[:, None], 0.0)
        step[failed] = normals[failed_rows, newest] * levels[failed_rows, newest, None].clamp(max=0.0)
        step[~(step.norm(dim=1) < limit)] = torch.nan
    return step
