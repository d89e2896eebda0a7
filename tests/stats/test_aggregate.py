"""One figure a column: medians and means, with the null of the median rather than the median of the nulls."""

import numpy as np
import pytest

from dimple.stats.aggregate import digest, digest_units, figure, median, remark

ALL = np.ones(4, dtype=bool)


def test_the_null_of_a_median_is_that_of_each_draw() -> None:
    columns = {"margin_on": np.array([3.0, 4.0, np.inf, 4.0])}
    columns["margin_on_draws"] = np.array([[2.0, 3.0], [4.0, 4.0], [np.inf, np.inf], [8.0, 16.0]])
    row = figure("margin_on", columns, {"margin_on": "l2, input units"})
    assert row["margin_on"] == median(columns["margin_on"]) == 4.0
    assert (row["margin_on_null_low"], row["margin_on_null_high"]) == (4.0, 4.0)
    assert (row["margin_on_found"], row["margin_on_found_null"]) == (0.75, 0.75)


def test_what_is_undefined_does_not_count_and_what_was_not_found_does() -> None:
    columns = {"ratio": np.array([1.0, np.nan, np.inf, 2.0]), "share": np.array([0.2, 0.4, np.nan, 0.6])}
    row = digest(columns, {"share": "share"}, ALL)
    assert row["ratio"] == 2.0
    assert row["share"] == pytest.approx(0.4)
    assert np.isnan(digest({"x": np.full(4, np.nan)}, {}, ALL)["x"])


def test_only_the_chosen_rows_count_and_class_numbers_have_no_figure() -> None:
    columns = {"x": np.arange(4.0), "rival": np.arange(4), "found": np.array([True, True, False, False])}
    row = digest(columns, {"found": "yes or no"}, np.array([False, True, True, False]))
    assert row == {"x": 1.0, "found": 0.5}
    assert digest_units(row, {"x": "l2", "found": "yes or no", "rival": "class"}) == {"x": "l2", "found": "share"}


def test_a_band_brings_a_verdict() -> None:
    columns = {"x": np.full(4, 9.0), "x_draws": np.tile(np.arange(39.0) / 10, (4, 1)), "x_closed": np.full(4, 2.0)}
    row = digest(columns, {}, ALL)
    assert row.pop("x_verdict") == "above"
    assert row == {"x": 9.0, "x_null": 1.9, "x_null_low": 0.0, "x_null_high": 3.8, "x_closed": 2.0}


def test_tangents_that_cannot_be_relied_on_are_told_beside_every_figure_that_needs_them() -> None:
    reliable = np.array([True, False, False, False])
    columns = {"on_ratio": np.full(4, 9.0), "margin_any": np.ones(4), "tangent_reliable": reliable}
    row = digest(columns, {"tangent_reliable": "yes or no"}, ALL)
    assert remark("above", row, "on_ratio") == "above, tangents unreliable"
    assert remark("", row, "on_ratio") == "tangents unreliable"
    assert remark("above", row, "margin_any") == "above"
    # Exact tangents say nothing of themselves, and half of the samples will do.
    assert remark("above", {"on_ratio": 9.0}, "on_ratio") == "above"
    assert remark("above", row | {"tangent_reliable": 0.5}, "on_ratio") == "above"
