"""Quadrature rules over boxes of parameters."""

import numpy as np
import torch
from torch import Tensor

from dimple.manifolds.affine import ParameterDomain

# Points of the Gauss rule in one panel.
GAUSS_POINTS = 8


def quadrature_rule(domain: ParameterDomain, count: int) -> tuple[Tensor, Tensor]:
    """Return about `count` points `(N, d)` and weights `(N,)`, a product of one rule for each axis.

    A periodic axis has the trapezoid rule, which converges faster than any power for smooth charts; other axes have the
    Gauss rule in panels, of order 16.
    """
    # More than some thousand points along an axis gain nothing.
    side = min(max(GAUSS_POINTS, round(count ** (1 / domain.dim))), 2048)
    rules = [
        _trapezoid_rule(side) if closed else _gauss_rule(max(1, side // GAUSS_POINTS)) for closed in domain.periodic
    ]
    axes = []
    weights = []
    for (unit, weight), low, high in zip(rules, domain.low, domain.high, strict=True):
        axes.append(low + (high - low) * unit)
        weights.append((high - low) * weight)
    points = torch.cartesian_prod(*axes).reshape(-1, domain.dim)
    return points, torch.cartesian_prod(*weights).reshape(-1, domain.dim).prod(1)


def _trapezoid_rule(count: int) -> tuple[Tensor, Tensor]:
    return torch.arange(count, dtype=torch.float64) / count, torch.full((count,), 1 / count, dtype=torch.float64)


def _gauss_rule(panels: int) -> tuple[Tensor, Tensor]:
    node, weight = (torch.from_numpy(values) for values in np.polynomial.legendre.leggauss(GAUSS_POINTS))
    start = torch.arange(panels, dtype=torch.float64)[:, None]
    return ((start + (node + 1) / 2) / panels).reshape(-1), (weight / 2 / panels).repeat(panels)
