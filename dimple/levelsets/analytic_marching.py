"""The walk over the linear pieces of a level set: from polygon to polygon across the folds, whole fronts at once."""

import dataclasses
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.errors import SceneError
from dimple.tensors import chunks, generator
from dimple.tracing.piecewise_linear import Folds

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Pieces whose maps fit the cache of a core together.
CHUNK = 512
# An edge shorter than this share of the box is a point, where more than two folds meet.
POINT = 1e-12


@final
@dataclasses.dataclass(frozen=True)
class Front:
    """Pieces about to be measured, each with the edge by which it is entered.

    Attributes:
        patterns: `(B, U)` the activation region of each piece.
        keys: `(B,)` names of the patterns.
        entry: `(B, 2, 3)` the corners of the edge, in the order in which the piece has them; a seed has a point, twice.
        edges: `(B, 3)` the fold of the edge, the one after it, the one before it; -1 for seeds.
    """

    patterns: Bools
    keys: Ints
    entry: Floats
    edges: Ints

    def __getitem__(self, rows: Ints | Bools | slice) -> "Front":
        return Front(self.patterns[rows], self.keys[rows], self.entry[rows], self.edges[rows])


@final
@dataclasses.dataclass(frozen=True)
class Pieces:
    """Measured pieces: convex polygons, corner after corner, counter-clockwise seen from where the level is positive.

    Attributes:
        patterns: `(P, U)`; `keys` `(P,)`.
        levels: `(P, 4)` the level on each piece as a map of (x, y, z, 1).
        counts: `(P,)` corners a piece.
        corners: `(C, 3)`.
        folds: `(C,)` the fold, or the wall of the box, that the edge from this corner to the next lies on.
    """

    patterns: Bools
    keys: Ints
    levels: Floats
    counts: Ints
    corners: Floats
    folds: Ints

    def neighbours(self) -> tuple[Ints, Ints, Ints]:
        """Of every corner: the number of its piece, of the corner before it, and of the one after it."""
        piece = np.repeat(np.arange(len(self.counts)), self.counts)
        ends = np.cumsum(self.counts)
        index = np.arange(len(self.corners))
        first, last = (ends - self.counts)[piece], ends[piece] - 1
        return piece, np.where(index == first, last, index - 1), np.where(index == last, first, index + 1)


def joined(parts: list[Pieces]) -> Pieces:
    """Several batches of pieces as one."""
    return Pieces(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in dataclasses.fields(Pieces))
    )


@final
class Walk:
    """The pieces of one network in one box: enters them, traces their polygons, crosses their edges.

    Folds are numbered as the units; the six walls of the box follow, U + 2 axis + (0 low, 1 high).

    Attributes:
        open: how many pieces had to be left out, because no polygon closed in them.
    """

    def __init__(self, network: Folds, low: Floats, high: Floats) -> None:
        self.network = network
        self.units = network.units
        self.walls = np.zeros((6, 4))
        for axis in range(3):
            self.walls[2 * axis, [axis, 3]] = 1, -low[axis]
            self.walls[2 * axis + 1, [axis, 3]] = -1, high[axis]
        stream = generator(0, "folds")
        self.bits, self.tags = torch.randint(-(2**62), 2**62, (2, self.units + 6), generator=stream).numpy()
        self.size = float(np.linalg.norm(high - low))
        self.open = 0
        last = network.layers[-1]
        self.last = len(last.bias)
        self.slopes = np.zeros((3, self.units))
        self.slopes[0, -self.last :] = (last.low * network.weight).numpy()
        self.slopes[1, -self.last :] = (last.high * network.weight).numpy()
        self.slopes[2] = torch.cat([layer.low != layer.high for layer in network.layers]).numpy()
        first = network.layers[0]
        self.first = np.ascontiguousarray(torch.cat([first.weight.T, first.bias[None]]).numpy())
        self.threshold = 1e-13 * float(np.linalg.norm(self.first[:3], axis=0).max())

    def keys(self, patterns: Bools) -> Ints:
        """Names of the patterns `(B, U)`: sums of random 64-bit numbers, so that crossing a fold is one addition."""
        names: Ints = np.where(patterns, self.bits[: self.units], 0).sum(1)
        return names

    def measure(self, front: Front) -> Pieces:
        """The polygons of all pieces of the front; those that do not close are counted and left out."""
        # Regions that share the pattern of all layers but the last share those layers' maps: bring them together.
        prefix = np.where(front.patterns[:, : -self.last], self.bits[: self.units - self.last], 0).sum(1)
        order = np.argsort(prefix)
        front, prefix = front[order], prefix[order]
        return joined([self._measure(front[part], prefix[part]) for part in chunks(len(prefix), CHUNK)])

    def _measure(self, front: Front, prefix: Ints) -> Pieces:
        from dimple.levelsets._marching_kernels import MOST_CORNERS, trace_all

        fresh = np.flatnonzero(np.diff(prefix, prepend=prefix[0] - 1))
        group = np.cumsum(np.diff(prefix, prepend=prefix[0]) != 0)
        rest = self.network.units_after(torch.from_numpy(front.patterns[fresh])).numpy()
        count = len(front.keys)
        levels = np.zeros((count, 4))
        levels[:, 3] = float(self.network.bias)
        corners, folds = np.empty((count * 8 + MOST_CORNERS, 3)), np.empty(count * 8 + MOST_CORNERS, dtype=np.int64)
        counts = np.empty(count, dtype=np.int64)
        total = trace_all(
            self.first,
            rest,
            group,
            front.patterns,
            self.slopes,
            self.walls,
            front.entry,
            front.edges,
            self.size,
            self.threshold,
            levels,
            corners,
            folds,
            counts,
        )
        closed = counts > 0
        self.open += int((~closed & (front.edges[:, 0] >= 0)).sum())
        return Pieces(
            front.patterns[closed], front.keys[closed], levels[closed], counts[closed], corners[:total], folds[:total]
        )

    def _nothing(self) -> Pieces:
        """No piece at all, in the right shapes."""
        none = np.zeros(0, dtype=np.int64)
        return Pieces(np.zeros((0, self.units), dtype=bool), none, np.zeros((0, 4)), none, np.zeros((0, 3)), none)

    def enter(self, points: Floats) -> Front:
        """Seeds: the pieces at the points `(N, 3)` close to the level set; where there is none, none is measured."""
        patterns = self.network.patterns(torch.from_numpy(points)).numpy()
        keys = self.keys(patterns)
        keep = np.unique(keys, return_index=True)[1]
        entry = np.repeat(points[keep, None], 2, axis=1)
        return Front(patterns[keep], keys[keep], entry, np.full((len(keep), 3), -1))

    def crossings(self, pieces: Pieces) -> Front:
        """The pieces on the far side of the edges that lie on folds, each once."""
        piece, before, after = pieces.neighbours()
        length = np.abs(pieces.corners[after] - pieces.corners).max(1)
        edges = np.flatnonzero((pieces.folds < self.units) & (length > POINT * self.size))
        fold = pieces.folds[edges]
        bit = self.bits[fold]
        keys = pieces.keys[piece[edges]] + np.where(pieces.patterns[piece[edges], fold], -bit, bit)
        keys, keep = np.unique(keys, return_index=True)
        edges, fold = edges[keep], fold[keep]
        patterns = pieces.patterns[piece[edges]]
        numbers = np.arange(len(keep))
        patterns[numbers, fold] = ~patterns[numbers, fold]
        entry = np.stack([pieces.corners[after[edges]], pieces.corners[edges]], axis=1)
        names = np.stack([fold, pieces.folds[before[edges]], pieces.folds[after[edges]]], axis=1)
        return Front(patterns, keys, entry, names)

    def all_pieces(self, points: Floats, most: int) -> Pieces:
        """Every piece that hangs together with one that holds a point.

        Raises:
            SceneError: once there are more than `most`.
        """
        # A seed beside its piece names another region, which may have a piece of its own: only what closed is visited.
        parts = [self.measure(self.enter(points)) if len(points) else self._nothing()]
        visited = np.sort(parts[0].keys)
        while len(parts[-1].keys):
            if len(visited) > most:
                raise SceneError(
                    f"levelset.most is {most}: the boundary has more pieces; raise it, or use kind: adaptive"
                )
            front = self.crossings(parts[-1])
            front = front[visited[np.searchsorted(visited, front.keys).clip(max=len(visited) - 1)] != front.keys]
            visited = np.sort(np.concatenate([visited, front.keys]), kind="stable")
            parts.append(self.measure(front) if len(front.keys) else self._nothing())
        return joined(parts)
