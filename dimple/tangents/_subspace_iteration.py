"""Leading principal directions of many small neighborhoods, one after another, compiled by numba.

A neighborhood fits into the processor's cache while it is processed. The module is imported only where tangents are
estimated, because numba takes a second to load.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dimple.jit import jit_compile
from dimple.tensors import generator

FloatArray = NDArray[np.floating[Any]]
F = TypeVar("F", bound=Callable[..., Any])

# Directions that are iterated in addition to the requested ones.
EXTRA_DIRECTIONS = 2
# Number of checks of the residual, and of products with the matrix before each check.
RESIDUAL_CHECKS = 4
PRODUCTS_PER_CHECK = 4
# Largest residual of a converged subspace, in units of rounding times the eigengap.
CONVERGENCE_TOLERANCE = 1000
# Length, in units of rounding, below which the rest of an orthogonalized vector counts as zero.
DEPENDENCE_TOLERANCE = 10
# Vectors are padded to a multiple of this length, so that full registers add them up.
PADDING_MULTIPLE = 32


def leading_directions(points: Tensor, weight: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Compute the directions in which weighted points vary most about their mean.

    The method is subspace iteration on the Gram matrix of each neighborhood.

    Args:
        points: `(B, k, n)` points on the CPU in single or double precision.
        weight: `(B, k)` weights of the points, adding up to one.
        dim: d <= k - 2.

    Returns:
        Columns `(B, n, d)`, orthogonal to rounding, in order of decreasing length; and for which neighborhoods `(B,)`
        the iteration converged. The spectrum of the others decreases too slowly for the method, and their columns are
        meaningless.

    Reference: Parlett 1998, The symmetric eigenvalue problem, section 14.4.

    Example:
        >>> line = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 3.0, 4.0], [0.0, 6.0, 8.0]]])
        >>> columns, converged = leading_directions(line, torch.tensor([[0.25, 0.5, 0.25]]), 1)
        >>> columns.abs().flatten(), converged
        (tensor([0.0000, 2.1213, 2.8284]), tensor([True]))
    """
    size = points.shape[1]
    start = points.new_zeros(dim + EXTRA_DIRECTIONS, -(-size // PADDING_MULTIPLE) * PADDING_MULTIPLE)
    # Any fixed start serves that does not depend on the data.
    start[:, :size] = torch.randn(dim + EXTRA_DIRECTIONS, size, generator=generator(0, "leading"), dtype=torch.float64)
    columns = points.new_zeros(len(points), dim, points.shape[2])
    converged = torch.zeros(len(points), dtype=torch.bool)
    rounding = torch.finfo(points.dtype).eps
    _process_neighborhoods(points.numpy(), weight.numpy(), start.numpy(), rounding, columns.numpy(), converged.numpy())
    return columns.mT, converged


def jit_reorder_sums(function: F) -> F:
    """Compile a function so that sums may be taken in any order, several terms at a time."""
    return jit_compile(function, reorder_sums=True)


@jit_reorder_sums
def _process_neighborhoods(
    points: FloatArray,
    weight: FloatArray,
    start: FloatArray,
    rounding: float,
    columns: FloatArray,
    converged: NDArray[np.bool_],
) -> None:
    """Write the directions of each neighborhood into `columns` and its flag into `converged`."""
    rows = np.zeros(points.shape[1:], points.dtype)
    vectors = np.zeros((columns.shape[1], start.shape[1]), points.dtype)
    gram = np.zeros((start.shape[1], start.shape[1]), points.dtype)
    for i in range(len(points)):
        _center(points[i], weight[i], rows)
        _gram_matrix(rows, gram)
        converged[i] = _iterate_subspace(gram, start, rounding, vectors)
        if converged[i]:
            _combine(vectors, rows, columns[i])


@jit_reorder_sums
def _center(points: FloatArray, weight: FloatArray, rows: FloatArray) -> None:
    """Write the centered points, times the square roots of their weights, into `rows`."""
    mean = np.zeros(points.shape[1], points.dtype)
    for p in range(len(points)):
        for j in range(len(mean)):
            mean[j] += weight[p] * points[p, j]
    for p in range(len(points)):
        root = np.sqrt(weight[p])
        for j in range(len(mean)):
            rows[p, j] = root * (points[p, j] - mean[j])


@jit_reorder_sums
def _gram_matrix(rows: FloatArray, gram: FloatArray) -> None:
    """Write the products of all pairs of rows into `gram`, scaled to trace one.

    Four products are computed at a time, so that their common row is read once. Loops begin at 0: otherwise numba would
    allow for negative indices and add one number at a time.
    """
    zero = rows[0, 0] * 0
    trace = zero
    for p in range(len(rows)):
        q = 0
        while q + 3 <= p:
            a = zero
            b = zero
            c = zero
            d = zero
            for j in range(rows.shape[1]):
                x = rows[p, j]
                a += x * rows[q, j]
                b += x * rows[q + 1, j]
                c += x * rows[q + 2, j]
                d += x * rows[q + 3, j]
            gram[p, q] = a
            gram[p, q + 1] = b
            gram[p, q + 2] = c
            gram[p, q + 3] = d
            q += 4
        while q <= p:
            gram[p, q] = _dot(rows[p], rows[q])
            q += 1
        trace += gram[p, p]
    scale = 1 / trace if trace > 0 else zero
    for p in range(len(rows)):
        for q in range(p + 1):
            gram[p, q] *= scale
            gram[q, p] = gram[p, q]


@jit_reorder_sums
def _iterate_subspace(gram: FloatArray, start: FloatArray, rounding: float, vectors: FloatArray) -> bool:
    """Write the leading eigenvectors into the rows of `vectors`; return False where that would take too long."""
    block = start.copy()
    image = np.empty_like(start)
    for check in range(RESIDUAL_CHECKS):
        for _ in range(PRODUCTS_PER_CHECK):
            _multiply(gram, block, image)
            block, image = image, block
            _orthonormalize(block, rounding)
        _multiply(gram, block, image)
        residual, eigengap, ratio = _rayleigh_ritz(block, image, vectors)
        # The trace is one: a residual of a few roundings of it is the best that any method reaches.
        tolerance = rounding * max(CONVERGENCE_TOLERANCE * eigengap, DEPENDENCE_TOLERANCE)
        if eigengap <= 0 or residual * ratio ** (PRODUCTS_PER_CHECK * (RESIDUAL_CHECKS - 1 - check)) > tolerance:
            return False
        if residual <= tolerance:
            return True
    return False


@jit_reorder_sums
def _multiply(gram: FloatArray, block: FloatArray, image: FloatArray) -> None:
    """Write the product of the matrix with every row of the block into `image`."""
    image[:] = 0
    for c in range(len(block)):
        for q in range(len(gram)):
            factor = block[c, q]
            for p in range(len(gram)):
                image[c, p] += factor * gram[q, p]


@jit_reorder_sums
def _orthonormalize(block: FloatArray, rounding: float) -> None:
    """Orthonormalize the rows in place by two passes of Gram-Schmidt, which suffice; set dependent rows to zero."""
    for c in range(len(block)):
        before = _dot(block[c], block[c])
        for _ in range(2):
            for e in range(c):
                projection = _dot(block[c], block[e])
                for p in range(block.shape[1]):
                    block[c, p] -= projection * block[e, p]
        square = _dot(block[c], block[c])
        scale = 1 / np.sqrt(square) if square > (DEPENDENCE_TOLERANCE * rounding) ** 2 * before else 0 * square
        for p in range(block.shape[1]):
            block[c, p] *= scale


@jit_reorder_sums
def _rayleigh_ritz(block: FloatArray, image: FloatArray, vectors: FloatArray) -> tuple[float, float, float]:
    """Write the best directions within an orthonormal block with the given image into `vectors` (Rayleigh-Ritz method).

    Returns:
        The residual of the directions as eigenvectors, the eigengap to the next one, and the factor by which a product
        with the matrix reduces the error.
    """
    width = len(block)
    dim = len(vectors)
    small = np.empty((width, width), block.dtype)
    for c in range(width):
        for e in range(width):
            small[c, e] = _dot(block[c], image[e])
    values, rotation = np.linalg.eigh(small)
    squared_residual = block[0, 0] * 0
    for c in range(dim):
        last = width - 1 - c
        for p in range(block.shape[1]):
            vector = squared_residual * 0
            product = squared_residual * 0
            for e in range(width):
                vector += rotation[e, last] * block[e, p]
                product += rotation[e, last] * image[e, p]
            squared_residual += (product - values[last] * vector) ** 2
            vectors[c, p] = vector
    smallest = values[width - dim]
    ratio = max(values[0], 0.0) / smallest if smallest > 0 else 1.0
    return np.sqrt(squared_residual), smallest - values[width - dim - 1], ratio


@jit_reorder_sums
def _combine(vectors: FloatArray, rows: FloatArray, columns: FloatArray) -> None:
    """Add the combinations of the points with coefficients `vectors` to `columns`."""
    for c in range(len(columns)):
        for p in range(len(rows)):
            for j in range(rows.shape[1]):
                columns[c, j] += vectors[c, p] * rows[p, j]


@jit_reorder_sums
def _dot(a: FloatArray, b: FloatArray) -> Any:
    total = a[0] * 0
    for p in range(len(a)):
        total += a[p] * b[p]
    return total
