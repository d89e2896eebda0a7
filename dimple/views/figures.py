"""Recorded columns as the rows of a table and as charts: each figure with its null, for pages of any kind."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.views.frame import Chart, Curve, Timeline
from dimple.views.page import plot
from dimple.views.strip import LINES, draw_chart
from dimple.views.wording import NULL, finite_or_nan, is_null, null_text, number, words

VERDICT = "_verdict"
VERDICTS = {
    "above": "above",
    "below": "below",
    "inside": "inside its band",
    "settled": "settled, within 2 %",
    "unsettled": "not settled: beyond 2 %",
}


def figure_rows(row: Mapping[str, Any], units: Mapping[str, str]) -> list[dict[str, str]]:
    """The rows of a table of figures: name, value, null, the verdict against it where there is one, and unit.

    Args:
        row: numbers by column; the null of `x` is `x_null`, its verdict `x_verdict`.
        units: the unit of each column.

    Example:
        >>> figure_rows({"on_ratio": 2.0, "on_ratio_null": 1.5, "on_ratio_verdict": "above"}, {})[0]["verdict"]
        'above'
    """
    return [
        {
            "name": words(column),
            "value": number(value),
            "null": null_text(row, column),
            "verdict": VERDICTS.get(str(row.get(column + VERDICT, "")), ""),
            "unit": units.get(column, ""),
        }
        for column, value in row.items()
        if column != "step" and (value is None or isinstance(value, int | float)) and not is_null(column, row)
    ]


def curve_of(columns: Mapping[str, NDArray[Any]], column: str) -> Curve:
    """A column as a curve, with its null where there is one."""
    null = columns.get(column + NULL)
    return Curve(words(column), finite_or_nan(columns[column]), None if null is None else finite_or_nan(null))


def charts_by_unit(
    columns: Mapping[str, NDArray[Any]], units: Mapping[str, str], without: Collection[str] = ()
) -> list[Chart]:
    """Every figure as a curve: those of one unit share a chart, up to the number of colours.

    Args:
        without: names of curves that are drawn elsewhere.
    """
    groups: dict[str, list[str]] = {}
    for column in columns:
        if column != "step" and words(column) not in without and not is_null(column, columns):
            groups.setdefault(units.get(column, ""), []).append(column)
    charts = []
    for unit, names in groups.items():
        most = len(LINES) if unit else 1
        for start in range(0, len(names), most):
            part = names[start : start + most]
            curves = tuple(curve_of(columns, name) for name in part)
            title = words(part[0]) if len(part) == 1 else "further figures"
            charts.append(Chart(title, curves, unit, logarithmic=spans_decades(curves)))
    return charts


def spans_decades(curves: Sequence[Curve]) -> bool:
    """Whether some sizes are far above others, so that a linear axis would hide most of a curve.

    Example:
        >>> spans_decades([Curve("loss", np.array([0.7, 0.001]))])
        True
    """
    values = np.concatenate([np.abs(curve.values[np.isfinite(curve.values)]) for curve in curves])
    values = values[values > 0]
    return len(values) > 0 and float(values.max()) > 20 * float(np.quantile(values, 0.1, method="lower"))


def chart_pictures(charts: Sequence[Chart], timeline: Timeline) -> list[dict[str, str]]:
    """The charts as pictures within a page: title and source."""

    def picture(chart: Chart) -> str:
        return plot(lambda axes: draw_chart(axes, chart, timeline))

    return [{"title": chart.title, "source": picture(chart)} for chart in charts]
