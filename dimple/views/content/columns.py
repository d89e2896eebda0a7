"""Columns of measured quantities, and curves made from them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.stats.aggregate import comparison_column, interval_ends, null_band
from dimple.views.content.frame import ChartCurve
from dimple.views.content.labels import finite_or_nan, short_column_label


def rows_to_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    """Convert rows, one for each step, to numeric columns.

    A missing number is nan. Quantities with a number at a single step, and the count `samples`, are left out. The
    columns of the last row come first, in its order. A quantity such as the margin of misclassified samples may be
    absent from the last row; its column follows.

    Args:
        rows: at least one row, each with the number `step`.

    Example:
        >>> rows_to_columns([{"step": 0, "x": None}, {"step": 5, "x": 2.0}, {"step": 9, "x": 3.0, "y": 1.0}])
        {'step': array([0, 5, 9]), 'x': array([nan,  2.,  3.])}
        >>> rows_to_columns([{"step": 0, "x": 4.0}, {"step": 5, "x": 2.0}, {"step": 9}])["x"]
        array([ 4.,  2., nan])
    """
    names = dict.fromkeys(
        name
        for row in (rows[-1], *rows)
        for name, value in row.items()
        if isinstance(value, int | float) and name != "samples"
    )
    columns = {
        name: np.array([np.nan if row.get(name) is None else row[name] for row in rows])
        for name in names
        if sum(row.get(name) is not None for row in rows) > 1
    }
    steps = np.array([row["step"] for row in rows], dtype=np.int64)
    return {"step": steps} | {name: values for name, values in columns.items() if name != "step"}


def make_curve(columns: Mapping[str, NDArray[Any]], column: str) -> ChartCurve:
    """Return a column as a curve with its short label, interval, comparison as the baseline, and band of its null."""
    baseline = columns.get(comparison_column(column))
    values = finite_or_nan(columns[column])
    interval = interval_ends(columns, column)
    band = null_band(columns, column)
    return ChartCurve(
        short_column_label(column),
        values,
        None if baseline is None else finite_or_nan(baseline),
        None if interval is None else (finite_or_nan(interval[0]), finite_or_nan(interval[1])),
        None if band is None else (finite_or_nan(band[0]), finite_or_nan(band[1])),
    )


def spans_decades(curves: Sequence[ChartCurve]) -> bool:
    """Return whether values and baselines span so wide a range that most would be invisible on a linear axis.

    The criterion: the largest absolute value is above 20 times the 10 % quantile of the nonzero absolute values.

    Example:
        >>> spans_decades([ChartCurve("loss", np.array([0.7, 0.001]))])
        True
    """
    drawn = [values for curve in curves for values in (curve.values, curve.baseline) if values is not None]
    values = np.concatenate([np.abs(values[np.isfinite(values)]) for values in drawn])
    values = values[values > 0]
    return len(values) > 0 and float(values.max()) > 20 * float(np.quantile(values, 0.1, method="lower"))
