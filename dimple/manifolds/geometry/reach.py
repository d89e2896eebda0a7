"""Searches for quantities without a formula: the reach of a manifold and the separation of two manifolds."""

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from dimple.errors import SceneError
from dimple.manifolds.affine import ParameterDomain
from dimple.manifolds.base import ChartMap, Manifold
from dimple.manifolds.geometry.closest_point import StartPoints, closest_source_points
from dimple.manifolds.geometry.derivatives import chart_derivatives, chart_jacobian
from dimple.tensors import bounding_box_diagonal, chunks, generator, norm, pairwise_distances

GRID_POINT_COUNT = 1024
# Best grid points, from which the random search starts.
MAX_CANDIDATES = 24
TRIALS_PER_ROUND = 32
SEARCH_ROUNDS = 40
# Factor of the length of random steps from round to round.
STEP_DECAY = 0.75
SHRINKING_ROUNDS = 12
# Points from which balls are shrunk.
BALL_COUNT = 64
# Pairs nearer than this fraction of the size lie on one sheet and only measure its curvature, with a large rounding
# error, unless this part of their difference is normal: then they lie on facing sheets.
MIN_RELATIVE_DISTANCE = 1e-3
FACING_FRACTION = 0.5
# Sheets nearer than this fraction of the size are lost in rounding.
ROUNDING_DISTANCE = 1e-7


def estimate_reach(source: Manifold, chart: ChartMap) -> float:
    """Return an upper bound of the reach, accurate to 1e-6 if the grid resolves all features of the manifold.

    By Federer's formula the reach is the infimum of |q - p|^2 / (2 dist(q - p, T_p)) over pairs of points. T_p is the
    tangent space, or its inward half if p lies on an edge. In the limit of near pairs the quotient is the radius of
    curvature, which is minimized separately. Both minimizations evaluate all grid points, then improve the best of them
    by random steps of decreasing length; a partner on another sheet is found by balls that shrink until they are empty.
    Sheets within 1e-7 of the manifold's size of each other are not told from one.

    Reference: Federer 1959, Curvature measures, theorem 4.18; Aamari et al. 2019, theorem 3.4.
    """
    grid_points = source.grid_points(GRID_POINT_COUNT)
    spacing = source.volume ** (1 / source.dim) / len(grid_points) ** (1 / source.dim)
    curvature = _max_curvature(source, chart, grid_points, spacing)
    min_radius = 1 / curvature if curvature > 0 else float("inf")
    return min(min_radius, _min_federer_quotient(source, chart, grid_points, spacing))


def require_resolved_reach(manifold: Manifold, x: Tensor) -> None:
    """Require that a reach from a search is larger than what the search resolves, on a manifold with points `(N, n)`.

    Raises:
        SceneError: if it is not.
    """
    limit = ROUNDING_DISTANCE * bounding_box_diagonal(x)
    if not manifold.reach_is_exact and manifold.reach < limit:
        raise SceneError(
            f"manifold: the search for the reach finds {manifold.reach:.3g}, and below {limit:.3g} it may take facing "
            "sheets for one; choose fewer turns, longer waves or lower ones"
        )


def estimate_separation(a: Manifold, b: Manifold) -> float:
    """Return an upper bound of the minimum distance between two manifolds: the least distance that a search found."""
    source_a, chart_a = a.parametrization()
    source_b, chart_b = b.parametrization()
    grid_a = source_a.grid_points(GRID_POINT_COUNT)
    grid_b = source_b.grid_points(GRID_POINT_COUNT)
    x = chart_a(grid_a)
    y = chart_b(grid_b)
    # Centered, because the product form of a distance then loses no digits.
    distance, partner = torch.cdist(x - x.mean(0), y - x.mean(0)).min(dim=1)
    order = distance.argsort()[:MAX_CANDIDATES]
    pairs = torch.cat([grid_a[order], grid_b[partner[order]]], dim=1)
    sizes = [grid_a.shape[1], grid_b.shape[1]]

    def pair_distance(pairs: Tensor) -> Tensor:
        one, other = pairs.split(sizes, dim=1)
        return norm(chart_a(one) - chart_b(other))

    def propose(pairs: Tensor, scale: float, stream: torch.Generator) -> Tensor:
        one, other = pairs.split(sizes, dim=1)
        return torch.cat([_perturb(source_a, one, scale, stream), _perturb(source_b, other, scale, stream)], dim=1)

    spacing = max((source.volume / GRID_POINT_COUNT) ** (1 / source.dim) for source in (source_a, source_b))
    return _random_search(pair_distance, propose, pairs, spacing)


def _min_federer_quotient(source: Manifold, chart: ChartMap, grid_points: Tensor, spacing: float) -> float:
    """Return the least of Federer's quotients over pairs of points."""
    values, partner = _best_partners(source, chart, grid_points)
    order = values.argsort()
    size = bounding_box_diagonal(chart(grid_points))

    def pair_up(rows: Tensor) -> Tensor:
        return torch.cat([grid_points[rows], grid_points[partner[rows]]], dim=1)

    def federer_quotient(pairs: Tensor) -> Tensor:
        p, q = pairs.chunk(2, dim=1)
        jacobian = chart_jacobian(source, chart, p)
        difference = chart(q) - chart(p)
        inverse = torch.linalg.inv(jacobian.mT @ jacobian)
        coefficients = torch.einsum("bij,bnj,bn->bi", inverse, jacobian, difference)
        normal = (difference - torch.einsum("bni,bi->bn", jacobian, coefficients)).square().sum(1)
        outward = _squared_distance_to_cone(source, p, coefficients[:, None], inverse)[:, 0]
        square = difference.square().sum(1)
        normal = normal + outward
        return torch.where(_is_one_sheet(square, normal, size), float("inf"), square / (2 * normal.sqrt()))

    def propose(pairs: Tensor, scale: float, stream: torch.Generator) -> Tensor:
        return torch.cat([_perturb(source, half, scale, stream) for half in pairs.chunk(2, dim=1)], dim=1)

    # The partner on the grid may lie on another sheet than the nearest one, and the search moves along sheets only. On
    # a grid that is coarser than the sheets, the best pairs may be anywhere.
    everywhere = order[:: max(1, len(order) // BALL_COUNT)]
    shrunk = _shrink_balls(source, chart, pair_up(torch.cat([order[:MAX_CANDIDATES], everywhere])), size)
    best = federer_quotient(shrunk).argsort()[:MAX_CANDIDATES]
    return _random_search(
        federer_quotient, propose, torch.cat([pair_up(order[:MAX_CANDIDATES]), shrunk[best]]), spacing
    )


def _is_one_sheet(square: Tensor, normal: Tensor, size: float) -> Tensor:
    """Return which pairs say nothing but the curvature, by their squared distance and the squared normal part of it."""
    is_facing = (normal > FACING_FRACTION**2 * square) & (square > (ROUNDING_DISTANCE * size) ** 2)
    return (square < (MIN_RELATIVE_DISTANCE * size) ** 2) & ~is_facing


def _shrink_balls(source: Manifold, chart: ChartMap, pairs: Tensor, size: float) -> Tensor:
    """Return the pairs with the partners that remain when balls that touch the first points shrink until empty."""
    start_points = StartPoints.from_source(source, chart)
    p, q = pairs.chunk(2, dim=1)
    x = chart(p)
    for _ in range(SHRINKING_ROUNDS):
        difference = chart(q) - x
        jacobian = chart_jacobian(source, chart, p)
        coefficients = torch.linalg.solve(jacobian.mT @ jacobian, torch.einsum("bni,bn->bi", jacobian, difference))
        normal = difference - torch.einsum("bni,bi->bn", jacobian, coefficients)
        length = norm(normal).clamp(min=1e-12 * size)
        radius = difference.square().sum(1) / (2 * length)
        closest = closest_source_points(source, chart, start_points, x + (radius / length)[:, None] * normal)
        # The first point itself is the closest one of a ball that is empty.
        other = norm(chart(closest) - x) > ROUNDING_DISTANCE * size
        q = torch.where(other[:, None], closest, q)
    return torch.cat([p, q], dim=1)


def _best_partners(source: Manifold, chart: ChartMap, grid_points: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each grid point its least quotient with another one, `(M,)`, and the index of that one, `(M,)`."""
    x = chart(grid_points)
    jacobian = chart_jacobian(source, chart, grid_points)
    x = x - x.mean(0)
    metric = jacobian.mT @ jacobian
    inverse = torch.linalg.inv(metric)
    pseudoinverse = inverse @ jacobian.mT
    values = []
    partners = []
    for rows in chunks(len(x), 128):
        square = pairwise_distances(x[rows], x).square()
        coefficients = (
            torch.einsum("pin,qn->pqi", pseudoinverse[rows], x)
            - torch.einsum("pin,pn->pi", pseudoinverse[rows], x[rows])[:, None]
        )
        tangential = torch.einsum("pqi,pij,pqj->pq", coefficients, metric[rows], coefficients)
        outward = _squared_distance_to_cone(source, grid_points[rows], coefficients, inverse[rows])
        normal = (square - tangential).clamp(min=1e-12 * float(square.max())) + outward
        near = _is_one_sheet(square, normal, math.sqrt(float(square.max())))
        value, index = (square / (2 * normal.sqrt())).masked_fill(near, float("inf")).min(dim=1)
        values.append(value)
        partners.append(index)
    return torch.cat(values), torch.cat(partners)


def _squared_distance_to_cone(source: Manifold, p: Tensor, coefficients: Tensor, inverse: Tensor) -> Tensor:
    """Return the squared distances from tangent vectors at points to the cone of the tangents that point inward.

    It is zero if p lies on no edge. On edges the nearest tangent of the cone has zero coefficients across some of them:
    of all subsets of edges, the least distance with an inward tangent counts.

    Args:
        source: the manifold on which the chart is defined.
        p: `(P, d)` parameters.
        coefficients: `(P, Q, d)` coefficients of Q tangent vectors at each point.
        inverse: `(P, d, d)` inverse metric.

    Returns:
        Squared distances `(P, Q)`.
    """
    squares = coefficients.new_zeros(coefficients.shape[:2])
    if not isinstance(source, ParameterDomain):
        return squares
    bounded = ~torch.tensor(source.periodic)
    # 1 where coefficients must not be negative, -1 where they must not be positive.
    side = ((p <= p.new_tensor(source.low)).to(p) - (p >= p.new_tensor(source.high)).to(p)) * bounded
    edge = side.abs().sum(1) > 0
    side = side[edge]
    vectors = coefficients[edge]
    best = torch.where((vectors * side[:, None] >= 0).all(2), 0.0, torch.inf)
    for axes in itertools.chain(*(itertools.combinations(range(source.dim), k) for k in range(1, source.dim + 1))):
        crossed = list(axes)
        columns = inverse[edge][:, :, crossed]
        weights = torch.linalg.solve(columns[:, crossed], vectors[:, :, crossed].mT)
        inward = vectors - (columns @ weights).mT
        inward[:, :, crossed] = 0.0
        allowed = (inward * side[:, None] >= 0).all(2) & (side[:, None, crossed] != 0).all(2)
        square = (weights * vectors[:, :, crossed].mT).sum(1)
        best = torch.where(allowed, torch.minimum(best, square), best)
    squares[edge] = best
    return squares


def _max_curvature(source: Manifold, chart: ChartMap, grid_points: Tensor, spacing: float) -> float:
    """Return the largest |II(v, v)| over unit tangents v."""
    d = source.dim
    m = grid_points.shape[1]
    stream = generator(0, "bends")
    directions = torch.randn(1 if d == 1 else 8 * d, len(grid_points), d, generator=stream, dtype=torch.float64)
    # Points of the source and directions in one row each, as the random search moves both.
    points = torch.cat([grid_points.expand(len(directions), -1, -1), directions], dim=2)

    def curvature_radius(points: Tensor) -> Tensor:
        z, v = points.tensor_split([m], dim=1)
        _, jacobian, hessian = chart_derivatives(source, chart, z)
        return 1 / _normal_curvature(jacobian, hessian, v).clamp(min=1e-300)

    def propose(points: Tensor, scale: float, stream: torch.Generator) -> Tensor:
        z, v = points.tensor_split([m], dim=1)
        turn = torch.randn(v.shape, generator=stream, dtype=torch.float64) * scale / spacing
        return torch.cat([_perturb(source, z, scale, stream), v / v.norm(dim=1, keepdim=True) + turn], dim=1)

    image, jacobian, hessian = chart_derivatives(source, chart, grid_points)
    curvatures = torch.stack([_normal_curvature(jacobian, hessian, v) for v in directions])
    best, which = curvatures.max(dim=0)
    if float(best.max()) * bounding_box_diagonal(image) <= 1e-12:
        return 0.0
    order = best.argsort(descending=True)[:MAX_CANDIDATES]
    return 1 / _random_search(curvature_radius, propose, points[which[order], order], spacing)


def _normal_curvature(jacobian: Tensor, hessian: Tensor, v: Tensor) -> Tensor:
    """Return |II(v, v)| / |v|^2 for tangent vectors with the coefficients `v` `(B, d)`."""
    tangent = torch.einsum("bni,bi->bn", jacobian, v)
    second = torch.einsum("bnij,bi,bj->bn", hessian, v, v)
    coefficients = torch.linalg.solve(jacobian.mT @ jacobian, torch.einsum("bni,bn->bi", jacobian, second))
    normal = second - torch.einsum("bni,bi->bn", jacobian, coefficients)
    return norm(normal) / tangent.square().sum(1)


def _perturb(source: Manifold, z: Tensor, scale: float, stream: torch.Generator) -> Tensor:
    step = scale * torch.randn(len(z), source.dim, generator=stream, dtype=torch.float64)
    return source.project(z + torch.einsum("bmi,bi->bm", source.tangent_basis(z), step))


def _random_search(
    objective: Callable[[Tensor], Tensor],
    propose: Callable[[Tensor, float, torch.Generator], Tensor],
    points: Tensor,
    scale: float,
) -> float:
    """Return the minimum of `objective` that random steps from `points` find, of lengths from `scale` to 1e-5 of it."""
    stream = generator(0, "search")
    best = objective(points)
    for _ in range(SEARCH_ROUNDS):
        trial = torch.cat([points, propose(points.repeat(TRIALS_PER_ROUND, 1), scale, stream)])
        value, which = objective(trial).reshape(TRIALS_PER_ROUND + 1, len(points)).min(dim=0)
        points = trial.reshape(TRIALS_PER_ROUND + 1, len(points), -1)[which, torch.arange(len(points))]
        best = torch.minimum(best, value)
        scale *= STEP_DECAY
    return float(best.min())
