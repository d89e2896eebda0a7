"""Tangent spaces estimated from a cloud of points: principal directions of each point's neighbours."""

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Literal, final

import torch
from torch import Tensor

from dimple.errors import ShapeError
from dimple.tangents.base import TangentEstimate, eigengap, expected_angle, leading, left_out, orthonormal
from dimple.tangents.neighbors import Neighbours, one_thread
from dimple.tangents.quadratic_fit import osculate, unknowns

# The weight of a neighbour at the share u of the neighbourhood's radius.
KERNELS: dict[str, Callable[[Tensor], Tensor]] = {
    "uniform": torch.ones_like,
    "tricube": lambda u: (1 - u.clamp(max=1) ** 3) ** 3,
    "gaussian": lambda u: torch.exp(-2 * u * u),
}
# How many points of the cloud vote on its dimension where none is given.
VOTERS = 256
# How many bytes the neighbourhoods of one step may hold: they are read four times, so they should stay in the cache.
BUDGET = 2**21
# With more points than this for each direction, the directions are iterated for alone.
FEW = 5


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
        spectra = [_principal(near, weight, 1)[1][:, : self.neighbours] for near, weight, _, _ in self._around(voters)]
        return eigengap(torch.cat(spectra), points.shape[1], (self.neighbours - 1) // 2)

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Orthonormal columns `(B, n, d)`, ordered by falling variance."""
        with one_thread():
            return torch.cat([self._directions(*seen) for seen in self._around(self.search.rows(x))]).to(x)

    def estimate(self, x: Tensor) -> TangentEstimate:
        """The tangent space at each of the samples `(B, *shape)`, with its evidence.

        `residual` is the share of the neighbourhood's variance off the basis, `missed` its root in input units,
        `radius` the distance to the farthest neighbour that counts, `error` the expected angle (see the class). Of
        order 2 the first two still speak of the plane.
        """
        with one_thread():
            parts = [self._estimate(*seen) for seen in self._around(self.search.rows(x))]
        return TangentEstimate.concatenate(parts).like(x)

    def _around(self, rows: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """The neighbourhoods of the samples, some at a time; each is gone when the next one is asked for."""
        index = self.search.around(rows, self.neighbours + 1)
        step = max(1, BUDGET // (self.neighbours * rows.shape[1] * rows.element_size()))
        return map(self._weighed, self.search.seen(rows, index, step))

    def _weighed(self, near: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The k + 1 nearest points as seen from the sample `(B, k + 1, n)`, their weights, how many count, how far.

        One of them has no weight: the sample itself if it is a point of the cloud, otherwise the farthest.
        """
        distance = torch.linalg.vector_norm(near, dim=2)
        least = distance.min(1)
        left = torch.where(least.values == 0, least.indices, distance.argmax(1))
        counts = torch.ones_like(distance, dtype=torch.bool).scatter(1, left[:, None], False)
        if self.radius is not None:
            counts &= distance <= self.radius
        reach = torch.where(counts, distance, 0.0).amax(1)
        scale = reach if self.radius is None else torch.full_like(reach, self.radius)
        share = distance / scale.clamp(min=torch.finfo(distance.dtype).tiny)[:, None]
        weight = torch.where(counts, KERNELS[self.kernel](share), 0.0)
        return near, weight, counts.sum(1), reach

    def _directions(self, near: Tensor, weight: Tensor, counts: Tensor, reach: Tensor) -> Tensor:
        """The basis alone: the same as in `estimate`, at a fraction of the price."""
        basis = _leading(near, weight, self.dim)
        return basis if self.order == 1 else osculate(near, weight, basis, reach, reach)[0]

    def _estimate(self, near: Tensor, weight: Tensor, counts: Tensor, reach: Tensor) -> TangentEstimate:
        basis, spectrum, offset = _principal(near, weight, self.dim)
        spectrum = spectrum[:, : self.neighbours]
        # Weights make fewer points of many; the mean has used up one.
        effective = weight.sum(1).square() / weight.square().sum(1).clamp(min=torch.finfo(weight.dtype).tiny)
        error = expected_angle(spectrum, self.dim, effective - 1)
        if self.order == 2:
            basis, error = osculate(near, weight, basis, reach, error)
        error = torch.where(counts > self.dim, error, math.pi / 2)
        reliable = (error <= self.tolerance) & (offset <= 2 * spectrum.sum(1).sqrt())
        missed = spectrum[:, self.dim :].sum(1).sqrt()
        return TangentEstimate(basis, spectrum, left_out(spectrum, self.dim), reach, missed, error, reliable)


def _principal(near: Tensor, weight: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Leading directions `(B, n, d)` of weighted points `(B, k, n)`, all variances, and how far off their mean is.

    The points are never centred themselves, which would cost a pass through memory: their Gram matrix is.
    """
    if near.shape[2] < near.shape[1]:
        share = _shares(weight)
        mean = torch.einsum("bk,bkn->bn", share, near)
        centred = (near - mean[:, None]) * share.sqrt()[:, :, None]
        values, vectors = torch.linalg.eigh(centred.mT @ centred)
        return vectors[:, :, -dim:].flip(2), values.flip(1).clamp(min=0), torch.linalg.vector_norm(mean, dim=1)
    gram, share, offset = _gram(near, weight)
    values, vectors = torch.linalg.eigh(gram)
    return _columns(near, share, vectors[:, :, -dim:].flip(2)), values.flip(1).clamp(min=0), offset


def _leading(near: Tensor, weight: Tensor, dim: int) -> Tensor:
    """The leading directions alone, `(B, n, d)`."""
    # Of many directions of few points the last has no gap behind it that an iteration could use.
    if near.shape[2] < near.shape[1] or FEW * dim > near.shape[1]:
        return _principal(near, weight, dim)[0]
    if near.device.type != "cpu" or near.dtype not in (torch.float32, torch.float64):
        gram, share, _ = _gram(near, weight)
        return _columns(near, share, leading(gram, dim))
    from dimple.tangents._subspace_iteration import leading_directions

    columns, settled = leading_directions(near, _shares(weight), dim)
    basis = orthonormal(columns)
    if not bool(settled.all()):
        basis[~settled] = _principal(near[~settled], weight[~settled], dim)[0]
    return basis


def _shares(weight: Tensor) -> Tensor:
    """The weights `(B, k)`, adding up to one."""
    return weight / weight.sum(1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)


def _gram(near: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The Gram matrix `(B, k, k)` of points about their mean times the roots of their shares, those, the mean's length.

    The shares `(B, k)` are the weights, adding up to one.
    """
    share = _shares(weight)
    gram = near @ near.mT
    # What each point has in common with the mean, and the mean with itself.
    common = (gram * share[:, None]).sum(2)
    squared = (share * common).sum(1)
    root = share.sqrt()
    gram += squared[:, None, None] - common[:, :, None] - common[:, None, :]
    return gram * (root[:, :, None] * root[:, None, :]), share, squared.clamp(min=0).sqrt()


def _columns(near: Tensor, share: Tensor, vectors: Tensor) -> Tensor:
    """Orthonormal columns `(B, n, d)` along the combinations `vectors` `(B, k, d)` of the points about their mean."""
    rooted = share.sqrt()[:, :, None] * vectors
    combined = rooted - share[:, :, None] * rooted.sum(1, keepdim=True)
    # In this order the long matrix is read along its rows.
    return orthonormal((combined.mT @ near).mT)
