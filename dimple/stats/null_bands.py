"""Comparison with chance: prediction intervals of null draws, and analytic values for random subspaces.

A ratio of on- to off-manifold quantities needs a comparison: a random d-dimensional subspace of R^n contains the
fraction d/n of the squared length of an isotropic vector, and the margin within it is sqrt(n/d) times as large.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from scipy.special import betaincinv
from torch import Tensor

# Probability that a further draw lies in the prediction interval.
COVERAGE = 0.95
# The smallest number of draws with a prediction interval of that coverage.
DEFAULT_NULL_DRAWS = 39
# A verdict rests on at least as many independent values: samples times replicas.
MIN_JUDGED = 10
NOT_JUDGED = "not judged"
UNSETTLED = "unsettled"
# A statistic that four times as many passes change by more says more about the search than about the boundary.
MAX_CHANGE = 0.02


def isotropic_margin_ratio(n: int, d: int) -> float:
    """Return the ratio sqrt(n / d) of the margin within a random d-dimensional subspace to the margin in R^n.

    It is exact in the mean square for an isotropic gradient and a flat boundary.

    Example:
        >>> round(isotropic_margin_ratio(784, 16), 2)
        7.0
    """
    return math.sqrt(n / d) if d else math.inf


def isotropic_fraction(n: int, d: int) -> float:
    """Return the mean fraction d / n of an isotropic vector's squared length within a d-dimensional subspace of R^n."""
    return d / n


def isotropic_angle(n: int, d: int, quantile: float = 0.5) -> float:
    """Return a quantile of the angle, in degrees, of an isotropic vector to an (n - d)-dimensional subspace of R^n.

    The squared sine of the angle has the beta distribution with the parameters d / 2 and (n - d) / 2.

    Example:
        >>> round(isotropic_angle(3, 2), 6), round(isotropic_angle(2, 1), 6)
        (60.0, 45.0)
    """
    if d in {0, n}:
        return 0.0 if d == 0 else 90.0
    return math.degrees(math.asin(math.sqrt(betaincinv(d / 2, (n - d) / 2, quantile))))


def prediction_interval(draws: Tensor, coverage: float = COVERAGE) -> tuple[Tensor, Tensor]:
    """Return the ends of the central interval of the draws that has at least the given coverage of further draws.

    k draws, along the last axis, divide the line into k + 1 intervals, each of which contains a further draw with the
    same probability. Where the draws are too few for this coverage, the interval reaches from the smallest to the
    largest draw; `interval_coverage` returns its coverage.
    """
    ordered = draws.sort(dim=-1).values
    outside = _draws_outside(ordered.shape[-1], coverage)
    return ordered[..., outside], ordered[..., -1 - outside]


def interval_coverage(null_draws: int, coverage: float = COVERAGE) -> float:
    """Return the probability that a further draw lies in the prediction interval of `null_draws` draws.

    Example:
        >>> interval_coverage(39), round(interval_coverage(20), 3)
        (0.95, 0.905)
    """
    return (null_draws - 1 - 2 * _draws_outside(null_draws, coverage)) / (null_draws + 1)


def _draws_outside(null_draws: int, coverage: float) -> int:
    """Return the number of draws beyond each end of the prediction interval."""
    # The summand 1e-9 keeps 39 draws sufficient in spite of rounding.
    return max(0, math.floor((null_draws + 1) * (1 - coverage) / 2 + 1e-9) - 1)


def judge(
    value: float,
    interval: tuple[float, float],
    band: tuple[float, float],
    samples: float | None,
    changes: Iterable[float] = (),
) -> str:
    """Return the verdict on a statistic against the band of its null.

    Args:
        value: the statistic.
        interval: the ends of its 95 % interval.
        band: the ends of the band; the same value twice for a null that is known exactly.
        samples: the number of independent samples behind the statistic; None where it is unknown.
        changes: the relative changes of the statistic and of its null with four times as many passes, where known.

    Returns:
        `above` or `below` where the interval lies beyond the band, `inside` where it lies within, `not decided` where
        it overlaps an end; `unsettled` where more search changes the statistic or its null by more than 2 %; or
        `not judged`, with the reason.

    Example:
        >>> judge(2.0, (1.6, 2.3), (0.5, 1.5), 20), judge(2.0, (1.2, 2.3), (0.5, 1.5), 20)
        ('above', 'not decided')
        >>> judge(2.0, (1.6, 2.3), (0.5, 1.5), 20, [-0.7]), judge(2.0, (1.6, 2.3), (0.5, 1.5), 3)
        ('unsettled', 'not judged: 3 samples, 10 needed')
    """
    if any(math.isnan(number) for number in (value, *interval, *band)):
        return f"{NOT_JUDGED}: the value or its null is undefined"
    if samples is not None and samples < MIN_JUDGED:
        return f"{NOT_JUDGED}: {samples:g} sample{'' if samples == 1 else 's'}, {MIN_JUDGED} needed"
    if any(abs(change) > MAX_CHANGE for change in changes):
        return UNSETTLED
    low, high = interval
    if low > band[1] or high < band[0]:
        return "above" if low > band[1] else "below"
    return "inside" if band[0] <= low and high <= band[1] else "not decided"


def absolute_distances(quantities: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the absolute values of a signed distance and of its null; negative ends of an interval are swapped.

    Args:
        quantities: numbers or arrays by name.
        name: the distance; its null is `<name>_null`, and the ends of the interval `<name>_null_low` and `_null_high`.

    Example:
        >>> row = {"margin_on": -2.0, "margin_on_null": -4.0, "margin_on_null_low": -5.0, "margin_on_null_high": -3.0}
        >>> [float(value) for value in absolute_distances(row, "margin_on").values()]
        [2.0, 4.0, 3.0, 5.0]
    """
    distances = {key: abs(quantities[key]) for key in (name, f"{name}_null") if key in quantities}
    ends = [abs(quantities[f"{name}_null_{end}"]) for end in ("low", "high") if f"{name}_null_{end}" in quantities]
    if ends:
        distances |= {f"{name}_null_low": np.minimum(*ends), f"{name}_null_high": np.maximum(*ends)}
    return distances
