"""Round spheres of any dimension; the circle is the one of dimension 1."""

from typing import final

import torch
from torch import Tensor

from dimple.manifolds.base import Manifold
from dimple.manifolds.patches import Drawn, closed_curve, icosphere
from dimple.settings import Count, Positive, settings


@final
@settings
class Sphere(Manifold):
    """The sphere S^d of a given radius around the origin of R^(d+1).

    Example:
        >>> Sphere(dim=2, radius=0.5).distance(torch.tensor([[2.0, 0.0, 0.0]]))
        tensor([1.5000])
    """

    dim: Count = 2  # type: ignore[assignment]
    radius: Positive = 1.0

    @property
    def ambient_dim(self) -> int:
        """d + 1: a sphere has one normal direction."""
        return self.dim + 1

    @property
    def reach(self) -> float:
        """The radius: the centre is as near to every point as to any other."""
        return self.radius

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Normalised Gaussian vectors: uniform in area by symmetry."""
        x = torch.randn(count, self.ambient_dim, generator=generator, dtype=torch.float64, device=generator.device)
        return self.project(x)

    def project(self, x: Tensor) -> Tensor:
        """Radial scaling; the centre, which has no nearest point, goes to the pole of the last axis."""
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        pole = torch.zeros_like(x)
        pole[..., -1] = 1
        return self.radius * torch.where(length > 0, x / length.clamp(min=torch.finfo(x.dtype).tiny), pole)

    def tangent_basis(self, x: Tensor) -> Tensor:
        """All columns but one of the Householder reflection that takes the last axis to the outward normal."""
        normal = self.project(x) / self.radius
        sign = torch.where(normal[:, -1:] >= 0, 1.0, -1.0).to(x.dtype)
        v = normal * sign
        v = torch.cat([v[:, :-1], v[:, -1:] + 1], dim=1)
        eye = torch.eye(self.ambient_dim, dtype=x.dtype, device=x.device)
        reflection = eye - 2 * v[:, :, None] * v[:, None, :] / (v * v).sum(1)[:, None, None]
        return reflection[:, :, :-1]

    def mesh(self) -> Drawn | None:
        """A regular polygon, or a subdivided icosahedron; nothing beyond three dimensions."""
        if self.dim == 1:
            return closed_curve(self.radius)
        return icosphere(self.radius) if self.dim == 2 else None
