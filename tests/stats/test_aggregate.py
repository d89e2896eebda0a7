"""Aggregates of columns: medians and means, with the null of the median rather than the median of the nulls."""

import numpy as np
import pytest

from dimple.stats.aggregate import aggregate, aggregate_units, annotation, lower_median, statistic

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
    assert row == {"x": 1.0, "found": 0.5}
    units = {"x": "l2", "found": "yes or no", "class": "class"}
    assert aggregate_units(row, units) == {"x": "l2", "found": "fraction"}


def test_an_interval_adds_a_verdict() -> None:
    columns = {"x": np.full(4, 9.0), "x_draws": np.tile(np.arange(39.0) / 10, (4, 1)), "x_analytic": np.full(4, 2.0)}
    row = aggregate(columns, {}, ALL)
    assert row.pop("x_verdict") == "above"
    assert row == {"x": 9.0, "x_null": 1.9, "x_null_low": 0.0, "x_null_high": 3.8, "x_analytic": 2.0}


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
