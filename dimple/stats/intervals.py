"""Exact intervals of a median from few values, infinite ones among them, and levels of several tests together."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom


def median_interval(values: ArrayLike, level: float = 0.05) -> tuple[float, float]:
    """Return the narrowest pair of values, equally far from both ends of their order, that is an exact interval.

    The interval of the median of the population has a coverage of at least 1 - level, whatever the distribution, and
    infinite values are as good as others. With too few values for the level it is the whole line. It consists of the
    thresholds that the exact sign test does not reject.

    Args:
        values: independent values; nan is refused by the caller.
        level: 1 minus the coverage.

    Example:
        >>> median_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, np.inf])
        (1.0, inf)
        >>> median_interval([1.0, 2.0, 3.0, 4.0, 5.0])
        (-inf, inf)
    """
    result = (-math.inf, math.inf)
    for error, low, high in nested_intervals(values):
        if error > level:
            break
        result = (low, high)
    return result


def nested_intervals(values: ArrayLike) -> Iterator[tuple[float, float, float]]:
    """Yield each exact interval of the median as (probability of a miss, low, high), from the widest to the narrowest.

    Example:
        >>> [(round(error, 4), low, high) for error, low, high in nested_intervals([3.0, 1.0, 2.0])]
        [(0.25, 1.0, 3.0), (1.0, 2.0, 2.0)]
    """
    ordered: NDArray[np.float64] = np.sort(np.asarray(values, dtype=float))
    count = len(ordered)
    for outside in range((count + 1) // 2):
        error = min(1.0, 2 * float(binom.cdf(outside, count, 0.5)))
        yield error, float(ordered[outside]), float(ordered[count - 1 - outside])


def holm_levels(p_values: Sequence[float], level: float = 0.05) -> list[float]:
    """Return the level at which each of several tests is to be made, so that together they keep `level`.

    The smallest p-value is held against level / m, the next one against level / (m - 1), and so on; behind the first
    one that is not significant, all have the level of that one.

    Reference: Holm 1979, A simple sequentially rejective multiple test procedure.

    Example:
        >>> holm_levels([0.001, 1.0, 0.02])
        [0.016666666666666666, 0.05, 0.025]
    """
    levels = [0.0] * len(p_values)
    current = 0.0
    failed = False
    for rank, index in enumerate(np.argsort(p_values, kind="stable").tolist()):
        if not failed:
            current = level / (len(p_values) - rank)
            failed = p_values[index] > current
        levels[index] = current
    return levels


def replicas_to_decide(beyond: int, count: int, level: float = 0.05, more_than: int = 0) -> int | None:
    """Return how many values would decide, if the fraction beyond the threshold stayed as it is; None for over 1,000.

    Args:
        beyond: the number of values beyond the threshold.
        count: the number of all values.
        level: the level of the exact sign test.
        more_than: a number of values that did not decide.

    Example:
        >>> replicas_to_decide(7, 8), replicas_to_decide(4, 8)
        (12, None)
    """
    for size in range(max(count, more_than) + 1, 1001):
        if 2 * float(binom.sf(beyond * size // count - 1, size, 0.5)) <= level:
            return size
    return None
