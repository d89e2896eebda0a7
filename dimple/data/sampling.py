"""Where the training points lie on their manifold."""

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from dimple.errors import SceneError
from dimple.manifolds import Flat, Manifold
from dimple.settings import Count, Finite, settings


class Sampling(ABC):
    """A rule that picks training points `(N, n)`, float64, on a manifold."""

    @abstractmethod
    def points(self, manifold: Manifold, generator: torch.Generator) -> Tensor:
        """The training points."""


@final
@settings
class Uniform(Sampling):
    """`count` independent points, uniform in the manifold's volume."""

    count: Count = 60

    def points(self, manifold: Manifold, generator: torch.Generator) -> Tensor:
        """The manifold's own sample."""
        return manifold.sample(self.count, generator)


@final
@settings
class Spread(Sampling):
    """`count` points far from one another: each next one is the farthest of `oversample` times as many candidates.

    Reference: Gonzalez 1985, farthest-first traversal.
    """

    count: Count = 60
    oversample: Count = 20

    def points(self, manifold: Manifold, generator: torch.Generator) -> Tensor:
        """Farthest-first from the first candidate."""
        candidates = manifold.sample(self.count * self.oversample, generator)
        chosen = [0]
        distance = torch.linalg.vector_norm(candidates - candidates[0], dim=1)
        for _ in range(self.count - 1):
            chosen.append(int(distance.argmax()))
            distance = torch.minimum(distance, torch.linalg.vector_norm(candidates - candidates[chosen[-1]], dim=1))
        return candidates[chosen]


@final
@settings
class Lattice(Sampling):
    """A regular grid on a flat, `per_side` points along each varying coordinate, ends included."""

    per_side: Count = 5

    def points(self, manifold: Manifold, generator: torch.Generator) -> Tensor:
        """The grid in chart coordinates, embedded."""
        if not isinstance(manifold, Flat):
            raise SceneError("data.sampling.kind is 'lattice', which needs manifold.kind 'flat'; use 'spread' instead")
        axis = torch.linspace(0, 1, self.per_side, dtype=torch.float64) if self.per_side > 1 else torch.full((1,), 0.5)
        return manifold.embed(torch.cartesian_prod(*[axis.double()] * manifold.dim).reshape(-1, manifold.dim))


@final
@settings
class Listed(Sampling):
    """The points that the scene lists, each of which must lie on the manifold to 1e-6."""

    at: tuple[tuple[Finite, ...], ...] = ()

    def points(self, manifold: Manifold, generator: torch.Generator) -> Tensor:
        """The list, checked against the manifold."""
        if not self.at or any(len(row) != manifold.ambient_dim for row in self.at):
            raise SceneError(f"data.sampling.at must list points with {manifold.ambient_dim} numbers each")
        x = torch.tensor(self.at, dtype=torch.float64)
        off = manifold.distance(x)
        if bool((off > 1e-6).any()):
            worst = int(off.argmax())
            raise SceneError(
                f"data.sampling.at[{worst}] is {list(self.at[worst])}, {float(off[worst]):.3g} off the manifold; "
                "list points on it"
            )
        return x


SAMPLINGS: dict[str, type[Sampling]] = {
    "lattice": Lattice,
    "listed": Listed,
    "spread": Spread,
    "uniform": Uniform,
}
