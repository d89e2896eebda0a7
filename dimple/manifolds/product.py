"""Products of manifolds in spaces square to one another: everything follows from the factors."""

import itertools
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from dimple.manifolds.affine import Cell
from dimple.manifolds.base import Chart, Manifold
from dimple.manifolds.medial_axis import along_a_part
from dimple.manifolds.parametrized import triangulate
from dimple.manifolds.triangulations import Drawn


class Product(Manifold):
    """All points whose first coordinates lie on the first factor, the next ones on the second, and so on."""

    @property
    @abstractmethod
    def factors(self) -> tuple[Manifold, ...]:
        """The manifolds that are multiplied."""

    @property
    def dim(self) -> int:
        """The sum."""
        return sum(factor.dim for factor in self.factors)

    @property
    def ambient_dim(self) -> int:
        """The sum."""
        return sum(factor.ambient_dim for factor in self.factors)

    @property
    def reach(self) -> float:
        """The least of the factors': squared distances add."""
        return min(factor.reach for factor in self.factors)

    @property
    def reach_is_exact(self) -> bool:
        """Where that factor's is."""
        return all(factor.reach_is_exact for factor in self.factors if factor.reach == self.reach)

    @property
    def volume(self) -> float:
        """The product."""
        return math.prod(factor.volume for factor in self.factors)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Independent samples of the factors, side by side."""
        return torch.cat([factor.sample(count, generator) for factor in self.factors], dim=1)

    def project(self, x: Tensor) -> Tensor:
        """Each part on its own factor."""
        return torch.cat([factor.project(part) for factor, part in self._split(x)], dim=1)

    def room(self, x: Tensor) -> Tensor:
        """Until the first factor has none left; each goes its share of the way."""
        whole = self.distance(x)
        rooms = [
            along_a_part(factor.room(part), factor.distance(part), whole, self._extent)
            for factor, part in self._split(x)
        ]
        return torch.stack(rooms).amin(0)

    def tangent_basis(self, x: Tensor) -> Tensor:
        """The factors' bases as blocks."""
        basis = x.new_zeros(len(x), self.ambient_dim, self.dim)
        for (factor, part), rows, columns in self._blocks(x):
            basis[:, rows, columns] = factor.tangent_basis(part)
        return basis

    def second_form(self, x: Tensor) -> Tensor:
        """The factors' forms as blocks."""
        form = x.new_zeros(len(x), self.ambient_dim, self.dim, self.dim)
        for (factor, part), rows, columns in self._blocks(x):
            form[:, rows, columns, columns] = factor.second_form(part)
        return form

    def coordinates(self, x: Tensor) -> Tensor:
        """Those of the factors, side by side."""
        return torch.cat([factor.coordinates(part) for factor, part in self._split(x)], dim=1)

    def geodesic(self, a: Tensor, b: Tensor) -> Tensor:
        """By the theorem of Pythagoras from the factors'."""
        pairs = zip(self._split(a), self._split(b), strict=True)
        lengths = [factor.geodesic(one, other) for (factor, one), (_, other) in pairs]
        return torch.stack(lengths).square().sum(0).sqrt()

    def grid(self, per_side: int) -> Tensor | None:
        """Every combination of the factors' grids."""
        grids = [factor.grid(per_side) for factor in self.factors]
        rows = [grid for grid in grids if grid is not None]
        if len(rows) < len(grids):
            return None
        return torch.stack([torch.cat(choice) for choice in itertools.product(*rows)])

    def unfold(self) -> tuple[Manifold, Chart]:
        """The product of the factors' cells, where all of them unfold to one."""
        sources, charts = zip(*(factor.unfold() for factor in self.factors), strict=True)
        cells = [source for source in sources if isinstance(source, Cell)]
        if len(cells) < len(sources):
            return super().unfold()
        ends = [tuple(itertools.chain(*(getattr(cell, name) for cell in cells))) for name in ("low", "high", "closed")]
        return Cell(*ends), _side_by_side(charts, [cell.dim for cell in cells])

    def triangulation(self) -> Drawn | None:
        """From the common chart."""
        return triangulate(self)

    def _split(self, x: Tensor) -> list[tuple[Manifold, Tensor]]:
        parts = x.split([factor.ambient_dim for factor in self.factors], dim=1)
        return list(zip(self.factors, parts, strict=True))

    def _blocks(self, x: Tensor) -> Iterator[tuple[tuple[Manifold, Tensor], slice, slice]]:
        row = column = 0
        for factor, part in self._split(x):
            rows, columns = slice(row, row + factor.ambient_dim), slice(column, column + factor.dim)
            yield (factor, part), rows, columns
            row, column = rows.stop, columns.stop


def _side_by_side(charts: tuple[Chart, ...], dims: list[int]) -> Callable[[Tensor], Tensor]:
    """The chart that gives each of `charts` its own parameters."""

    def chart(z: Tensor) -> Tensor:
        parts = z.split(dims, dim=1)
        return torch.cat([one(part) for one, part in zip(charts, parts, strict=True)], dim=1)

    return chart
