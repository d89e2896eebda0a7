"""Manifolds of several pieces: each question goes to the piece that is nearest."""

import itertools
from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from dimple.manifolds.base import Manifold
from dimple.manifolds.reach import searched_gap
from dimple.manifolds.triangulations import Drawn


class Pieces(Manifold):
    """The union of some manifolds of one dimension, in one space, that do not meet."""

    @property
    @abstractmethod
    def parts(self) -> tuple[Manifold, ...]:
        """The pieces, each connected."""

    @property
    def dim(self) -> int:
        """That of each piece."""
        return self.parts[0].dim

    @property
    def ambient_dim(self) -> int:
        """That of each piece."""
        return self.parts[0].ambient_dim

    @property
    def gap(self) -> float:
        """The least distance between two pieces; infinite for one piece."""
        return self._searched_gap

    @cached_property
    def _searched_gap(self) -> float:
        return min((searched_gap(a, b) for a, b in itertools.combinations(self.parts, 2)), default=float("inf"))

    @property
    def reach(self) -> float:
        """The least of the pieces', or half the gap: the midpoint of the gap has two nearest points."""
        return min(*(part.reach for part in self.parts), self.gap / 2)

    @property
    def reach_is_exact(self) -> bool:
        """Only if no search is behind it."""
        return False

    @property
    def volume(self) -> float:
        """The sum."""
        return sum(part.volume for part in self.parts)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Each point on a piece drawn by its share of the volume."""
        share = torch.tensor([part.volume for part in self.parts], dtype=torch.float64, device=generator.device)
        which = torch.multinomial(share, max(count, 1), replacement=True, generator=generator)[:count]
        x = share.new_empty(count, self.ambient_dim)
        for index, part in enumerate(self.parts):
            here = which == index
            x[here] = part.sample(int(here.sum()), generator)
        return x

    def component(self, x: Tensor) -> Tensor:
        """The piece at the least distance."""
        return torch.stack([part.distance(x) for part in self.parts], dim=1).argmin(1)

    def project(self, x: Tensor) -> Tensor:
        """On the nearest piece."""
        return self._by_piece(x, lambda part, rows: part.project(rows))

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Of the nearest piece."""
        return self._by_piece(x, lambda part, rows: part.tangent_basis(rows))

    def second_form(self, x: Tensor) -> Tensor:
        """Of the nearest piece."""
        return self._by_piece(x, lambda part, rows: part.second_form(rows))

    def coordinates(self, x: Tensor) -> Tensor:
        """Of the nearest piece."""
        return self._by_piece(x, lambda part, rows: part.coordinates(rows))

    def geodesic(self, a: Tensor, b: Tensor) -> Tensor:
        """Within one piece; infinite between two."""
        on_a, on_b = self.component(a), self.component(b)
        length = a.new_full((len(a), len(b)), float("inf"))
        for index, part in enumerate(self.parts):
            rows, columns = (on_a == index).nonzero()[:, 0], (on_b == index).nonzero()[:, 0]
            if len(rows) and len(columns):
                length[rows[:, None], columns] = part.geodesic(a[rows], b[columns])
        return length

    def grid(self, per_side: int) -> Tensor | None:
        """The grids of all pieces, one after the other."""
        grids = [grid for part in self.parts if (grid := part.grid(per_side)) is not None]
        return torch.cat(grids) if len(grids) == len(self.parts) else None

    def triangulation(self) -> Drawn | None:
        """The meshes of all pieces in one."""
        drawn = [one for part in self.parts if (one := part.triangulation()) is not None]
        if len(drawn) < len(self.parts):
            return None
        starts = np.cumsum([0, *(len(vertices) for vertices, _ in drawn)])
        faces = [faces + start for (_, faces), start in zip(drawn, starts, strict=False)]
        return np.concatenate([vertices for vertices, _ in drawn]), np.concatenate(faces)

    def _by_piece(self, x: Tensor, question: Callable[[Manifold, Tensor], Tensor]) -> Tensor:
        """The answers of the nearest pieces, put together in the order of the rows."""
        which = self.component(x)
        order = [(which == index).nonzero()[:, 0] for index in range(len(self.parts))]
        answers = [question(part, x[rows]) for part, rows in zip(self.parts, order, strict=True)]
        return torch.cat(answers)[torch.cat(order).argsort()]
