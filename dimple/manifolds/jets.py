"""First and second derivatives of a chart along its source, by forward-mode differentiation of the whole batch."""

import torch
from torch import Tensor
from torch.func import jvp

from dimple.manifolds.base import Chart, Manifold
from dimple.manifolds.flat import Affine


def tangents(source: Manifold, chart: Chart, z: Tensor) -> Tensor:
    """The images `(B, n, d)` of the source's tangent basis at `(B, m)`."""
    basis = source.tangent_basis(z)
    return torch.stack([_along(chart, z, basis[:, :, i]) for i in range(source.dim)], dim=2).detach()


def second_derivatives(source: Manifold, chart: Chart, z: Tensor) -> Tensor:
    """The second derivatives `(B, n, d, d)` of the chart along the source's geodesics, which bend if the source does."""
    basis = source.tangent_basis(z)
    bend = None if isinstance(source, Affine) else source.second_form(z)
    rows: list[list[Tensor]] = [[z] * source.dim for _ in range(source.dim)]
    for i in range(source.dim):
        for j in range(i + 1):
            value = _twice(chart, z, basis[:, :, i], basis[:, :, j])
            if bend is not None:
                value = value + _along(chart, z, bend[:, :, i, j])
            rows[i][j] = rows[j][i] = value
    return torch.stack([torch.stack(row, dim=2) for row in rows], dim=2).detach()


def area_factor(jacobian: Tensor) -> Tensor:
    """How much d-volume grows, `(B,)`: the square root of det J^T J."""
    return torch.linalg.svdvals(jacobian).prod(dim=1) if jacobian.shape[2] > 1 else jacobian.norm(dim=1)[:, 0]


def _along(chart: Chart, z: Tensor, direction: Tensor) -> Tensor:
    derivative: Tensor = jvp(chart, (z,), (direction.contiguous(),))[1]
    return derivative


def _twice(chart: Chart, z: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return _along(lambda w: _along(chart, w, second), z, first)
