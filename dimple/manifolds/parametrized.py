"""One mechanism for all curved members: the image of a simpler manifold under a smooth map, differentiated by torch."""

import math
from abc import abstractmethod
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from dimple.manifolds.affine import Affine, Cell
from dimple.manifolds.base import Chart, Manifold, working
from dimple.manifolds.closest_point import Seeds, nearest
from dimple.manifolds.derivatives import area_factor, jet, tangents
from dimple.manifolds.quadrature import cell_rule
from dimple.manifolds.reach import searched_reach
from dimple.manifolds.triangulations import Drawn, patch, welded
from dimple.tensors import in_chunks

SEEDS = {1: 1024, 2: 2304}
# Where the tangent space turns by more than this, in radians, between most neighbouring seeds, there are too few.
TURN = 0.5
QUADRATURE = 2**16
CHUNK = 4096


class Mapped(Manifold):
    """The image of `source` under `chart`, an embedding that torch can differentiate twice.

    A member gives a source, most often a `Cell` of parameters, and the chart. Tangents are the Jacobian's range,
    curvature comes from the second derivatives, nearest points from Newton's method started at every local minimum
    of a lattice and run to 1e-13, the uniform measure by rejection on the area factor, volume by quadrature.
    """

    @property
    @abstractmethod
    def source(self) -> Manifold:
        """What the chart is defined on."""

    @abstractmethod
    def chart(self, z: Tensor) -> Tensor:
        """Points `(B, m)` of the source as points `(B, n)`, by differentiable operations of torch alone."""

    @property
    def dim(self) -> int:
        """That of the source."""
        return self.source.dim

    @property
    def reach(self) -> float:
        """The least that a search over pairs of points and over curvatures has found."""
        return self._searched_reach

    @cached_property
    def _searched_reach(self) -> float:
        return searched_reach(self.source, self.chart)

    @property
    def reach_is_exact(self) -> bool:
        """No: it is searched for."""
        return False

    @property
    def volume(self) -> float:
        """The integral of the area factor."""
        return self._integrated_volume

    @cached_property
    def _integrated_volume(self) -> float:
        z, weight = self._rule(QUADRATURE)
        return float((weight * in_chunks(self._factor, z, CHUNK)).sum())

    def quadrature(self, count: int) -> tuple[Tensor, Tensor]:
        """The source's rule, with the area factor in the weights."""
        z, weight = self._rule(count)
        return self.chart(z), weight * in_chunks(self._factor, z, CHUNK)

    def _rule(self, count: int) -> tuple[Tensor, Tensor]:
        # Beyond four dimensions no rule of this size beats random points.
        if isinstance(self.source, Cell) and self.dim <= 4:
            return cell_rule(self.source, count)
        return self.source.quadrature(count)

    def _factor(self, z: Tensor) -> Tensor:
        return area_factor(tangents(self.source, self.chart, z))

    @cached_property
    def _seeds(self) -> Seeds:
        count = SEEDS.get(self.dim, 4096)
        seeds = Seeds.of(self.source, self.chart, count)
        basis = _orthonormal(tangents(self.source, self.chart, seeds.z))[0]
        cosine = torch.linalg.svdvals(basis[:, None].mT @ basis[seeds.neighbours]).amin((1, 2))
        return seeds if float(cosine.median()) > math.cos(TURN) else Seeds.of(self.source, self.chart, 4 * count)

    @cached_property
    def _highest_factor(self) -> float:
        z = self.source.nodes(SEEDS.get(self.dim, 4096))
        return 1.05 * float(in_chunks(self._factor, z, CHUNK).max())

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Points of the source, kept with a probability proportional to the area that the chart gives them."""
        highest = self._highest_factor
        while True:
            kept: list[Tensor] = []
            # Once at least, so that no points at all also have a shape.
            while not kept or sum(map(len, kept)) < count:
                z = self.source.sample(max(2 * count, 64), generator)
                factor = in_chunks(self._factor, z, CHUNK)
                if float(factor.max()) > highest:
                    break
                toss = torch.rand(len(z), generator=generator, dtype=torch.float64, device=generator.device)
                kept.append(z[toss * highest < factor])
            else:
                return self.chart(torch.cat(kept)[:count])
            # The bound was too low between the seeds, and what was kept is not uniform: begin again with a larger one.
            highest = 1.05 * float(factor.max())

    def locate(self, x: Tensor) -> Tensor:
        """The points `(B, m)` of the source, float64, whose images are nearest to each of `(B, n)`."""
        return nearest(self.source, self.chart, self._seeds, working(x))

    def project(self, x: Tensor) -> Tensor:
        """The image of the located point."""
        return self.chart(self.locate(x)).to(x.device, x.dtype)

    def tangent_basis(self, x: Tensor) -> Tensor:
        """The Jacobian's columns made orthonormal one after the other."""
        return _orthonormal(tangents(self.source, self.chart, self.locate(x)))[0].to(x.device, x.dtype)

    def second_form(self, x: Tensor) -> Tensor:
        """The normal part of the second derivatives, in the orthonormal basis."""
        z = self.locate(x)
        _, jacobian, hessian = jet(self.source, self.chart, z)
        basis, inverse = _orthonormal(jacobian)
        hessian = torch.einsum("bnij,bik,bjl->bnkl", hessian, inverse, inverse)
        tangential = torch.einsum("bnk,bmk,bmij->bnij", basis, basis, hessian)
        return (hessian - tangential).to(x.device, x.dtype)

    def coordinates(self, x: Tensor) -> Tensor:
        """Those of the source."""
        return self.source.coordinates(self.locate(x)).to(x.device, x.dtype)

    def grid(self, per_side: int) -> Tensor | None:
        """The image of the source's."""
        points = self.source.grid(per_side)
        return None if points is None else self.chart(points)

    def unfold(self) -> tuple[Manifold, Chart]:
        """The source and the chart."""
        return self.source, self.chart

    def triangulation(self) -> Drawn | None:
        """The image of the source's mesh, closed where the chart closes."""
        return triangulate(self)


def triangulate(manifold: Manifold) -> Drawn | None:
    """The image of the source's mesh under the chart; None beyond surfaces."""
    if manifold.dim > 2:
        return None
    source, chart = manifold.unfold()
    if not isinstance(source, Cell):
        drawn = source.triangulation()
        return None if drawn is None else (chart(torch.from_numpy(drawn[0])).numpy(), drawn[1])
    unit, faces = patch(_steps(source, chart))
    points = chart(Affine.embed(source, torch.from_numpy(unit))).numpy()
    return welded(points, faces) if any(source.closed) else (points, faces)


def _steps(source: Cell, chart: Chart) -> tuple[int, ...]:
    """Steps along each axis: 256 for a curve, about 6,000 squarish ones in all for a surface."""
    if source.dim == 1:
        return (256,)
    jacobian = tangents(source, chart, source.nodes(256))
    sides = torch.linalg.vector_norm(jacobian, dim=1).mean(0) * source.edges.diagonal()
    aspect = math.sqrt(float(sides[0] / sides[1]))
    return tuple(int(np.clip(round(77 * factor), 12, 400)) for factor in (aspect, 1 / aspect))


def _orthonormal(jacobian: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal columns Q and the upper triangular inverse of R in J = Q R, R's diagonal positive."""
    q, r = torch.linalg.qr(jacobian)
    sign = torch.where(r.diagonal(dim1=1, dim2=2) < 0, -1.0, 1.0).to(r)
    q, r = q * sign[:, None, :], r * sign[:, :, None]
    eye = torch.eye(r.shape[1], dtype=r.dtype, device=r.device).expand_as(r)
    return q, torch.linalg.solve_triangular(r, eye, upper=True)
