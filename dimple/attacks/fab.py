"""FAB: step onto the linearised boundary from the search and from the sample at once, and back whenever it is crossed.

Reference: Croce and Hein, "Minimally distorted adversarial examples with a fast adaptive boundary attack" (ICML 2020),
algorithm 1, without its random restarts and without its final search, which is the landing that every method gets.
"""

import torch
from torch import Tensor

from dimple.attacks.base import Reached, gaps_and_gradients
from dimple.attacks.best_so_far import Nearest, some
from dimple.attacks.deepfool import linear_distances
from dimple.attacks.projections import smallest_step
from dimple.attacks.subspace_constraint import Restriction
from dimple.boundary.boundary import BACKWARD, FORWARD, Boundary
from dimple.errors import SceneError
from dimple.tensors import Box
from dimple.tensors import norm as norm_of

# The most that the step from the sample weighs, how far a step goes beyond the plane, and what is kept of a crossing.
WEIGHT_MOST, OVERSHOOT, BACK = 0.1, 1.05, 0.9
RIVALS, SMALL_BUDGET = 3, 8.0
# Whoever gains less than this share of the distance in so many steps has settled.
GAIN, PATIENCE = 1e-3, 10


def fab(
    boundary: Boundary,
    x: Tensor,
    y: Tensor,
    norm: str,
    budget: float,
    restriction: Restriction | None = None,
    targets: Tensor | None = None,
) -> Reached:
    """The nearest misclassified point that the fast adaptive boundary search meets: an upper bound of the margin.

    Each step projects the search and the sample onto the nearest linearised boundary of the three highest-scoring
    rivals (of the highest one for budgets below 8; of the target where there is one), mixes the two by a weight that
    every sample has for itself, and goes a tenth of the way back from a crossing. A step costs two forwards and a
    backward a rival: 2.6 passes, or 1.4. The arguments are those of `Search`.

    Raises:
        SceneError: for a restricted search in another norm than l2, whose steps would leave the subspace.

    Example:
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> fab(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1]), "l2", 10.0).points.round(decimals=2)
        tensor([[-0.0100,  5.0000]])
    """
    if restriction is not None and norm != "l2":
        raise SceneError(f"fab along a subspace is a search in l2, and norm is {norm}; choose norm: l2")
    box = boundary.box if restriction is None else None
    best = Nearest(x, norm)
    here, rows = best.origin.clone(), torch.arange(len(x), device=x.device)
    rivals, spent, step = 1 if budget < SMALL_BUDGET or targets is not None else RIVALS, 0.0, 0
    cost = 2 * FORWARD + BACKWARD * rivals
    while len(rows) > 0 and spent + cost <= budget + 1e-6:
        limits, goals = some(rows, restriction, targets)
        origin, now = best.origin[rows], here[rows]
        gap, gaps, gradients = gaps_and_gradients(boundary, best.shaped(now), y[rows], rivals, goals)
        cost = 2 * FORWARD + BACKWARD * gaps.shape[1]
        best.keep(rows, now, gap <= 0, cost)
        flat = gradients.flatten(2) if limits is None else limits.apply_each(gradients.flatten(2))
        moved = _mixed(origin, now, gaps, flat, norm, box)
        across = boundary.gap(best.shaped(moved), y[rows], goals) <= 0
        best.keep(rows, moved, across, 0.0)
        here[rows] = torch.where(across[:, None], origin + BACK * (moved - origin), moved)
        spent, step = spent + cost, step + 1
        if step % PATIENCE == 0:
            best.settle(GAIN)
            rows = best.going()
    return best.reached(x)


def _mixed(origin: Tensor, here: Tensor, gaps: Tensor, gradients: Tensor, norm: str, box: Box | None) -> Tensor:
    """A little beyond the nearest of the linearised gaps `(B, R)`, from `here` and, by its weight, from `origin`."""
    tiny = torch.finfo(here.dtype).tiny
    nearest = linear_distances(gaps, gradients, norm).argmin(1)
    rows = torch.arange(len(nearest), device=nearest.device)
    gap, gradient = gaps[rows, nearest], gradients[rows, nearest]
    from_here = smallest_step(here, gradient, -gap, norm, box)
    from_origin = smallest_step(origin, gradient, (gradient * (here - origin)).sum(1) - gap, norm, box)
    near, far = norm_of(from_here, norm), norm_of(from_origin, norm)
    weight = (near / (near + far).clamp(min=tiny)).clamp(max=WEIGHT_MOST)[:, None]
    moved = (1 - weight) * (here + OVERSHOOT * from_here) + weight * (origin + OVERSHOOT * from_origin)
    return moved if box is None else box.clamp(moved)
