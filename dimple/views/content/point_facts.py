"""Quantities measured at one training point, with the values to compare with, as lines of a panel."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from dimple.stats.aggregate import comparison_column, lower_median
from dimple.views.content.frame import Fact
from dimple.views.content.labels import format_number

LENGTH_NOTE = "lengths are l2 distances between inputs"
# Labels of the columns of points.parquet that have a null.
COMPARED_COLUMN_LABELS = {
    "margin_in_slice": "margin in the slice",
    "margin_on": "margin along the manifold only",
    "margin_off": "margin off the manifold only",
    "gradient_off_manifold_fraction": "off-manifold fraction of the gradient",
}


def point_statistics(points: Mapping[str, NDArray[Any]], step: int, index: int) -> dict[str, float]:
    """Return the quantities of a training point at a snapshot, with the median margin of the test points at that step.

    Args:
        points: the columns of points.parquet.
        step: the training step of the snapshot.
        index: the number of the training point.

    Returns:
        The quantities by column; empty if the table does not contain the point at this step.
    """
    if not points:
        return {}
    at_step = points["step"] == step
    train = at_step & (points["split"] == "train") & (points["index"] == index)
    if not train.any():
        return {}
    row = int(train.argmax())
    statistics = {name: float(values[row]) for name, values in points.items() if name != "split"}
    test = at_step & (points["split"] == "test")
    if "margin" in statistics and test.any():
        statistics[comparison_column("margin")] = lower_median(points["margin"][test])
    return statistics


def margin_fact(statistics: Mapping[str, float]) -> Fact:
    """Return the margin, with the median margin of the test points to compare with if it is known."""
    has_test_margin = comparison_column("margin") in statistics
    return _make_fact(statistics, "margin", "margin (comparison: test)" if has_test_margin else "margin")


def on_manifold_fraction_fact(statistics: Mapping[str, float], fraction: float) -> Fact:
    """Return the on-manifold fraction of the squared length of a perturbation, with that of a random direction."""
    off = statistics.get("gradient_off_manifold_fraction_null")
    null = statistics.get("perturbation_on_manifold_fraction_null", None if off is None else 1 - off)
    baseline = "" if null is None else format_number(null)
    return Fact("on-manifold fraction", format_number(fraction), baseline)


def null_comparison_facts(statistics: Mapping[str, float]) -> list[Fact]:
    """Return the other quantities that were measured at a point and have a null."""
    return [
        _make_fact(statistics, column, name) for column, name in COMPARED_COLUMN_LABELS.items() if column in statistics
    ]


def _make_fact(statistics: Mapping[str, float], column: str, name: str) -> Fact:
    comparison = comparison_column(column)
    baseline = format_number(statistics[comparison]) if comparison in statistics else ""
    return Fact(name, format_number(statistics[column]), baseline)
