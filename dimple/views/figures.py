"""Recorded columns as the rows of a table and as charts: each figure with its null, for pages of any kind."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dimple.probes.digest import DISTANCE, NULL, VERDICT, found_of, is_beside, remark
from dimple.views.frame import Chart, Curve, Timeline
from dimple.views.plots import key_below, plot
from dimple.views.strip import draw_chart
from dimple.views.wording import finite_or_nan, found_text, null_text, number, sorting_key, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

VERDICTS = {
    "above": "above",
    "below": "below",
    "inside": "inside its band",
    "settled": "settled, within 2\N{NO-BREAK SPACE}%",
    "unsettled": "not settled: beyond 2\N{NO-BREAK SPACE}%",
}


# So many curves share a chart.
TOGETHER = 4
SHARES = (0.0, 1.04)
# The steps themselves, and what belongs to another figure.
NO_CURVE = ("step", "boundary_limit", "off_share_error")


def figure_rows(row: Mapping[str, Any], units: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows of a table of figures: name, value, null, the verdict against it where there is one, and unit.

    Beside the verdict stands what makes it doubtful, and beside a distance on how many samples it rests. `key` is the
    value as a number, by which a table can be sorted.

    Args:
        row: numbers by column; the null of `x` is `x_null`, its verdict `x_verdict`.
        units: the unit of each column.

    Example:
        >>> figure_rows({"on_ratio": 2.0, "on_ratio_null": 1.5, "on_ratio_verdict": "above"}, {})[0]["verdict"]
        'above'
    """
    shares = {found_of(column) for column in row}
    return [
        {
            "name": words(column),
            **cell(row, column),
            "null_key": sorting_key(row.get(column + NULL)),
            "verdict": remark(VERDICTS.get(str(row.get(column + VERDICT, "")), ""), row, column),
            "unit": units.get(column, ""),
        }
        for column, value in row.items()
        if column != "step"
        and column not in shares
        and (value is None or isinstance(value, int | float))
        and not is_beside(column, row)
    ]


def cell(row: Mapping[str, Any], column: str) -> dict[str, str]:
    """One figure for a table: `value`, `found` and `null` as text, and the `key` by which it is sorted.

    Example:
        >>> cell({"x": 2.0, "x_null": 1.5}, "x")
        {'value': '2.00', 'key': '2.0', 'found': '', 'null': '1.50'}
    """
    texts = {"found": found_text(row, column), "null": null_text(row, column)}
    return {"value": number(row[column]), "key": sorting_key(row[column]), **texts}


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    """The numbers of several steps as columns, nan where one is missing; those that one step alone has are left out.

    Those of the last step come first, in its order: another one, such as the margin of the wrongly classified, may have
    ended before.

    Example:
        >>> columns_of([{"step": 0, "x": None}, {"step": 5, "x": 2.0}, {"step": 9, "x": 3.0, "y": 1.0}])
        {'step': array([0, 5, 9]), 'x': array([nan,  2.,  3.])}
        >>> columns_of([{"step": 0, "x": 4.0}, {"step": 5, "x": 2.0}, {"step": 9}])["x"]
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
        if column not in NO_CURVE and words(column) not in without and not is_beside(column, columns):
            groups.setdefault(units.get(column, ""), []).append(column)
    charts = []
    for unit, names in groups.items():
        most = TOGETHER if unit else 1
        for start in range(0, len(names), most):
            part = names[start : start + most]
            curves = tuple(curve_of(columns, name) for name in part)
            several = "shares" if unit == "share" else "distances" if unit.endswith(DISTANCE) else "further figures"
            title = words(part[0]) if len(part) == 1 else several
            limits = SHARES if unit == "share" else None
            wide = limits is None and spans_decades(curves)
            charts.append(Chart(title, curves, "" if limits else unit, limits, logarithmic=wide))
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
    """The charts as drawings within a page: `title` and `svg`."""

    def picture(chart: Chart) -> str:
        def draw(axes: "Axes") -> None:
            draw_chart(axes, chart, timeline)
            # What its heading names needs no key.
            if len(chart.curves) > 1 or chart.curves[0].null is not None:
                key_below(axes)

        return plot(draw)

    return [{"title": chart.title, "svg": picture(chart)} for chart in charts]
