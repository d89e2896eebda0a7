"""Decomposition of vectors at a sample into a part along the data manifold and a part orthogonal to it."""

import dataclasses
from typing import final

import torch
from torch import Tensor

from dimple.errors import ShapeError
from dimple.protocols import TangentField
from dimple.tensors import norm, project_onto_span, squared_norm_fraction


@final
@dataclasses.dataclass(frozen=True)
class TangentDecomposition:
    """A batch of vectors as the sum of a tangent and a normal part, which are orthogonal.

    Attributes:
        tangent: the part within the tangent space, in the shape of the vectors.
        normal: the part orthogonal to it.
        tangent_fraction: the squared length of the tangent part over that of the vector, `(B,)`; nan for a zero vector.
        normal_fraction: the same for the normal part.
        angle: the angle between the vector and the tangent space, `(B,)`, in radians: 0 for a tangent vector, pi / 2
            for a normal one; nan for a zero vector.
        isotropic_fraction: d / n, the mean `tangent_fraction` of an isotropic random vector.
    """

    tangent: Tensor
    normal: Tensor
    tangent_fraction: Tensor
    normal_fraction: Tensor
    angle: Tensor
    isotropic_fraction: float


def decompose(v: Tensor, field: TangentField, x: Tensor) -> TangentDecomposition:
    """Decompose vectors `v` at the samples `x` by the field's tangent spaces there.

    Args:
        v: `(B, *shape)`, for example perturbations, gradients or boundary normals.
        field: an object with a method `tangent_basis`.
        x: `(B, *shape)`.

    Raises:
        ShapeError: if `v` and `x` differ in shape.

    Example:
        >>> from dimple.tangents.local_pca import LocalPCA
        >>> line = LocalPCA(torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]), dim=1, neighbors=2)
        >>> decompose(torch.tensor([[3.0, 4.0]]), line, torch.tensor([[1.0, 0.0]])).tangent_fraction
        tensor([0.3600])
    """
    if v.shape != x.shape:
        raise ShapeError(f"vectors of shape {tuple(v.shape)} at samples of shape {tuple(x.shape)}; give one a sample")
    return decompose_by_basis(field.tangent_basis(x).to(v), v)


def decompose_by_basis(basis: Tensor, v: Tensor) -> TangentDecomposition:
    """Decompose vectors `(B, *shape)` by the span of orthonormal columns `(B, n, d)`."""
    tangent = project_onto_span(basis, v)
    normal = v - tangent
    angle = torch.atan2(norm(normal), norm(tangent))
    return TangentDecomposition(
        tangent,
        normal,
        squared_norm_fraction(tangent, v),
        squared_norm_fraction(normal, v),
        torch.where(norm(v) > 0, angle, torch.nan),
        basis.shape[2] / basis.shape[1],
    )
