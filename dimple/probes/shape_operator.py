"""Shape operator of a level set, given by its products with directions."""

import dataclasses
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.tensors import flatten, unit_vectors, vector_norm


@final
@dataclasses.dataclass(frozen=True)
class ShapeOperator:
    """The derivative of the unit normal of a level set along tangent directions, as a linear map of rows `(B, n)`.

    Its eigenvalues on the tangent hyperplane are the principal curvatures, positive where the region of larger logit
    margin is convex. The normal is mapped to zero.

    Attributes:
        normal: unit normals `(B, n)`, along the gradient.
        gradient_norm: `(B, 1)`.
        hessian_product: the product of the Hessian with rows `(B, n)`.
    """

    normal: Tensor
    gradient_norm: Tensor
    hessian_product: Callable[[Tensor], Tensor]

    @classmethod
    def from_boundary(cls, boundary: Boundary, points: Tensor, y: Tensor) -> "ShapeOperator":
        """Make the shape operator of the boundary of the classes `y` `(B,)` at points `(B, *shape)`."""
        gradient, product = boundary.logit_margin_hessian(points, y)
        rows = flatten(gradient)
        slope = vector_norm(rows, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny)
        return cls(rows / slope, slope, lambda v: flatten(product(v.reshape(points.shape))))

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the negative derivative of the unit normal along the tangent part of each row."""
        return -self.to_tangent(self.hessian_product(self.to_tangent(rows))) / self.gradient_norm

    def to_tangent(self, rows: Tensor) -> Tensor:
        """Return the part of each row within the tangent hyperplane."""
        return tangent_component(rows, self.normal)

    def normal_curvature(self, direction: Tensor) -> Tensor:
        """Return the normal curvature `(B,)` along the tangent part of one direction `(n,)`."""
        unit = unit_vectors(self.to_tangent(direction.expand_as(self.normal)))
        return (unit * self(unit)).sum(1)

    def principal_curvatures(self) -> Tensor:
        """Return all principal curvatures, increasing, `(B, n - 1)`, at the cost of n products."""
        n = self.normal.shape[1]
        eye = torch.eye(n).to(self.normal)
        matrix = torch.stack([self(column.expand_as(self.normal)) for column in eye], dim=2)
        # The reflection that maps the first axis to the normal maps the others to a basis of the tangent hyperplane.
        sign = torch.where(self.normal[:, :1] >= 0, 1.0, -1.0).to(self.normal)
        mirror = unit_vectors(self.normal + sign * eye[0])
        basis = eye[:, 1:] - 2 * mirror[:, :, None] * mirror[:, None, 1:]
        restricted = basis.mT @ matrix @ basis
        values: Tensor = torch.linalg.eigvalsh((restricted + restricted.mT) / 2)
        return values


def tangent_component(rows: Tensor, normal: Tensor) -> Tensor:
    """Return rows `(B, n)` minus their parts along the unit normals `(B, n)`."""
    return rows - (rows * normal).sum(1, keepdim=True) * normal
