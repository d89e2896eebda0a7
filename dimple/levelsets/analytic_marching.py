"""Analytic marching: the polygons of a piecewise linear level set, from each polygon to its neighbors.

A network of ReLU type is affine in every activation region, so its level set is one convex polygon in each region that
it crosses. Two polygons meet in an edge on a hyperplane where a hidden unit is zero. Breadth-first search over these
edges finds all polygons that are connected with the seeds.

Reference: Lei and Jia 2020, Analytic marching: an analytic meshing solution from deep implicit surface networks.
"""

import dataclasses
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.errors import SceneError
from dimple.tensors import chunks, generator
from dimple.tracing.piecewise_linear import PiecewiseLinearNet

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Polygons traced together: their affine maps fit the cache of a core.
POLYGONS_PER_CHUNK = 512
# An edge shorter than this fraction of the box diagonal is a point, where more than two hyperplanes meet.
COINCIDENCE_TOLERANCE = 1e-12
# Steps from a seed to the regions around it, as fractions of the box diagonal.
SEED_STEPS = 1e-9 * np.array([[0.0, 0.0, 0.0], [0.683, 0.491, 0.541], [-0.281, 0.773, -0.569]])


@final
@dataclasses.dataclass(frozen=True)
class Frontier:
    """Polygons to be traced, each with the edge by which it is entered.

    Attributes:
        activation_patterns: `(B, U)` the activation region of each polygon.
        pattern_hashes: `(B,)` hashes of the patterns.
        entry_edges: `(B, 2, 3)` the ends of the edge in the order of the polygon's corners; of a seed, its point twice.
        entry_hyperplanes: `(B, 3)` the hyperplane of that edge, of the edge after it, of the edge before it; -1 for a
            seed.
    """

    activation_patterns: Bools
    pattern_hashes: Ints
    entry_edges: Floats
    entry_hyperplanes: Ints

    def __getitem__(self, rows: Ints | Bools | slice) -> "Frontier":
        return Frontier(
            self.activation_patterns[rows],
            self.pattern_hashes[rows],
            self.entry_edges[rows],
            self.entry_hyperplanes[rows],
        )


@final
@dataclasses.dataclass(frozen=True)
class Polygons:
    """Traced convex polygons, corner after corner, counter-clockwise seen from where the level is positive.

    Attributes:
        activation_patterns: `(P, U)` the activation region of each polygon.
        pattern_hashes: `(P,)` hashes of the patterns.
        level_maps: `(P, 4)` the level in each region as an affine map of (x, y, z, 1).
        corner_counts: `(P,)` corners of each polygon.
        corners: `(C, 3)`.
        edge_hyperplanes: `(C,)` the hyperplane, of a unit or of the box, that holds the edge from each corner to the
            next.
    """

    activation_patterns: Bools
    pattern_hashes: Ints
    level_maps: Floats
    corner_counts: Ints
    corners: Floats
    edge_hyperplanes: Ints

    def corner_neighbors(self) -> tuple[Ints, Ints, Ints]:
        """Return, for every corner, the index of its polygon, of the corner before it and of the corner after it."""
        polygon = np.repeat(np.arange(len(self.corner_counts)), self.corner_counts)
        ends = np.cumsum(self.corner_counts)
        index = np.arange(len(self.corners))
        first = (ends - self.corner_counts)[polygon]
        last = ends[polygon] - 1
        return polygon, np.where(index == first, last, index - 1), np.where(index == last, first, index + 1)


def concatenate_polygons(batches: list[Polygons]) -> Polygons:
    """Return several batches of polygons as one."""
    return Polygons(
        *(np.concatenate([getattr(batch, field.name) for batch in batches]) for field in dataclasses.fields(Polygons))
    )


@final
class AnalyticMarching:
    """Search for the polygons of one network in one box: trace polygons, then cross their edges to the next ones.

    The hyperplanes of the U hidden units are numbered like the units; the six planes of the box follow, numbered
    U + 2 axis + (0 low, 1 high).

    Attributes:
        num_unclosed: number of polygons left out so far because their trace does not close.
    """

    def __init__(self, network: PiecewiseLinearNet, low: Floats, high: Floats) -> None:
        # In coordinates from the center of the box, where no digits are lost.
        self.center = (low + high) / 2
        low = low - self.center
        high = high - self.center
        network = network.translate(torch.from_numpy(self.center))
        self.network = network
        self.num_units = network.num_units
        self.box_planes = np.zeros((6, 4))
        for axis in range(3):
            self.box_planes[2 * axis, [axis, 3]] = 1, -low[axis]
            self.box_planes[2 * axis + 1, [axis, 3]] = -1, high[axis]
        stream = generator(0, "folds")
        self.unit_hash_terms, self.vertex_hash_terms = torch.randint(
            -(2**62), 2**62, (2, self.num_units + 6), generator=stream
        ).numpy()
        self.box_diagonal = float(np.linalg.norm(high - low))
        self.num_unclosed = 0
        last = network.layers[-1]
        self.last_layer_width = len(last.bias)
        self.readout_slopes = np.zeros((3, self.num_units))
        self.readout_slopes[0, -self.last_layer_width :] = (last.negative_slope * network.weight).numpy()
        self.readout_slopes[1, -self.last_layer_width :] = (last.positive_slope * network.weight).numpy()
        self.readout_slopes[2] = torch.cat(
            [layer.negative_slope != layer.positive_slope for layer in network.layers]
        ).numpy()
        first = network.layers[0]
        self.first_layer_maps = np.ascontiguousarray(torch.cat([first.weight.T, first.bias[None]]).numpy())
        self.min_speed = 1e-13 * float(np.linalg.norm(self.first_layer_maps[:3], axis=0).max())

    def hash_patterns(self, activation_patterns: Bools) -> Ints:
        """Return hashes `(B,)` of patterns `(B, U)`.

        A hash is the sum of one random 64-bit number for each positive unit, so that crossing a hyperplane takes one
        addition.
        """
        hashes: Ints = np.where(activation_patterns, self.unit_hash_terms[: self.num_units], 0).sum(1)
        return hashes

    def trace(self, frontier: Frontier) -> Polygons:
        """Trace all polygons of the frontier; count and leave out those whose trace does not close."""
        # Regions with equal patterns in all layers but the last have equal affine maps: sort them into groups.
        prefix = np.where(
            frontier.activation_patterns[:, : -self.last_layer_width],
            self.unit_hash_terms[: self.num_units - self.last_layer_width],
            0,
        ).sum(1)
        order = np.argsort(prefix)
        frontier = frontier[order]
        prefix = prefix[order]
        return concatenate_polygons(
            [self._trace_chunk(frontier[chunk], prefix[chunk]) for chunk in chunks(len(prefix), POLYGONS_PER_CHUNK)]
        )

    def _trace_chunk(self, frontier: Frontier, prefix_hashes: Ints) -> Polygons:
        from dimple.levelsets._marching_kernels import MAX_CORNERS, trace_polygons

        group_starts = np.flatnonzero(np.diff(prefix_hashes, prepend=prefix_hashes[0] - 1))
        group_indices = np.cumsum(np.diff(prefix_hashes, prepend=prefix_hashes[0]) != 0)
        later_unit_maps = self.network.later_unit_maps(
            torch.from_numpy(frontier.activation_patterns[group_starts])
        ).numpy()
        count = len(frontier.pattern_hashes)
        level_maps = np.zeros((count, 4))
        level_maps[:, 3] = float(self.network.bias)
        corners = np.empty((count * 8 + MAX_CORNERS, 3))
        edge_hyperplanes = np.empty(count * 8 + MAX_CORNERS, dtype=np.int64)
        corner_counts = np.empty(count, dtype=np.int64)
        total = trace_polygons(
            self.first_layer_maps,
            later_unit_maps,
            group_indices,
            frontier.activation_patterns,
            self.readout_slopes,
            self.box_planes,
            frontier.entry_edges,
            frontier.entry_hyperplanes,
            self.box_diagonal,
            self.min_speed,
            level_maps,
            corners,
            edge_hyperplanes,
            corner_counts,
        )
        closed = corner_counts > 0
        self.num_unclosed += int((~closed & (frontier.entry_hyperplanes[:, 0] >= 0)).sum())
        return Polygons(
            frontier.activation_patterns[closed],
            frontier.pattern_hashes[closed],
            level_maps[closed],
            corner_counts[closed],
            corners[:total],
            edge_hyperplanes[:total],
        )

    def _empty_polygons(self) -> Polygons:
        """Return zero polygons, in arrays of the right shapes."""
        none = np.zeros(0, dtype=np.int64)
        return Polygons(np.zeros((0, self.num_units), dtype=bool), none, np.zeros((0, 4)), none, np.zeros((0, 3)), none)

    def seed_frontier(self, points: Floats) -> Frontier:
        """Return the seeds: the activation regions of points `(N, 3)` close to the level set, each region once.

        The regions next to a point count too: it may lie on hyperplanes of units. A region that the level set does not
        cross yields no polygon.
        """
        steps = np.concatenate([SEED_STEPS, -SEED_STEPS[1:]]) * self.box_diagonal
        points = (points - self.center + steps[:, None]).reshape(-1, 3)
        patterns = self.network.activation_patterns(torch.from_numpy(points)).numpy()
        hashes = self.hash_patterns(patterns)
        selected = np.unique(hashes, return_index=True)[1]
        entry_edges = np.repeat(points[selected, None], 2, axis=1)
        return Frontier(patterns[selected], hashes[selected], entry_edges, np.full((len(selected), 3), -1))

    def cross_edges(self, polygons: Polygons) -> Frontier:
        """Return the polygons on the other side of all edges that lie on hyperplanes of units, each once."""
        polygon, before, after = polygons.corner_neighbors()
        length = np.abs(polygons.corners[after] - polygons.corners).max(1)
        edges = np.flatnonzero(
            (polygons.edge_hyperplanes < self.num_units) & (length > COINCIDENCE_TOLERANCE * self.box_diagonal)
        )
        unit = polygons.edge_hyperplanes[edges]
        term = self.unit_hash_terms[unit]
        hashes = polygons.pattern_hashes[polygon[edges]] + np.where(
            polygons.activation_patterns[polygon[edges], unit], -term, term
        )
        hashes, selected = np.unique(hashes, return_index=True)
        edges = edges[selected]
        unit = unit[selected]
        patterns = polygons.activation_patterns[polygon[edges]]
        rows = np.arange(len(selected))
        patterns[rows, unit] = ~patterns[rows, unit]
        entry_edges = np.stack([polygons.corners[after[edges]], polygons.corners[edges]], axis=1)
        entry_hyperplanes = np.stack(
            [unit, polygons.edge_hyperplanes[before[edges]], polygons.edge_hyperplanes[after[edges]]], axis=1
        )
        return Frontier(patterns, hashes, entry_edges, entry_hyperplanes)

    def march(self, seed_points: Floats, max_polygons: int) -> Polygons:
        """Return all polygons that are connected with the polygon of a seed point `(N, 3)`.

        Raises:
            SceneError: if there are more than `max_polygons`.
        """
        # The region of a seed may have no polygon at the seed but one elsewhere: only traced polygons count as visited.
        batches = [self.trace(self.seed_frontier(seed_points)) if len(seed_points) else self._empty_polygons()]
        visited = np.sort(batches[0].pattern_hashes)
        while len(batches[-1].pattern_hashes):
            if len(visited) > max_polygons:
                raise SceneError(
                    f"levelset.max_polygons is {max_polygons}: the boundary has more polygons; raise it, "
                    "or use kind: adaptive"
                )
            frontier = self.cross_edges(batches[-1])
            frontier = frontier[
                visited[np.searchsorted(visited, frontier.pattern_hashes).clip(max=len(visited) - 1)]
                != frontier.pattern_hashes
            ]
            visited = np.sort(np.concatenate([visited, frontier.pattern_hashes]), kind="stable")
            batches.append(self.trace(frontier) if len(frontier.pattern_hashes) else self._empty_polygons())
        found = concatenate_polygons(batches)
        level_maps = found.level_maps.copy()
        level_maps[:, 3] -= level_maps[:, :3] @ self.center
        return dataclasses.replace(found, corners=found.corners + self.center, level_maps=level_maps)
