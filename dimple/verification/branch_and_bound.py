"""The exact distance to the boundary by branch and bound: what bounds cannot exclude is split until they are exact."""

import dataclasses
import heapq
import itertools
import math
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dimple.tensors import Box
from dimple.tracing.affine_graph import Circuit
from dimple.verification.linear_bounds import Region, Relaxed, relaxed

Floats = NDArray[np.float64]
# Nodes bounded together.
BATCH = 32
# Up to so many dimensions boxes are halved, until so few units are open that their sides are tried one by one.
FEW_DIMENSIONS, FEW_UNITS = 4, 4
# What counts as zero: of the gap relative to the scores, of a distance relative to the best.
ZERO, CLOSED = 1e-9, 1e-6


@final
@dataclasses.dataclass(frozen=True)
class Node:
    """A part of the ball around the sample: a box, and for every activation which side its inputs are assumed on."""

    low: Floats
    high: Floats
    sides: tuple[NDArray[np.int8], ...]


@final
class Branching:
    """The search for one sample.

    Args:
        read: the network.
        x: `(n,)`, of the class `y`.
        best: the distance of a point of another class.
    """

    def __init__(self, read: Circuit, x: Tensor, y: int, best: float, norm: str, box: Box | None) -> None:
        self.read, self.x, self.norm, self.best = read, x.double(), norm, best
        eye = torch.eye(read.classes, dtype=torch.float64, device=x.device)
        self.rows = (eye[y] - eye[[other for other in range(read.classes) if other != y]])[None]
        self.centre = centre = self.x.cpu().numpy()
        walls = (-math.inf, math.inf) if box is None else (box.low, box.high)
        sides = tuple(np.zeros(len(affine.offset), dtype=np.int8) for affine in read.affines[:-1])
        root = Node(np.maximum(centre - best, walls[0]), np.minimum(centre + best, walls[1]), sides)
        # Units that may be assumed to be positive or negative are those with their only kink at zero.
        self.splits = [curve.kinks == (0.0,) and curve.bend == 0 for curve in read.curves]
        self.ties = itertools.count()
        self.open = [(0.0, next(self.ties), root)]

    def search(self, nodes: int) -> tuple[float, float]:
        """The distance of the nearest point found, and a proven lower bound: the same but for rounding if it ended.

        Args:
            nodes: the most that are bounded.
        """
        while self.open and nodes > 0 and self.open[0][0] < self.best * (1 - CLOSED):
            batch: list[tuple[float, int, Node]] = []
            while self.open and len(batch) < min(BATCH, nodes) and self.open[0][0] < self.best * (1 - CLOSED):
                batch.append(heapq.heappop(self.open))
            nodes -= len(batch)
            self.expand([bound for bound, _, _ in batch], [node for _, _, node in batch])
        left = self.open[0][0] if self.open else self.best
        return self.best, min(left, self.best)

    def expand(self, bounds: list[float], nodes: list[Node]) -> None:
        """Bound the nodes; keep the nearest point that proves to be of another class; split what is left."""
        low = self.tensor([np.maximum(node.low, self.centre - self.best) for node in nodes])
        high = self.tensor([np.minimum(node.high, self.centre + self.best) for node in nodes])
        sides = tuple(self.tensor(layer) for layer in zip(*(node.sides for node in nodes), strict=True))
        radius = low.new_full((len(nodes),), self.best)
        ball = (self.x.expand(len(nodes), -1), radius) if self.norm == "l2" else (None, None)
        region = Region(low, torch.maximum(low, high), *ball)
        found = relaxed(self.read, region, sides)
        empty = (low > high).any(1)
        for bottom, top in found.intervals:
            empty |= (bottom > top + ZERO * (bottom.abs() + top.abs())).any(1)
        met: dict[int, Tensor] = {}
        slopes, constants = found.below(self.rows, met)
        needed = self.assumed(found, sides)
        steps, distances = self.nearest(slopes, constants, needed, region, empty)
        self.accept(steps, distances)
        for i, node in enumerate(nodes):
            bound = max(bounds[i], float(distances[i].min()))
            if not empty[i] and bound < self.best * (1 - CLOSED):
                box = Node(low[i].cpu().numpy(), high[i].cpu().numpy(), node.sides)
                for child in self.split(box, found, met, i):
                    heapq.heappush(self.open, (bound, next(self.ties), child))

    def tensor(self, rows: Sequence[NDArray[Any]]) -> Tensor:
        """Arrays stacked, where the network is."""
        return torch.from_numpy(np.stack(rows)).to(self.x.device)

    def assumed(self, found: Relaxed, sides: tuple[Tensor, ...]) -> tuple[Floats, Floats]:
        """Half-spaces `a . x + c <= 0` in which the samples lie that keep the assumptions, `(B, F, n)` and `(B, F)`."""
        count = len(found.region.low)
        slopes, constants = [self.x.new_zeros(count, 0, len(self.x))], [self.x.new_zeros(count, 0)]
        for number, side in enumerate(sides):
            most = int((side != 0).sum(1).max())
            if most:
                units = side.abs().topk(most, dim=1).indices
                rows, constant = found.below_units(number, units, -side.gather(1, units).double())
                slopes.append(rows)
                constants.append(constant)
        return torch.cat(slopes, dim=1).cpu().numpy(), torch.cat(constants, dim=1).cpu().numpy()

    def nearest(
        self, slopes: Tensor, constants: Tensor, needed: tuple[Floats, Floats], region: Region, empty: Tensor
    ) -> tuple[Floats, Floats]:
        """The smallest step to each rival's half-space in each node, `(B, R, n)`, and its proven length `(B, R)`."""
        centre = self.centre
        count, rivals = constants.shape
        gaps = slopes.cpu().numpy(), constants.cpu().numpy()
        corners = region.low.cpu().numpy() - centre, region.high.cpu().numpy() - centre
        steps, distances = np.zeros((count, rivals, len(centre))), np.full((count, rivals), np.inf)
        for i in range(count):
            if empty[i]:
                continue
            for rival in range(rivals):
                rows = np.concatenate([gaps[0][i, rival : rival + 1], needed[0][i]])
                level = np.concatenate([gaps[1][i, rival : rival + 1], needed[1][i]]) + rows @ centre
                solve = smallest_l2 if self.norm == "l2" else smallest_linf
                steps[i, rival], distances[i, rival] = solve(rows, -level, corners[0][i], corners[1][i], self.best)
        return steps, distances

    def accept(self, steps: Floats, distances: Floats) -> None:
        """Keep the shortest step whose end is of another class, or on the boundary."""
        chosen = np.isfinite(distances) & (distances < self.best)
        if not chosen.any():
            return
        ends = self.tensor([*steps[chosen]])
        scores = self.read.scores(self.x + ends)
        gaps = (scores @ self.rows[0].T).amin(1)
        crossed = gaps <= ZERO * scores.abs().amax(1)
        if bool(crossed.any()):
            lengths = torch.linalg.vector_norm(ends[crossed], ord=2.0 if self.norm == "l2" else math.inf, dim=1)
            self.best = min(self.best, float(lengths.min()))

    def split(self, node: Node, found: Relaxed, met: dict[int, Tensor], i: int) -> list[Node]:
        """Two parts: a unit on either side, or the box halved along its longest edge."""
        scores = []
        for number, (bottom, top) in enumerate(found.intervals):
            low, high = bottom[i], top[i]
            open_units = (low < 0) & (high > 0) & self.splits[number]
            rows = met[number]
            weight = rows[min(i, len(rows) - 1)].abs().amax(0)
            scores.append(torch.where(open_units, weight * torch.minimum(-low, high) + 1e-300, 0.0).cpu().numpy())
        count = sum(int((score > 0).sum()) for score in scores)
        if count and (len(self.x) > FEW_DIMENSIONS or count <= FEW_UNITS):
            number = int(np.argmax([score.max() for score in scores]))
            unit = int(scores[number].argmax())
            return [self._assuming(node, number, unit, side) for side in (1, -1)]
        axis = int((node.high - node.low).argmax())
        if not node.high[axis] > node.low[axis]:
            return []
        middle = (node.low[axis] + node.high[axis]) / 2
        first, second = node.high.copy(), node.low.copy()
        first[axis] = second[axis] = middle
        return [Node(node.low, first, node.sides), Node(second, node.high, node.sides)]

    def _assuming(self, node: Node, number: int, unit: int, side: int) -> Node:
        sides = [layer.copy() if i == number else layer for i, layer in enumerate(node.sides)]
        sides[number][unit] = side
        return Node(node.low, node.high, tuple(sides))


def smallest_l2(rows: Floats, level: Floats, low: Floats, high: Floats, scale: float) -> tuple[Floats, float]:
    """The shortest step with `rows . step <= level` and `low <= step <= high`, and a lower bound of its length.

    A least-distance problem, solved as non-negative least squares; the bound comes from the multipliers and holds
    whatever their precision. Steps longer than `scale` are not told apart: they have the length inf.

    Reference: Lawson and Hanson 1974, Solving least squares problems, chapter 23.

    Example:
        >>> one = np.ones(2)
        >>> step, length = smallest_l2(np.array([[-1.0, -1.0]]), np.array([-1.0]), -one, one, 2.0)
        >>> step.round(6), round(length, 6)
        (array([0.5, 0.5]), 0.707107)
    """
    from scipy.optimize import nnls

    eye = np.eye(rows.shape[1])
    # Walls farther off than any step that counts do not bind.
    lower, upper = low > -scale, high < scale
    every = np.concatenate([-rows, eye[lower], -eye[upper]])
    least = np.concatenate([-level, low[lower], -high[upper]])
    sizes = np.linalg.norm(every, axis=1)
    if bool(((sizes == 0) & (least > 0)).any()):
        return np.zeros(rows.shape[1]), math.inf
    kept = sizes > 0
    every, least = every[kept] / sizes[kept, None], least[kept] / (sizes[kept] * scale)
    target = np.zeros(rows.shape[1] + 1)
    target[-1] = 1.0
    system = np.concatenate([every.T, least[None]])
    multipliers, _ = nnls(system, target, maxiter=30 * system.shape[1] + 100)
    pull = every.T @ multipliers
    length = np.linalg.norm(pull)
    gain = least @ multipliers
    if gain <= 0:
        return np.zeros(rows.shape[1]), 0.0
    if gain > length * (1 + CLOSED):
        return np.zeros(rows.shape[1]), math.inf
    step = pull / max(1 - gain, 1e-300)
    return step * scale, float(gain / length) * scale


def smallest_linf(rows: Floats, level: Floats, low: Floats, high: Floats, scale: float) -> tuple[Floats, float]:
    """The same with the largest coordinate for the length: a linear program."""
    from scipy.optimize import linprog

    n = rows.shape[1]
    eye, ones = np.eye(n), np.ones((n, 1))
    sizes = np.maximum(np.abs(rows).max(1, keepdims=True), 1e-300)
    above = np.concatenate(
        [np.concatenate([rows / sizes, np.zeros((len(rows), 1))], 1), np.concatenate([eye, -ones], 1)]
    )
    above = np.concatenate([above, np.concatenate([-eye, -ones], axis=1)])
    limit = np.concatenate([level / (sizes[:, 0] * scale), np.zeros(2 * n)])
    bounds = [*zip(low / scale, high / scale, strict=True), (0.0, None)]
    answer = linprog(np.eye(n + 1)[n], above, limit, bounds=bounds, method="highs")
    if answer.status == 2:
        return np.zeros(n), math.inf
    if answer.status != 0:
        return np.zeros(n), 0.0
    return answer.x[:n] * scale, float(answer.fun) * scale * (1 - ZERO)
