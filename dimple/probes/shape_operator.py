"""The shape operator: how the normal of a level set turns, known by its products with directions."""

import dataclasses
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dimple.boundary.boundary import Boundary
from dimple.tensors import flatten


@final
@dataclasses.dataclass(frozen=True)
class ShapeOperator:
    """How the unit normal of a level set turns along its tangent directions, as a map of rows `(B, n)`.

    Its eigenvalues on the tangent hyperplane are the principal curvatures, positive where the region of larger gap is
    convex; the normal itself is mapped to zero.
    """

    normal: Tensor
    slope: Tensor
    product: Callable[[Tensor], Tensor]

    @classmethod
    def at(cls, boundary: Boundary, points: Tensor, y: Tensor) -> "ShapeOperator":
        """Of the boundary of the classes `y` `(B,)` at points `(B, *shape)`."""
        gradient, product = boundary.gap_hessian(points, y)
        rows = flatten(gradient)
        slope = rows.norm(dim=1, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny)
        return cls(rows / slope, slope, lambda v: flatten(product(v.reshape(points.shape))))

    def __call__(self, rows: Tensor) -> Tensor:
        """The change of the unit normal along each row's tangent part, turned so that convex is positive."""
        return -self.tangent(self.product(self.tangent(rows))) / self.slope

    def tangent(self, rows: Tensor) -> Tensor:
        """The part of each row within the tangent hyperplane."""
        return tangent_part(rows, self.normal)

    def along(self, direction: Tensor) -> Tensor:
        """The normal curvature `(B,)` along the tangent part of one direction `(n,)`."""
        unit = normalize(self.tangent(direction.expand_as(self.normal)), dim=1)
        return (unit * self(unit)).sum(1)

    def spectrum(self) -> Tensor:
        """All principal curvatures, rising, `(B, n - 1)`; n products."""
        n = self.normal.shape[1]
        eye = torch.eye(n).to(self.normal)
        matrix = torch.stack([self(column.expand_as(self.normal)) for column in eye], dim=2)
        # The reflection that takes the first axis to the normal takes the others to a basis of the tangent hyperplane.
        sign = torch.where(self.normal[:, :1] >= 0, 1.0, -1.0).to(self.normal)
        mirror = normalize(self.normal + sign * eye[0], dim=1)
        basis = eye[:, 1:] - 2 * mirror[:, :, None] * mirror[:, None, 1:]
        inside = basis.mT @ matrix @ basis
        values: Tensor = torch.linalg.eigvalsh((inside + inside.mT) / 2)
        return values


def tangent_part(rows: Tensor, normal: Tensor) -> Tensor:
    """What is left of rows `(B, n)` without their parts along the unit normals `(B, n)`."""
    return rows - (rows * normal).sum(1, keepdim=True) * normal
