"""Paired comparison against scipy and counting."""

import numpy as np
import pytest
from scipy.stats import binomtest

from dimple.stats.paired import compare_pairs


def test_the_test_and_the_fraction_are_those_of_counting() -> None:
    random = np.random.Generator(np.random.PCG64(1))
    a = random.normal(size=40)
    b = a + random.normal(0.3, 1.0, size=40)
    found = compare_pairs(a, b)
    larger = int((b > a).sum())
    assert found.count == 40 and found.above == larger / 40
    assert found.p_value == pytest.approx(binomtest(larger, 40).pvalue)
    assert found.low <= found.median <= found.high


def test_equal_and_undefined_values_and_infinities() -> None:
    found = compare_pairs([1.0, np.nan, np.inf, np.inf, 2.0], [1.0, 5.0, np.inf, 3.0, np.inf])
    # Equal; left out; equal; smaller by infinity; larger by infinity.
    assert found.count == 4 and found.above == 0.5 and found.p_value == 1.0
    assert compare_pairs([np.nan], [1.0]).count == 0


def test_the_order_of_the_runs_changes_the_sign() -> None:
    a, b = np.arange(9.0), np.arange(9.0) + np.array([1, 2, -3, 4, 5, 6, 7, 8, 9.0])
    forth, back = compare_pairs(a, b), compare_pairs(b, a)
    assert (forth.median, forth.low, forth.high) == (-back.median, -back.high, -back.low)
    assert forth.p_value == back.p_value and forth.above == pytest.approx(1 - back.above)
