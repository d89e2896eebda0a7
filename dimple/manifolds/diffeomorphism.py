"""Smooth diffeomorphisms of space, and what they make of a manifold."""

from functools import cached_property
from typing import Annotated, final

import torch
from annotated_types import Interval
from pydantic import Strict
from torch import Tensor

from dimple.manifolds.base import Chart, Manifold
from dimple.manifolds.parametrized import Mapped
from dimple.manifolds.sphere import Sphere
from dimple.manifolds.union import Pieces
from dimple.settings import Positive, Seed, settings
from dimple.tensors import generator

Contraction = Annotated[float, Strict(), Interval(ge=0, lt=1)]


@final
@settings
class Warp(Pieces):
    """Another manifold bent by x -> x + (strength / frequency) V sin(frequency U x + b), U, V random and orthogonal.

    The derivative of the second term has the norm `strength` at most, so that below 1 the map is a diffeomorphism of
    R^n that stretches no length by more than 1 + strength and shrinks none by more than 1 - strength.

    To have it in many dimensions lift the warp rather than warp the lift: the map costs n^2.

    Args:
        of: the manifold.
        strength: 0 leaves it as it is.
        frequency: radians for each unit of length.
        seed: which map.

    Example:
        >>> Warp(Sphere(dim=1), strength=0.0).distance(torch.tensor([[3.0, 0.0]]))
        tensor([2.])
    """

    of: Manifold = Sphere()
    strength: Contraction = 0.3
    frequency: Positive = 2.0
    seed: Seed = 0

    @cached_property
    def parts(self) -> tuple[Manifold, ...]:
        """The pieces of the original, each bent."""
        return tuple(_Bent(part, self.bend) for part in self.of.parts)

    def bend(self, x: Tensor) -> Tensor:
        """The map of R^n, for `(B, n)`."""
        mix, spread, phase = (part.to(x) for part in self._parameters)
        return x + self.strength / self.frequency * (self.frequency * x @ mix + phase).sin() @ spread

    @cached_property
    def _parameters(self) -> tuple[Tensor, Tensor, Tensor]:
        stream = generator(self.seed, "warp")
        n = self.of.ambient_dim
        mix, spread = torch.randn(2, n, n, generator=stream, dtype=torch.float64)
        phase = 2 * torch.pi * torch.rand(n, generator=stream, dtype=torch.float64)
        return torch.linalg.qr(mix).Q, torch.linalg.qr(spread).Q, phase


@final
class _Bent(Mapped):
    """One piece under the map."""

    def __init__(self, piece: Manifold, bend: Chart) -> None:
        self._source, self._chart = piece.unfold()
        self._bend = bend
        self._ambient_dim = piece.ambient_dim

    @property
    def source(self) -> Manifold:
        """The piece's."""
        return self._source

    @property
    def ambient_dim(self) -> int:
        """That of the piece."""
        return self._ambient_dim

    def chart(self, z: Tensor) -> Tensor:
        """The piece's, then the map."""
        return self._bend(self._chart(z))
