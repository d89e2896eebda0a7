"""First and second derivatives of a chart along its source, a whole batch at once."""

import torch
from torch import Tensor

from dimple.manifolds.affine import Affine
from dimple.manifolds.base import Chart, Manifold


def tangents(source: Manifold, chart: Chart, z: Tensor) -> Tensor:
    """The images `(B, n, d)` of the source's tangent basis at `(B, m)`."""
    basis = source.tangent_basis(z)
    with torch.enable_grad():
        place = z.detach().requires_grad_()
        value = chart(place)
        columns = [_along(value, place, basis[:, :, i]) for i in range(source.dim)]
    return torch.stack(columns, dim=2).detach()


def jet(source: Manifold, chart: Chart, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The chart's values `(B, n)`, first `(B, n, d)` and second derivatives `(B, n, d, d)` at `(B, m)`.

    The second ones are along the source's geodesics, which bend in R^m if the source does.
    """
    d, basis = source.dim, source.tangent_basis(z)
    bend = None if isinstance(source, Affine) else source.second_form(z)
    with torch.enable_grad():
        place = z.detach().requires_grad_()
        value = chart(place)
        columns = [_along(value, place, basis[:, :, i]) for i in range(d)]
        rows: list[list[Tensor]] = [[value] * d for _ in range(d)]
        for i in range(d):
            for j in range(i + 1):
                second = _along(columns[i], place, basis[:, :, j])
                if bend is not None:
                    second = second + _along(value, place, bend[:, :, i, j])
                rows[i][j] = rows[j][i] = second
    hessian = torch.stack([torch.stack(row, dim=2) for row in rows], dim=2)
    return value.detach(), torch.stack(columns, dim=2).detach(), hessian.detach()


def area_factor(jacobian: Tensor) -> Tensor:
    """How much d-volume grows, `(B,)`: the square root of det J^T J."""
    return torch.det(jacobian.mT @ jacobian).clamp(min=0).sqrt()


def _along(value: Tensor, place: Tensor, direction: Tensor) -> Tensor:
    """The derivative of `value`, computed from `place`, along `direction`; itself differentiable.

    Backwards twice: the gradient of w . value is linear in w, and its derivative along w is the one sought. It is
    several times faster than torch's forward mode, whose second derivatives run through Python.
    """
    if not value.requires_grad:
        return torch.zeros_like(value)
    weight = torch.zeros_like(value, requires_grad=True)
    # A gradient that depends on nothing is zero, not missing.
    back = torch.autograd.grad(value, place, weight, create_graph=True, materialize_grads=True)[0]
    if not back.requires_grad:
        return torch.zeros_like(value)
    return torch.autograd.grad(back, weight, direction, create_graph=True, materialize_grads=True)[0]
