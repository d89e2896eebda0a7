"""Tangent spaces estimated from a cloud of points: principal directions of each point's neighbours."""

import math
from collections.abc import Callable
from functools import cached_property
from typing import Literal, final

import torch
from torch import Tensor

from dimple.errors import ShapeError
from dimple.probes.neighbours import BUDGET, Neighbours
from dimple.probes.osculating import osculate, unknowns
from dimple.probes.tangents import TangentEstimate, eigengap, expected_angle, left_out, principal
from dimple.tensors import chunks, flatten

# The weight of a neighbour at the share u of the neighbourhood's radius.
KERNELS: dict[str, Callable[[Tensor], Tensor]] = {
    "uniform": torch.ones_like,
    "tricube": lambda u: (1 - u.clamp(max=1) ** 3) ** 3,
    "gaussian": lambda u: torch.exp(-2 * u * u),
}
# How many points of the cloud vote on its dimension where none is given.
VOTERS = 256


@final
class LocalPCA:
    """The d leading principal directions of the nearest points of a cloud, at any sample.

    Each estimate comes with the angle error that its own spectrum leads one to expect, sqrt(sum l_i l_j /
    (k (l_i - l_j)^2)) over tangent i and normal j: curvature, noise and a wrong dimension all enter through the
    variances l_j that a flat, clean neighbourhood would not have. It is called reliable where that error is at most
    `tolerance`, more than d neighbours count, and the sample lies no farther from their mean than twice their spread.

    Args:
        cloud: `(N, *shape)` points of the data manifold, such as training images.
        dim: d, the dimension of the estimate; None takes the widest gap of the mean spectrum over the cloud.
        neighbours: k > d, how many points each estimate looks at. A point that equals the sample is not counted.
        radius: leaves out neighbours farther away than this, in input units; k is then the most that may count.
        kernel: how a neighbour's weight falls with its distance: `uniform`, `tricube` or `gaussian` (two standard
            deviations at the edge).
        order: 2 fits a quadratic surface over the principal plane and takes its tangent at the sample, which removes
            the error of curvature; it needs k > (d + 1)(d + 2) / 2 neighbours and clean data to gain by it.
        tolerance: the expected error, in radians, up to which an estimate is called reliable.

    Raises:
        ShapeError: if the cloud is too small for k, or k for d.

    Reference: Kaslovsky and Meyer 2014, Non-asymptotic analysis of tangent space perturbation, section 3.

    Example:
        >>> line = torch.stack([torch.linspace(0, 1, 50), torch.zeros(50)], dim=1)
        >>> LocalPCA(line, dim=1, neighbours=5).tangent_basis(torch.tensor([[0.5, 0.0]])).abs().squeeze()
        tensor([1., 0.])
    """

    def __init__(
        self,
        cloud: Tensor,
        dim: int | None,
        neighbours: int = 50,
        *,
        radius: float | None = None,
        kernel: Literal["uniform", "tricube", "gaussian"] = "uniform",
        order: Literal[1, 2] = 1,
        tolerance: float = 0.25,
    ) -> None:
        if neighbours < 2 or (dim is not None and not 1 <= dim < neighbours):
            raise ShapeError(f"LocalPCA: dim is {dim} with {neighbours} neighbours; 1 <= dim < neighbours is needed")
        if len(cloud) <= neighbours:
            raise ShapeError(f"LocalPCA: {len(cloud)} points cannot give {neighbours} neighbours each; ask for fewer")
        if radius is not None and not radius > 0:
            raise ShapeError(f"LocalPCA: radius is {radius}; it must be greater than 0")
        if kernel not in KERNELS or order not in (1, 2):
            raise ShapeError(f"LocalPCA: kernel {kernel!r} with order {order!r}; choose from {[*KERNELS]} and 1, 2")
        self.search = Neighbours(cloud)
        self.neighbours, self.radius, self.kernel, self.order = neighbours, radius, kernel, order
        self.tolerance = tolerance
        self._given = dim
        n = self.search.points.shape[1]
        if self.dim > n:
            raise ShapeError(f"LocalPCA: dim is {dim} in R^{n}; it can be {n} at most")
        if order == 2 and neighbours <= unknowns(self.dim):
            raise ShapeError(
                f"LocalPCA: {neighbours} neighbours for order 2 at dimension {self.dim}; "
                f"ask for more than {unknowns(self.dim)}, or for order 1"
            )

    @cached_property
    def dim(self) -> int:
        """d: as given, or where the spectrum, averaged over evenly chosen points of the cloud, has its widest gap."""
        if self._given is not None:
            return self._given
        points = self.search.points
        voters = points[:: max(1, len(points) // VOTERS)][:VOTERS]
        spectra = []
        for part in self._parts(len(voters)):
            near, weight, _, _ = self._neighbourhood(voters[part])
            spectra.append(principal(_weighted(near, weight)[0], 1)[1])
        return eigengap(torch.cat(spectra), points.shape[1], (self.neighbours - 1) // 2)

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Orthonormal columns `(B, n, d)`, ordered by falling variance."""
        return self.estimate(x).basis

    def estimate(self, x: Tensor) -> TangentEstimate:
        """The tangent space at each of the samples `(B, *shape)`, with its evidence.

        `residual` is the share of the neighbourhood's variance off the basis, `radius` the distance to the farthest
        neighbour that counts, `error` the expected angle (see the class).
        """
        rows = flatten(x).to(self.search.points)
        return TangentEstimate.concatenate([self._estimate(rows[part]) for part in self._parts(len(rows))]).like(x)

    def _parts(self, count: int) -> list[slice]:
        """Chunks whose neighbourhoods fit into the budget, long enough for the search to share its work."""
        size = BUDGET // (2 * self.neighbours * self.search.points.shape[1])
        return list(chunks(count, min(2048, max(1, size))))

    def _neighbourhood(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Neighbours seen from the sample `(B, k, n)`, their weights `(B, k)`, which of them count, and the radius."""
        distance, index = self.search.nearest(rows, self.neighbours)
        counts = torch.ones_like(distance, dtype=torch.bool) if self.radius is None else distance <= self.radius
        reach = torch.where(counts, distance, 0.0).amax(1)
        scale = reach if self.radius is None else torch.full_like(reach, self.radius)
        share = distance / scale.clamp(min=torch.finfo(distance.dtype).tiny)[:, None]
        weight = torch.where(counts, KERNELS[self.kernel](share), 0.0)
        return self.search.points[index] - rows[:, None], weight, counts.sum(1), reach

    def _estimate(self, rows: Tensor) -> TangentEstimate:
        near, weight, counts, reach = self._neighbourhood(rows)
        centred, mean = _weighted(near, weight)
        basis, spectrum = principal(centred, self.dim)
        # Weights make fewer points of many; the mean has used up one.
        effective = weight.sum(1).square() / weight.square().sum(1).clamp(min=torch.finfo(weight.dtype).tiny)
        error = expected_angle(spectrum, self.dim, effective - 1)
        if self.order == 2:
            basis, error = osculate(near, weight, basis, reach, error)
        error = torch.where(counts > self.dim, error, math.pi / 2)
        amid = torch.linalg.vector_norm(mean, dim=1) <= 2 * spectrum.sum(1).sqrt()
        reliable = (error <= self.tolerance) & amid
        return TangentEstimate(basis, spectrum, left_out(spectrum, self.dim), reach, error, reliable)


def _weighted(near: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Rows about their weighted mean times the roots of their weights, which sum to one, and that mean `(B, n)`."""
    share = weight / weight.sum(1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)
    mean = torch.einsum("bk,bkn->bn", share, near)
    return (near - mean[:, None]) * share.sqrt()[:, :, None], mean
