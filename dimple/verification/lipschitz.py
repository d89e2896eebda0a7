"""Upper bounds of the Lipschitz constant of a network, from the affine maps and functions that compute its scores."""

import math

import torch
from torch import Tensor

from dimple.linalg.operator_norm import operator_norm
from dimple.protocols import Classifier
from dimple.tracing.affine_graph import AffineMap, cut_into_affine_maps
from dimple.tracing.trace import trace_classifier


def lipschitz_bound(classifier: Classifier, sample: Tensor) -> float:
    """Return an upper bound of the Lipschitz constant of the scores in l2, for a sample of this shape.

    The bound of a sequence is the product of the norms of its affine maps and of the largest slopes of its functions.
    That of a residual block is the sum over its branches: one for the shortcut, plus the bound of the residual branch.

    Raises:
        UnprovenOperationError: if nothing is proven about an operation.

    Example:
        >>> from torch import nn
        >>> network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False))
        >>> for layer in (network[0], network[2]):
        ...     _ = layer.weight.data.copy_(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
        >>> round(lipschitz_bound(network, torch.zeros(2)), 4)
        9.0
    """
    maps, functions = cut_into_affine_maps(trace_classifier(classifier, sample, expand=False))
    bounds = [1.0]
    for affine_map, factor in zip(maps, [*(function.lipschitz for function in functions), 1.0], strict=True):
        bounds.append(factor * _bound_map(affine_map, [bounds[source] for source in affine_map.sources]))
    return bounds[-1]


def _bound_map(affine_map: AffineMap, bounds: list[float]) -> float:
    """Return the bound of an affine map of sources with the given bounds."""
    count = len(bounds)
    norms = [_norm(affine_map, [float(i == source) for i in range(count)]) for source in range(count)]
    parts = [norm * bound for norm, bound in zip(norms, bounds, strict=True)]
    if count == 1 or not all(norms):
        return math.fsum(parts)
    # Parts that do not overlap, as in a concatenation, are orthogonal.
    return min(math.fsum(parts), _norm(affine_map, [1 / norm for norm in norms]) * math.hypot(*parts))


def _norm(affine_map: AffineMap, scales: list[float]) -> float:
    """Return the operator norm of a map with each source multiplied by a number."""
    if affine_map.uses_matrices and affine_map.matrices is not None:
        scaled = [scale * matrix for scale, matrix in zip(scales, affine_map.matrices, strict=True)]
        return float(torch.linalg.matrix_norm(torch.cat(scaled, dim=1), ord=2))
    like = affine_map.bias.new_zeros(1, affine_map.num_entries // len(affine_map.bias))
    return operator_norm(lambda row: affine_map.evaluate_scaled(row, scales), like)
