"""Aggregates of columns: medians and means, with the null of the median rather than the median of the nulls."""

import numpy as np
import pytest
import scipy.stats
import torch

from dimple.stats.aggregate import aggregate, aggregate_units, annotation, lower_median, statistic
from dimple.stats.intervals import median_interval, rank_correlation_interval
from dimple.tensors import generator

ALL = np.ones(4, dtype=bool)


def test_the_null_of_a_median_is_the_median_of_each_draw() -> None:
    columns = {"margin_on": np.array([3.0, 4.0, np.inf, 4.0])}
    columns["margin_on_draws"] = np.array([[2.0, 3.0], [4.0, 4.0], [np.inf, np.inf], [8.0, 16.0]])
    row = statistic("margin_on", columns, {"margin_on": "l2, input units"})
    assert row["margin_on"] == lower_median(columns["margin_on"]) == 4.0
    assert (row["margin_on_null_low"], row["margin_on_null_high"]) == (4.0, 4.0)
    assert (row["margin_on_found"], row["margin_on_found_null"]) == (0.75, 0.75)


def test_nan_is_left_out_and_inf_is_included() -> None:
    columns = {"ratio": np.array([1.0, np.nan, np.inf, 2.0]), "fraction": np.array([0.2, 0.4, np.nan, 0.6])}
    row = aggregate(columns, {"fraction": "fraction"}, ALL)
    assert row["ratio"] == 2.0
    assert row["fraction"] == pytest.approx(0.4)
    assert np.isnan(aggregate({"x": np.full(4, np.nan)}, {}, ALL)["x"])


def test_only_masked_rows_count_and_integers_are_left_out() -> None:
    columns = {"x": np.arange(4.0), "class": np.arange(4), "found": np.array([True, True, False, False])}
    row = aggregate(columns, {"found": "yes or no"}, np.array([False, True, True, False]))
    assert (row["x"], row["found"], row["x_samples"], row["found_samples"]) == (1.0, 0.5, 2, 2)
    assert not any(name.startswith("class") for name in row)
    units = {"x": "l2", "found": "yes or no", "class": "class"}
    own = {"": "l2", "_low": "l2", "_high": "l2", "_samples": "samples"}
    fraction = own | dict.fromkeys(("", "_low", "_high"), "fraction")
    expected = {f"x{end}": unit for end, unit in own.items()} | {f"found{end}": u for end, u in fraction.items()}
    assert aggregate_units(row, units) == expected


@pytest.mark.parametrize(("samples", "verdict"), [(9, "not judged: 9 samples, 10 needed"), (10, "above")])
def test_a_band_adds_a_verdict_of_at_least_ten_samples(samples: int, verdict: str) -> None:
    columns = {
        "x": np.full(samples, 9.0),
        "x_draws": np.tile(np.arange(39.0) / 10, (samples, 1)),
        "x_analytic": np.full(samples, 2.0),
    }
    row = aggregate(columns, {}, np.ones(samples, dtype=bool))
    assert row.pop("x_verdict") == verdict
    null = {"x_null": 1.9, "x_null_low": 0.0, "x_null_high": 3.8, "x_null_draws": 39, "x_analytic": 2.0}
    assert row == null | {"x": 9.0, "x_low": 9.0, "x_high": 9.0, "x_samples": samples}


def test_intervals_are_those_of_their_kind_of_statistic() -> None:
    values = torch.rand(50, generator=generator(0), dtype=torch.float64).numpy() * 2
    values[0] = np.inf
    columns = {"margin": values, "share": np.arange(50) < 20, "fraction": values.clip(0, 1)}
    row = aggregate(columns, {"fraction": "fraction", "margin": "l2, input units"}, np.ones(50, dtype=bool))
    # The order statistics of the exact sign test, the binomial of Clopper and Pearson, and Student's t.
    ordered = np.sort(values)
    outside = int(scipy.stats.binom.ppf(0.025, 50, 0.5)) - 1
    assert (row["margin_low"], row["margin_high"]) == (ordered[outside], ordered[-1 - outside])
    exact = scipy.stats.binomtest(20, 50).proportion_ci(method="exact")
    assert (row["share_low"], row["share_high"]) == pytest.approx((exact.low, exact.high))
    fraction = columns["fraction"]
    student = scipy.stats.t.interval(0.95, 49, fraction.mean(), scipy.stats.sem(fraction))
    assert (row["fraction_low"], row["fraction_high"]) == pytest.approx(student)


def test_the_interval_of_a_median_covers_it_and_few_samples_have_none() -> None:
    draws = scipy.stats.cauchy.ppf(torch.rand(2000, 12, generator=generator(1), dtype=torch.float64).numpy())
    intervals = np.array([median_interval(row) for row in draws])
    covered = ((intervals[:, 0] <= 0) & (intervals[:, 1] >= 0)).mean()
    assert covered >= 0.95
    assert median_interval(draws[0, :5]) == (-np.inf, np.inf)
    assert np.isfinite(median_interval(draws[0, :6])).all()


def test_the_interval_of_a_rank_correlation_covers_it() -> None:
    draws = torch.randn(400, 2, 60, generator=generator(2), dtype=torch.float64).numpy()
    # Pearson's coefficient of normal pairs is a half.
    spearman = 6 / np.pi * np.arcsin(0.5 / 2)
    covered = []
    for a, noise in draws:
        b = 0.5 * a + 0.75**0.5 * noise
        low, high = rank_correlation_interval(scipy.stats.spearmanr(a, b).statistic, 60)
        covered.append(low <= spearman <= high)
    assert 0.92 <= np.mean(covered) <= 0.99


def test_unreliable_tangents_are_annotated_at_columns_that_depend_on_them() -> None:
    reliable = np.array([True, False, False, False])
    columns = {"margin_on_ratio": np.full(4, 9.0), "margin_unbounded": np.ones(4), "tangent_reliable": reliable}
    row = aggregate(columns, {"tangent_reliable": "yes or no"}, ALL)
    assert annotation("above", row, "margin_on_ratio") == "above, tangents unreliable"
    assert annotation("", row, "margin_on_ratio") == "tangents unreliable"
    assert annotation("above", row, "margin_unbounded") == "above"
    # Exact tangents have no such column, and one half of reliable samples suffices.
    assert annotation("above", {"margin_on_ratio": 9.0}, "margin_on_ratio") == "above"
    assert annotation("above", row | {"tangent_reliable": 0.5}, "margin_on_ratio") == "above"
