"""Local PCA: tangent spaces estimated from a point cloud by the principal directions of nearest neighbors."""

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Literal, final

import torch
from torch import Tensor

from dimple.errors import ShapeError
from dimple.linalg.symmetric import symmetric_eigen
from dimple.tangents.base import (
    TangentEstimate,
    expected_angle,
    leading_eigenvectors,
    orthonormalize,
    residual_variance_fraction,
)
from dimple.tangents.cubic_slope import cubic_slope_angle
from dimple.tangents.eigengap import Eigengap, find_eigengap
from dimple.tangents.neighbors import NearestNeighbors, limit_to_one_thread
from dimple.tangents.quadratic_fit import fit_quadratic, quadratic_coefficient_count
from dimple.tangents.unresolved import Roughness, measure_roughness, unresolved_angle

# Weight of a neighbor whose distance is u times the radius of the neighborhood.
KERNELS: dict[str, Callable[[Tensor], Tensor]] = {
    "uniform": torch.ones_like,
    "tricube": lambda u: (1 - u.clamp(max=1) ** 3) ** 3,
    "gaussian": lambda u: torch.exp(-2 * u * u),
}
# Points of the cloud that determine its noise, and its dimension where none is given.
SELECTED_POINTS = 256
# Size of the neighborhoods that are processed together: they are read four times and should stay in the cache.
CHUNK_BYTES = 2**21
# Neighbors for each direction from which subspace iteration is used instead of a full decomposition.
MIN_POINTS_PER_DIRECTION = 5


@final
class LocalPCA:
    """Tangent field of the d leading principal directions of the points of a cloud that are nearest to a sample.

    Each estimate has an expected angle error, computed from its own spectrum: sqrt(sum l_i l_j / (k (l_i - l_j)^2))
    over tangent i and normal j. Curvature, noise and a wrong dimension all enter through the variances l_j, which are
    zero for a flat neighborhood without noise. To it is added the angle of slopes that the neighborhood is too wide to
    resolve: where the heights of close neighbors above the plane are too similar for noise (`unresolved_angle`), or
    where cubic fits have another slope at their centers than the planes on average over the cloud
    (`cubic_slope_angle`). Waves with fewer than three points a length, or lower than the noise, cannot be told from it.
    An estimate is reliable where this error is at most
    `tolerance`, more than d neighbors have a weight, and the distance of the sample from their mean is at most twice
    their root mean square distance from it.

    Args:
        cloud: `(N, *shape)` points of the data manifold, for example training images.
        dim: d, the dimension of the estimate; None takes the number of directions before the widest eigengap of the
            mean spectrum over the cloud, in comparison with equally many points of the same spread in all directions.
            Where the gap leaves a doubt, no estimate is reliable.
        neighbors: k > d, the number of neighbors of each estimate. A point that equals the sample is not counted.
        radius: the largest distance of a neighbor, in input units; k is then the maximum number of neighbors. None for
            no limit.
        kernel: the weight of a neighbor by its distance: `uniform`, `tricube` or `gaussian` (two standard deviations at
            the edge).
        order: 2 fits a quadratic surface over the principal plane and takes its tangent at the sample, which removes
            the error of curvature; it needs k > (d + 1)(d + 2) / 2 neighbors, and improves only clean data.
        tolerance: the largest expected error of a reliable estimate, in radians.

    Raises:
        ShapeError: if the cloud is too small for k, or k is too small for d.

    Reference: Kaslovsky and Meyer 2014, Non-asymptotic analysis of tangent space perturbation, section 3.

    Example:
        >>> line = torch.stack([torch.linspace(0, 1, 50), torch.zeros(50)], dim=1)
        >>> LocalPCA(line, dim=1, neighbors=5).tangent_basis(torch.tensor([[0.5, 0.0]])).abs().squeeze()
        tensor([1., 0.])
    """

    def __init__(
        self,
        cloud: Tensor,
        dim: int | None,
        neighbors: int = 50,
        *,
        radius: float | None = None,
        kernel: Literal["uniform", "tricube", "gaussian"] = "uniform",
        order: Literal[1, 2] = 1,
        tolerance: float = 0.25,
    ) -> None:
        if neighbors < 2 or (dim is not None and not 1 <= dim < neighbors):
            raise ShapeError(f"LocalPCA: dim is {dim} with {neighbors} neighbors; 1 <= dim < neighbors is needed")
        if len(cloud) <= neighbors:
            raise ShapeError(f"LocalPCA: {len(cloud)} points cannot give {neighbors} neighbors each; ask for fewer")
        if radius is not None and not radius > 0:
            raise ShapeError(f"LocalPCA: radius is {radius}; it must be greater than 0")
        if kernel not in KERNELS or order not in (1, 2):
            raise ShapeError(f"LocalPCA: kernel {kernel!r} with order {order!r}; choose from {[*KERNELS]} and 1, 2")
        self.neighbor_search = NearestNeighbors(cloud)
        self.neighbors = neighbors
        self.radius = radius
        self.kernel = kernel
        self.order = order
        self.tolerance = tolerance
        self._requested_dim = dim
        n = self.neighbor_search.points.shape[1]
        if self.dim > n:
            raise ShapeError(f"LocalPCA: dim is {dim} in R^{n}; it can be {n} at most")
        if order == 2 and neighbors <= quadratic_coefficient_count(self.dim):
            raise ShapeError(
                f"LocalPCA: {neighbors} neighbors for order 2 at dimension {self.dim}; "
                f"ask for more than {quadratic_coefficient_count(self.dim)}, or for order 1"
            )

    @property
    def dim(self) -> int:
        """The dimension d as given, or from the widest eigengap of the mean spectrum at evenly chosen cloud points."""
        return self._eigengap.dim if self._requested_dim is None else self._requested_dim

    @cached_property
    def _eigengap(self) -> Eigengap:
        spectra = [
            _principal_directions(differences, weight, 1)[1][:, : self.neighbors]
            for differences, weight, _, _ in self._neighborhoods(self._selected_points)
        ]
        return find_eigengap(torch.cat(spectra), self._selected_points.shape[1], self.neighbors)

    @property
    def _selected_points(self) -> Tensor:
        """Evenly chosen points of the cloud, which determine what is one number for all of it."""
        points = self.neighbor_search.points
        return points[:: max(1, len(points) // SELECTED_POINTS)][:SELECTED_POINTS]

    @cached_property
    def _roughness(self) -> Roughness:
        return measure_roughness(
            (differences, weight, _leading_directions(differences, weight, self.dim))
            for differences, weight, _, _ in self._neighborhoods(self._selected_points)
        )

    @cached_property
    def _cubic_slope_angle(self) -> float:
        return cubic_slope_angle(
            (
                (differences, weight, _leading_directions(differences, weight, self.dim), radius)
                for differences, weight, _, radius in self._neighborhoods(self._selected_points)
            ),
            self.neighbors,
            len(self.neighbor_search.points),
        )

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Return orthonormal columns `(B, n, d)`, in order of decreasing variance."""
        with limit_to_one_thread():
            rows = self.neighbor_search.to_rows(x)
            return torch.cat([self._tangent_basis(*part) for part in self._neighborhoods(rows)]).to(x)

    def estimate(self, x: Tensor) -> TangentEstimate:
        """Return the tangent space at each of the samples `(B, *shape)`, with its quality measures.

        `residual` is the fraction of the neighborhood's variance off the basis, `plane_distance` the square root of
        this variance, in input units, `radius` the distance to the farthest neighbor that has a weight, `error` the
        expected angle (see the class). With order 2 the first two still belong to the principal plane.
        """
        with limit_to_one_thread():
            parts = [self._estimate(*part) for part in self._neighborhoods(self.neighbor_search.to_rows(x))]
        return TangentEstimate.concatenate(parts).cast_like(x)

    def _neighborhoods(self, rows: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Iterate over the neighborhoods of the samples, in chunks; each chunk overwrites the previous one."""
        index = self.neighbor_search.query_unordered(rows, self.neighbors + 1)
        step = max(1, CHUNK_BYTES // (self.neighbors * rows.shape[1] * rows.element_size()))
        return map(self._weight_neighbors, self.neighbor_search.iterate_differences(rows, index, step))

    def _weight_neighbors(self, differences: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the differences `(B, k + 1, n)`, the weights, the number of neighbors with a weight, and their radius.

        One point has no weight: the sample itself if it is a point of the cloud, otherwise the farthest point.
        """
        distance = torch.linalg.vector_norm(differences, dim=2)
        nearest = distance.min(1)
        excluded = torch.where(nearest.values == 0, nearest.indices, distance.argmax(1))
        included = torch.ones_like(distance, dtype=torch.bool).scatter(1, excluded[:, None], False)
        if self.radius is not None:
            included &= distance <= self.radius
        radius = torch.where(included, distance, 0.0).amax(1)
        scale = radius if self.radius is None else torch.full_like(radius, self.radius)
        relative_distance = distance / scale.clamp(min=torch.finfo(distance.dtype).tiny)[:, None]
        weight = torch.where(included, KERNELS[self.kernel](relative_distance), 0.0)
        return differences, weight, included.sum(1), radius

    def _tangent_basis(self, differences: Tensor, weight: Tensor, counts: Tensor, radius: Tensor) -> Tensor:
        """Return the basis of `_estimate` without its quality measures, at a fraction of the cost."""
        basis = _leading_directions(differences, weight, self.dim)
        return basis if self.order == 1 else fit_quadratic(differences, weight, basis, radius, radius)[0]

    def _estimate(self, differences: Tensor, weight: Tensor, counts: Tensor, radius: Tensor) -> TangentEstimate:
        basis, spectrum, offset = _principal_directions(differences, weight, self.dim)
        spectrum = spectrum[:, : self.neighbors]
        # Unequal weights reduce the effective number of points; the mean takes one degree of freedom.
        effective_count = weight.sum(1).square() / weight.square().sum(1).clamp(min=torch.finfo(weight.dtype).tiny)
        error = expected_angle(spectrum, self.dim, effective_count - 1)
        unresolved = unresolved_angle(differences, weight, basis, self._roughness)
        if self.order == 2:
            basis, error = fit_quadratic(differences, weight, basis, radius, error)
        error = torch.hypot(error, unresolved).clamp(min=self._cubic_slope_angle, max=math.pi / 2)
        error = torch.where(counts > self.dim, error, math.pi / 2)
        reliable = (error <= self.tolerance) & (offset <= 2 * spectrum.sum(1).sqrt())
        if self._requested_dim is None and self._eigengap.is_doubtful:
            reliable = torch.zeros_like(reliable)
        residual = residual_variance_fraction(spectrum, self.dim)
        plane_distance = spectrum[:, self.dim :].sum(1).sqrt()
        return TangentEstimate(basis, spectrum, residual, radius, plane_distance, error, reliable)


def _principal_directions(differences: Tensor, weight: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the leading directions `(B, n, d)` of weighted points `(B, k, n)`, all variances, and their mean's length.

    In many dimensions the Gram matrix is centered instead of the points, which would cost a pass through memory.
    """
    if differences.shape[2] < differences.shape[1]:
        normalized_weight = _normalize_weights(weight)
        mean = torch.einsum("bk,bkn->bn", normalized_weight, differences)
        centered = (differences - mean[:, None]) * normalized_weight.sqrt()[:, :, None]
        values, vectors = symmetric_eigen(centered.mT @ centered)
        return vectors[:, :, -dim:].flip(2), values.flip(1).clamp(min=0), torch.linalg.vector_norm(mean, dim=1)
    gram, normalized_weight, offset = _weighted_gram(differences, weight)
    values, vectors = symmetric_eigen(gram)
    basis = _basis_from_coefficients(differences, normalized_weight, vectors[:, :, -dim:].flip(2))
    return basis, values.flip(1).clamp(min=0), offset


def _leading_directions(differences: Tensor, weight: Tensor, dim: int) -> Tensor:
    """Return the leading directions without the variances, `(B, n, d)`."""
    # With few points for each direction there is no eigengap behind the last one for an iteration to converge by.
    if differences.shape[2] < differences.shape[1] or MIN_POINTS_PER_DIRECTION * dim > differences.shape[1]:
        return _principal_directions(differences, weight, dim)[0]
    if differences.device.type != "cpu" or differences.dtype not in (torch.float32, torch.float64):
        gram, normalized_weight, _ = _weighted_gram(differences, weight)
        return _basis_from_coefficients(differences, normalized_weight, leading_eigenvectors(gram, dim))
    from dimple.tangents._subspace_iteration import leading_directions

    columns, converged = leading_directions(differences, _normalize_weights(weight), dim)
    basis = orthonormalize(columns)
    if not bool(converged.all()):
        basis[~converged] = _principal_directions(differences[~converged], weight[~converged], dim)[0]
    return basis


def _normalize_weights(weight: Tensor) -> Tensor:
    """Return the weights `(B, k)` scaled to the sum 1."""
    return weight / weight.sum(1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)


def _weighted_gram(differences: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the weighted, centered Gram matrix `(B, k, k)`, the normalized weights `(B, k)`, and the mean's length.

    The rows of the Gram matrix are the points minus their mean, times the square roots of the normalized weights.
    """
    normalized_weight = _normalize_weights(weight)
    gram = differences @ differences.mT
    # Inner products of each point with the mean, and of the mean with itself.
    with_mean = (gram * normalized_weight[:, None]).sum(2)
    squared = (normalized_weight * with_mean).sum(1)
    root = normalized_weight.sqrt()
    gram += squared[:, None, None] - with_mean[:, :, None] - with_mean[:, None, :]
    return gram * (root[:, :, None] * root[:, None, :]), normalized_weight, squared.clamp(min=0).sqrt()


def _basis_from_coefficients(differences: Tensor, normalized_weight: Tensor, coefficients: Tensor) -> Tensor:
    """Return orthonormal columns `(B, n, d)` along combinations of centered points with `coefficients` `(B, k, d)`."""
    weighted = normalized_weight.sqrt()[:, :, None] * coefficients
    centered = weighted - normalized_weight[:, :, None] * weighted.sum(1, keepdim=True)
    # In this order the long matrix is read along its rows.
    return orthonormalize((centered.mT @ differences).mT)
