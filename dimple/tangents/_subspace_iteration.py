"""The leading directions of one small neighbourhood after another, compiled by numba: each stays in the cache.

Imported only where tangents are estimated: numba takes a second to load.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dimple.jit import compiled
from dimple.tensors import generator

Reals = NDArray[np.floating[Any]]
F = TypeVar("F", bound=Callable[..., Any])

# Directions that are iterated beside those asked for.
SPARE = 2
# How often the residual is looked at, and the products with the matrix before each look.
LOOKS, PRODUCTS = 4, 4
# In roundings: what the residual may be of the gap, and what is left of a vector that depends on others.
SETTLED, DEPENDENT = 1000, 10
# Vectors are padded to a multiple of this, so that whole registers add them up.
LANES = 32


def leading_directions(near: Tensor, share: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The directions in which weighted points vary most about their mean, by subspace iteration on their Gram matrix.

    Args:
        near: `(B, k, n)` points on the CPU in single or double precision.
        share: `(B, k)` their weights, adding up to one.
        dim: d <= k - 2.

    Returns:
        Columns `(B, n, d)`, orthogonal to rounding, by falling length; and which of the neighbourhoods `(B,)` settled.
        The spectrum of the others falls too slowly for the method, and their columns mean nothing.

    Reference: Parlett 1998, The symmetric eigenvalue problem, section 14.4.

    Example:
        >>> line = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 3.0, 4.0], [0.0, 6.0, 8.0]]])
        >>> columns, settled = leading_directions(line, torch.tensor([[0.25, 0.5, 0.25]]), 1)
        >>> columns.abs().flatten(), settled
        (tensor([0.0000, 2.1213, 2.8284]), tensor([True]))
    """
    size = near.shape[1]
    start = near.new_zeros(dim + SPARE, -(-size // LANES) * LANES)
    # Any fixed start serves that is special to no data.
    start[:, :size] = torch.randn(dim + SPARE, size, generator=generator(0, "leading"), dtype=torch.float64)
    columns = near.new_zeros(len(near), dim, near.shape[2])
    settled = torch.zeros(len(near), dtype=torch.bool)
    rounding = torch.finfo(near.dtype).eps
    _each(near.numpy(), share.numpy(), start.numpy(), rounding, columns.numpy(), settled.numpy())
    return columns.mT, settled


def reordered(function: F) -> F:
    """Compiled so that sums may be taken in any order, several terms at a time."""
    return compiled(function, reorder=True)


@reordered
def _each(near: Reals, share: Reals, start: Reals, rounding: float, columns: Reals, settled: NDArray[np.bool_]) -> None:
    """One neighbourhood after the other."""
    rows = np.zeros(near.shape[1:], near.dtype)
    vectors = np.zeros((columns.shape[1], start.shape[1]), near.dtype)
    gram = np.zeros((start.shape[1], start.shape[1]), near.dtype)
    for i in range(len(near)):
        _centre(near[i], share[i], rows)
        _multiply_rows(rows, gram)
        settled[i] = _iterate(gram, start, rounding, vectors)
        if settled[i]:
            _combine(vectors, rows, columns[i])


@reordered
def _centre(near: Reals, share: Reals, rows: Reals) -> None:
    """The points about their mean, times the roots of their shares."""
    mean = np.zeros(near.shape[1], near.dtype)
    for p in range(len(near)):
        for j in range(len(mean)):
            mean[j] += share[p] * near[p, j]
    for p in range(len(near)):
        root = np.sqrt(share[p])
        for j in range(len(mean)):
            rows[p, j] = root * (near[p, j] - mean[j])


@reordered
def _multiply_rows(rows: Reals, gram: Reals) -> None:
    """All products of two rows, four at a time, so that what they have in common is read once, with trace one.

    Loops begin at 0, or numba would allow for negative places and add one number at a time.
    """
    none = rows[0, 0] * 0
    trace = none
    for p in range(len(rows)):
        q = 0
        while q + 3 <= p:
            a, b, c, d = none, none, none, none
            for j in range(rows.shape[1]):
                x = rows[p, j]
                a += x * rows[q, j]
                b += x * rows[q + 1, j]
                c += x * rows[q + 2, j]
                d += x * rows[q + 3, j]
            gram[p, q], gram[p, q + 1], gram[p, q + 2], gram[p, q + 3] = a, b, c, d
            q += 4
        while q <= p:
            gram[p, q] = _dot(rows[p], rows[q])
            q += 1
        trace += gram[p, p]
    scale = 1 / trace if trace > 0 else none
    for p in range(len(rows)):
        for q in range(p + 1):
            gram[p, q] *= scale
            gram[q, p] = gram[p, q]


@reordered
def _iterate(gram: Reals, start: Reals, rounding: float, vectors: Reals) -> bool:
    """Put the leading eigenvectors into the rows of `vectors`; False where that would take long."""
    block, image = start.copy(), np.empty_like(start)
    for look in range(LOOKS):
        for _ in range(PRODUCTS):
            _multiply(gram, block, image)
            block, image = image, block
            _orthonormalise(block, rounding)
        _multiply(gram, block, image)
        missed, gap, ratio = _rotate(block, image, vectors)
        # Below some roundings of the whole no method knows more.
        enough = rounding * max(SETTLED * gap, DEPENDENT)
        if gap <= 0 or missed * ratio ** (PRODUCTS * (LOOKS - 1 - look)) > enough:
            return False
        if missed <= enough:
            return True
    return False


@reordered
def _multiply(gram: Reals, block: Reals, image: Reals) -> None:
    """The image of every row of the block under the matrix."""
    image[:] = 0
    for c in range(len(block)):
        for q in range(len(gram)):
            factor = block[c, q]
            for p in range(len(gram)):
                image[c, p] += factor * gram[q, p]


@reordered
def _orthonormalise(block: Reals, rounding: float) -> None:
    """Gram and Schmidt on the rows, twice, which is enough; what depends on the rows before it becomes zero."""
    for c in range(len(block)):
        before = _dot(block[c], block[c])
        for _ in range(2):
            for e in range(c):
                along = _dot(block[c], block[e])
                for p in range(block.shape[1]):
                    block[c, p] -= along * block[e, p]
        square = _dot(block[c], block[c])
        scale = 1 / np.sqrt(square) if square > (DEPENDENT * rounding) ** 2 * before else 0 * square
        for p in range(block.shape[1]):
            block[c, p] *= scale


@reordered
def _rotate(block: Reals, image: Reals, vectors: Reals) -> tuple[float, float, float]:
    """The best directions within an orthonormal block with the given image, by the method of Rayleigh and Ritz.

    Returns:
        How far they are from being eigenvectors, the gap to the next one, and by which ratio a product with the matrix
        takes the error down.
    """
    width, dim = len(block), len(vectors)
    small = np.empty((width, width), block.dtype)
    for c in range(width):
        for e in range(width):
            small[c, e] = _dot(block[c], image[e])
    values, turn = np.linalg.eigh(small)
    missed = block[0, 0] * 0
    for c in range(dim):
        last = width - 1 - c
        for p in range(block.shape[1]):
            vector, residual = missed * 0, missed * 0
            for e in range(width):
                vector += turn[e, last] * block[e, p]
                residual += turn[e, last] * image[e, p]
            missed += (residual - values[last] * vector) ** 2
            vectors[c, p] = vector
    least = values[width - dim]
    ratio = max(values[0], 0.0) / least if least > 0 else 1.0
    return np.sqrt(missed), least - values[width - dim - 1], ratio


@reordered
def _combine(vectors: Reals, rows: Reals, columns: Reals) -> None:
    """The same combinations of the points."""
    for c in range(len(columns)):
        for p in range(len(rows)):
            for j in range(rows.shape[1]):
                columns[c, j] += vectors[c, p] * rows[p, j]


@reordered
def _dot(a: Reals, b: Reals) -> Any:
    total = a[0] * 0
    for p in range(len(a)):
        total += a[p] * b[p]
    return total
