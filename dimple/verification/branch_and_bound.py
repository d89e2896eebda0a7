"""Branch and bound: the exact distance to the boundary, by splitting what the bounds cannot exclude."""

import dataclasses
import heapq
import itertools
import math
import time
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dimple.tensors import Box
from dimple.tracing.affine_graph import AffineGraph
from dimple.verification.linear_bounds import InputRegion, LinearBounds, compute_linear_bounds

FloatArray = NDArray[np.float64]
# The number of nodes that are bounded together.
NODES_PER_BATCH = 32
# Boxes of up to this many dimensions are halved, unless at most `MAX_UNIT_SPLITS` units are open: then the signs of
# these units are split. In more dimensions only units are split, as long as one is open.
MAX_BOX_SPLIT_DIMENSION = 4
MAX_UNIT_SPLITS = 4
# A logit margin counts as zero up to this fraction of the scores.
ZERO_TOLERANCE = 1e-9
# The search ends when the lower bound is within this fraction of the distance found.
CONVERGENCE_TOLERANCE = 1e-6


@final
@dataclasses.dataclass(frozen=True)
class BranchNode:
    """A node of the search tree: a part of the ball around the sample.

    A box and the assumed signs of the inputs of activations define the part.

    Attributes:
        low: `(n,)`, the lower corner of the box.
        high: `(n,)`, the upper corner.
        unit_signs: for every activation `(w,)`: 1 where the input is assumed positive, -1 negative, 0 free.
    """

    low: FloatArray
    high: FloatArray
    unit_signs: tuple[NDArray[np.int8], ...]


@final
class BranchAndBound:
    """The search from one sample.

    Args:
        graph: the network.
        x: `(n,)`, of the class `y`.
        y: the class.
        upper_bound: the distance of a known point of another class.
        norm: `l2` or `linf`.
        bounds: the bounds of every coordinate, or None.
    """

    def __init__(
        self, graph: AffineGraph, x: Tensor, y: int, upper_bound: float, norm: str, bounds: Box | None
    ) -> None:
        self.graph = graph
        self.x = x.double()
        self.norm = norm
        self.upper_bound = upper_bound
        # The least bound of the nodes that were closed because no much nearer point can be in them.
        self.closed_bound = math.inf
        eye = torch.eye(graph.num_classes, dtype=torch.float64, device=x.device)
        self.specification = (eye[y] - eye[[other for other in range(graph.num_classes) if other != y]])[None]
        self.center = self.x.cpu().numpy()
        low, high = (-math.inf, math.inf) if bounds is None else bounds.to_numpy()
        root = BranchNode(
            np.maximum(self.center - upper_bound, low),
            np.minimum(self.center + upper_bound, high),
            tuple(np.zeros(len(affine_map.bias), dtype=np.int8) for affine_map in graph.affine_maps[:-1]),
        )
        # The signs of units can be assumed if their activation is linear on both sides of zero.
        self.is_splittable = [
            activation.kinks == (0.0,) and activation.is_piecewise_linear for activation in graph.activations
        ]
        self.tie_breaker = itertools.count()
        self.queue = [(0.0, next(self.tie_breaker), root)]

    def search(self, max_nodes: int, max_seconds: float = math.inf) -> tuple[float, float]:
        """Return the distance of the nearest point found, and a proven lower bound of the distance to the boundary.

        The two are equal up to rounding if the search has ended before its limits.

        Args:
            max_nodes: the maximum number of nodes that are bounded.
            max_seconds: the time after which no further nodes are bounded.
        """
        started = time.monotonic()
        while max_nodes > 0 and self._has_open_node() and time.monotonic() - started < max_seconds:
            batch: list[tuple[float, int, BranchNode]] = []
            while self._has_open_node() and len(batch) < min(NODES_PER_BATCH, max_nodes):
                batch.append(heapq.heappop(self.queue))
            max_nodes -= len(batch)
            self.expand([lower_bound for lower_bound, _, _ in batch], [node for _, _, node in batch])
        lower_bound = self.queue[0][0] if self.queue else self.upper_bound
        return self.upper_bound, min(lower_bound, self.closed_bound, self.upper_bound)

    def _has_open_node(self) -> bool:
        """Return whether a node of the queue may hold a nearer point."""
        return bool(self.queue) and self.queue[0][0] < self.upper_bound * (1 - CONVERGENCE_TOLERANCE)

    def expand(self, lower_bounds: list[float], nodes: list[BranchNode]) -> None:
        """Bound the nodes, update the upper bound, and split those nodes that may hold a nearer point."""
        low = self.to_tensor([np.maximum(node.low, self.center - self.upper_bound) for node in nodes])
        high = self.to_tensor([np.minimum(node.high, self.center + self.upper_bound) for node in nodes])
        unit_signs = tuple(self.to_tensor(signs) for signs in zip(*(node.unit_signs for node in nodes), strict=True))
        radius = low.new_full((len(nodes),), self.upper_bound)
        ball = (self.x.expand(len(nodes), -1), radius) if self.norm == "l2" else (None, None)
        region = InputRegion(low, torch.maximum(low, high), *ball)
        relaxation = compute_linear_bounds(self.graph, region, unit_signs)
        is_empty = (low > high).any(1)
        for bottom, top in relaxation.preactivation_bounds:
            is_empty |= (bottom > top + ZERO_TOLERANCE * (bottom.abs() + top.abs())).any(1)
        activation_rows: dict[int, Tensor] = {}
        slopes, constants = relaxation.linear_lower_bound(self.specification, activation_rows)
        halfspaces = self.assumed_halfspaces(relaxation, unit_signs)
        steps, distances = self.smallest_steps(slopes, constants, halfspaces, region, is_empty)
        self.update_upper_bound(steps, distances)
        for i, node in enumerate(nodes):
            lower_bound = max(lower_bounds[i], float(distances[i].min()))
            if not is_empty[i]:
                if lower_bound >= self.upper_bound * (1 - CONVERGENCE_TOLERANCE):
                    self.closed_bound = min(self.closed_bound, lower_bound)
                    continue
                box = BranchNode(low[i].cpu().numpy(), high[i].cpu().numpy(), node.unit_signs)
                for child in self.split(box, relaxation, activation_rows, i):
                    heapq.heappush(self.queue, (lower_bound, next(self.tie_breaker), child))

    def to_tensor(self, arrays: Sequence[NDArray[Any]]) -> Tensor:
        """Return arrays stacked as a tensor on the network's device."""
        return torch.from_numpy(np.stack(arrays)).to(self.x.device)

    def assumed_halfspaces(
        self, relaxation: LinearBounds, unit_signs: tuple[Tensor, ...]
    ) -> tuple[FloatArray, FloatArray]:
        """Return half-spaces `a . x + c <= 0` that hold all samples with the assumed signs: `(B, F, n)`, `(B, F)`."""
        count = len(relaxation.region.low)
        slopes = [self.x.new_zeros(count, 0, len(self.x))]
        constants = [self.x.new_zeros(count, 0)]
        for number, signs in enumerate(unit_signs):
            max_assumed = int((signs != 0).sum(1).max())
            if max_assumed:
                units = signs.abs().topk(max_assumed, dim=1).indices
                rows, constant = relaxation.linear_lower_bound_of_units(number, units, -signs.gather(1, units).double())
                slopes.append(rows)
                constants.append(constant)
        return torch.cat(slopes, dim=1).cpu().numpy(), torch.cat(constants, dim=1).cpu().numpy()

    def smallest_steps(
        self,
        slopes: Tensor,
        constants: Tensor,
        halfspaces: tuple[FloatArray, FloatArray],
        region: InputRegion,
        empty: Tensor,
    ) -> tuple[FloatArray, FloatArray]:
        """Return the smallest step in each node to the half-space of each of R other classes.

        Args:
            slopes: `(B, R, n)`, of linear lower bounds of the class margins.
            constants: `(B, R)`, of these bounds.
            halfspaces: those of the assumed signs.
            region: the boxes of the nodes.
            empty: `(B,)`, nodes that hold no sample.

        Returns:
            The steps `(B, R, n)`, and proven lower bounds of their lengths `(B, R)`; `inf` in empty nodes.
        """
        solve = smallest_l2_step if self.norm == "l2" else smallest_linf_step
        count, num_others = constants.shape
        margin_slopes = slopes.cpu().numpy()
        margin_constants = constants.cpu().numpy()
        low = region.low.cpu().numpy() - self.center
        high = region.high.cpu().numpy() - self.center
        steps = np.zeros((count, num_others, len(self.center)))
        distances = np.full((count, num_others), np.inf)
        for i in range(count):
            if empty[i]:
                continue
            for j in range(num_others):
                rows = np.concatenate([margin_slopes[i, j : j + 1], halfspaces[0][i]])
                level = np.concatenate([margin_constants[i, j : j + 1], halfspaces[1][i]]) + rows @ self.center
                steps[i, j], distances[i, j] = solve(rows, -level, low[i], high[i], self.upper_bound)
        return steps, distances

    def update_upper_bound(self, steps: FloatArray, distances: FloatArray) -> None:
        """Reduce the upper bound to the shortest step whose end is of another class or on the boundary."""
        chosen = np.isfinite(distances) & (distances < self.upper_bound)
        if not chosen.any():
            return
        chosen_steps = self.to_tensor([*steps[chosen]])
        scores = self.graph.scores(self.x + chosen_steps)
        logit_margins = (scores @ self.specification[0].T).amin(1)
        is_adversarial = logit_margins <= ZERO_TOLERANCE * scores.abs().amax(1)
        if bool(is_adversarial.any()):
            order = 2.0 if self.norm == "l2" else math.inf
            lengths = torch.linalg.vector_norm(chosen_steps[is_adversarial], ord=order, dim=1)
            self.upper_bound = min(self.upper_bound, float(lengths.min()))

    def split(
        self, node: BranchNode, relaxation: LinearBounds, activation_rows: dict[int, Tensor], i: int
    ) -> list[BranchNode]:
        """Split a node in two: by the sign of a unit, or by halving the box along its longest edge."""
        scores = []
        for number, (bottom, top) in enumerate(relaxation.preactivation_bounds):
            low = bottom[i]
            high = top[i]
            is_open = (low < 0) & (high > 0) & self.is_splittable[number]
            rows = activation_rows[number]
            weight = rows[min(i, len(rows) - 1)].abs().amax(0)
            scores.append(torch.where(is_open, weight * torch.minimum(-low, high) + 1e-300, 0.0).cpu().numpy())
        count = sum(int((score > 0).sum()) for score in scores)
        if count and (len(self.x) > MAX_BOX_SPLIT_DIMENSION or count <= MAX_UNIT_SPLITS):
            number = int(np.argmax([score.max() for score in scores]))
            unit = int(scores[number].argmax())
            return [self._assume_sign(node, number, unit, sign) for sign in (1, -1)]
        axis = int((node.high - node.low).argmax())
        if not node.high[axis] > node.low[axis]:
            return []
        first_high = node.high.copy()
        second_low = node.low.copy()
        first_high[axis] = second_low[axis] = (node.low[axis] + node.high[axis]) / 2
        return [BranchNode(node.low, first_high, node.unit_signs), BranchNode(second_low, node.high, node.unit_signs)]

    def _assume_sign(self, node: BranchNode, number: int, unit: int, sign: int) -> BranchNode:
        """Return the node with a further assumed sign, of one unit of the activation `number`."""
        unit_signs = [signs.copy() if i == number else signs for i, signs in enumerate(node.unit_signs)]
        unit_signs[number][unit] = sign
        return BranchNode(node.low, node.high, tuple(unit_signs))


def smallest_l2_step(
    rows: FloatArray, level: FloatArray, low: FloatArray, high: FloatArray, scale: float
) -> tuple[FloatArray, float]:
    """Return the shortest step with `rows . step <= level` and `low <= step <= high`, and a lower bound of its length.

    This is a least-distance problem, solved as non-negative least squares. The bound is computed from the multipliers,
    and is valid whatever their precision. Steps longer than `scale` are not distinguished from a problem without a
    solution: both have the length inf.

    Reference: Lawson and Hanson 1974, Solving least squares problems, chapter 23.

    Example:
        >>> one = np.ones(2)
        >>> step, length = smallest_l2_step(np.array([[-1.0, -1.0]]), np.array([-1.0]), -one, one, 2.0)
        >>> step.round(6), round(length, 6)
        (array([0.5, 0.5]), 0.707107)
    """
    from scipy.optimize import nnls

    eye = np.eye(rows.shape[1])
    # Limits farther away than `scale` cannot be active.
    is_low_near = low > -scale
    is_high_near = high < scale
    # All constraints in the form `normals . step >= offsets`.
    normals = np.concatenate([-rows, eye[is_low_near], -eye[is_high_near]])
    offsets = np.concatenate([-level, low[is_low_near], -high[is_high_near]])
    sizes = np.linalg.norm(normals, axis=1)
    if bool(((sizes == 0) & (offsets > 0)).any()):
        return np.zeros(rows.shape[1]), math.inf
    is_nonzero = sizes > 0
    if not bool(is_nonzero.any()):
        # The step of length 0; scipy 1.17 ends the process for a system without columns.
        return np.zeros(rows.shape[1]), 0.0
    normals = normals[is_nonzero] / sizes[is_nonzero, None]
    offsets = offsets[is_nonzero] / (sizes[is_nonzero] * scale)
    target = np.zeros(rows.shape[1] + 1)
    target[-1] = 1.0
    system = np.concatenate([normals.T, offsets[None]])
    multipliers, _ = nnls(system, target, maxiter=30 * system.shape[1] + 100)
    combination = normals.T @ multipliers
    length = np.linalg.norm(combination)
    gain = offsets @ multipliers
    if gain <= 0:
        return np.zeros(rows.shape[1]), 0.0
    if gain > length * (1 + CONVERGENCE_TOLERANCE):
        return np.zeros(rows.shape[1]), math.inf
    step = combination / max(1 - gain, 1e-300)
    return step * scale, float(gain / length) * scale


def smallest_linf_step(
    rows: FloatArray, level: FloatArray, low: FloatArray, high: FloatArray, scale: float
) -> tuple[FloatArray, float]:
    """Return the same as `smallest_l2_step` with the largest coordinate as the length, by linear programming."""
    from scipy.optimize import linprog

    n = rows.shape[1]
    eye = np.eye(n)
    ones = np.ones((n, 1))
    sizes = np.maximum(np.abs(rows).max(1, keepdims=True), 1e-300)
    # The variables are the step and its length: `rows . step <= level`, `step <= length`, `-step <= length`.
    matrix = np.concatenate(
        [
            np.concatenate([rows / sizes, np.zeros((len(rows), 1))], axis=1),
            np.concatenate([eye, -ones], axis=1),
            np.concatenate([-eye, -ones], axis=1),
        ]
    )
    limit = np.concatenate([level / (sizes[:, 0] * scale), np.zeros(2 * n)])
    variable_bounds = [*zip(low / scale, high / scale, strict=True), (0.0, None)]
    solution = linprog(np.eye(n + 1)[n], matrix, limit, bounds=variable_bounds, method="highs")
    if solution.status == 2:
        return np.zeros(n), math.inf
    if solution.status != 0:
        return np.zeros(n), 0.0
    return solution.x[:n] * scale, float(solution.fun) * scale * (1 - ZERO_TOLERANCE)
