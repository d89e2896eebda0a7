"""Paired comparison of one quantity at the same samples: differences, their interval, and an exact test."""

import dataclasses
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from dimple.stats.aggregate import lower_median
from dimple.stats.intervals import median_interval

# A relative difference of two searches that end at the same point, in single precision.
ROUNDING = 1e-6


@final
@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """The differences b - a of a quantity at the same samples.

    Attributes:
        count: the number of samples.
        median: the lower median of the differences; infinite where that many are.
        low, high: the ends of its exact 95 % interval.
        above: the fraction of samples at which b is larger; equal values count as one half.
        p_value: of the exact sign test, two-sided; equal values are left out.
    """

    count: int
    median: float
    low: float
    high: float
    above: float
    p_value: float


def compare_pairs(a: ArrayLike, b: ArrayLike) -> PairedDifference:
    """Return the paired comparison of two columns `(B,)`; samples at which either is nan are left out.

    Two infinite distances of the same sign are equal, and so are values that differ by no more than rounding in single
    precision.

    Example:
        >>> found = compare_pairs([1.0, 2.0, 3.0, 4.0, 5.0, np.inf], [2.0, 4.0, 4.0, 6.0, 8.0, np.inf])
        >>> found.count, found.median, found.above, found.p_value
        (6, 1.0, 0.9166666666666666, 0.0625)
    """
    from scipy.stats import binomtest

    first, second = (np.asarray(values, dtype=float) for values in (a, b))
    defined = ~(np.isnan(first) | np.isnan(second))
    first = first[defined]
    second = second[defined]
    with np.errstate(invalid="ignore"):
        is_equal = (first == second) | np.isclose(first, second, rtol=ROUNDING, atol=0)
        difference = np.where(is_equal, 0.0, second - first)
    if len(difference) == 0:
        return PairedDifference(0, np.nan, np.nan, np.nan, np.nan, 1.0)
    larger = int((difference > 0).sum())
    smaller = int((difference < 0).sum())
    p_value = float(binomtest(larger, larger + smaller).pvalue) if larger + smaller else 1.0
    above = (larger + (len(difference) - larger - smaller) / 2) / len(difference)
    return PairedDifference(len(difference), lower_median(difference), *median_interval(difference), above, p_value)
