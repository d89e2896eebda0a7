"""Disjoint unions of manifolds: each point is evaluated on its closest component."""

import itertools
from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from dimple.manifolds.base import Manifold
from dimple.manifolds.geometry.reach import estimate_separation
from dimple.manifolds.triangulations import VerticesAndFaces


class DisjointUnion(Manifold):
    """The union of manifolds of the same dimension, in the same space, that do not meet."""

    @property
    @abstractmethod
    def components(self) -> tuple[Manifold, ...]:
        """Connected components."""

    @property
    def dim(self) -> int:
        return self.components[0].dim

    @property
    def ambient_dim(self) -> int:
        return self.components[0].ambient_dim

    @property
    def separation(self) -> float:
        """Minimum distance between two components; infinity for a single component."""
        return self._estimated_separation

    @cached_property
    def _estimated_separation(self) -> float:
        return min(
            (estimate_separation(a, b) for a, b in itertools.combinations(self.components, 2)), default=float("inf")
        )

    @property
    def reach(self) -> float:
        """Minimum reach of the components, or half the separation if that is less."""
        # The midpoint of the shortest segment between two components has two closest points.
        return min(*(component.reach for component in self.components), self.separation / 2)

    @property
    def reach_is_exact(self) -> bool:
        """Return False, because a separation is estimated in general; members with a formula override it."""
        return False

    @property
    def volume(self) -> float:
        return sum(component.volume for component in self.components)

    @property
    def volume_error(self) -> float:
        return sum(component.volume_error for component in self.components)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return points of random components, chosen with probabilities proportional to their volumes."""
        volumes = [component.volume for component in self.components]
        weights = torch.tensor(volumes, dtype=torch.float64, device=generator.device)
        which = torch.multinomial(weights, max(count, 1), replacement=True, generator=generator)[:count]
        x = weights.new_empty(count, self.ambient_dim)
        for index, component in enumerate(self.components):
            mask = which == index
            x[mask] = component.sample(int(mask.sum()), generator)
        return x

    def component_index(self, x: Tensor) -> Tensor:
        return torch.stack([component.distance(x) for component in self.components], dim=1).argmin(1)

    def project(self, x: Tensor) -> Tensor:
        return self._evaluate_by_component(x, lambda component, rows: component.project(rows))

    def tangent_basis(self, x: Tensor) -> Tensor:
        return self._evaluate_by_component(x, lambda component, rows: component.tangent_basis(rows))

    def second_fundamental_form(self, x: Tensor) -> Tensor:
        return self._evaluate_by_component(x, lambda component, rows: component.second_fundamental_form(rows))

    def coordinates(self, x: Tensor) -> Tensor:
        return self._evaluate_by_component(x, lambda component, rows: component.coordinates(rows))

    def geodesic_distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the geodesic distances `(A, B)` within components; infinity between two components."""
        index_a = self.component_index(a)
        index_b = self.component_index(b)
        length = a.new_full((len(a), len(b)), float("inf"))
        for index, component in enumerate(self.components):
            rows = (index_a == index).nonzero()[:, 0]
            columns = (index_b == index).nonzero()[:, 0]
            if len(rows) and len(columns):
                length[rows[:, None], columns] = component.geodesic_distance(a[rows], b[columns])
        return length

    def regular_grid(self, per_side: int) -> Tensor | None:
        """Return the concatenated grids of all components; None if a component has no grid."""
        grids = [grid for component in self.components if (grid := component.regular_grid(per_side)) is not None]
        return torch.cat(grids) if len(grids) == len(self.components) else None

    def triangulation(self) -> VerticesAndFaces | None:
        """Return the meshes of all components as one mesh; None if a component has no mesh."""
        meshes = [mesh for component in self.components if (mesh := component.triangulation()) is not None]
        if len(meshes) < len(self.components):
            return None
        starts = np.cumsum([0, *(len(vertices) for vertices, _ in meshes)])
        faces = [faces + start for (_, faces), start in zip(meshes, starts, strict=False)]
        return np.concatenate([vertices for vertices, _ in meshes]), np.concatenate(faces)

    def _evaluate_by_component(self, x: Tensor, function: Callable[[Manifold, Tensor], Tensor]) -> Tensor:
        """Return the values of `function` on each row's closest component, in the order of the rows."""
        which = self.component_index(x)
        order = [(which == index).nonzero()[:, 0] for index in range(len(self.components))]
        values = [function(component, x[rows]) for component, rows in zip(self.components, order, strict=True)]
        return torch.cat(values)[torch.cat(order).argsort()]
