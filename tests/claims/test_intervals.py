"""Exact intervals and corrected levels against scipy, counting and published examples."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from dimple.stats.intervals import holm_levels, median_interval, nested_intervals, replicas_to_decide


@given(st.lists(st.floats(-3, 3), min_size=8, max_size=25, unique=True), st.floats(-3, 3))
def test_the_interval_holds_what_the_exact_sign_test_does_not_reject(values: list[float], threshold: float) -> None:
    if threshold in values:
        return
    low, high = median_interval(values, 0.05)
    above = sum(value > threshold for value in values)
    rejected = binomtest(above, len(values), 0.5).pvalue <= 0.05
    assert (threshold < low or threshold > high) == rejected


@pytest.mark.parametrize("count", [8, 20])
def test_the_coverage_is_at_least_the_stated_one_for_a_skew_distribution(count: int) -> None:
    random = np.random.Generator(np.random.PCG64(0))
    draws = random.lognormal(size=(4000, count))
    inside = [low <= 1.0 <= high for low, high in map(median_interval, draws)]
    assert np.mean(inside) >= 0.945


def test_infinite_values_are_ordered_like_others() -> None:
    assert median_interval([1.0] * 7 + [math.inf]) == (1.0, math.inf)
    assert median_interval([math.inf] * 8) == (math.inf, math.inf)


def test_eight_values_have_the_smallest_error_of_one_in_128() -> None:
    assert next(nested_intervals(range(8)))[0] == pytest.approx(2 / 256)


def test_the_levels_are_those_of_holms_step_down() -> None:
    # With p = .01, .02, .03, .04 at .05: .01 < .0125 and .02 > .05 / 3, where it stops.
    assert holm_levels([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.05 / 3, 0.0125, 0.05 / 3, 0.05 / 3])
    assert holm_levels([1.0] * 6) == pytest.approx([0.05 / 6] * 6)


def test_replicas_to_decide_are_enough_and_no_fewer() -> None:
    needed = replicas_to_decide(7, 9)
    assert needed is not None
    assert binomtest(math.floor(7 / 9 * needed), needed, 0.5).pvalue <= 0.05
    assert binomtest(math.floor(7 / 9 * (needed - 1)), needed - 1, 0.5).pvalue > 0.05
    assert replicas_to_decide(4, 8) is None
