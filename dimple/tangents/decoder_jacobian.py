"""Tangent spaces of an autoencoder's manifold: the column space of its decoder's Jacobian."""

import math
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from dimple.errors import ShapeError
from dimple.tangents.base import TangentEstimate, principal_directions
from dimple.tangents.principal_angles import largest_principal_angle
from dimple.tensors import chunks, flatten, norm

# Smallest singular value of the Jacobian, relative to the largest, that counts as a tangent direction.
RANK_TOLERANCE = 1e-4
# Largest angle, in radians, between the tangent spaces at a reconstruction and at its own reconstruction.
MAX_RECONSTRUCTION_ANGLE = 0.25


@final
class AutoencoderJacobian:
    """Tangent field of the directions in which a decoder's output moves when the latent code of a sample changes.

    The tangent space is that of the decoder's image at D(E(x)), which differs from x: the distance between them is the
    estimate's `radius`. Where it exceeds `tolerance`, which should be the size of the steps that are to be decomposed,
    the estimate describes another point than the sample and is not reliable. An autoencoder that smooths the data, for
    example small waves, gives wrong tangents with close reconstructions, and the quality measures do not show it: set
    the tolerance well below the size of the bends of the data, or compare with `LocalPCA` on the same data.

    Args:
        encoder: maps samples `(B, *shape)` to codes `(B, m)` or codes of any other shape with m numbers.
        decoder: maps codes back to samples, each row independently: a module must be in eval mode.
        tolerance: the largest reconstruction distance of a reliable estimate, in input units.
        dim: d <= m, the number of leading directions of the Jacobian; None takes all m.
        chunk_size: the number of samples that are processed together.

    Raises:
        ShapeError: if the tolerance or the dimension is not positive, the dimension is larger than the Jacobian allows,
            or the decoder's output does not have the size of a sample.

    Reference: Shamir, Melamed and BenShmuel 2021, The dimpled manifold model of adversarial examples, section 5.

    Example:
        >>> field = AutoencoderJacobian(lambda x: x[:, :1], lambda z: torch.cat([z, z * z], 1), tolerance=0.1)
        >>> field.tangent_basis(torch.tensor([[0.0, 0.0], [0.5, 0.25]])).abs().squeeze(2)
        tensor([[1.0000, 0.0000],
                [0.7071, 0.7071]])
    """

    def __init__(
        self,
        encoder: Callable[[Tensor], Tensor],
        decoder: Callable[[Tensor], Tensor],
        tolerance: float,
        dim: int | None = None,
        chunk_size: int = 64,
    ) -> None:
        if not tolerance > 0 or (dim is not None and dim < 1):
            raise ShapeError(
                f"AutoencoderJacobian: tolerance is {tolerance}, dim is {dim}; both must be greater than 0"
            )
        self.encoder = encoder
        self.decoder = decoder
        self.tolerance = tolerance
        self.dim = dim
        self.chunk_size = chunk_size

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Return orthonormal columns `(B, n, d)`, the direction of the largest singular value first."""
        return self.estimate(x).basis

    def estimate(self, x: Tensor) -> TangentEstimate:
        """Return the tangent space at the reconstruction of each sample `(B, *shape)`, with its quality measures.

        `spectrum` holds the squared singular values of the Jacobian, `residual` the squared length of x - D(E(x)) over
        that of x, `radius` and `plane_distance` the length of x - D(E(x)), and `error` the largest angle to the tangent
        space at the reconstruction of D(E(x)), which would be zero for a true projection. An estimate is reliable where
        the radius is within the tolerance, the error is at most 0.25, and the Jacobian has rank d or more.
        """
        return TangentEstimate.concatenate([self._estimate(x[part]) for part in chunks(len(x), self.chunk_size)])

    @torch.no_grad()
    def _estimate(self, x: Tensor) -> TangentEstimate:
        code = self.encoder(x)
        image, jacobian = self._image_and_jacobian(code)
        if image.shape[1] != flatten(x).shape[1]:
            raise ShapeError(f"the decoder gives {image.shape[1]} numbers for samples of {flatten(x).shape[1]}")
        latent = jacobian.shape[1]
        dim = latent if self.dim is None else self.dim
        if dim > min(latent, image.shape[1]):
            raise ShapeError(
                f"AutoencoderJacobian: dim is {dim}; {latent} latent numbers in R^{image.shape[1]} allow fewer"
            )
        basis, spectrum = principal_directions(jacobian, dim)
        second_basis = principal_directions(self._image_and_jacobian(self.encoder(image.reshape(x.shape)))[1], dim)[0]
        length = norm(x)
        radius = norm(flatten(x) - image)
        full_rank = spectrum[:, dim - 1] > RANK_TOLERANCE**2 * spectrum[:, 0]
        error = torch.where(full_rank, largest_principal_angle(basis, second_basis), math.pi / 2)
        reliable = full_rank & (radius <= self.tolerance) & (error <= MAX_RECONSTRUCTION_ANGLE)
        residual = torch.where(length > 0, radius / length, 1.0) ** 2
        return TangentEstimate(basis, spectrum, residual, radius, radius, error, reliable)

    def _image_and_jacobian(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images `(B, n)` and their derivative by each latent number `(B, m, n)`.

        The cost grows with m, not with n: the vector-Jacobian product is linear in its covector, so its own
        vector-Jacobian product is the Jacobian-vector product of a latent direction.
        """
        with torch.enable_grad():
            code = code.detach().requires_grad_()
            image = flatten(self.decoder(code))
            covector = torch.zeros_like(image, requires_grad=True)
            (pullback,) = torch.autograd.grad(image, code, covector, create_graph=True, materialize_grads=True)
            columns = []
            for latent in range(flatten(code).shape[1]):
                direction = torch.zeros_like(flatten(code))
                direction[:, latent] = 1
                (column,) = torch.autograd.grad(
                    pullback, covector, direction.reshape(code.shape), retain_graph=True, materialize_grads=True
                )
                columns.append(column)
        return image.detach(), torch.stack(columns, 1)
