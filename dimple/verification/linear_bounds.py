"""Proven bounds of a network's scores over boxes and balls, by linear relaxation and backward propagation (CROWN).

dimple has its own implementation, because level sets need the bounds of thousands of small boxes at once, and the
published library that can be installed with a current torch dates from 2022.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor

from dimple.tensors import Box
from dimple.tracing.activations import LinearRelaxation, relax_activation
from dimple.tracing.affine_graph import MAX_CHUNK_ENTRIES, AffineGraph, AffineMap

# The bounds hold in real arithmetic. Rounding in double precision is far below this fraction of the summed terms, by
# which every bound is loosened.
ROUNDING_TOLERANCE = 1e-9

# Steps of the iteration for the multiplier of a ball that a box cuts. The bound holds with any multiplier.
MULTIPLIER_STEPS = 4

# Lower and upper bounds of the same shape.
Interval = tuple[Tensor, Tensor]
Intervals = list[Interval]


@final
@dataclasses.dataclass(frozen=True)
class InputRegion:
    """Regions of the input space, one row each: boxes, or intersections of boxes and balls.

    Attributes:
        low: `(B, n)`, the lower corners of the boxes.
        high: `(B, n)`, the upper corners.
        center: `(B, n)`, the centers of the balls; None for boxes alone.
        radius: `(B,)`, the radii of the balls in `norm`; None for boxes alone.
        norm: `l1` or `l2`; a ball in `linf` is a box.
    """

    low: Tensor
    high: Tensor
    center: Tensor | None = None
    radius: Tensor | None = None
    norm: str = "l2"

    @classmethod
    def from_ball(cls, center: Tensor, radius: Tensor, norm: str, bounds: Box | None = None) -> "InputRegion":
        """Return the balls with centers `(B, n)` and radii `(B,)`, within the bounds of the rows."""
        low = center - radius[:, None]
        high = center + radius[:, None]
        if bounds is not None:
            low = low.clamp(min=bounds.low)
            high = high.clamp(max=bounds.high)
        return cls(low, high) if norm == "linf" else cls(low, high, center, radius, norm)

    def lower_bound(self, rows: Tensor) -> Tensor:
        """Return a lower bound of `rows . x` on each region, `(B | 1, R, n)` to `(B, R)`.

        It is exact for a box, a ball, or up to a few steps of an iteration for the intersection of a box with a ball in
        l2, up to the allowance for rounding.
        """
        center = (self.low + self.high) / 2
        half_width = (self.high - self.low) / 2
        lowest = _batched_dot(rows, center) - _batched_dot(rows.abs(), half_width)
        if self.center is not None and self.radius is not None:
            dual = rows.abs().amax(2) if self.norm == "l1" else rows.norm(dim=2)
            lowest = torch.maximum(lowest, _batched_dot(rows, self.center) - self.radius[:, None] * dual)
            if self.norm == "l2" and self._is_cut():
                lowest = torch.maximum(lowest, _batched_dot(rows, self.center) + self.lowest_change(rows))
        max_abs = torch.maximum(self.low.abs(), self.high.abs())
        return lowest - ROUNDING_TOLERANCE * _batched_dot(rows.abs(), max_abs)

    def lowest_change(self, rows: Tensor, curvature: Tensor | None = None) -> Tensor:
        """Return a lower bound of `rows . d - curvature . d^2 / 2` for the steps d from the centers of balls in l2.

        With the largest curvature t and any `eta > 0`, the minimum is at least that of
        `rows . d + (eta + t - curvature) . d^2 / 2` over the box, less `(eta + t) radius^2 / 2`; there each coordinate
        is minimized alone.

        Args:
            rows: `(B | 1, R, n)`.
            curvature: `(B, R, n)`, not negative; None for 0.

        Returns:
            `(B, R)`.
        """
        assert self.center is not None and self.radius is not None
        low = (self.low - self.center)[:, None]
        high = (self.high - self.center)[:, None]
        squared_radius = self.radius.square()[:, None]
        eta = self._multiplier(rows.detach(), low, high, squared_radius)[..., None]
        weight = eta
        if curvature is not None:
            top = curvature.amax(2, keepdim=True)
            weight = eta + (top - curvature)
            eta = eta + top
        step = (-rows / weight).clamp(low, high)
        return (step * (rows + weight / 2 * step)).sum(2) - eta[..., 0] * squared_radius / 2

    def _is_cut(self) -> bool:
        """Return whether the box cuts a ball."""
        assert self.center is not None and self.radius is not None
        reach = torch.minimum(self.center - self.low, self.high - self.center)
        return bool((reach < self.radius[:, None] * (1 - ROUNDING_TOLERANCE)).any())

    @staticmethod
    def _multiplier(rows: Tensor, low: Tensor, high: Tensor, squared_radius: Tensor) -> Tensor:
        """Return eta `(B, R)`: the step `-rows / eta`, clipped to the box, is about as long as the radius."""
        tiny = torch.finfo(rows.dtype).tiny
        eta: Tensor = rows.norm(dim=2) / squared_radius.sqrt().clamp(min=tiny) + tiny
        for _ in range(MULTIPLIER_STEPS):
            step = -rows / eta[..., None]
            is_free = (step > low) & (step < high)
            clipped = torch.where(is_free, 0.0, step.clamp(low, high)).square().sum(2)
            free = torch.where(is_free, rows, 0.0).square().sum(2)
            # The free coordinates share what is left of the radius; without any, a smaller multiplier changes nothing.
            eta = torch.where(free > 0, (free / (squared_radius - clipped).clamp(min=tiny)).sqrt(), eta)
            eta = eta.clamp(min=tiny, max=1 / tiny)
        return eta


@final
@dataclasses.dataclass(frozen=True)
class LinearBounds:
    """A network with a linear relaxation of every activation, valid on a region.

    Attributes:
        graph: the network.
        region: the region.
        preactivation_bounds: bounds `(low, high)` of every activation's input, `(B, w)` each.
        relaxations: the linear relaxation of every activation.
    """

    graph: AffineGraph
    region: InputRegion
    preactivation_bounds: Intervals
    relaxations: tuple[LinearRelaxation, ...]

    def linear_lower_bound(
        self, rows: Tensor, activation_rows: dict[int, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return lower bounds of `rows . scores` on the region that are affine functions of the sample.

        Args:
            rows: `(B, R, K)`, or `(1, R, K)` for all regions.
            activation_rows: a dictionary to be filled with the rows that are propagated to each activation's output, by
                its number.

        Returns:
            The slopes `(B, R, n)` and the constants `(B, R)`.
        """
        pending_rows: dict[int, Tensor] = {}
        _propagate_to_sources(self.graph.affine_maps[-1], rows, pending_rows)
        slopes, constants = _propagate_to_sample(
            self.graph, self.relaxations, pending_rows, rows @ self.graph.affine_maps[-1].bias, activation_rows
        )
        count = len(self.region.low)
        return slopes.expand(count, -1, -1), constants.expand(count, -1)

    def linear_lower_bound_of_units(self, activation_index: int, units: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
        """Return affine lower bounds of single inputs of an activation, each multiplied by a sign.

        Args:
            activation_index: the number of the activation.
            units: `(B, F)`, the numbers of the inputs.
            signs: `(B, F)`.

        Returns:
            The slopes `(B, F, n)` and the constants `(B, F)`.
        """
        affine_map = self.graph.affine_maps[activation_index]
        matrix_rows = affine_map.matrix_rows(units.reshape(-1))
        pending_rows = {
            source: rows.reshape(*units.shape, -1) * signs[:, :, None]
            for source, rows in zip(affine_map.sources, matrix_rows, strict=True)
        }
        return _propagate_to_sample(self.graph, self.relaxations, pending_rows, affine_map.bias[units] * signs)

    def lower_bound(self, rows: Tensor) -> Tensor:
        """Return a lower bound of `rows . scores` on each region, `(B, R)`."""
        return _lower_bound(self.region, *self.linear_lower_bound(rows))


def compute_linear_bounds(
    graph: AffineGraph,
    region: InputRegion,
    unit_signs: tuple[Tensor, ...] | None = None,
    use_crown: bool = True,
    tangent_points: Sequence[Tensor] | None = None,
    sharpen: Callable[[LinearBounds, int, Interval], Interval] | None = None,
) -> LinearBounds:
    """Compute the linear relaxation of every activation on the region, from the first to the last.

    Args:
        graph: the network.
        region: the region.
        unit_signs: for every activation `(B, w)`: 1 where the input is assumed positive, -1 negative, 0 free. The
            bounds then hold for those samples of the region that satisfy the assumptions.
        use_crown: whether the input of every activation is bounded by backward propagation to the sample, at a cost
            that grows with the square of the widths; if false, by interval arithmetic from the layer before alone.
        tangent_points: for every activation `(B, w)`, inputs at which the tangents touch it; None for the midpoints of
            the intervals.
        sharpen: a function that returns better bounds of the inputs of an activation, from the relaxations of those
            before it, its number, and the bounds known so far.

    Example:
        >>> from dimple.tracing.affine_graph import trace_affine_graph
        >>> network = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> box = InputRegion(-torch.ones(1, 3).double(), torch.ones(1, 3).double())
        >>> bounds = compute_linear_bounds(trace_affine_graph(network, torch.zeros(3)), box)
        >>> bounds.lower_bound(torch.eye(2)[None].double()).shape
        torch.Size([1, 2])
    """
    relaxations: tuple[LinearRelaxation, ...] = ()
    preactivation_bounds: Intervals = []
    activation_bounds: Intervals = []
    for number, activation in enumerate(graph.activations):
        if use_crown:
            low, high = _bound_preactivations(graph, relaxations, activation_bounds, region, number)
        else:
            low, high = _interval_bounds(graph.affine_maps[number], activation_bounds, region)
        if unit_signs is not None:
            low = torch.where(unit_signs[number] > 0, low.clamp(min=0), low)
            high = torch.where(unit_signs[number] < 0, high.clamp(max=0), high)
        if sharpen is not None:
            low, high = sharpen(LinearBounds(graph, region, preactivation_bounds, relaxations), number, (low, high))
        preactivation_bounds.append((low, high))
        high = torch.maximum(low, high)
        point = None if tangent_points is None else tangent_points[number]
        relaxations = (*relaxations, relax_activation(activation, low, high, point))
        activation_bounds.append(relaxations[-1].output_bounds(low, high))
    return LinearBounds(graph, region, preactivation_bounds, relaxations)


def _bound_preactivations(
    graph: AffineGraph,
    relaxations: tuple[LinearRelaxation, ...],
    activation_bounds: Intervals,
    region: InputRegion,
    activation_index: int,
) -> Interval:
    """Return bounds of the inputs of an activation, `(B, w)` each."""
    affine_map = graph.affine_maps[activation_index]
    activation = graph.activations[activation_index]
    is_piecewise_linear = activation.is_piecewise_linear
    width = len(affine_map.bias)
    low = torch.empty(0)
    high = torch.empty(0)
    if affine_map.sources == (0,) or is_piecewise_linear:
        low, high = _interval_bounds(affine_map, activation_bounds, region)
    if affine_map.sources == (0,):
        return low, high
    units = torch.arange(width, device=affine_map.bias.device)
    if is_piecewise_linear:
        # Between kinks such an activation is its own relaxation: sharper bounds would not improve it.
        is_open = torch.zeros_like(low, dtype=torch.bool)
        for kink in activation.kinks:
            is_open |= (low < kink) & (high > kink)
        units = torch.nonzero(is_open.any(0)).squeeze(1)
        if len(units) == 0:
            return low, high
    max_width = max(len(other.bias) for other in graph.affine_maps[: activation_index + 1])
    chunk_size = max(1, MAX_CHUNK_ENTRIES // (2 * len(region.low) * max(max_width, region.low.shape[1])))
    crown_bounds = [_crown_bounds(graph, relaxations, region, affine_map, chunk) for chunk in units.split(chunk_size)]
    crown_low = torch.cat([bottom for bottom, _ in crown_bounds], dim=1)
    crown_high = torch.cat([top for _, top in crown_bounds], dim=1)
    if len(units) == width:
        return crown_low, crown_high
    low[:, units] = torch.maximum(low[:, units], crown_low)
    high[:, units] = torch.minimum(high[:, units], crown_high)
    return low, high


def _crown_bounds(
    graph: AffineGraph,
    relaxations: tuple[LinearRelaxation, ...],
    region: InputRegion,
    affine_map: AffineMap,
    output_indices: Tensor,
) -> Interval:
    """Return bounds of R outputs of a map, `(B, R)` each, by propagating them backward to the sample."""
    count = len(output_indices)
    matrix_rows = affine_map.matrix_rows(output_indices)
    bias = affine_map.bias[output_indices]
    previous = graph.affine_maps[affine_map.sources[0] - 1]
    if len(matrix_rows) == 1 and _is_dense_first_layer(previous):
        # The lower bound of a negated row is the negated upper bound of the row: two products serve for both.
        low, high = _relaxation_in_sample_coordinates(previous, relaxations[affine_map.sources[0] - 1])
        shape = (count, *low.shape[1:])
        center = (matrix_rows[0] @ ((low + high) / 2).reshape(len(low), -1)).reshape(shape).transpose(0, 1)
        spread = (matrix_rows[0].abs() @ ((high - low) / 2).reshape(len(low), -1)).reshape(shape).transpose(0, 1)
        below = center - spread
        negated = -center - spread
        lowest = _lower_bound(region, below[:, :, :-1], below[:, :, -1] + bias)
        return lowest, -_lower_bound(region, negated[:, :, :-1], negated[:, :, -1] - bias)
    pending_rows = {
        source: torch.cat([rows, -rows])[None] for source, rows in zip(affine_map.sources, matrix_rows, strict=True)
    }
    slopes, constants = _propagate_to_sample(graph, relaxations, pending_rows, torch.cat([bias, -bias])[None])
    lowest = _lower_bound(region, slopes, constants)
    return lowest[:, :count], -lowest[:, count:]


def _interval_bounds(affine_map: AffineMap, activation_bounds: Intervals, region: InputRegion) -> Interval:
    """Return bounds of a map's outputs from those of its sources; exact where the sample is the only source."""
    sources = affine_map.sources
    if affine_map.matrices is not None:
        matrices = list(zip(affine_map.matrices, affine_map.magnitudes, strict=True))
        return _interval_bounds_from_matrices(sources, matrices, affine_map.bias, activation_bounds, region)
    size = max(1, MAX_CHUNK_ENTRIES // max(len(affine_map.bias), region.low.shape[1]))
    intervals = []
    for chunk in torch.arange(len(affine_map.bias), device=affine_map.bias.device).split(size):
        matrices = [(matrix, matrix.abs()) for matrix in affine_map.matrix_rows(chunk)]
        intervals.append(
            _interval_bounds_from_matrices(sources, matrices, affine_map.bias[chunk], activation_bounds, region)
        )
    return torch.cat([low for low, _ in intervals], dim=1), torch.cat([high for _, high in intervals], dim=1)


def _interval_bounds_from_matrices(
    sources: tuple[int, ...],
    matrices: list[tuple[Tensor, Tensor]],
    bias: Tensor,
    activation_bounds: Intervals,
    region: InputRegion,
) -> Interval:
    low = high = bias
    for source, (matrix, sizes) in zip(sources, matrices, strict=True):
        bottom = activation_bounds[source - 1][0] if source else region.low
        top = activation_bounds[source - 1][1] if source else region.high
        center = (bottom + top) / 2 @ matrix.T
        spread = (top - bottom) / 2 @ sizes.T
        lowest = center - spread
        highest = center + spread
        if source == 0 and region.center is not None and region.radius is not None:
            center = region.center @ matrix.T
            spread = region.radius[:, None] * (sizes.amax(1) if region.norm == "l1" else matrix.norm(dim=1))
            lowest = torch.maximum(lowest, center - spread)
            highest = torch.minimum(highest, center + spread)
        slack = ROUNDING_TOLERANCE * torch.maximum(bottom.abs(), top.abs()).amax(1, keepdim=True) * sizes.sum(1)
        low = low + lowest - slack
        high = high + highest + slack
    return low, high


def _lower_bound(region: InputRegion, rows: Tensor, constant: Tensor) -> Tensor:
    return region.lower_bound(rows) + constant - ROUNDING_TOLERANCE * constant.abs()


def _propagate_to_sample(
    graph: AffineGraph,
    relaxations: tuple[LinearRelaxation, ...],
    pending_rows: dict[int, Tensor],
    constant: Tensor,
    activation_rows: dict[int, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Propagate rows at sources, `{source: (B | 1, R, w)}`, backward to the sample.

    The sign of each entry selects the lower or the upper line of its unit.
    """
    for source in range(max(pending_rows), 0, -1):
        if source not in pending_rows:
            continue
        rows = pending_rows.pop(source)
        if activation_rows is not None:
            activation_rows[source - 1] = rows
        positive_rows = rows.clamp(min=0)
        negative_rows = rows.clamp(max=0)
        relaxation = relaxations[source - 1]
        affine_map = graph.affine_maps[source - 1]
        if _is_dense_first_layer(affine_map):
            sample_rows, increment = _propagate_through_first_layer(
                affine_map, relaxation, positive_rows, negative_rows
            )
            pending_rows[0] = pending_rows[0] + sample_rows if 0 in pending_rows else sample_rows
            constant = constant + increment
            continue
        constant = constant + _batched_dot(positive_rows, relaxation.lower_intercept)
        constant = constant + _batched_dot(negative_rows, relaxation.upper_intercept)
        rows = positive_rows * relaxation.lower_slope[:, None] + negative_rows * relaxation.upper_slope[:, None]
        constant = constant + rows @ affine_map.bias
        _propagate_to_sources(affine_map, rows, pending_rows)
    return pending_rows[0], constant


def _propagate_to_sources(affine_map: AffineMap, rows: Tensor, pending_rows: dict[int, Tensor]) -> None:
    """Propagate `rows` of a map's output to its sources, and add them to the pending rows there."""
    for source, source_rows in zip(affine_map.sources, affine_map.propagate_backward(rows), strict=True):
        pending_rows[source] = pending_rows[source] + source_rows if source in pending_rows else source_rows


def _is_dense_first_layer(affine_map: AffineMap) -> bool:
    """Return whether a map has the sample as its only source, and a matrix."""
    return affine_map.sources == (0,) and affine_map.uses_matrices


def _relaxation_in_sample_coordinates(affine_map: AffineMap, relaxation: LinearRelaxation) -> Interval:
    """Return a first layer's relaxation as functions of the sample: `(w, B, n + 1)` each, the constant last."""
    assert affine_map.matrices is not None
    augmented = torch.cat([affine_map.matrices[0], affine_map.bias[:, None]], dim=1)

    def compose(slope: Tensor, intercept: Tensor) -> Tensor:
        rows = slope.T[:, :, None] * augmented[:, None]
        rows[:, :, -1] += intercept.T
        return rows

    lower = compose(relaxation.lower_slope, relaxation.lower_intercept)
    return lower, compose(relaxation.upper_slope, relaxation.upper_intercept)


def _propagate_through_first_layer(
    affine_map: AffineMap, relaxation: LinearRelaxation, positive_rows: Tensor, negative_rows: Tensor
) -> tuple[Tensor, Tensor]:
    """Propagate rows at a first layer's activation to the sample; rows shared by all regions need one product."""
    low, high = _relaxation_in_sample_coordinates(affine_map, relaxation)
    if len(positive_rows) == 1:
        flat = positive_rows[0] @ low.reshape(len(low), -1) + negative_rows[0] @ high.reshape(len(high), -1)
        total = flat.reshape(positive_rows.shape[1], *low.shape[1:]).transpose(0, 1)
    else:
        total = positive_rows @ low.transpose(0, 1) + negative_rows @ high.transpose(0, 1)
    return total[:, :, :-1], total[:, :, -1]


def _batched_dot(rows: Tensor, x: Tensor) -> Tensor:
    """Return `rows . x`: `(B | 1, R, n)` and `(B, n)` to `(B, R)`."""
    return x @ rows[0].T if len(rows) == 1 else torch.einsum("brn,bn->br", rows, x)
