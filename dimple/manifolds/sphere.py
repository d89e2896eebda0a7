"""Round spheres of any dimension; the circle is the one of dimension 1."""

import math
from abc import abstractmethod
from typing import final

import numpy as np
import torch
from torch import Tensor

from dimple.manifolds.affine import ParameterDomain
from dimple.manifolds.base import ChartMap, Manifold, power_of_two, scaled_norm
from dimple.manifolds.triangulations import VerticesAndFaces, icosphere, regular_polygon
from dimple.settings import Dimension, Positive, settings

# A point outside of a surface by at most this many machine epsilons counts as on it.
TOLERANCE_IN_EPS = 8


class RoundSphere(Manifold):
    """The sphere S^d around the origin of R^(d+1), of a radius that members define."""

    @property
    @abstractmethod
    def rho(self) -> float:
        """Radius."""

    @property
    def ambient_dim(self) -> int:
        """Dimension d + 1: a sphere has one normal direction."""
        return self.dim + 1

    @property
    def reach(self) -> float:
        """Radius: the center has the same distance to every point."""
        return self.rho

    @property
    def volume(self) -> float:
        """Volume 2 pi^((d+1)/2) / Gamma((d+1)/2) r^d."""
        half = (self.dim + 1) / 2
        return math.exp(math.log(2) + half * math.log(math.pi) - math.lgamma(half) + self.dim * math.log(self.rho))

    def medial_axis_distance(self, x: Tensor) -> Tensor:
        """Return the distance to the center for points inside and on the sphere, up to rounding; infinity outside."""
        length = scaled_norm(x)
        return torch.where(length <= self.rho * (1 + TOLERANCE_IN_EPS * torch.finfo(x.dtype).eps), length, float("inf"))

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return normalized Gaussian vectors, which are uniform in area by symmetry."""
        x = torch.randn(count, self.ambient_dim, generator=generator, dtype=torch.float64, device=generator.device)
        return self.project(x)

    def project(self, x: Tensor) -> Tensor:
        """Return radially scaled points; the center, equally near to all points, goes to the pole of the last axis."""
        return self.rho * self._outward_normal(x)

    def _outward_normal(self, x: Tensor) -> Tensor:
        """Return the unit vectors of the directions from the center, `(B, n)`."""
        size = x.abs().amax(-1, keepdim=True)
        pole = torch.zeros_like(x)
        pole[..., -1] = 1
        # Divided by the largest coordinate first, whose square may be too large or too small for the dtype.
        scaled = torch.where(size > 0, x / power_of_two(size), pole)
        unit: Tensor = scaled / torch.linalg.vector_norm(scaled, dim=-1, keepdim=True)
        return unit

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Return the first d columns of the Householder reflection of the last axis to the normal, `(B, n, d)`."""
        normal = self._outward_normal(x)
        sign = torch.where(normal[:, -1:] >= 0, 1.0, -1.0).to(x.dtype)
        v = normal * sign
        v = torch.cat([v[:, :-1], v[:, -1:] + 1], dim=1)
        eye = torch.eye(self.ambient_dim, dtype=x.dtype, device=x.device)
        reflection = eye - 2 * v[:, :, None] * v[:, None, :] / (v * v).sum(1)[:, None, None]
        return reflection[:, :, :-1]

    def normal_basis(self, x: Tensor) -> Tensor:
        """Return the outward normal, `(B, n, 1)`."""
        return self._outward_normal(x)[:, :, None]

    def second_fundamental_form(self, x: Tensor) -> Tensor:
        """Return the form that points to the center, with curvature 1/r in every direction, `(B, n, d, d)`."""
        eye = torch.eye(self.dim, dtype=x.dtype, device=x.device)
        return torch.einsum("bn,ij->bnij", -self._outward_normal(x) / self.rho, eye)

    def coordinates(self, x: Tensor) -> Tensor:
        """Return the azimuth of the first two axes over 2 pi, then the polar angle from each further axis over pi."""
        azimuth = torch.atan2(x[:, 1], x[:, 0]) / (2 * math.pi) % 1
        polar = [torch.atan2(scaled_norm(x[:, :axis]), x[:, axis]) / math.pi for axis in range(2, self.ambient_dim)]
        return torch.stack([azimuth, *polar], dim=1)

    def geodesic_distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return great-circle distances `(A, B)` by the arc tangent, accurate for near points and antipodes."""
        a = self._outward_normal(a)[:, None]
        b = self._outward_normal(b)[None]
        return (
            2 * self.rho * torch.atan2(torch.linalg.vector_norm(a - b, dim=-1), torch.linalg.vector_norm(a + b, dim=-1))
        )

    def regular_grid(self, per_side: int) -> Tensor | None:
        """Return evenly spaced points on a circle; None for spheres of higher dimension."""
        source, chart = self.parametrization()
        points = source.regular_grid(per_side) if self.dim == 1 else None
        return None if points is None else chart(points)

    def parametrization(self) -> tuple[Manifold, ChartMap]:
        """Return a circle's chart from its angle; a sphere, which no single chart covers, is its own source."""
        if self.dim > 1:
            return super().parametrization()
        domain = ParameterDomain((0.0,), (2 * math.pi,), (True,))
        return domain, lambda u: self.rho * torch.cat([u.cos(), u.sin()], dim=1)

    def triangulation(self) -> VerticesAndFaces | None:
        """Return a regular polygon or a subdivided icosahedron; None above dimension 2."""
        if self.dim == 1:
            return regular_polygon(self.rho)
        return icosphere(self.rho) if self.dim == 2 else None

    def quadrature(self, count: int) -> tuple[Tensor, Tensor]:
        """Return on S^2 a Gauss rule in height times even azimuths, exact for polynomials up to some degree."""
        if self.dim != 2:
            return super().quadrature(count)
        side = max(4, round((count / 2) ** 0.5))
        height, weight = (torch.from_numpy(values) for values in np.polynomial.legendre.leggauss(side))
        angle = torch.arange(2 * side, dtype=torch.float64) * (math.pi / side)
        z, azimuth = (values.reshape(-1) for values in torch.meshgrid(height, angle, indexing="ij"))
        ring = (1 - z * z).sqrt()
        points = self.rho * torch.stack([ring * azimuth.cos(), ring * azimuth.sin(), z], dim=1)
        return points, weight.repeat_interleave(2 * side) * (math.pi / side * self.rho**2)


@final
@settings
class Sphere(RoundSphere):
    """The sphere S^d of a given radius around the origin of R^(d+1).

    Example:
        >>> Sphere(dim=2, radius=0.5).distance(torch.tensor([[2.0, 0.0, 0.0]]))
        tensor([1.5000])
    """

    dim: Dimension = 2
    radius: Positive = 1.0

    @property
    def rho(self) -> float:
        return self.radius


@final
@settings
class Circle(RoundSphere):
    """The circle of a given radius around the origin of the plane.

    Example:
        >>> Circle(radius=0.5).volume
        3.14159...
    """

    radius: Positive = 1.0

    @property
    def dim(self) -> int:
        return 1

    @property
    def rho(self) -> float:
        return self.radius
