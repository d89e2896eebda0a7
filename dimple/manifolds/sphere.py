"""Round spheres of any dimension; the circle is the one of dimension 1."""

import math
from abc import abstractmethod
from typing import final

import numpy as np
import torch
from torch import Tensor

from dimple.manifolds.affine import Cell
from dimple.manifolds.base import Chart, Manifold
from dimple.manifolds.triangulations import Drawn, closed_curve, icosphere
from dimple.settings import Count, Positive, settings
from dimple.tensors import norm

# What lies no more roundings than this outside of a surface counts as on it.
ROUNDINGS = 8


class Round(Manifold):
    """The sphere S^d of some radius around the origin of R^(d+1)."""

    @property
    @abstractmethod
    def rho(self) -> float:
        """The radius."""

    @property
    def ambient_dim(self) -> int:
        """d + 1: a sphere has one normal direction."""
        return self.dim + 1

    @property
    def reach(self) -> float:
        """The radius: the centre is as near to every point as to any other."""
        return self.rho

    @property
    def volume(self) -> float:
        """2 pi^((d+1)/2) / Gamma((d+1)/2) r^d."""
        half = (self.dim + 1) / 2
        return math.exp(math.log(2) + half * math.log(math.pi) - math.lgamma(half) + self.dim * math.log(self.rho))

    def room(self, x: Tensor) -> Tensor:
        """The distance to the centre from inside and from the sphere itself, to rounding; infinite outside."""
        length = torch.linalg.vector_norm(x, dim=1)
        return torch.where(length <= self.rho * (1 + ROUNDINGS * torch.finfo(x.dtype).eps), length, float("inf"))

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Normalised Gaussian vectors: uniform in area by symmetry."""
        x = torch.randn(count, self.ambient_dim, generator=generator, dtype=torch.float64, device=generator.device)
        return self.project(x)

    def project(self, x: Tensor) -> Tensor:
        """Radial scaling; the centre, which has no nearest point, goes to the pole of the last axis."""
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        pole = torch.zeros_like(x)
        pole[..., -1] = 1
        return self.rho * torch.where(length > 0, x / length.clamp(min=torch.finfo(x.dtype).tiny), pole)

    def tangent_basis(self, x: Tensor) -> Tensor:
        """All columns but one of the Householder reflection that takes the last axis to the outward normal."""
        normal = self.project(x) / self.rho
        sign = torch.where(normal[:, -1:] >= 0, 1.0, -1.0).to(x.dtype)
        v = normal * sign
        v = torch.cat([v[:, :-1], v[:, -1:] + 1], dim=1)
        eye = torch.eye(self.ambient_dim, dtype=x.dtype, device=x.device)
        reflection = eye - 2 * v[:, :, None] * v[:, None, :] / (v * v).sum(1)[:, None, None]
        return reflection[:, :, :-1]

    def normal_basis(self, x: Tensor) -> Tensor:
        """The outward normal."""
        return (self.project(x) / self.rho)[:, :, None]

    def second_form(self, x: Tensor) -> Tensor:
        """Towards the centre with curvature 1/r, the same in every direction."""
        eye = torch.eye(self.dim, dtype=x.dtype, device=x.device)
        return torch.einsum("bn,ij->bnij", -self.project(x) / self.rho**2, eye)

    def coordinates(self, x: Tensor) -> Tensor:
        """The azimuth of the first two axes over 2 pi, then the polar angle from each further axis over pi."""
        azimuth = torch.atan2(x[:, 1], x[:, 0]) / (2 * math.pi) % 1
        polar = [torch.atan2(norm(x[:, :axis]), x[:, axis]) / math.pi for axis in range(2, self.ambient_dim)]
        return torch.stack([azimuth, *polar], dim=1)

    def geodesic(self, a: Tensor, b: Tensor) -> Tensor:
        """Great circles; by the arc tangent, which is exact for near points and for antipodes."""
        a, b = self.project(a)[:, None], self.project(b)[None]
        return (
            2 * self.rho * torch.atan2(torch.linalg.vector_norm(a - b, dim=-1), torch.linalg.vector_norm(a + b, dim=-1))
        )

    def grid(self, per_side: int) -> Tensor | None:
        """Even steps around a circle; spheres beyond it have no regular grid."""
        source, chart = self.unfold()
        points = source.grid(per_side) if self.dim == 1 else None
        return None if points is None else chart(points)

    def unfold(self) -> tuple[Manifold, Chart]:
        """A circle from its angle; a sphere, which no single chart covers, is its own source."""
        if self.dim > 1:
            return super().unfold()
        return Cell((0.0,), (2 * math.pi,), (True,)), lambda u: self.rho * torch.cat([u.cos(), u.sin()], dim=1)

    def triangulation(self) -> Drawn | None:
        """A regular polygon, or a subdivided icosahedron; nothing beyond surfaces."""
        if self.dim == 1:
            return closed_curve(self.rho)
        return icosphere(self.rho) if self.dim == 2 else None

    def quadrature(self, count: int) -> tuple[Tensor, Tensor]:
        """On the 2-sphere Gauss's rule in height by even azimuths, which is exact for polynomials."""
        if self.dim != 2:
            return super().quadrature(count)
        side = max(4, round((count / 2) ** 0.5))
        height, weight = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(side))
        angle = torch.arange(2 * side, dtype=torch.float64) * (math.pi / side)
        z, turn = (part.reshape(-1) for part in torch.meshgrid(height, angle, indexing="ij"))
        ring = (1 - z * z).sqrt()
        points = self.rho * torch.stack([ring * turn.cos(), ring * turn.sin(), z], dim=1)
        return points, weight.repeat_interleave(2 * side) * (math.pi / side * self.rho**2)


@final
@settings
class Sphere(Round):
    """The sphere S^d of a given radius around the origin of R^(d+1).

    Example:
        >>> Sphere(dim=2, radius=0.5).distance(torch.tensor([[2.0, 0.0, 0.0]]))
        tensor([1.5000])
    """

    dim: Count = 2
    radius: Positive = 1.0

    @property
    def rho(self) -> float:
        """The radius."""
        return self.radius


@final
@settings
class Circle(Round):
    """The circle of a given radius around the origin of the plane.

    Example:
        >>> Circle(radius=0.5).volume
        3.14159...
    """

    radius: Positive = 1.0

    @property
    def dim(self) -> int:
        """A curve."""
        return 1

    @property
    def rho(self) -> float:
        """The radius."""
        return self.radius
