"""The image of a decoder: the manifold that a generative model claims the data lie on."""

import copy
from collections.abc import Callable
from functools import cached_property
from typing import final

from torch import Tensor, nn

from dimple.errors import ShapeError
from dimple.manifolds.affine import Cell
from dimple.manifolds.parametrized import Mapped
from dimple.settings import Count, Finite, settings
from dimple.tensors import flatten


@final
@settings
class Decoder(Mapped):
    """All that a decoder makes of the latent box `low <= z <= high`: `module` takes `(B, dim)` to `(B, *shape)`.

    A module is copied to the CPU in double precision and evaluation mode, and its parameters are left alone.
    Where it is not twice differentiable (ReLU) curvature is that of the smooth pieces; where its Jacobian loses rank
    it has no tangent space. Only for Python: a scene file cannot name code.

    Example:
        >>> import torch
        >>> circle = Decoder(lambda z: torch.cat([z.cos(), z.sin()], dim=1), dim=1, low=0.0, high=3.0)
        >>> circle.distance(torch.tensor([[0.0, 2.0]]))
        tensor([1.])
    """

    module: Callable[[Tensor], Tensor]
    dim: Count = 2
    low: Finite = -2.0
    high: Finite = 2.0

    def __post_init__(self) -> None:
        try:
            shape = tuple(self.chart(self.source.nodes(2)).shape)
        except RuntimeError as error:
            raise ShapeError(
                f"Decoder: module does not take a float64 batch (2, {self.dim}): {str(error).splitlines()[0]}; "
                "give the latent dimension as dim="
            ) from None
        if shape[1] <= self.dim:
            raise ShapeError(
                f"Decoder: module gives {shape[1]} numbers for {self.dim}; it must give more than it takes"
            )

    @property
    def ambient_dim(self) -> int:
        """The numbers that it gives for one latent point."""
        return int(self.chart(self.source.nodes(2)).shape[1])

    @cached_property
    def source(self) -> Cell:
        """The latent box."""
        return Cell((self.low,) * self.dim, (self.high,) * self.dim, (False,) * self.dim)

    def chart(self, z: Tensor) -> Tensor:
        """The decoder, its outputs flattened."""
        if isinstance(self._exact, nn.Module):
            # The copy stays on the CPU, wherever the points are.
            return flatten(self._exact(z.cpu())).to(z.device)
        return flatten(self._exact(z))

    @cached_property
    def _exact(self) -> Callable[[Tensor], Tensor]:
        if not isinstance(self.module, nn.Module):
            return self.module
        return copy.deepcopy(self.module).cpu().double().eval().requires_grad_(False)

    def __hash__(self) -> int:
        """By identity of the module: two decoders are equal if they share it and the box."""
        return hash((id(self.module), self.dim, self.low, self.high))
