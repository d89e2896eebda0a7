"""Any vector at a sample, taken apart: what lies along the data, and what leads off it."""

import dataclasses
from typing import final

import torch
from torch import Tensor

from dimple.errors import ShapeError
from dimple.protocols import TangentField
from dimple.tensors import norm, project, share


@final
@dataclasses.dataclass(frozen=True)
class Split:
    """A batch of vectors in two orthogonal parts that add up to them.

    Attributes:
        on, off: the parts within the tangent space and orthogonal to it, in the shape of the vectors.
        on_share, off_share: the squared length of each part over that of the whole, `(B,)`; nan for a zero vector.
        angle: between the vector and the tangent space, `(B,)` radians: 0 is along the data, pi / 2 straight off
            them; nan for a zero vector.
        null: d / n, the `on_share` that an isotropic random vector has on average.
    """

    on: Tensor
    off: Tensor
    on_share: Tensor
    off_share: Tensor
    angle: Tensor
    null: float


def split(v: Tensor, field: TangentField, x: Tensor) -> Split:
    """Perturbations, gradients or boundary normals `v` at the samples `x`, split by the field's tangent spaces.

    Args:
        v: `(B, *shape)`.
        field: anything with `tangent_basis`.
        x: `(B, *shape)`, where the tangent spaces are taken.

    Raises:
        ShapeError: if `v` and `x` differ in shape.

    Example:
        >>> from dimple.tangents.local_pca import LocalPCA
        >>> line = LocalPCA(torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]), dim=1, neighbours=2)
        >>> split(torch.tensor([[3.0, 4.0]]), line, torch.tensor([[1.0, 0.0]])).on_share
        tensor([0.3600])
    """
    if v.shape != x.shape:
        raise ShapeError(f"vectors of shape {tuple(v.shape)} at samples of shape {tuple(x.shape)}; give one a sample")
    return split_by(field.tangent_basis(x).to(v), v)


def split_by(basis: Tensor, v: Tensor) -> Split:
    """The vectors `(B, *shape)`, split by orthonormal columns `(B, n, d)`."""
    on = project(basis, v)
    off = v - on
    angle = torch.atan2(norm(off), norm(on))
    angle = torch.where(norm(v) > 0, angle, torch.nan)
    return Split(on, off, share(on, v), share(off, v), angle, basis.shape[2] / basis.shape[1])
