"""How far apart two tangent fields are: the principal angles between their subspaces, sample by sample."""

import torch
from torch import Tensor

from dimple.errors import ShapeError
from dimple.protocols import TangentField


def principal_angles(a: Tensor, b: Tensor) -> Tensor:
    """The angles between two subspaces, from the directions that are nearest to each other to those farthest apart.

    Small angles come from sines and large ones from cosines, so that both are exact to rounding.

    Args:
        a: orthonormal columns `(B, n, d)`.
        b: orthonormal columns `(B, n, e)`.

    Returns:
        `(B, min(d, e))` radians from 0 to pi / 2, rising; all zero exactly where one subspace holds the other.

    Raises:
        ShapeError: for bases of different batches or spaces.

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
    across = a.mT @ b
    cosine = torch.linalg.svdvals(across)
    sine = torch.linalg.svdvals(b - a @ across).flip(1)[:, : cosine.shape[1]]
    return torch.where(cosine.square() < 0.5, cosine.clamp(max=1).arccos(), sine.clamp(max=1).arcsin())


def largest_angle(a: Tensor, b: Tensor) -> Tensor:
    """The largest principal angle `(B,)`, radians: the error of an estimate `(B, n, d)` against the truth `(B, n, d)`.

    Where the dimensions differ, the angle of the smaller subspace with the larger one.
    """
    return principal_angles(a, b)[:, -1]


def angles_between(field: TangentField, other: TangentField, x: Tensor) -> Tensor:
    """The principal angles between two fields at the same samples `(B, *shape)`: `(B, min(d, e))` radians, rising.

    Example:
        >>> from dimple.tangents.random_subspace import RandomSubspace
        >>> field = RandomSubspace(dim=2, seed=0, draw=0)
        >>> angles_between(field, field, torch.zeros(1, 5)).max() < 1e-6
        tensor(True)
    """
    return principal_angles(field.tangent_basis(x), other.tangent_basis(x))
