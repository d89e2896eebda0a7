"""The image of a decoder: the data manifold that a generative model has learned."""

import copy
from collections.abc import Callable
from functools import cached_property
from typing import final

from torch import Tensor, nn

from dimple.errors import ShapeError
from dimple.manifolds.affine import ParameterDomain
from dimple.manifolds.parametrized import ParametrizedManifold
from dimple.settings import Dimension, Finite, settings
from dimple.tensors import flatten


@final
@settings
class DecoderManifold(ParametrizedManifold):
    """The image of the latent box `low <= z <= high` under a decoder: `module` maps `(B, dim)` to `(B, *shape)`.

    A module is copied to the CPU in double precision and evaluation mode; the original is not changed. Where the
    decoder is not twice differentiable (ReLU), the curvature is that of its smooth parts; where its Jacobian is
    singular, the manifold has no tangent space. For Python only, because a scene file cannot name code.

    Example:
        >>> import torch
        >>> circle = DecoderManifold(lambda z: torch.cat([z.cos(), z.sin()], dim=1), dim=1, low=0.0, high=3.0)
        >>> circle.distance(torch.tensor([[0.0, 2.0]]))
        tensor([1.])
    """

    module: Callable[[Tensor], Tensor]
    dim: Dimension = 2
    low: Finite = -2.0
    high: Finite = 2.0

    def __post_init__(self) -> None:
        try:
            shape = tuple(self.chart(self.source.grid_points(2)).shape)
        except RuntimeError as error:
            raise ShapeError(
                f"DecoderManifold: module does not take a float64 batch (2, {self.dim}): {str(error).splitlines()[0]}; "
                "give the latent dimension as dim="
            ) from None
        if shape[1] <= self.dim:
            raise ShapeError(
                f"DecoderManifold: module returns {shape[1]} numbers for {self.dim}; it must return more than it takes"
            )

    @property
    def ambient_dim(self) -> int:
        """Size of the decoder's output for one latent point."""
        return int(self.chart(self.source.grid_points(2)).shape[1])

    @cached_property
    def source(self) -> ParameterDomain:
        return ParameterDomain((self.low,) * self.dim, (self.high,) * self.dim, (False,) * self.dim)

    def chart(self, z: Tensor) -> Tensor:
        """Return the flattened outputs of the decoder, `(B, n)`."""
        if isinstance(self._double_module, nn.Module):
            # The copy stays on the CPU; only its input and output move.
            return flatten(self._double_module(z.cpu())).to(z.device)
        return flatten(self._double_module(z))

    @cached_property
    def _double_module(self) -> Callable[[Tensor], Tensor]:
        if not isinstance(self.module, nn.Module):
            return self.module
        return copy.deepcopy(self.module).cpu().double().eval().requires_grad_(False)

    def __hash__(self) -> int:
        """Hash the identity of the module and the box: decoders that share both are equal."""
        return hash((id(self.module), self.dim, self.low, self.high))
