"""Rules for integrals over boxes of parameters."""

import numpy as np
import torch
from torch import Tensor

from dimple.manifolds.affine import Cell

ORDER = 8


def cell_rule(cell: Cell, count: int) -> tuple[Tensor, Tensor]:
    """About `count` points `(N, d)` and weights `(N,)`: the trapezoid rule on closed axes, Gauss's in panels on open.

    On closed axes it converges faster than any power for smooth charts, on open ones with order 16.
    """
    # Beyond some thousand points an axis gains nothing.
    side = min(max(ORDER, round(count ** (1 / cell.dim))), 2048)
    rules = [_closed(side) if closed else _panels(max(1, side // ORDER)) for closed in cell.closed]
    axes, weights = [], []
    for (unit, weight), low, high in zip(rules, cell.low, cell.high, strict=True):
        axes.append(low + (high - low) * unit)
        weights.append((high - low) * weight)
    points = torch.cartesian_prod(*axes).reshape(-1, cell.dim)
    return points, torch.cartesian_prod(*weights).reshape(-1, cell.dim).prod(1)


def _closed(side: int) -> tuple[Tensor, Tensor]:
    return torch.arange(side, dtype=torch.float64) / side, torch.full((side,), 1 / side, dtype=torch.float64)


def _panels(count: int) -> tuple[Tensor, Tensor]:
    node, weight = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(ORDER))
    start = torch.arange(count, dtype=torch.float64)[:, None]
    return ((start + (node + 1) / 2) / count).reshape(-1), (weight / 2 / count).repeat(count)
