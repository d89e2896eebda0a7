"""Tangent spaces of an autoencoder's manifold: the span of its decoder's Jacobian."""

import math
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from dimple.errors import ShapeError
from dimple.tangents.base import TangentEstimate, principal
from dimple.tangents.principal_angles import largest_angle
from dimple.tensors import chunks, flatten, norm

# A latent direction that moves the image this much less than the strongest one does not count as one.
RANK = 1e-4
# A tangent space that turns by more than this, in radians, when its sample is reconstructed once more is no answer.
TURN = 0.25


@final
class AutoencoderJacobian:
    """The directions in which the decoder moves when the latent code of a sample changes.

    The tangent space is that of the decoder's image at D(E(x)), which is not x: the distance between them is the
    estimate's `radius`. Where it exceeds `tolerance`, the size of the steps that one means to split, the estimate
    speaks of another place than the one asked for, and is not called reliable. An autoencoder that smooths the data,
    such as small waves, is wrong about their tangents while its reconstructions are near, and cannot know it: set the
    tolerance well below the size of what bends, or compare with `LocalPCA` on the same data.

    Args:
        encoder: maps samples `(B, *shape)` to codes `(B, m)` or of any other shape with m numbers.
        decoder: maps codes back to samples, each row for itself: a module must be in eval mode.
        tolerance: the largest reconstruction distance of a reliable estimate, in input units.
        dim: d <= m, the directions that the image moves in most; None takes all m.
        chunk: how many samples travel together.

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
        chunk: int = 64,
    ) -> None:
        if not tolerance > 0 or (dim is not None and dim < 1):
            raise ShapeError(
                f"AutoencoderJacobian: tolerance is {tolerance}, dim is {dim}; both must be greater than 0"
            )
        self.encoder, self.decoder = encoder, decoder
        self.tolerance, self.dim, self.chunk = tolerance, dim, chunk

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Orthonormal columns `(B, n, d)`, the direction of the largest stretch first."""
        return self.estimate(x).basis

    def estimate(self, x: Tensor) -> TangentEstimate:
        """The tangent space at the reconstruction of each of the samples `(B, *shape)`, with its evidence.

        `spectrum` holds the squared singular values of the Jacobian, `residual` the squared length of x - D(E(x)) over
        that of x, `radius` and `missed` the length of x - D(E(x)), and `error` the largest angle to the tangent space
        that the autoencoder gives for its own reconstruction: a true projection would give the same. Reliable: a radius
        within the tolerance, an error of at most 0.25, and d directions that all move the image.
        """
        return TangentEstimate.concatenate([self._estimate(x[part]) for part in chunks(len(x), self.chunk)])

    @torch.no_grad()
    def _estimate(self, x: Tensor) -> TangentEstimate:
        code = self.encoder(x)
        image, jacobian = self._jacobian(code)
        if image.shape[1] != flatten(x).shape[1]:
            raise ShapeError(f"the decoder gives {image.shape[1]} numbers for samples of {flatten(x).shape[1]}")
        latent = jacobian.shape[1]
        dim = latent if self.dim is None else self.dim
        if dim > min(latent, image.shape[1]):
            raise ShapeError(
                f"AutoencoderJacobian: dim is {dim}; {latent} latent numbers in R^{image.shape[1]} allow fewer"
            )
        basis, spectrum = principal(jacobian, dim)
        again = principal(self._jacobian(self.encoder(image.reshape(x.shape)))[1], dim)[0]
        missed, own = flatten(x) - image, norm(x)
        radius = norm(missed)
        full = spectrum[:, dim - 1] > RANK**2 * spectrum[:, 0]
        error = torch.where(full, largest_angle(basis, again), math.pi / 2)
        reliable = full & (radius <= self.tolerance) & (error <= TURN)
        residual = torch.where(own > 0, radius / own, 1.0) ** 2
        return TangentEstimate(basis, spectrum, residual, radius, radius, error, reliable)

    def _jacobian(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """The images `(B, n)` and the derivative by each latent number `(B, m, n)`.

        A column costs no pass for every pixel: the pull-back of a covector is linear in it, so pulling that map back
        once more pushes a latent direction forward.
        """
        with torch.enable_grad():
            code = code.detach().requires_grad_()
            image = flatten(self.decoder(code))
            covector = torch.zeros_like(image, requires_grad=True)
            (pulled,) = torch.autograd.grad(image, code, covector, create_graph=True, materialize_grads=True)
            columns = []
            for latent in range(flatten(code).shape[1]):
                direction = torch.zeros_like(flatten(code))
                direction[:, latent] = 1
                (column,) = torch.autograd.grad(
                    pulled, covector, direction.reshape(code.shape), retain_graph=True, materialize_grads=True
                )
                columns.append(column)
        return image.detach(), torch.stack(columns, 1)
