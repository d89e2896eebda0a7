"""Tangent estimates with quality measures: the basis, its spectrum, its expected error and its reliability."""

import dataclasses
import math
from typing import Protocol, final, runtime_checkable

import torch
from torch import Tensor

from dimple.linalg.symmetric import symmetric_eigen
from dimple.protocols import TangentField
from dimple.tensors import generator

# Fraction of the largest variance below which a direction counts as noise when eigengaps are compared.
NOISE_FLOOR = 1e-3
# Rounds of subspace iteration, each with the fourth power of the matrix.
SUBSPACE_ITERATIONS = 2


@final
@dataclasses.dataclass(frozen=True)
class TangentEstimate:
    """Tangent spaces at a batch of samples, with quality measures for each.

    Each tangent field documents how it obtains the attributes whose definition is left open here.

    Attributes:
        basis: orthonormal columns `(B, n, d)`, the most certain first.
        spectrum: `(B, m)`, decreasing: the variance along each principal direction, in squared input units, or the
            squared singular value of each latent direction.
        residual: `(B,)`, the fraction from 0 to 1 that the estimate does not explain: of the neighborhood's variance,
            or of the sample's own squared length.
        radius: `(B,)`, the distance from the sample up to which data were used, in input units.
        plane_distance: `(B,)`, the distance of the data from the estimated plane, in input units: the root mean square
            over the neighbors, or the sample's own distance from its reconstruction.
        error: `(B,)`, the expected angle to the true tangent space, in radians from 0 to pi / 2.
        reliable: `(B,)` bool, true where the estimate may be used as a tangent space.
    """

    basis: Tensor
    spectrum: Tensor
    residual: Tensor
    radius: Tensor
    plane_distance: Tensor
    error: Tensor
    reliable: Tensor

    @staticmethod
    def concatenate(estimates: list["TangentEstimate"]) -> "TangentEstimate":
        """Return the rows of several estimates by the same field, in order."""
        names = [field.name for field in dataclasses.fields(TangentEstimate)]
        return TangentEstimate(**{name: torch.cat([getattr(part, name) for part in estimates]) for name in names})

    def select(self, index: Tensor) -> "TangentEstimate":
        """Return the estimates at some of the samples, in the order of `index`."""
        names = [field.name for field in dataclasses.fields(TangentEstimate)]
        return TangentEstimate(**{name: getattr(self, name)[index.to(self.basis.device)] for name in names})

    def pad_spectrum(self, length: int) -> "TangentEstimate":
        """Return the same estimates with spectra `(B, length)`, padded with zeros."""
        missing = self.spectrum.new_zeros(len(self.spectrum), max(0, length - self.spectrum.shape[1]))
        return dataclasses.replace(self, spectrum=torch.cat([self.spectrum, missing], 1))

    def cast_like(self, x: Tensor) -> "TangentEstimate":
        """Return the same estimate in the dtype and on the device of the samples `x`."""
        return TangentEstimate(
            self.basis.to(x),
            self.spectrum.to(x),
            self.residual.to(x),
            self.radius.to(x),
            self.plane_distance.to(x),
            self.error.to(x),
            self.reliable.to(x.device),
        )


@runtime_checkable
class EstimatedTangentField(Protocol):
    """A tangent field that is an estimate and gives quality measures for it."""

    def tangent_basis(self, x: Tensor, /) -> Tensor:
        """Return orthonormal columns `(B, n, d)`."""
        ...

    def estimate(self, x: Tensor, /) -> TangentEstimate:
        """Return the same columns with their quality measures."""
        ...


def tangent_basis_and_estimate(field: TangentField, x: Tensor) -> tuple[Tensor, TangentEstimate | None]:
    """Return the field's orthonormal columns `(B, n, d)` at the samples, and the estimate, or None for exact fields."""
    if isinstance(field, EstimatedTangentField):
        estimate = field.estimate(x)
        return estimate.basis, estimate
    return field.tangent_basis(x), None


def tangent_reliability(estimate: TangentEstimate, length: Tensor) -> dict[str, Tensor]:
    """Judge for each sample whether the estimate can decompose a step of the given length `(B,)`.

    Returns:
        `tangent_plane_distance_ratio`, the distance of the data from the estimated plane over the length of the step:
        above 1 the plane does not describe the data at the sample, where the step begins. And `tangent_reliable`, true
        where the estimate is reliable and this ratio is at most 1.
    """
    ratio = estimate.plane_distance / length
    return {"tangent_reliable": estimate.reliable & (ratio <= 1), "tangent_plane_distance_ratio": ratio}


def principal_directions(rows: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Compute the leading eigenvectors of the sum of r r^T over the rows r, and all eigenvalues that may differ from 0.

    The smaller of the two Gram matrices is decomposed, so that 50 neighbors in R^3072 cost a 50 x 50 eigenproblem.

    Args:
        rows: `(B, k, n)`, centered and weighted.
        dim: d <= min(k, n).

    Returns:
        Orthonormal columns `(B, n, d)`, and the eigenvalues `(B, min(k, n))`, decreasing.

    Example:
        >>> principal_directions(torch.tensor([[[3.0, 0.0], [0.0, 1.0]]]), 1)[1]
        tensor([[9., 1.]])
    """
    if rows.shape[2] <= rows.shape[1]:
        values, vectors = symmetric_eigen(rows.mT @ rows)
        return vectors[:, :, -dim:].flip(2), values.flip(1).clamp(min=0)
    values, vectors = symmetric_eigen(rows @ rows.mT)
    return orthonormalize(rows.mT @ vectors[:, :, -dim:].flip(2)), values.flip(1).clamp(min=0)


def leading_eigenvectors(matrix: Tensor, dim: int) -> Tensor:
    """Compute the leading eigenvectors `(B, k, dim)` of symmetric positive semidefinite matrices `(B, k, k)`.

    Subspace iteration with the fourth power costs half of a full decomposition for small matrices. Matrices whose
    spectrum decreases too slowly for it, as their residual shows, are decomposed in full.
    """
    size = matrix.shape[1]
    width = 2 * dim + 4
    if 2 * width > size:
        return _leading_by_eigh(matrix, dim)
    trace = torch.diagonal(matrix, dim1=1, dim2=2).sum(1).clamp(min=torch.finfo(matrix.dtype).tiny)
    scaled = matrix / trace[:, None, None]
    squared = scaled @ scaled
    fourth = squared @ squared
    # Any fixed start serves that does not depend on the data.
    block = torch.randn(size, width, generator=generator(0, "leading"), dtype=torch.float64).to(matrix)
    block = fourth @ block
    for _ in range(SUBSPACE_ITERATIONS):
        block = fourth @ torch.linalg.qr(block).Q
    block = torch.linalg.qr(block).Q
    image = scaled @ block
    values, rotation = symmetric_eigen(block.mT @ image)
    leading = rotation[:, :, -dim:].flip(2)
    vectors: Tensor = block @ leading
    residual = torch.linalg.matrix_norm(image @ leading - vectors * values[:, None, -dim:].flip(2))
    eigengap = values[:, -dim] - values[:, -dim - 1]
    slow = ~(residual <= 1000 * torch.finfo(matrix.dtype).eps * eigengap)
    if bool(slow.any()):
        vectors[slow] = _leading_by_eigh(matrix[slow], dim)
    return vectors


def _leading_by_eigh(matrix: Tensor, dim: int) -> Tensor:
    vectors: Tensor = symmetric_eigen(matrix)[1]
    return vectors[:, :, -dim:].flip(2)


def orthonormalize(columns: Tensor) -> Tensor:
    """Return orthonormal columns `(B, n, d)` with the span of the given ones; dependent ones are replaced arbitrarily.

    The Cholesky factor of the d x d Gram matrix costs far less for long columns than Householder reflections, which
    are used where the columns are nearly dependent.
    """
    tiny = torch.finfo(columns.dtype).tiny
    scaled = columns / torch.linalg.vector_norm(columns, dim=1, keepdim=True).clamp(min=tiny)
    factor, failed = torch.linalg.cholesky_ex(scaled.mT @ scaled)
    result: Tensor = torch.linalg.solve_triangular(factor, scaled.mT, upper=False).mT
    pivots = torch.diagonal(factor, dim1=1, dim2=2)
    doubtful = (failed != 0) | ~(pivots.amin(1) > 0.5)
    if bool(doubtful.any()):
        result = result.clone()
        result[doubtful] = torch.linalg.qr(scaled[doubtful]).Q
    return result


def expected_angle(spectrum: Tensor, dim: int, count: Tensor) -> Tensor:
    """Return the root mean square angle, in radians, by which sampling turns the d leading principal directions.

    The formula is sqrt(sum over i <= d < j of l_i l_j / (count (l_i - l_j)^2)), at most pi / 2. It is exact to first
    order in 1 / count, adds the squared angles of the directions, and does not include bias that all samples share.

    Args:
        spectrum: `(B, m)` eigenvalues l, decreasing.
        dim: d.
        count: `(B,)`, the number of points behind each spectrum.

    Reference: Anderson 1963, Asymptotic theory for principal component analysis, theorem 1.

    Example:
        >>> expected_angle(torch.tensor([[1.0, 0.01]]), 1, torch.tensor([100.0]))
        tensor([0.0101])
    """
    tangent = spectrum[:, :dim, None]
    normal = spectrum[:, None, dim:]
    eigengap = tangent - normal
    variance = torch.where(eigengap > 0, tangent * normal / eigengap.square(), torch.inf).sum((1, 2))
    return (variance / count.clamp(min=1)).sqrt().clamp(max=math.pi / 2)


def residual_variance_fraction(spectrum: Tensor, dim: int) -> Tensor:
    """Return the fraction of the variance off the d leading directions, `(B,)`; 1 where there is no variance."""
    total = spectrum.sum(1)
    return torch.where(total > 0, spectrum[:, dim:].sum(1) / total, 1.0)


def eigengap_dimension(spectra: Tensor, n: int, max_dim: int) -> int:
    """Return the number of directions before the widest eigengap: the largest ratio of one variance to the next.

    The spectra are scaled to their leading variance and averaged. Variances below a thousandth of it count as zero, and
    so does the one after the last of R^n, so that a cloud of codimension zero has the dimension n.

    Args:
        spectra: `(B, m)`, decreasing.
        n: the ambient dimension.
        max_dim: the largest possible result; later eigengaps are ignored.

    Example:
        >>> eigengap_dimension(torch.tensor([[1.0, 0.8, 0.01, 0.005]]), 4, 3)
        2
    """
    scale = spectra[:, :1].clamp(min=torch.finfo(spectra.dtype).tiny)
    mean = (spectra / scale).mean(0)
    if len(mean) >= n:
        mean = torch.cat([mean[:n], mean.new_zeros(1)])
    ratios = (mean[:-1] + NOISE_FLOOR) / (mean[1:] + NOISE_FLOOR)
    return int(ratios[: max(1, max_dim)].argmax()) + 1
