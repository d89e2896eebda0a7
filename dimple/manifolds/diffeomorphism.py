"""Random smooth diffeomorphisms of R^n, and the manifolds that they map another manifold to."""

from functools import cached_property
from typing import Annotated, final

import torch
from annotated_types import Interval
from pydantic import Strict
from torch import Tensor

from dimple.manifolds.base import ChartMap, Manifold
from dimple.manifolds.parametrized import ParametrizedManifold
from dimple.manifolds.sphere import Sphere
from dimple.manifolds.union import DisjointUnion
from dimple.settings import Positive, Seed, settings
from dimple.tensors import generator

ContractionFactor = Annotated[float, Strict(), Interval(ge=0, lt=1)]


@final
@settings
class Warp(DisjointUnion):
    """The image of a manifold under x -> x + (strength / frequency) V sin(frequency U x + b), U, V random orthogonal.

    The derivative of the second term has norm `strength` at most. Below 1 the map is therefore a diffeomorphism of
    R^n, which multiplies lengths by a factor between 1 - strength and 1 + strength.

    In many dimensions embed a warped manifold; do not warp an embedded one, because the map costs n^2.

    Args:
        base: the manifold to be warped.
        strength: 0 leaves the manifold unchanged.
        frequency: in radians per unit of length.
        seed: of the random map.

    Example:
        >>> Warp(Sphere(dim=1), strength=0.0).distance(torch.tensor([[3.0, 0.0]]))
        tensor([2.])
    """

    base: Manifold = Sphere()
    strength: ContractionFactor = 0.3
    frequency: Positive = 2.0
    seed: Seed = 0

    @cached_property
    def components(self) -> tuple[Manifold, ...]:
        """Warped components of the base."""
        return tuple(_WarpedComponent(component, self.transform) for component in self.base.components)

    def transform(self, x: Tensor) -> Tensor:
        """Map points of R^n, `(B, n)`."""
        u, v, phase = (parameter.to(x) for parameter in self._parameters)
        return x + self.strength / self.frequency * (self.frequency * x @ u + phase).sin() @ v

    @cached_property
    def _parameters(self) -> tuple[Tensor, Tensor, Tensor]:
        """Orthogonal matrices U and V, `(n, n)`, which multiply rows from the right, and the phases b, `(n,)`."""
        stream = generator(self.seed, "warp")
        n = self.base.ambient_dim
        u, v = torch.randn(2, n, n, generator=stream, dtype=torch.float64)
        phase = 2 * torch.pi * torch.rand(n, generator=stream, dtype=torch.float64)
        return torch.linalg.qr(u).Q, torch.linalg.qr(v).Q, phase


@final
class _WarpedComponent(ParametrizedManifold):
    """One component of the base, mapped by the warp."""

    def __init__(self, component: Manifold, transform: ChartMap) -> None:
        self._source, self._chart = component.parametrization()
        self._transform = transform
        self._ambient_dim = component.ambient_dim

    @property
    def source(self) -> Manifold:
        return self._source

    @property
    def ambient_dim(self) -> int:
        return self._ambient_dim

    def chart(self, z: Tensor) -> Tensor:
        """Return the image of the component's chart under the warp."""
        return self._transform(self._chart(z))
