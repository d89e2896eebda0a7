"""Proportions of samples with their confidence intervals."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from dimple.stats.null_bands import COVERAGE

# The names of columns that are true where a sample is robust begin with this.
ROBUST_PREFIX = "robust_at_"


def proportion_interval(successes: int, count: int, coverage: float = COVERAGE) -> tuple[float, float]:
    """Return the exact confidence interval of a probability after `successes` among `count` independent samples.

    Reference: Clopper and Pearson 1934, The use of confidence or fiducial limits illustrated in the case of the
    binomial.

    Example:
        >>> low, high = proportion_interval(0, 10)
        >>> low, round(high, 4)
        (0.0, 0.3085)
    """
    from scipy.special import betaincinv

    tail = (1 - coverage) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, count - successes + 1, tail))
    high = 1.0 if successes == count else float(betaincinv(successes + 1, count - successes, 1 - tail))
    return low, high


def robust_accuracies(columns: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return the mean of each column `robust_at_EPS`, with the ends of its interval as `robust_at_EPS_low` and `_high`.

    Example:
        >>> import numpy as np
        >>> robust_accuracies({"robust_at_0.1": np.array([True, True]), "margin": np.array([1.0, 2.0])})
        {'robust_at_0.1': 1.0, 'robust_at_0.1_low': 0.15811388300841903, 'robust_at_0.1_high': 1.0}
    """
    row: dict[str, float] = {}
    for name, values in columns.items():
        if name.startswith(ROBUST_PREFIX):
            low, high = proportion_interval(int(values.sum()), len(values))
            row |= {name: float(values.mean()), f"{name}_low": low, f"{name}_high": high}
    return row
