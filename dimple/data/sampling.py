"""Sampling rules: how the training points are chosen on their manifold."""

import math
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from dimple.errors import SceneError
from dimple.limits import require_time
from dimple.manifolds import Manifold
from dimple.renamed import missing_attribute
from dimple.settings import Cells, Count, Finite, Positive, settings
from dimple.tensors import generator as stream


class Sampling(ABC):
    """A rule that picks training points `(N, n)`, float64, on a manifold."""

    @abstractmethod
    def sample(self, manifold: Manifold, generator: torch.Generator) -> Tensor:
        """Return the training points."""

    def draw_count(self, manifold: Manifold) -> int:
        """Return the number of points that are drawn at once, of which the training points may be a part."""
        return 1


@final
@settings
class UniformSampling(Sampling):
    """`count` independent points, uniform in the volume of the manifold."""

    count: Count = 60

    def draw_count(self, manifold: Manifold) -> int:
        return self.count

    def sample(self, manifold: Manifold, generator: torch.Generator) -> Tensor:
        return manifold.sample(self.count, generator)


@final
@settings
class FarthestPointSampling(Sampling):
    """`count` points far from each other, by farthest-first traversal.

    Of `oversample` times `count` uniform candidates, the next point is always the one farthest from the points chosen
    so far; the first candidate is the first point.

    Reference: Gonzalez 1985, farthest-first traversal.
    """

    count: Count = 60
    oversample: Count = 20

    def draw_count(self, manifold: Manifold) -> int:
        # Each point is compared with all candidates.
        require_time(
            float(self.count) ** 2 * self.oversample * manifold.ambient_dim,
            f"data.sampling.count is {self.count}",
            SceneError,
        )
        return self.count * self.oversample

    def sample(self, manifold: Manifold, generator: torch.Generator) -> Tensor:
        candidates = manifold.sample(self.count * self.oversample, generator)
        chosen = [0]
        distance = torch.linalg.vector_norm(candidates - candidates[0], dim=1)
        for _ in range(self.count - 1):
            chosen.append(int(distance.argmax()))
            distance = torch.minimum(distance, torch.linalg.vector_norm(candidates - candidates[chosen[-1]], dim=1))
        return candidates[chosen]


@final
@settings
class GridSampling(Sampling):
    """A regular grid in the chart of the manifold, `per_side` points along each coordinate, including the ends."""

    per_side: Cells = 5

    def draw_count(self, manifold: Manifold) -> int:
        return int(min(self.per_side**manifold.dim, 10**18)) if manifold.dim < 100 else 10**18

    def sample(self, manifold: Manifold, generator: torch.Generator) -> Tensor:
        points = manifold.regular_grid(self.per_side)
        if points is None:
            raise SceneError(
                f"data.sampling.kind is 'grid'; {type(manifold).__name__} has no single chart for a grid: "
                "use 'farthest_point'"
            )
        return points


@final
@settings
class DensityGradientSampling(Sampling):
    """`count` points whose density falls exponentially along `direction`, by the factor `ratio` from end to end.

    Args:
        ratio: the density at the low end divided by the density at the high end; 1 gives uniform points.
        direction: a vector of the ambient space; by default the first axis.
    """

    count: Count = 60
    ratio: Positive = 10.0
    direction: tuple[Finite, ...] = ()

    def draw_count(self, manifold: Manifold) -> int:
        return 4 * self.count

    def sample(self, manifold: Manifold, generator: torch.Generator) -> Tensor:
        along = self._unit_direction(manifold)
        heights = manifold.sample(4096, stream(0, "ends")) @ along
        low = float(heights.min())
        high = float(heights.max())
        accepted: list[Tensor] = []
        while sum(map(len, accepted)) < self.count:
            x = manifold.sample(4 * self.count, generator)
            height = ((x @ along - low) / max(high - low, 1e-300)).clamp(0, 1)
            density = self.ratio**-height / max(1.0, 1 / self.ratio)
            accepted.append(x[torch.rand(len(x), generator=generator, dtype=torch.float64) < density])
        return torch.cat(accepted)[: self.count]

    def _unit_direction(self, manifold: Manifold) -> Tensor:
        n = manifold.ambient_dim
        if len(self.direction) not in (0, n) or (self.direction and not any(self.direction)):
            raise SceneError(f"data.sampling.direction is {list(self.direction)}; give {n} numbers, not all zero")
        along = torch.tensor(self.direction or (1.0, *[0.0] * (n - 1)), dtype=torch.float64)
        return along / math.hypot(*along.tolist())


@final
@settings
class ImbalancedSampling(Sampling):
    """`count` points, uniform on each component of the manifold, divided among the components by `fractions`.

    Each component gets its fraction of the points, rounded, but at least one point; the largest components give up
    points for that.
    """

    count: Count = 60
    fractions: tuple[Positive, ...] = (0.9, 0.1)

    def draw_count(self, manifold: Manifold) -> int:
        return self.count

    def sample(self, manifold: Manifold, generator: torch.Generator) -> Tensor:
        components = manifold.components
        if len(self.fractions) != len(components):
            raise SceneError(
                f"data.sampling.fractions has {len(self.fractions)} numbers; "
                f"the number of components of the manifold is {len(components)}"
            )
        if self.count < len(components):
            raise SceneError(
                f"data.sampling.count is {self.count}; the manifold has {len(components)} components: give more"
            )
        ends = torch.tensor(self.fractions, dtype=torch.float64).cumsum(0) / sum(self.fractions) * self.count
        rounded = ends.round().long()
        counts = rounded.diff(prepend=rounded.new_zeros(1)).clamp(min=1)
        while counts.sum() > self.count:
            counts[counts.argmax()] -= 1
        return torch.cat([part.sample(int(n), generator) for part, n in zip(components, counts, strict=True)])


@final
@settings
class ClusteredSampling(Sampling):
    """`count` points in `clusters` clusters: Gaussian tangent steps of size `width` from random points."""

    count: Count = 60
    clusters: Count = 6
    width: Positive = 0.05

    def draw_count(self, manifold: Manifold) -> int:
        # Each point gets the basis of its center.
        return (self.count + self.clusters) * (1 + manifold.dim)

    def sample(self, manifold: Manifold, generator: torch.Generator) -> Tensor:
        centers = manifold.sample(self.clusters, generator)
        cluster = torch.randint(self.clusters, (self.count,), generator=generator)
        basis = manifold.tangent_basis(centers)[cluster]
        step = self.width * torch.randn(self.count, manifold.dim, generator=generator, dtype=torch.float64)
        return manifold.project(centers[cluster] + torch.einsum("bnd,bd->bn", basis, step))


@final
@settings
class ExplicitSampling(Sampling):
    """Points listed in the scene; each must lie on the manifold to within 1e-6."""

    points: tuple[tuple[Finite, ...], ...] = ()

    def sample(self, manifold: Manifold, generator: torch.Generator) -> Tensor:
        if not self.points or any(len(row) != manifold.ambient_dim for row in self.points):
            raise SceneError(f"data.sampling.points must list points with {manifold.ambient_dim} numbers each")
        x = torch.tensor(self.points, dtype=torch.float64)
        off = manifold.distance(x)
        if bool((off > 1e-6).any()):
            worst = int(off.argmax())
            raise SceneError(
                f"data.sampling.points[{worst}] is {list(self.points[worst])}, {float(off[worst]):.3g} away from the "
                "manifold; list points on it"
            )
        return x


SAMPLINGS: dict[str, type[Sampling]] = {
    "clustered": ClusteredSampling,
    "density_gradient": DensityGradientSampling,
    "explicit": ExplicitSampling,
    "farthest_point": FarthestPointSampling,
    "grid": GridSampling,
    "imbalanced": ImbalancedSampling,
    "uniform": UniformSampling,
}

__getattr__ = missing_attribute(__name__)
