"""Parametrized manifolds: images of a simpler manifold under a smooth map that torch differentiates."""

import math
from abc import abstractmethod
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from dimple.manifolds.affine import AffineBox, ParameterDomain
from dimple.manifolds.base import ChartMap, Manifold, to_double
from dimple.manifolds.geometry.closest_point import StartPoints, closest_source_points
from dimple.manifolds.geometry.derivatives import area_factor, chart_derivatives, chart_jacobian
from dimple.manifolds.geometry.quadrature import quadrature_rule
from dimple.manifolds.geometry.reach import estimate_reach
from dimple.manifolds.triangulations import VerticesAndFaces, merge_vertices, unit_grid_mesh
from dimple.tensors import apply_in_chunks

# Points of the integral of the volume, at first and at most, and its relative error at which they suffice.
QUADRATURE_POINTS = 2**16
MAX_QUADRATURE_POINTS = 2**18
VOLUME_TOLERANCE = 1e-9
# Points whose Jacobians are in memory at one time.
CHUNK_SIZE = 4096


class ParametrizedManifold(Manifold):
    """The image of `source` under `chart`, an embedding that torch can differentiate twice.

    A member defines a source, most often a `ParameterDomain`, and the chart. The tangent space is the range of the
    Jacobian, and the curvature follows from the second derivatives. Closest points are found by Newton's method, which
    starts at every local minimum over a grid and ends at a relative step of 1e-13. The sample is made uniform by
    rejection on the area factor, and the volume is its integral by quadrature.
    """

    @property
    @abstractmethod
    def source(self) -> Manifold:
        """Domain of the chart."""

    @abstractmethod
    def chart(self, z: Tensor) -> Tensor:
        """Map points `(B, m)` of the source to points `(B, n)`, by differentiable operations of torch only."""

    @property
    def dim(self) -> int:
        return self.source.dim

    @property
    def reach(self) -> float:
        """Upper bound of the reach: the minimum that a search over pairs of points and over curvatures has found."""
        return self._estimated_reach

    @cached_property
    def _estimated_reach(self) -> float:
        return estimate_reach(self.source, self.chart)

    @property
    def reach_is_exact(self) -> bool:
        return False

    @property
    def volume(self) -> float:
        """Integral of the area factor over the source."""
        return self._integrated_volume[0]

    @property
    def volume_error(self) -> float:
        """Difference of the integrals by the last two quadrature rules, of four times as many points each."""
        return self._integrated_volume[1]

    @cached_property
    def _integrated_volume(self) -> tuple[float, float]:
        """Volume and its error, with more points until these are 1e-9 of it or `MAX_QUADRATURE_POINTS` are reached."""
        count = QUADRATURE_POINTS
        coarse = self._integrate_area(count // 4)
        volume = self._integrate_area(count)
        while abs(volume - coarse) > VOLUME_TOLERANCE * volume and count < MAX_QUADRATURE_POINTS:
            count *= 4
            coarse = volume
            volume = self._integrate_area(count)
        return volume, abs(volume - coarse)

    def _integrate_area(self, count: int) -> float:
        z, weight = self._quadrature_rule(count)
        return float((weight * apply_in_chunks(self._area_factor, z, CHUNK_SIZE)).sum())

    def quadrature(self, count: int) -> tuple[Tensor, Tensor]:
        """Return the images of the source's quadrature points, and its weights times the area factor."""
        z, weight = self._quadrature_rule(count)
        return self.chart(z), weight * apply_in_chunks(self._area_factor, z, CHUNK_SIZE)

    def _quadrature_rule(self, count: int) -> tuple[Tensor, Tensor]:
        # Above four dimensions a rule of this size is not better than random points.
        if isinstance(self.source, ParameterDomain) and self.dim <= 4:
            return quadrature_rule(self.source, count)
        return self.source.quadrature(count)

    def _area_factor(self, z: Tensor) -> Tensor:
        return area_factor(chart_jacobian(self.source, self.chart, z))

    @cached_property
    def _start_points(self) -> StartPoints:
        return StartPoints.from_source(self.source, self.chart)

    @cached_property
    def _max_area_factor(self) -> float:
        return 1.05 * float(apply_in_chunks(self._area_factor, self._start_points.z, CHUNK_SIZE).max())

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return images of uniform source points, accepted with a probability proportional to the area factor."""
        bound = self._max_area_factor
        while True:
            accepted: list[Tensor] = []
            # At least one round, so that an empty sample also has the right shape.
            while not accepted or sum(map(len, accepted)) < count:
                z = self.source.sample(max(2 * count, 64), generator)
                factor = apply_in_chunks(self._area_factor, z, CHUNK_SIZE)
                if float(factor.max()) > bound:
                    break
                uniform = torch.rand(len(z), generator=generator, dtype=torch.float64, device=generator.device)
                accepted.append(z[uniform * bound < factor])
            else:
                return self.chart(torch.cat(accepted)[:count])
            # The bound was too low between the grid points, so the accepted points are not uniform: start again.
            bound = 1.05 * float(factor.max())

    def closest_source_points(self, x: Tensor) -> Tensor:
        """Return the points of the source, `(B, m)` float64, whose images are closest to each of `(B, n)`."""
        return closest_source_points(self.source, self.chart, self._start_points, to_double(x))

    def source_points(self, x: Tensor) -> Tensor:
        return self.closest_source_points(x)

    def project(self, x: Tensor) -> Tensor:
        return self.chart(self.closest_source_points(x)).to(x.device, x.dtype)

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Return the Gram-Schmidt orthonormalization of the Jacobian's columns, `(B, n, d)`."""
        return _orthonormalize(chart_jacobian(self.source, self.chart, self.closest_source_points(x)))[0].to(
            x.device, x.dtype
        )

    def second_fundamental_form(self, x: Tensor) -> Tensor:
        """Return the normal part of the second derivatives in the orthonormal basis, `(B, n, d, d)`."""
        z = self.closest_source_points(x)
        _, jacobian, hessian = chart_derivatives(self.source, self.chart, z)
        basis, inverse = _orthonormalize(jacobian)
        hessian = torch.einsum("bnij,bik,bjl->bnkl", hessian, inverse, inverse)
        tangential = torch.einsum("bnk,bmk,bmij->bnij", basis, basis, hessian)
        return (hessian - tangential).to(x.device, x.dtype)

    def coordinates(self, x: Tensor) -> Tensor:
        return self.source.coordinates(self.closest_source_points(x)).to(x.device, x.dtype)

    def regular_grid(self, per_side: int) -> Tensor | None:
        points = self.source.regular_grid(per_side)
        return None if points is None else self.chart(points)

    def parametrization(self) -> tuple[Manifold, ChartMap]:
        return self.source, self.chart

    def triangulation(self) -> VerticesAndFaces | None:
        return triangulate(self)


def triangulate(manifold: Manifold) -> VerticesAndFaces | None:
    """Return the image of the source's mesh under the chart, closed along periodic axes; None above dimension 2."""
    if manifold.dim > 2:
        return None
    source, chart = manifold.parametrization()
    if not isinstance(source, ParameterDomain):
        mesh = source.triangulation()
        return None if mesh is None else (chart(torch.from_numpy(mesh[0])).numpy(), mesh[1])
    unit, faces = unit_grid_mesh(_mesh_resolution(source, chart))
    points = chart(AffineBox.embed(source, torch.from_numpy(unit))).numpy()
    return merge_vertices(points, faces) if any(source.periodic) else (points, faces)


def _mesh_resolution(source: ParameterDomain, chart: ChartMap) -> tuple[int, ...]:
    """Return the number of steps along each axis: 256 for a curve, for a surface about 6,000 nearly square cells."""
    if source.dim == 1:
        return (256,)
    jacobian = chart_jacobian(source, chart, source.grid_points(256))
    sides = torch.linalg.vector_norm(jacobian, dim=1).mean(0) * source.edges.diagonal()
    aspect = math.sqrt(float(sides[0] / sides[1]))
    return tuple(int(np.clip(round(77 * factor), 12, 400)) for factor in (aspect, 1 / aspect))


def _orthonormalize(jacobian: Tensor) -> tuple[Tensor, Tensor]:
    """Return Q and the inverse of R in J = Q R: orthonormal columns, and upper triangular with a positive diagonal."""
    q, r = torch.linalg.qr(jacobian)
    sign = torch.where(r.diagonal(dim1=1, dim2=2) < 0, -1.0, 1.0).to(r)
    q = q * sign[:, None, :]
    r = r * sign[:, :, None]
    eye = torch.eye(r.shape[1], dtype=r.dtype, device=r.device).expand_as(r)
    return q, torch.linalg.solve_triangular(r, eye, upper=True)
