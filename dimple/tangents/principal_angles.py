"""Principal angles between subspaces, and between two tangent fields at the same samples."""

import torch
from torch import Tensor

from dimple.errors import ShapeError
from dimple.protocols import TangentField


def principal_angles(a: Tensor, b: Tensor) -> Tensor:
    """Compute the principal angles between pairs of subspaces.

    Small angles are computed from sines and large ones from cosines, so that both are exact to rounding.

    Args:
        a: orthonormal columns `(B, n, d)`.
        b: orthonormal columns `(B, n, e)`.

    Returns:
        `(B, min(d, e))` radians from 0 to pi / 2, increasing; all zero if and only if one subspace contains the other.

    Raises:
        ShapeError: if the bases differ in batch size or ambient dimension.

    Reference: Björck and Golub 1973, Numerical methods for computing angles between linear subspaces.

    Example:
        >>> x, y, z = torch.eye(3).unsqueeze(2)
        >>> principal_angles(torch.stack([torch.cat([x, y], 1)]), torch.stack([torch.cat([x, z], 1)]))
        tensor([[0.0000, 1.5708]])
    """
    if a.dim() != 3 or b.dim() != 3 or a.shape[:2] != b.shape[:2]:
        raise ShapeError(f"bases of shapes {tuple(a.shape)} and {tuple(b.shape)}; both must be (B, n, d), same B and n")
    if a.shape[2] < b.shape[2]:
        a, b = b, a
    products = a.mT @ b
    cosine = torch.linalg.svdvals(products)
    sine = torch.linalg.svdvals(b - a @ products).flip(1)[:, : cosine.shape[1]]
    return torch.where(cosine.square() < 0.5, cosine.clamp(max=1).arccos(), sine.clamp(max=1).arcsin())


def largest_principal_angle(a: Tensor, b: Tensor) -> Tensor:
    """Return the largest principal angle `(B,)` in radians, such as the error of an estimated tangent space.

    Where the dimensions differ, it is the largest angle of the smaller subspace with the larger one.
    """
    return principal_angles(a, b)[:, -1]


def angles_between_fields(field: TangentField, other: TangentField, x: Tensor) -> Tensor:
    """Return the principal angles of two fields at the samples `(B, *shape)`: `(B, min(d, e))` radians, increasing.

    Example:
        >>> from dimple.tangents.random_subspace import RandomSubspace
        >>> field = RandomSubspace(dim=2, seed=0, draw=0)
        >>> angles_between_fields(field, field, torch.zeros(1, 5)).max() < 1e-6
        tensor(True)
    """
    return principal_angles(field.tangent_basis(x), other.tangent_basis(x))
