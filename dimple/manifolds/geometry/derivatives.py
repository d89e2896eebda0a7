"""First and second derivatives of a chart along the tangent basis of its source, for a batch of points."""

import torch
from torch import Tensor

from dimple.manifolds.affine import AffineBox
from dimple.manifolds.base import ChartMap, Manifold


def chart_jacobian(source: Manifold, chart: ChartMap, z: Tensor) -> Tensor:
    """Return the images `(B, n, d)` of the source's tangent basis at `z` `(B, m)` under the chart's derivative."""
    basis = source.tangent_basis(z)
    with torch.enable_grad():
        point = z.detach().requires_grad_()
        value = chart(point)
        columns = [_directional_derivative(value, point, basis[:, :, i]) for i in range(source.dim)]
    return torch.stack(columns, dim=2).detach()


def chart_derivatives(source: Manifold, chart: ChartMap, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the chart's values `(B, n)`, first `(B, n, d)` and second derivatives `(B, n, d, d)` at `z` `(B, m)`.

    The second derivatives are along geodesics of the source, which bend in R^m if the source does.
    """
    d = source.dim
    basis = source.tangent_basis(z)
    source_form = None if isinstance(source, AffineBox) else source.second_fundamental_form(z)
    with torch.enable_grad():
        point = z.detach().requires_grad_()
        value = chart(point)
        columns = [_directional_derivative(value, point, basis[:, :, i]) for i in range(d)]
        rows: list[list[Tensor]] = [[value] * d for _ in range(d)]
        for i in range(d):
            for j in range(i + 1):
                second = _directional_derivative(columns[i], point, basis[:, :, j])
                if source_form is not None:
                    second = second + _directional_derivative(value, point, source_form[:, :, i, j])
                rows[i][j] = rows[j][i] = second
    hessian = torch.stack([torch.stack(row, dim=2) for row in rows], dim=2)
    return value.detach(), torch.stack(columns, dim=2).detach(), hessian.detach()


def area_factor(jacobian: Tensor) -> Tensor:
    """Return the factor by which d-volume grows, `(B,)`: the square root of det J^T J."""
    return torch.det(jacobian.mT @ jacobian).clamp(min=0).sqrt()


def _directional_derivative(value: Tensor, point: Tensor, direction: Tensor) -> Tensor:
    """Return the derivative of `value`, a function of `point`, along `direction`; it can be differentiated again.

    Two backward passes: the gradient of w . value is linear in w, and its derivative with respect to w along
    `direction` is the result. This is several times faster than torch's forward mode, whose second derivatives run in
    Python.
    """
    if not value.requires_grad:
        return torch.zeros_like(value)
    weight = torch.zeros_like(value, requires_grad=True)
    # The gradient of a constant is zero here, not None.
    back = torch.autograd.grad(value, point, weight, create_graph=True, materialize_grads=True)[0]
    if not back.requires_grad:
        return torch.zeros_like(value)
    return torch.autograd.grad(back, weight, direction, create_graph=True, materialize_grads=True)[0]
