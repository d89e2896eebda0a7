"""Confidence intervals of medians, means and proportions, and levels of several tests together."""

import functools
import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, bdtrc, betaincinv, stdtrit

from dimple.stats.null_bands import COVERAGE


def median_interval(values: ArrayLike, level: float = 1 - COVERAGE) -> tuple[float, float]:
    """Return the narrowest pair of values, equally far from both ends of their order, that is an exact interval.

    The interval of the median of the population has a coverage of at least 1 - level, whatever the distribution, and
    infinite values are as good as others. With too few values for the level, five or fewer for 95 %, it is the whole
    line. It consists of the thresholds that the exact sign test does not reject.

    Args:
        values: independent values; nan is refused by the caller.
        level: 1 minus the coverage.

    Example:
        >>> median_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, np.inf])
        (1.0, inf)
        >>> median_interval([1.0, 2.0, 3.0, 4.0, 5.0])
        (-inf, inf)
    """
    ordered: NDArray[np.float64] = np.sort(np.asarray(values, dtype=float))
    outside = _values_outside(len(ordered), level)
    if outside < 0:
        return -math.inf, math.inf
    return float(ordered[outside]), float(ordered[len(ordered) - 1 - outside])


@functools.lru_cache(maxsize=1024)
def _values_outside(count: int, level: float) -> int:
    """Return the number of values beyond each end of the interval of the median; -1 where there is no interval."""
    outside = np.arange(-1, (count + 1) // 2)
    # The allowance keeps a probability that equals the level in spite of rounding.
    return int(outside[2 * bdtr(outside, count, 0.5) <= level + 1e-12].max(initial=-1))


def mean_interval(values: ArrayLike, limits: tuple[float, float] = (-math.inf, math.inf)) -> tuple[float, float]:
    """Return the 95 % interval of the mean of a population by Student's t, within limits that no value exceeds.

    It is exact for normal values and approximate for others; of a single value it is all between the limits.

    Example:
        >>> low, high = mean_interval([1.0, 2.0, 3.0])
        >>> round(low, 3), round(high, 3)
        (-0.484, 4.484)
        >>> mean_interval([0.5], (0.0, 1.0))
        (0.0, 1.0)
    """
    array = np.asarray(values, dtype=float)
    count = len(array)
    if count < 2 or not np.isfinite(array).all():
        return limits
    half = float(stdtrit(count - 1, (1 + COVERAGE) / 2) * array.std(ddof=1) / math.sqrt(count))
    mean = float(array.mean())
    return max(mean - half, limits[0]), min(mean + half, limits[1])


def proportion_interval(successes: int, count: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a probability after `successes` among `count` independent samples.

    Reference: Clopper and Pearson 1934, The use of confidence or fiducial limits illustrated in the case of the
    binomial.

    Example:
        >>> low, high = proportion_interval(0, 10)
        >>> low, round(high, 4)
        (0.0, 0.3085)
    """
    tail = (1 - COVERAGE) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, count - successes + 1, tail))
    high = 1.0 if successes == count else float(betaincinv(successes + 1, count - successes, 1 - tail))
    return low, high


def rank_correlation_interval(coefficient: float, count: int) -> tuple[float, float]:
    """Return the approximate 95 % interval of Spearman's coefficient; of fewer than four pairs it is -1 to 1.

    Reference: Bonett and Wright 2000, Sample size requirements for estimating Pearson, Kendall and Spearman
    correlations: the variance of the z-transform is (1 + r^2 / 2) / (n - 3).

    Example:
        >>> low, high = rank_correlation_interval(0.5, 28)
        >>> round(low, 3), round(high, 3)
        (0.133, 0.747)
    """
    if count < 4 or math.isnan(coefficient):
        return -1.0, 1.0
    # A perfect correlation has no finite z; it counts as that of ranks of which two neighbors are exchanged.
    largest = 1 - 12 / (count * (count**2 - 1))
    bounded = min(max(coefficient, -largest), largest)
    half = float(stdtrit(np.inf, (1 + COVERAGE) / 2)) * math.sqrt((1 + bounded**2 / 2) / (count - 3))
    z = math.atanh(bounded)
    return min(math.tanh(z - half), coefficient), max(math.tanh(z + half), coefficient)


def nested_intervals(values: ArrayLike) -> Iterator[tuple[float, float, float]]:
    """Yield each exact interval of the median as (probability of a miss, low, high), from the widest to the narrowest.

    Example:
        >>> [(round(error, 4), low, high) for error, low, high in nested_intervals([3.0, 1.0, 2.0])]
        [(0.25, 1.0, 3.0), (1.0, 2.0, 2.0)]
    """
    ordered: NDArray[np.float64] = np.sort(np.asarray(values, dtype=float))
    count = len(ordered)
    for outside in range((count + 1) // 2):
        error = min(1.0, 2 * float(bdtr(outside, count, 0.5)))
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
        if 2 * float(bdtrc(beyond * size // count - 1, size, 0.5)) <= level:
            return size
    return None
