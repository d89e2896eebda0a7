"""Products of manifolds in mutually orthogonal spaces: every quantity follows from those of the factors."""

import itertools
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from dimple.manifolds.affine import ParameterDomain
from dimple.manifolds.base import ChartMap, Manifold, scaled_norm
from dimple.manifolds.medial_axis import rescale_medial_axis_distance
from dimple.manifolds.parametrized import triangulate
from dimple.manifolds.triangulations import VerticesAndFaces


class ProductManifold(Manifold):
    """The points whose first coordinates lie on the first factor, the next ones on the second, and so on."""

    @property
    @abstractmethod
    def factors(self) -> tuple[Manifold, ...]:
        """Factors of the product."""

    @property
    def dim(self) -> int:
        return sum(factor.dim for factor in self.factors)

    @property
    def ambient_dim(self) -> int:
        return sum(factor.ambient_dim for factor in self.factors)

    @property
    def reach(self) -> float:
        """Minimum reach of the factors, because squared distances add."""
        return min(factor.reach for factor in self.factors)

    @property
    def reach_is_exact(self) -> bool:
        """Return whether the reach of the factors that attain the minimum is exact."""
        return all(factor.reach_is_exact for factor in self.factors if factor.reach == self.reach)

    @property
    def volume(self) -> float:
        """Product of the factors' volumes."""
        return math.prod(factor.volume for factor in self.factors)

    @property
    def volume_error(self) -> float:
        """Volume times the sum of the factors' relative errors."""
        return self.volume * sum(factor.volume_error / factor.volume for factor in self.factors)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.cat([factor.sample(count, generator) for factor in self.factors], dim=1)

    def project(self, x: Tensor) -> Tensor:
        return torch.cat([factor.project(block) for factor, block in self._split_by_factor(x)], dim=1)

    def medial_axis_distance(self, x: Tensor) -> Tensor:
        """Return the minimum over the factors, each scaled by the part of the direction in its space, `(B,)`."""
        total = self.distance(x)
        distances = [
            rescale_medial_axis_distance(
                factor.medial_axis_distance(block), factor.distance(block), total, self._extent
            )
            for factor, block in self._split_by_factor(x)
        ]
        return torch.stack(distances).amin(0)

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Return the factors' bases as diagonal blocks, `(B, n, d)`."""
        basis = x.new_zeros(len(x), self.ambient_dim, self.dim)
        for (factor, block), rows, columns in self._factor_blocks(x):
            basis[:, rows, columns] = factor.tangent_basis(block)
        return basis

    def second_fundamental_form(self, x: Tensor) -> Tensor:
        """Return the factors' forms as diagonal blocks, `(B, n, d, d)`."""
        form = x.new_zeros(len(x), self.ambient_dim, self.dim, self.dim)
        for (factor, block), rows, columns in self._factor_blocks(x):
            form[:, rows, columns, columns] = factor.second_fundamental_form(block)
        return form

    def coordinates(self, x: Tensor) -> Tensor:
        return torch.cat([factor.coordinates(block) for factor, block in self._split_by_factor(x)], dim=1)

    def geodesic_distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the root of the sum of the factors' squared geodesic distances, `(A, B)`."""
        pairs = zip(self._split_by_factor(a), self._split_by_factor(b), strict=True)
        lengths = [factor.geodesic_distance(one, other) for (factor, one), (_, other) in pairs]
        return scaled_norm(torch.stack(lengths, dim=-1))

    def regular_grid(self, per_side: int) -> Tensor | None:
        """Return every combination of the factors' grid points; None if a factor has no grid."""
        grids = [factor.regular_grid(per_side) for factor in self.factors]
        available = [grid for grid in grids if grid is not None]
        if len(available) < len(grids):
            return None
        return torch.stack([torch.cat(points) for points in itertools.product(*available)])

    def parametrization(self) -> tuple[Manifold, ChartMap]:
        """Return the product of the factors' charts, if each has a parameter domain; else the manifold itself."""
        sources, charts = zip(*(factor.parametrization() for factor in self.factors), strict=True)
        domains = [source for source in sources if isinstance(source, ParameterDomain)]
        if len(domains) < len(sources):
            return super().parametrization()
        fields = [
            tuple(itertools.chain(*(getattr(domain, name) for domain in domains)))
            for name in ("low", "high", "periodic")
        ]
        return ParameterDomain(*fields), _concatenate_charts(charts, [domain.dim for domain in domains])

    def triangulation(self) -> VerticesAndFaces | None:
        return triangulate(self)

    def _split_by_factor(self, x: Tensor) -> list[tuple[Manifold, Tensor]]:
        blocks = x.split([factor.ambient_dim for factor in self.factors], dim=1)
        return list(zip(self.factors, blocks, strict=True))

    def _factor_blocks(self, x: Tensor) -> Iterator[tuple[tuple[Manifold, Tensor], slice, slice]]:
        row = column = 0
        for factor, block in self._split_by_factor(x):
            rows = slice(row, row + factor.ambient_dim)
            columns = slice(column, column + factor.dim)
            yield (factor, block), rows, columns
            row = rows.stop
            column = columns.stop


def _concatenate_charts(charts: tuple[ChartMap, ...], dims: list[int]) -> Callable[[Tensor], Tensor]:
    """Return the chart that splits the parameters and concatenates the values of `charts`."""

    def chart(z: Tensor) -> Tensor:
        blocks = z.split(dims, dim=1)
        return torch.cat([factor_chart(block) for factor_chart, block in zip(charts, blocks, strict=True)], dim=1)

    return chart
