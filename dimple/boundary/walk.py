"""The walk over the linear pieces of a level set: from polygon to polygon across the folds, whole fronts at once."""

import dataclasses
from typing import final

import torch
from torch import Tensor

from dimple.boundary.folds import Folds
from dimple.tensors import chunks, generator

# Pieces whose maps fit the cache of a core together.
CHUNK = 384
# A polygon with more corners than this is a sign of a fold plane that the level set only grazes.
MOST_CORNERS = 96


@final
@dataclasses.dataclass(frozen=True)
class Front:
    """Pieces about to be measured, each with the edge by which it was entered.

    Attributes:
        patterns: `(B, U)` bool, the activation region of each piece.
        keys: `(B,)` int64 names of the patterns.
        start: `(B, 3)` first corner and `end` `(B, 3)` second corner of the edge, as the piece runs along it.
        edge: `(B,)` fold that the edge lies on; `after` the fold that the boundary of the piece follows from `end`;
            `last` the one that it comes along to `start`.
    """

    patterns: Tensor
    keys: Tensor
    start: Tensor
    end: Tensor
    edge: Tensor
    after: Tensor
    last: Tensor


@final
@dataclasses.dataclass(frozen=True)
class Pieces:
    """Measured pieces: convex polygons, corner after corner, counter-clockwise seen from where the level is positive.

    Attributes:
        patterns: `(P, U)` bool; `keys` `(P,)`.
        gaps: `(P, 4)` the gap as an affine map on each piece, its constant last.
        starts: `(P + 1,)` offsets into the corners.
        corners: `(C, 3)`.
        folds: `(C,)` the fold, or the wall of the box, that the edge from this corner to the next lies on.
    """

    patterns: Tensor
    keys: Tensor
    gaps: Tensor
    starts: Tensor
    corners: Tensor
    folds: Tensor

    def neighbours(self) -> tuple[Tensor, Tensor, Tensor]:
        """Of every corner: the number of its piece, of the corner before it, and of the one after it."""
        counts = self.starts.diff()
        piece = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
        index = torch.arange(len(self.corners), device=counts.device)
        first, last = self.starts[:-1][piece], self.starts[1:][piece] - 1
        before = torch.where(index == first, last, index - 1)
        after = torch.where(index == last, first, index + 1)
        return piece, before, after


@final
class Walk:
    """The geometry of one network in one box: shoots along folds, closes polygons, crosses edges.

    Folds are numbered as the units; the six walls of the box follow, U + 2 axis + (0 low, 1 high).
    """

    def __init__(self, network: Folds, low: Tensor, high: Tensor) -> None:
        self.network = network
        self.low, self.high = low, high
        self.device = low.device
        self.units = network.units
        eye = torch.eye(3, dtype=torch.float64, device=self.device)
        walls = torch.stack([torch.cat([eye, -low[:, None]], 1), torch.cat([-eye, high[:, None]], 1)], dim=1)
        self.walls = walls.reshape(6, 4)
        stream = generator(0, "folds")
        names = torch.randint(-(2**62), 2**62, (2, self.units + 6), generator=stream)
        self.bits, self.tags = names.to(self.device)
        self.size = float((high - low).norm())
        self.idle = torch.cat([layer.low == layer.high for layer in network.layers])
        self.threshold = 1e-13 * max(1.0, float(network.layers[0].weight.abs().max()))

    def keys(self, patterns: Tensor) -> Tensor:
        """Names of the patterns `(B, U)`: sums of random 64-bit numbers, so that crossing a fold is one addition."""
        return torch.where(patterns, self.bits[: self.units], 0).sum(1)

    def measure(self, front: Front) -> Pieces:
        """The polygons of all pieces of the front."""
        return joined([self._measure(front, part) for part in chunks(len(front.keys), CHUNK)])

    def _measure(self, front: Front, part: slice) -> Pieces:
        patterns = front.patterns[part]
        maps = _Maps(self, patterns)
        everyone = torch.arange(len(patterns), device=self.device)
        start, end = front.start[part], front.end[part]
        rows, corners, folds = [everyone, everyone], [start, end], [front.edge[part], front.after[part]]
        active, last = everyone, front.last[part]
        closed = torch.zeros(len(patterns), dtype=torch.bool, device=self.device)
        point, before, along = end, front.edge[part], front.after[part]
        for _ in range(MOST_CORNERS):
            hit, point, found = maps.shoot(active, point, along, before)
            home = found & (hit == last)
            # Where three folds meet in a point, the way home may have another name.
            near = found & ~home & ((point - start[active]).abs().amax(1) < 1e-12 * self.size)
            closed[active[home | near]] = True
            kept = found & ~near
            rows.append(active[kept])
            corners.append(point[kept])
            folds.append(hit[kept])
            stay = kept & ~home
            active, last, point = active[stay], last[stay], point[stay]
            along, before = hit[stay], along[stay]
            if len(active) == 0:
                break
        return self._assembled(patterns, front.keys[part], maps.gaps, closed, rows, corners, folds)

    def _assembled(
        self,
        patterns: Tensor,
        keys: Tensor,
        gaps: Tensor,
        closed: Tensor,
        rows: list[Tensor],
        corners: list[Tensor],
        folds: list[Tensor],
    ) -> Pieces:
        row = torch.cat(rows)
        order = torch.argsort(row, stable=True)
        if not bool(closed.all()):
            order = order[closed[row[order]]]
        counts = torch.bincount(row[order], minlength=len(keys))[closed]
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return Pieces(
            patterns[closed], keys[closed], gaps[closed], starts, torch.cat(corners)[order], torch.cat(folds)[order]
        )

    def enter(self, points: Tensor) -> Front:
        """The pieces that hold points `(N, 3)` near the level set, one entry each; points with no piece are left out."""
        patterns = self.network.patterns(points)
        keys = self.keys(patterns)
        keep = first_of_each(keys)
        return joined_fronts([self._enter(points[keep[part]], patterns[keep[part]], keys[keep[part]])
                              for part in chunks(len(keep), CHUNK)])

    def _enter(self, points: Tensor, patterns: Tensor, keys: Tensor) -> Front:
        maps = _Maps(self, patterns)
        gradient, constant = maps.gaps[:, :3], maps.gaps[:, 3]
        square = (gradient * gradient).sum(1)
        off = (points * gradient).sum(1) + constant
        foot = points - (off / square)[:, None] * gradient
        inside = (square > 0) & maps.holds(foot)
        everyone = torch.nonzero(inside).squeeze(1)
        foot = foot[everyone]
        least = torch.nn.functional.one_hot(gradient[everyone].abs().argmin(1), 3).double()
        away = torch.linalg.cross(gradient[everyone], least)
        distance, edge = maps.ray(everyone, foot, away / away.norm(dim=1, keepdim=True), None)
        point = foot + distance[:, None] * away / away.norm(dim=1, keepdim=True)
        after, end, found = maps.shoot(everyone, point, edge, edge)
        # The start corner is not known yet: the way from `end` leads around to the edge itself, which closes the polygon.
        everyone, end, edge, after = everyone[found], end[found], edge[found], after[found]
        start, last = self._start(maps, everyone, end, edge, after)
        known = last >= 0
        everyone = everyone[known]
        return Front(
            patterns[everyone], keys[everyone], start[known], end[known], edge[known], after[known], last[known]
        )

    def _start(self, maps: "_Maps", rows: Tensor, end: Tensor, edge: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """Walk around each polygon once for the corner where `edge` begins, and the fold before it (-1: not found)."""
        start, last = end.clone(), torch.full_like(edge, -1)
        active = torch.arange(len(rows), device=self.device)
        point, along, before = end, after, edge
        for _ in range(MOST_CORNERS):
            hit, point, found = maps.shoot(rows[active], point, along, before)
            home = found & (hit == edge[active])
            start[active[home]], last[active[home]] = point[home], along[home]
            stay = found & ~home
            active, point, before, along = active[stay], point[stay], along[stay], hit[stay]
            if len(active) == 0:
                break
        return start, last

    def crossings(self, pieces: Pieces) -> Front:
        """The pieces on the far side of every edge that lies on a fold; the same piece may come several times."""
        piece, before, after = pieces.neighbours()
        length = (pieces.corners[after] - pieces.corners).abs().amax(1)
        edges = torch.nonzero((pieces.folds < self.units) & (length > 1e-12 * self.size)).squeeze(1)
        piece, before, after = piece[edges], before[edges], after[edges]
        fold = pieces.folds[edges]
        bit = self.bits[fold]
        keys = pieces.keys[piece] + torch.where(pieces.patterns[piece, fold], -bit, bit)
        keep = first_of_each(keys)
        piece, fold, before, after, edges = piece[keep], fold[keep], before[keep], after[keep], edges[keep]
        patterns = pieces.patterns[piece]
        numbers = torch.arange(len(keep), device=self.device)
        patterns[numbers, fold] = ~patterns[numbers, fold]
        return Front(
            patterns, keys[keep], pieces.corners[after], pieces.corners[edges], fold,
            pieces.folds[before], pieces.folds[after],
        )


@final
class _Maps:
    """The affine maps of a chunk of pieces, and rays through them."""

    def __init__(self, walk: Walk, patterns: Tensor) -> None:
        self.walk = walk
        self.maps, self.gaps = walk.network.affine(patterns)
        self.signs = patterns.double().mul_(2).sub_(1)
        self.gradients = torch.nn.functional.normalize(self.gaps[:, :3], dim=1, eps=1e-300)

    def values(self, rows: Tensor, x: Tensor) -> Tensor:
        """Every fold and wall, positive inside the pieces `rows` `(M,)`, for homogeneous vectors x `(M, R, 4)`: `(M, R, U + 6)`."""
        everyone = len(rows) == len(self.gaps)
        found = []
        for maps in self.maps:
            if len(maps) == 1:
                found.append((x.reshape(-1, 4) @ maps[0]).reshape(len(x), x.shape[1], -1))
            else:
                found.append(torch.bmm(x, maps if everyone else maps[rows]))
        signs = self.signs if everyone else self.signs[rows]
        units = torch.cat(found, dim=2)
        units *= signs[:, None, :]
        return torch.cat([units, x @ self.walk.walls.T], dim=2)

    def holds(self, points: Tensor) -> Tensor:
        """Which of the pieces' regions hold their point `(B, 3)`, to rounding."""
        x = torch.cat([points, points.new_ones(len(points), 1)], dim=1)
        values = self.values(torch.arange(len(points), device=points.device), x[:, None])[:, 0]
        return (values > -1e-12 * self.walk.size).all(1)

    def normals(self, rows: Tensor, fold: Tensor) -> Tensor:
        """The chosen fold of each piece as a map `(M, 4)`, positive inside."""
        units = self.walk.units
        out = self.walk.walls[(fold - units).clamp(min=0)]
        start = 0
        for maps in self.maps:
            width = maps.shape[2]
            here = (fold >= start) & (fold < start + width)
            column = (fold - start).clamp(0, width - 1)
            row = torch.zeros_like(rows) if len(maps) == 1 else rows
            out = torch.where(here[:, None], maps[row, :, column], out)
            start += width
        sign = self.signs[rows, fold.clamp(max=units - 1)]
        return out * torch.where(fold < units, sign, 1.0)[:, None]

    def ray(self, rows: Tensor, point: Tensor, direction: Tensor, skip: Tensor | None) -> tuple[Tensor, Tensor]:
        """The distance to the first fold or wall that each ray meets, and its number; `skip` `(M, 2)` are not looked at."""
        x = torch.zeros(len(rows), 2, 4, dtype=torch.float64, device=point.device)
        x[:, 0, :3], x[:, 0, 3], x[:, 1, :3] = point, 1, direction
        values = self.values(rows, x)
        speed = values[:, 1]
        time = torch.where(speed < -self.walk.threshold, values[:, 0] / -speed, torch.inf)
        time[:, : self.walk.units].masked_fill_(self.walk.idle, torch.inf)
        if skip is not None:
            time.scatter_(1, skip, torch.inf)
        distance, hit = time.min(1)
        return distance.clamp_(min=0), hit

    def shoot(self, rows: Tensor, point: Tensor, along: Tensor, before: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Follow the fold `along` from a corner that it makes with `before` to the next one.

        Returns:
            The fold that is met, the corner there, and whether there was one.
        """
        gradient = self.gradients[rows]
        edge = self.normals(rows, along)
        edge = edge / edge[:, :3].norm(dim=1, keepdim=True)
        direction = torch.nn.functional.normalize(torch.linalg.cross(edge[:, :3], gradient), dim=1, eps=1e-300)
        distance, hit = self.ray(rows, point, direction, torch.stack([along, before], dim=1))
        found = torch.isfinite(distance)
        reached = point + torch.where(found, distance, 0.0)[:, None] * direction
        other = self.normals(rows, hit)
        other = other / other[:, :3].norm(dim=1, keepdim=True)
        gap = self.gaps[rows]
        gap = gap / gap[:, :3].norm(dim=1, keepdim=True)
        # One Newton step for the three planes at once, so that no error gathers on the way.
        planes = torch.stack([gap, edge, other], dim=1)
        off = (planes[:, :, :3] * reached[:, None]).sum(2) + planes[:, :, 3]
        a, b, c = planes[:, 0, :3], planes[:, 1, :3], planes[:, 2, :3]
        bc, ca, ab = torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)
        volume = (a * bc).sum(1, keepdim=True)
        step = (off[:, :1] * bc + off[:, 1:2] * ca + off[:, 2:] * ab) / volume
        sound = (volume.abs() > 1e-7) & (step.abs() < 1e-6 * self.walk.size).all(1, keepdim=True)
        return hit, torch.where(sound, reached - step, reached), found


def first_of_each(keys: Tensor) -> Tensor:
    """The indices at which each key stands first, in rising order."""
    ordered, order = torch.sort(keys, stable=True)
    fresh = torch.ones_like(ordered, dtype=torch.bool)
    fresh[1:] = ordered[1:] != ordered[:-1]
    return order[fresh].sort().values


def joined(parts: list[Pieces]) -> Pieces:
    """Several batches of pieces as one."""
    counts = torch.cat([part.starts.diff() for part in parts])
    return Pieces(
        torch.cat([part.patterns for part in parts]),
        torch.cat([part.keys for part in parts]),
        torch.cat([part.gaps for part in parts]),
        torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
        torch.cat([part.corners for part in parts]),
        torch.cat([part.folds for part in parts]),
    )


def joined_fronts(parts: list[Front]) -> Front:
    """Several fronts as one."""
    return Front(*(torch.cat([getattr(part, field.name) for part in parts]) for field in dataclasses.fields(Front)))
