"""What no formula gives: the reach of a mapped manifold, and the gap between two, by search."""

from collections.abc import Callable

import torch
from torch import Tensor

from dimple.manifolds.affine import Cell
from dimple.manifolds.base import Chart, Manifold
from dimple.manifolds.derivatives import jet, tangents
from dimple.tensors import chunks, extent, generator, norm

NODES = 1024
BEST = 24
TRIALS = 32
ROUNDS = 40
SHRINK = 0.75
# Nearer pairs than this share of the size tell the curvature, with much rounding.
NEAR = 1e-3


def searched_reach(source: Manifold, chart: Chart) -> float:
    """An upper bound of the reach: the least value met, to 1e-6 the reach itself where the lattice sees all features.

    Federer's formula: the reach is the least of |q - p|^2 / (2 dist(q - p, T_p)) over pairs of points, where T_p is
    the tangent space, or the half of it that points inwards where p lies on an edge; near pairs give the radius of
    curvature instead. Both begin at the nodes of a lattice; the best are improved by random steps that shrink.

    Reference: Federer 1959, Curvature measures, theorem 4.18; Aamari et al. 2019, theorem 3.4.
    """
    nodes = source.nodes(NODES)
    spacing = source.volume ** (1 / source.dim) / len(nodes) ** (1 / source.dim)
    sharpest = _sharpest_bend(source, chart, nodes, spacing)
    return min(1 / sharpest if sharpest > 0 else float("inf"), _narrowest(source, chart, nodes, spacing))


def searched_gap(a: Manifold, b: Manifold) -> float:
    """An upper bound of the least distance between two manifolds: the least that was met between points of both."""
    (source_a, chart_a), (source_b, chart_b) = a.unfold(), b.unfold()
    nodes_a, nodes_b = source_a.nodes(NODES), source_b.nodes(NODES)
    x, y = chart_a(nodes_a), chart_b(nodes_b)
    # About the middle, where the product form of a distance loses no digits.
    distance, partner = torch.cdist(x - x.mean(0), y - x.mean(0)).min(dim=1)
    order = distance.argsort()[:BEST]
    pairs = torch.cat([nodes_a[order], nodes_b[partner[order]]], dim=1)
    sizes = [nodes_a.shape[1], nodes_b.shape[1]]

    def apart(pairs: Tensor) -> Tensor:
        one, other = pairs.split(sizes, dim=1)
        return norm(chart_a(one) - chart_b(other))

    def move(pairs: Tensor, scale: float, stream: torch.Generator) -> Tensor:
        one, other = pairs.split(sizes, dim=1)
        return torch.cat([_stir(source_a, one, scale, stream), _stir(source_b, other, scale, stream)], dim=1)

    spacing = max((source.volume / NODES) ** (1 / source.dim) for source in (source_a, source_b))
    return _improve(apart, move, pairs, spacing)


def _narrowest(source: Manifold, chart: Chart, nodes: Tensor, spacing: float) -> float:
    """The least of Federer's quotients over pairs."""
    values, partner = _pairs(source, chart, nodes)
    order = values.argsort()[:BEST]
    pairs = torch.cat([nodes[order], nodes[partner[order]]], dim=1)
    size = extent(chart(nodes))

    def quotient(pairs: Tensor) -> Tensor:
        p, q = pairs.chunk(2, dim=1)
        jacobian = tangents(source, chart, p)
        away = chart(q) - chart(p)
        inverse = torch.linalg.inv(jacobian.mT @ jacobian)
        share = torch.einsum("bij,bnj,bn->bi", inverse, jacobian, away)
        normal = (away - torch.einsum("bni,bi->bn", jacobian, share)).square().sum(1)
        out = _outward(source, p, share, inverse.diagonal(dim1=1, dim2=2))
        square = away.square().sum(1)
        return torch.where(square < (NEAR * size) ** 2, float("inf"), square / (2 * (normal + out).sqrt()))

    def move(pairs: Tensor, scale: float, stream: torch.Generator) -> Tensor:
        return torch.cat([_stir(source, half, scale, stream) for half in pairs.chunk(2, dim=1)], dim=1)

    return _improve(quotient, move, pairs, spacing)


def _pairs(source: Manifold, chart: Chart, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """For each node the least quotient `(M,)` with another one, and which, `(M,)`."""
    x, jacobian = chart(nodes), tangents(source, chart, nodes)
    x = x - x.mean(0)
    metric = jacobian.mT @ jacobian
    inverse = torch.linalg.inv(metric)
    lift = inverse @ jacobian.mT
    least, partner = [], []
    for part in chunks(len(x), 128):
        square = torch.cdist(x[part], x).square()
        share = torch.einsum("pin,qn->pqi", lift[part], x) - torch.einsum("pin,pn->pi", lift[part], x[part])[:, None]
        tangential = torch.einsum("pqi,pij,pqj->pq", share, metric[part], share)
        out = _outward(source, nodes[part, None], share, inverse[part].diagonal(dim1=1, dim2=2)[:, None])
        normal = (square - tangential).clamp(min=1e-12 * float(square.max())) + out
        near = square < NEAR**2 * float(square.max())
        value, index = (square / (2 * normal.sqrt())).masked_fill(near, float("inf")).min(dim=1)
        least.append(value)
        partner.append(index)
    return torch.cat(least), torch.cat(partner)


def _outward(source: Manifold, p: Tensor, share: Tensor, inverse_diagonal: Tensor) -> Tensor:
    """The squared length of q - p across the edge of the cell that p lies on, `(...)`; zero where it points inwards.

    Args:
        p: `(..., d)` parameters.
        share: `(..., d)` coefficients of the tangential part of q - p.
        inverse_diagonal: `(..., d)` diagonal of the inverse metric, by which a coefficient becomes a length.
    """
    if not isinstance(source, Cell):
        return share.new_zeros(share.shape[:-1])
    opened = ~torch.tensor(source.closed)
    below = (p <= p.new_tensor(source.low)) & opened & (share < 0)
    above = (p >= p.new_tensor(source.high)) & opened & (share > 0)
    return torch.where(below | above, share.square() / inverse_diagonal, 0.0).amax(-1)


def _sharpest_bend(source: Manifold, chart: Chart, nodes: Tensor, spacing: float) -> float:
    """The largest |II(v, v)| over unit tangents v."""
    d, m = source.dim, nodes.shape[1]
    stream = generator(0, "bends")
    tries = torch.randn(1 if d == 1 else 8 * d, len(nodes), d, generator=stream, dtype=torch.float64)
    places = torch.cat([nodes.expand(len(tries), -1, -1), tries], dim=2)

    def radius(places: Tensor) -> Tensor:
        z, v = places[:, :m], places[:, m:]
        _, jacobian, hessian = jet(source, chart, z)
        return 1 / _bend(jacobian, hessian, v).clamp(min=1e-300)

    def move(places: Tensor, scale: float, stream: torch.Generator) -> Tensor:
        z, v = places[:, :m], places[:, m:]
        turn = torch.randn(v.shape, generator=stream, dtype=torch.float64) * scale / spacing
        return torch.cat([_stir(source, z, scale, stream), v / v.norm(dim=1, keepdim=True) + turn], dim=1)

    image, jacobian, hessian = jet(source, chart, nodes)
    bends = torch.stack([_bend(jacobian, hessian, v) for v in tries])
    best, which = bends.max(dim=0)
    if float(best.max()) * extent(image) <= 1e-12:
        return 0.0
    order = best.argsort(descending=True)[:BEST]
    return 1 / _improve(radius, move, places[which[order], order], spacing)


def _bend(jacobian: Tensor, hessian: Tensor, v: Tensor) -> Tensor:
    """|II(v, v)| / |v|^2 for tangents with the coefficients `(B, d)`."""
    tangent = torch.einsum("bni,bi->bn", jacobian, v)
    second = torch.einsum("bnij,bi,bj->bn", hessian, v, v)
    share = torch.linalg.solve(jacobian.mT @ jacobian, torch.einsum("bni,bn->bi", jacobian, second))
    normal = second - torch.einsum("bni,bi->bn", jacobian, share)
    return norm(normal) / tangent.square().sum(1)


def _stir(source: Manifold, z: Tensor, scale: float, stream: torch.Generator) -> Tensor:
    step = scale * torch.randn(len(z), source.dim, generator=stream, dtype=torch.float64)
    return source.project(z + torch.einsum("bmi,bi->bm", source.tangent_basis(z), step))


def _improve(
    value: Callable[[Tensor], Tensor],
    move: Callable[[Tensor, float, torch.Generator], Tensor],
    places: Tensor,
    scale: float,
) -> float:
    """The least `value` that random steps from each of `places` find, their length shrinking to 1e-5 of `scale`."""
    stream = generator(0, "search")
    best = value(places)
    for _ in range(ROUNDS):
        trial = torch.cat([places, move(places.repeat(TRIALS, 1), scale, stream)])
        found, which = value(trial).reshape(TRIALS + 1, len(places)).min(dim=0)
        places = trial.reshape(TRIALS + 1, len(places), -1)[which, torch.arange(len(places))]
        best = torch.minimum(best, found)
        scale *= SHRINK
    return float(best.min())
