"""Where the training points lie on their manifold."""

import math
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from dimple.errors import SceneError
from dimple.manifolds import Manifold
from dimple.settings import Count, Finite, Positive, settings
from dimple.tensors import generator as stream


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
    """A regular grid in the chart of the manifold, `per_side` points along each coordinate, ends included."""

    per_side: Count = 5

    def points(self, manifold: Manifold, generator: torch.Generator) -> Tensor:
        """The grid in chart coordinates, embedded."""
        points = manifold.grid(self.per_side)
        if points is None:
            raise SceneError(
                f"data.sampling.kind is 'lattice'; {type(manifold).__name__} has no single chart for one: use 'spread'"
            )
        return points


@final
@settings
class Graded(Sampling):
    """`count` points that thin out along `direction`: the density falls exponentially, by `ratio` from end to end.

    Args:
        ratio: density at the low end over that at the high end, in units of the uniform one; 1 is uniform.
        direction: in the ambient space; the first axis where none is given.
    """

    count: Count = 60
    ratio: Positive = 10.0
    direction: tuple[Finite, ...] = ()

    def points(self, manifold: Manifold, generator: torch.Generator) -> Tensor:
        """Uniform points, kept with a probability that falls with the height."""
        along = self._along(manifold)
        heights = manifold.sample(4096, stream(0, "ends")) @ along
        low, high = float(heights.min()), float(heights.max())
        kept: list[Tensor] = []
        while sum(map(len, kept)) < self.count:
            x = manifold.sample(4 * self.count, generator)
            height = ((x @ along - low) / max(high - low, 1e-300)).clamp(0, 1)
            density = self.ratio**-height / max(1.0, 1 / self.ratio)
            kept.append(x[torch.rand(len(x), generator=generator, dtype=torch.float64) < density])
        return torch.cat(kept)[: self.count]

    def _along(self, manifold: Manifold) -> Tensor:
        n = manifold.ambient_dim
        if len(self.direction) not in (0, n) or (self.direction and not any(self.direction)):
            raise SceneError(f"data.sampling.direction is {list(self.direction)}; give {n} numbers, not all zero")
        along = torch.tensor(self.direction or (1.0, *[0.0] * (n - 1)), dtype=torch.float64)
        return along / math.hypot(*along.tolist())


@final
@settings
class Imbalanced(Sampling):
    """`count` points, uniform on each piece of the manifold, the pieces in the proportion of `shares`.

    Each piece gets its share of the points to within one, but at least one, which the largest pieces make room for.
    """

    count: Count = 60
    shares: tuple[Positive, ...] = (0.9, 0.1)

    def points(self, manifold: Manifold, generator: torch.Generator) -> Tensor:
        """Piece by piece."""
        pieces = manifold.parts
        if len(self.shares) != len(pieces):
            raise SceneError(
                f"data.sampling.shares has {len(self.shares)} numbers; the manifold has {len(pieces)} pieces"
            )
        if self.count < len(pieces):
            raise SceneError(f"data.sampling.count is {self.count}; the manifold has {len(pieces)} pieces: give more")
        ends = torch.tensor(self.shares, dtype=torch.float64).cumsum(0) / sum(self.shares) * self.count
        rounded = ends.round().long()
        counts = rounded.diff(prepend=rounded.new_zeros(1)).clamp(min=1)
        while counts.sum() > self.count:
            counts[counts.argmax()] -= 1
        return torch.cat([part.sample(int(n), generator) for part, n in zip(pieces, counts, strict=True)])


@final
@settings
class Clustered(Sampling):
    """`count` points in `clusters` heaps around random places: Gaussian steps of `width` along the manifold."""

    count: Count = 60
    clusters: Count = 6
    width: Positive = 0.05

    def points(self, manifold: Manifold, generator: torch.Generator) -> Tensor:
        """Each point in a random heap."""
        places = manifold.sample(self.clusters, generator)
        which = torch.randint(self.clusters, (self.count,), generator=generator)
        basis = manifold.tangent_basis(places)[which]
        step = self.width * torch.randn(self.count, manifold.dim, generator=generator, dtype=torch.float64)
        return manifold.project(places[which] + torch.einsum("bnd,bd->bn", basis, step))


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
    "clustered": Clustered,
    "graded": Graded,
    "imbalanced": Imbalanced,
    "lattice": Lattice,
    "listed": Listed,
    "spread": Spread,
    "uniform": Uniform,
}
