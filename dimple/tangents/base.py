"""What a tangent estimate says of itself: its directions, the spectrum behind them, and how far they can be trusted."""

import dataclasses
import math
from typing import Protocol, final, runtime_checkable

import torch
from torch import Tensor

from dimple.protocols import TangentField
from dimple.tensors import generator

# Below this share of the largest variance a direction counts as noise when gaps are compared.
FLOOR = 1e-3
# Rounds of subspace iteration, each on the fourth power of the matrix.
ROUNDS = 2


@final
@dataclasses.dataclass(frozen=True)
class TangentEstimate:
    """Tangent spaces at a batch of samples, each with the evidence for it.

    Attributes:
        basis: orthonormal columns `(B, n, d)`, the most certain first.
        spectrum: `(B, m)`, falling: the variance along each principal direction, in squared input units, or the
            squared stretch of each latent direction.
        residual: `(B,)`, the share from 0 to 1 that the estimate leaves out: of the neighbourhood's variance, or of
            the sample's own squared length; each field says which.
        radius: `(B,)`, how far from the sample the estimate had to look, in input units.
        missed: `(B,)`, how far off the estimate's plane the data lie there, in input units: the root mean square over
            the neighbours, or the sample's own distance from its reconstruction; each field says which.
        error: `(B,)`, the angle to the true tangent space that the evidence leads one to expect, radians from 0 to
            pi / 2; each field says how it is obtained.
        reliable: `(B,)`, whether it may be used as a tangent space at all; each field says when.
    """

    basis: Tensor
    spectrum: Tensor
    residual: Tensor
    radius: Tensor
    missed: Tensor
    error: Tensor
    reliable: Tensor

    @staticmethod
    def concatenate(parts: list["TangentEstimate"]) -> "TangentEstimate":
        """The rows of several estimates by the same field, in order."""
        names = [field.name for field in dataclasses.fields(TangentEstimate)]
        return TangentEstimate(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})

    def rows(self, index: Tensor) -> "TangentEstimate":
        """The estimates of some of the samples, in the order of `index`."""
        names = [field.name for field in dataclasses.fields(TangentEstimate)]
        return TangentEstimate(**{name: getattr(self, name)[index.to(self.basis.device)] for name in names})

    def wide(self, width: int) -> "TangentEstimate":
        """The same estimates with spectra `(B, width)`, continued by zeros."""
        missing = self.spectrum.new_zeros(len(self.spectrum), max(0, width - self.spectrum.shape[1]))
        return dataclasses.replace(self, spectrum=torch.cat([self.spectrum, missing], 1))

    def like(self, x: Tensor) -> "TangentEstimate":
        """The same estimate in the dtype and on the device of the samples that it belongs to."""
        return TangentEstimate(
            self.basis.to(x),
            self.spectrum.to(x),
            self.residual.to(x),
            self.radius.to(x),
            self.missed.to(x),
            self.error.to(x),
            self.reliable.to(x.device),
        )


@runtime_checkable
class EstimatedField(Protocol):
    """A tangent field that is an estimate, and gives its evidence."""

    def tangent_basis(self, x: Tensor, /) -> Tensor:
        """Orthonormal columns `(B, n, d)`."""
        ...

    def estimate(self, x: Tensor, /) -> TangentEstimate:
        """The same columns, and how far each can be trusted."""
        ...


def tangents_at(field: TangentField, x: Tensor) -> tuple[Tensor, TangentEstimate | None]:
    """The field's orthonormal columns `(B, n, d)` at the samples, and the evidence where it is an estimate."""
    if isinstance(field, EstimatedField):
        estimate = field.estimate(x)
        return estimate.basis, estimate
    return field.tangent_basis(x), None


def trust(estimate: TangentEstimate, length: Tensor) -> dict[str, Tensor]:
    """Whether a step of that length `(B,)` can be told apart by the estimate, sample by sample.

    Returns:
        `tangent_validity`, how far the data lie off the estimate's plane over the length of the step: above 1 the
        plane is that of another place than the step begins at. And `tangent_reliable`, whether the estimate calls
        itself reliable and its validity is at most 1.
    """
    validity = estimate.missed / length
    return {"tangent_reliable": estimate.reliable & (validity <= 1), "tangent_validity": validity}


def principal(rows: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The leading directions of the sum of r r^T over the rows r, and all of its eigenvalues that may differ from 0.

    Through the smaller of the two Gram matrices, so that 50 neighbours in R^3072 cost a 50 x 50 eigenproblem.

    Args:
        rows: `(B, k, n)`, centred and weighted.
        dim: d <= min(k, n).

    Returns:
        Orthonormal columns `(B, n, d)`, and the eigenvalues `(B, min(k, n))`, falling.

    Example:
        >>> principal(torch.tensor([[[3.0, 0.0], [0.0, 1.0]]]), 1)[1]
        tensor([[9., 1.]])
    """
    if rows.shape[2] <= rows.shape[1]:
        values, vectors = torch.linalg.eigh(rows.mT @ rows)
        return vectors[:, :, -dim:].flip(2), values.flip(1).clamp(min=0)
    values, vectors = torch.linalg.eigh(rows @ rows.mT)
    return orthonormal(rows.mT @ vectors[:, :, -dim:].flip(2)), values.flip(1).clamp(min=0)


def leading(matrix: Tensor, dim: int) -> Tensor:
    """The leading eigenvectors `(B, k, dim)` of symmetric positive `(B, k, k)`, without the rest of the spectrum.

    Subspace iteration on the fourth power, which for small matrices costs half of a full decomposition; matrices
    whose spectrum falls too slowly for it, by their residual, are decomposed.
    """
    size = matrix.shape[1]
    width = 2 * dim + 4
    if 2 * width > size:
        return _decomposed(matrix, dim)
    trace = torch.diagonal(matrix, dim1=1, dim2=2).sum(1).clamp(min=torch.finfo(matrix.dtype).tiny)
    scaled = matrix / trace[:, None, None]
    squared = scaled @ scaled
    fourth = squared @ squared
    # Any fixed start serves that is special to no data.
    block = torch.randn(size, width, generator=generator(0, "leading"), dtype=torch.float64).to(matrix)
    block = fourth @ block
    for _ in range(ROUNDS):
        block = fourth @ torch.linalg.qr(block).Q
    block = torch.linalg.qr(block).Q
    image = scaled @ block
    values, turn = torch.linalg.eigh(block.mT @ image)
    chosen = turn[:, :, -dim:].flip(2)
    vectors: Tensor = block @ chosen
    missed = torch.linalg.matrix_norm(image @ chosen - vectors * values[:, None, -dim:].flip(2))
    gap = values[:, -dim] - values[:, -dim - 1]
    slow = ~(missed <= 1000 * torch.finfo(matrix.dtype).eps * gap)
    if bool(slow.any()):
        vectors[slow] = _decomposed(matrix[slow], dim)
    return vectors


def _decomposed(matrix: Tensor, dim: int) -> Tensor:
    vectors: Tensor = torch.linalg.eigh(matrix).eigenvectors
    return vectors[:, :, -dim:].flip(2)


def orthonormal(columns: Tensor) -> Tensor:
    """Orthonormal columns with the same span as each of `(B, n, d)`; dependent columns are completed anyhow.

    By the Cholesky factor of the d x d Gram matrix, which for long columns costs far less than Householder's
    reflections; those take over where the columns are too nearly dependent for it.
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
    """The root mean square angle, in radians, by which sampling turns the d leading principal directions.

    sqrt(sum over i <= d < j of l_i l_j / (count (l_i - l_j)^2)): first order in 1 / count, the angles of the
    directions added in squares, no more than pi / 2. Bias that every sample shares is not in it.

    Args:
        spectrum: `(B, m)` eigenvalues l, falling.
        count: `(B,)`, how many points stand behind each.

    Reference: Anderson 1963, Asymptotic theory for principal component analysis, theorem 1.

    Example:
        >>> expected_angle(torch.tensor([[1.0, 0.01]]), 1, torch.tensor([100.0]))
        tensor([0.0101])
    """
    kept, left = spectrum[:, :dim, None], spectrum[:, None, dim:]
    gap = kept - left
    turned = torch.where(gap > 0, kept * left / gap.square(), torch.inf).sum((1, 2))
    return (turned / count.clamp(min=1)).sqrt().clamp(max=math.pi / 2)


def left_out(spectrum: Tensor, dim: int) -> Tensor:
    """The share of the variance beyond the d leading directions, `(B,)`; all of it where there is none."""
    whole = spectrum.sum(1)
    return torch.where(whole > 0, spectrum[:, dim:].sum(1) / whole, 1.0)


def eigengap(spectra: Tensor, n: int, largest: int) -> int:
    """The number of directions before the widest gap of the spectrum: the ratio of one variance to the next.

    The spectra are scaled to their leading variance and averaged. Variances under a thousandth of it count as zero,
    and so does the one after the last of R^n, so that a cloud without codimension gets the dimension n.

    Args:
        spectra: `(B, m)`, falling.
        n: the ambient dimension.
        largest: the largest answer; gaps beyond it are not looked at.

    Example:
        >>> eigengap(torch.tensor([[1.0, 0.8, 0.01, 0.005]]), 4, 3)
        2
    """
    scale = spectra[:, :1].clamp(min=torch.finfo(spectra.dtype).tiny)
    mean = (spectra / scale).mean(0)
    if len(mean) >= n:
        mean = torch.cat([mean[:n], mean.new_zeros(1)])
    ratios = (mean[:-1] + FLOOR) / (mean[1:] + FLOOR)
    return int(ratios[: max(1, largest)].argmax()) + 1
