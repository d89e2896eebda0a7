"""Lower bounds with optimized relaxations, which in l2 balls couple the units of a layer.

A relaxation of each unit alone lets every unit use the whole radius. Here a lower bound of `rows . f(z)`, z the inputs
of an activation f, is an affine function of z minus a quadratic one: with the inputs c of the center of the ball,

    w f(z) - t / 2 (f(z) - f(c))^2 >= g z - s / 2 (z - c)^2 + h,

where h is the minimum of the difference over the interval of z. The squares are carried back to the sample, where their
sum is limited by the radius, which all units share. Every slope g and every curvature `s >= 0` gives a proven bound;
both are chosen by gradient ascent, for each row and unit. Outside l2 balls the curvature is zero and the slopes alone
are optimized.

Reference: Chiu, Chen, Zhang, Zhang 2025, SDP-CROWN (arXiv 2506.06665), for the bound with one curvature a layer; Xu et
al. 2021, Fast and complete (alpha-CROWN, arXiv 2011.13824), for optimized slopes; Prach and Lampert 2022,
Almost-orthogonal layers (arXiv 2208.03160), for the diagonal bound of a map.
"""

import functools
from typing import Any, final

import torch
from torch import Tensor

from dimple.tracing.activations import Activation
from dimple.tracing.affine_graph import AffineGraph, AffineMap
from dimple.verification.linear_bounds import (
    ROUNDING_TOLERANCE,
    InputRegion,
    Interval,
    LinearBounds,
    compute_linear_bounds,
)

# Steps of the gradient ascent for scores, and for the inputs of an activation.
SCORE_STEPS = 60
UNIT_STEPS = 12
# Bounds of the inputs of an activation are optimized if at most as many may have either sign.
MAX_OPTIMIZED_UNITS = 128
# First step sizes for slopes, as fractions of the rows, and for logarithms of curvatures.
SLOPE_STEP = 0.05
CURVATURE_STEP = 0.3
# First curvatures, as a fraction of those of parabolas that touch the activation at the center.
FIRST_CURVATURE = 0.1
# Maps with at most as many outputs are bounded by an eigenvalue, others by sums of absolute values.
MAX_EIGENVALUE_OUTPUTS = 128
# Entries below which a curvature counts as none.
TINY = 1e-30


@final
class OptimizedBounds:
    """Lower bounds by optimized relaxations, given bounds of the inputs of every activation.

    Args:
        bounds: the graph, the region, bounds of the inputs of the first activations, and their relaxations, from which
            the optimization starts.
    """

    def __init__(self, bounds: LinearBounds) -> None:
        self.graph = bounds.graph
        self.region = bounds.region
        self.relaxations = bounds.relaxations
        self.intervals = [(low, torch.maximum(low, high)) for low, high in bounds.preactivation_bounds]
        self.is_coupled = (
            self.region.center is not None
            and self.region.norm == "l2"
            and all(affine_map.matrices is not None for affine_map in self.graph.affine_maps)
        )
        self.centers: list[Tensor] = []
        if self.is_coupled:
            assert self.region.center is not None
            self.centers = self.graph.evaluate_maps(self.region.center)[: len(self.intervals)]
        self.slopes: dict[int, Tensor] = {}
        self.log_curvatures: dict[int, Tensor] = {}

    def lower_bound(self, affine_map: AffineMap, rows: Tensor, steps: int, target: Tensor | None = None) -> Tensor:
        """Return lower bounds of `rows . y` for the outputs y of a map on each region, `(B | 1, R, w)` to `(B, R)`.

        Args:
            affine_map: the map, of outputs of the bounded activations.
            rows: the rows.
            steps: the number of gradient steps. Their best bound of each row counts.
            target: `(B,)`, the steps end where all bounds of every region are above it; None for no such end.
        """
        count = len(self.region.low)
        constants = (rows @ affine_map.bias).expand(count, -1)
        start = {
            source: part.expand(count, -1, -1)
            for source, part in zip(affine_map.sources, affine_map.propagate_backward(rows), strict=True)
        }
        best = self._bound(start, constants).detach()
        if not any(slopes.numel() for slopes in self.slopes.values()):
            return best
        optimizer = torch.optim.Adam(
            [
                {"params": list(self.slopes.values()), "lr": SLOPE_STEP},
                {"params": list(self.log_curvatures.values()), "lr": CURVATURE_STEP},
            ],
            betas=(0.9, 0.99),
        )
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1 ** (1 / steps))
        for _ in range(steps):
            with torch.enable_grad():
                value = self._bound(start, constants)
                best = torch.maximum(best, value.detach().nan_to_num(-torch.inf))
                if target is not None and bool((best.amin(1) > target).all()):
                    break
                optimizer.zero_grad()
                (-value.sum()).backward()
            optimizer.step()
            schedule.step()
        return best

    def _bound(self, pending: dict[int, Tensor], constants: Tensor) -> Tensor:
        """Propagate rows at sources `(B, R, w)`, and the curvatures that arise, to the sample; return bounds."""
        pending = dict(pending)
        curvatures: dict[int, Tensor] = {}
        magnitude = constants.abs()
        for source in range(max(pending), 0, -1):
            if source not in pending:
                continue
            rows = pending.pop(source)
            affine_map = self.graph.affine_maps[source - 1]
            rows, curvature, offsets = self._relax(source - 1, rows, curvatures.pop(source, None))
            bias = rows @ affine_map.bias
            constants = constants + offsets.sum(2) + bias
            magnitude = magnitude + offsets.detach().abs().sum(2) + bias.detach().abs()
            for other, part in zip(affine_map.sources, affine_map.propagate_backward(rows), strict=True):
                pending[other] = pending[other] + part if other in pending else part
            if curvature is not None:
                self._propagate_curvature(affine_map, curvature, curvatures)
        rows = pending[0]
        constants = constants - ROUNDING_TOLERANCE * magnitude
        if not self.is_coupled or 0 not in curvatures:
            return self.region.lower_bound(rows) + constants
        assert self.region.center is not None
        change = self.region.lowest_change(rows, curvatures[0])
        sizes = torch.maximum(self.region.low.abs(), self.region.high.abs())
        allowance = torch.einsum("brn,bn->br", rows.detach().abs(), sizes) + change.detach().abs()
        return (
            torch.einsum("brn,bn->br", rows, self.region.center) + change + constants - ROUNDING_TOLERANCE * allowance
        )

    def _relax(self, number: int, rows: Tensor, curvature: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return rows and curvatures at the inputs of an activation, and the minimum h of each unit: `(B, R, w)`."""
        activation = self.graph.activations[number]
        low, high = (bound[:, None] for bound in self.intervals[number])
        relaxation = self.relaxations[number]
        is_positive = rows.detach() > 0
        slope = torch.where(is_positive, relaxation.lower_slope[:, None], relaxation.upper_slope[:, None])
        if not _is_rectifier(activation):
            intercept = torch.where(
                is_positive, relaxation.lower_intercept[:, None], relaxation.upper_intercept[:, None]
            )
            carried = None if curvature is None else curvature * activation.lipschitz**2
            return rows * slope, carried, rows * intercept
        below, above = _rectifier_slopes(activation)
        is_open = (low < 0) & (high > 0)
        stable_slope = torch.where(low >= 0, above, below)
        tilted = rows * stable_slope
        carried = None if curvature is None else curvature * stable_slope**2
        # Units that are not open in any region are their own relaxation.
        units = torch.nonzero(is_open.any(0).squeeze(0)).squeeze(1)
        if number not in self.slopes:
            self.slopes[number] = slope[..., units].clone().requires_grad_()
        is_open, low, high, rows = is_open[..., units], low[..., units], high[..., units], rows[..., units]
        open_tilted = torch.where(is_open, rows * self.slopes[number], tilted[..., units])
        tilted = tilted.index_copy(2, units, open_tilted)
        if not self.is_coupled:
            offsets = _smallest_difference(rows, open_tilted, (below, above), (low, high))
            return tilted, None, torch.where(is_open, offsets, 0.0)
        center = torch.minimum(torch.maximum(self.centers[number][:, None, units], low), high)
        if number not in self.log_curvatures:
            width = torch.maximum(center.abs(), 0.1 * (high - low)).clamp(min=TINY)
            first = FIRST_CURVATURE * max(abs(above - below), TINY) / (2 * width)
            self.log_curvatures[number] = first.log().expand_as(rows).clone().requires_grad_()
        own = rows.abs() * self.log_curvatures[number].exp()
        outer = None if curvature is None else curvature[..., units]
        inner = own if outer is None else own + outer * max(abs(below), abs(above)) ** 2
        offsets = _smallest_difference(rows, open_tilted, (below, above), (low, high), (center, outer, inner))
        base = torch.zeros_like(tilted) if carried is None else carried
        inner = torch.where(is_open, inner, base[..., units])
        return tilted, base.index_copy(2, units, inner), torch.where(is_open, offsets, 0.0)

    def _propagate_curvature(self, affine_map: AffineMap, curvature: Tensor, curvatures: dict[int, Tensor]) -> None:
        """Add the curvatures at the sources of a map from those at its outputs, `(B, R, w)`.

        The steps of the sources satisfy `sum_i curvature_i (M step)_i^2 <= sum_j result_j step_j^2`.
        """
        live = [self._can_change(source) for source in affine_map.sources]
        if len(live) == 1 and len(affine_map.bias) <= MAX_EIGENVALUE_OUTPUTS and affine_map.matrices is not None:
            matrix = affine_map.matrices[0] * live[0][:, None]
            gram = matrix @ matrix.transpose(1, 2)
            root = (curvature + TINY).sqrt()
            scaled = root[..., None] * gram[:, None] * root[..., None, :]
            norm = torch.linalg.eigvalsh(scaled)[..., -1] + ROUNDING_TOLERANCE * scaled.detach().diagonal(
                dim1=-2, dim2=-1
            ).sum(-1)
            parts = [norm[..., None] * live[0][:, None]]
        else:
            pairs = list(zip(affine_map.sparse_magnitudes, live, strict=True))
            # By Cauchy and Schwarz, with the absolute values as weights.
            reach = sum(_multiply(mask[:, None], transposed, matrix) for (matrix, transposed), mask in pairs)
            weighted = curvature * reach * (1 + ROUNDING_TOLERANCE)
            parts = [_multiply(weighted, *pair) * mask[:, None] for pair, mask in pairs]
        for source, part in zip(affine_map.sources, parts, strict=True):
            curvatures[source] = curvatures[source] + part if source in curvatures else part

    def _can_change(self, source: int) -> Tensor:
        """Return 1 for the values of a source that can differ from those of the center, 0 for others, `(B, w)`."""
        if source == 0:
            assert self.region.center is not None
            return ((self.region.high > self.region.center) | (self.region.low < self.region.center)).double()
        low, high = self.intervals[source - 1]
        activation = self.graph.activations[source - 1]
        if not _is_rectifier(activation) or _rectifier_slopes(activation)[0] != 0:
            return torch.ones_like(low)
        return (high > 0).double()


class _Product(torch.autograd.Function):
    """The product `rows M` `(B, R, w)` with a sparse matrix, given with its transpose."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        ctx.pair = matrix, transposed
        return (transposed @ rows.reshape(-1, rows.shape[-1]).T).T.reshape(*rows.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        matrix, _ = ctx.pair
        flat = gradient.reshape(-1, gradient.shape[-1])
        return (matrix @ flat.T).T.reshape(*gradient.shape[:-1], -1), None, None


def _multiply(rows: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
    """Return `rows M` `(B, R, w)` for a sparse matrix, given with its transpose."""
    product: Tensor = _Product.apply(rows, matrix, transposed)  # type: ignore[no-untyped-call]
    return product


def compute_optimized_bounds(graph: AffineGraph, region: InputRegion) -> LinearBounds:
    """Compute bounds and relaxations of every activation, tighter and at several times the cost.

    Tangents touch each activation at its input for the center of the region, and where few units of an activation may
    have either sign, their bounds are optimized.

    Example:
        >>> from dimple.tracing.affine_graph import trace_affine_graph
        >>> network = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> graph = trace_affine_graph(network, torch.zeros(3))
        >>> ball = InputRegion.from_ball(torch.zeros(1, 3).double(), torch.ones(1).double(), "l2")
        >>> rows = torch.eye(2)[None].double()
        >>> bounds = compute_optimized_bounds(graph, ball)
        >>> found = optimized_lower_bound(bounds, rows, torch.full((1,), torch.inf))
        >>> bool((found >= bounds.lower_bound(rows)).all())
        True
    """
    center = (region.low + region.high) / 2 if region.center is None else region.center
    points = graph.evaluate_maps(center)[:-1]
    return compute_linear_bounds(graph, region, tangent_points=points, sharpen=_sharpen)


def optimized_lower_bound(bounds: LinearBounds, rows: Tensor, target: Tensor) -> Tensor:
    """Return a lower bound of `rows . scores` on each region, `(B | 1, R, K)` to `(B, R)`.

    Args:
        bounds: of the network on the regions.
        rows: the rows.
        target: `(B,)`; the search for better bounds ends where all are above it.
    """
    plain = bounds.lower_bound(rows)
    if not bounds.relaxations or bool((plain.amin(1) > target).all()):
        return plain
    last = bounds.graph.affine_maps[-1]
    return torch.maximum(plain, OptimizedBounds(bounds).lower_bound(last, rows, SCORE_STEPS, target))


def _sharpen(bounds: LinearBounds, number: int, known: Interval) -> Interval:
    """Return optimized bounds of the inputs of an activation that may have either sign, if they are few."""
    low, high = known
    affine_map = bounds.graph.affine_maps[number]
    if affine_map.sources == (0,) or not _is_rectifier(bounds.graph.activations[number]):
        return known
    units = torch.nonzero(((low < 0) & (high > 0)).any(0)).squeeze(1)
    if not 0 < len(units) <= MAX_OPTIMIZED_UNITS:
        return known
    one_hot = torch.nn.functional.one_hot(units, len(affine_map.bias)).to(low)
    best = OptimizedBounds(bounds).lower_bound(affine_map, torch.cat([one_hot, -one_hot])[None], UNIT_STEPS)
    low = low.index_copy(1, units, torch.maximum(low[:, units], best[:, : len(units)]))
    return low, high.index_copy(1, units, torch.minimum(high[:, units], -best[:, len(units) :]))


def _is_rectifier(activation: Activation) -> bool:
    """Return whether an activation is linear on both sides of zero."""
    return activation.is_piecewise_linear and activation.kinks == (0.0,)


@functools.lru_cache(maxsize=64)
def _rectifier_slopes(activation: Activation) -> tuple[float, float]:
    values = activation.value(torch.tensor([-1.0, 1.0], dtype=torch.float64))
    return -float(values[0]), float(values[1])


def _smallest_difference(
    rows: Tensor,
    tilted: Tensor,
    slopes: tuple[float, float],
    interval: Interval,
    squares: tuple[Tensor, Tensor | None, Tensor] | None = None,
) -> Tensor:
    """Return the minimum h over the interval, for a function that is linear on both sides of zero.

    Args:
        rows: w.
        tilted: g.
        slopes: of the function left and right of zero.
        interval: the bounds of z, negative and positive.
        squares: the center c, the curvature t of the outputs or None, and s of the inputs; None for no squares.
    """
    low, high = interval
    ends = [low, torch.zeros_like(low), high]
    smallest: Tensor | None = None
    for side, slope in enumerate(slopes):
        linear = rows * slope - tilted
        candidates = [ends[side], ends[side + 1]]
        difference = functools.partial(_difference, linear, slope, slopes, squares)
        if squares is not None:
            center, outer, inner = squares
            curvature = inner if outer is None else inner - outer * slope**2
            pull = inner * center
            if outer is not None:
                pull = pull - outer * slope * _rectify(center, slopes)
            stationary = ((pull - linear) / curvature.clamp(min=TINY)).detach()
            candidates.append(torch.minimum(torch.maximum(stationary, ends[side]), ends[side + 1]))
        for z in candidates:
            value = difference(z)
            smallest = value if smallest is None else torch.minimum(smallest, value)
    assert smallest is not None
    return smallest


def _difference(
    linear: Tensor,
    slope: float,
    slopes: tuple[float, float],
    squares: tuple[Tensor, Tensor | None, Tensor] | None,
    z: Tensor,
) -> Tensor:
    """Return the difference at z, on the side of zero where the function is `slope z`."""
    value = linear * z
    if squares is None:
        return value
    center, outer, inner = squares
    value = value + inner / 2 * (z - center).square()
    return value if outer is None else value - outer / 2 * (slope * z - _rectify(center, slopes)).square()


def _rectify(z: Tensor, slopes: tuple[float, float]) -> Tensor:
    return torch.where(z > 0, slopes[1] * z, slopes[0] * z)
