"""Charts of the columns of a table over the steps, grouped by unit."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dimple.stats.aggregate import FRACTION_UNIT, is_comparison_column
from dimple.views.charts.matplotlib_svg import add_legend_below, render_svg
from dimple.views.charts.timeline import draw_chart
from dimple.views.content.columns import make_curve, spans_decades
from dimple.views.content.frame import Chart, Timeline
from dimple.views.content.labels import column_label, short_column_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_CURVES_PER_CHART = 4
# Limits of the axis of fractions.
FRACTION_LIMITS = (0.0, 1.04)
# Columns without a curve: the steps, and columns that only describe other columns.
UNCHARTED_COLUMNS = ("step", "search_limit", "gradient_off_manifold_fraction_stderr")


def charts_by_unit(
    columns: Mapping[str, NDArray[Any]], units: Mapping[str, str], exclude: Collection[str] = ()
) -> list[Chart]:
    """Return charts with one curve for each column; columns of the same unit share a chart, up to four of them.

    Columns that do not change come last, and no two charts have the same title.

    Args:
        columns: the columns of a table, without a curve for comparison columns and `UNCHARTED_COLUMNS`.
        units: units by column.
        exclude: names of curves that are drawn elsewhere.
    """
    groups: dict[str, list[str]] = {}
    for column in columns:
        if (
            column not in UNCHARTED_COLUMNS
            and short_column_label(column) not in exclude
            and not is_comparison_column(column, columns)
        ):
            groups.setdefault(units.get(column, ""), []).append(column)
    charts = []
    for unit, unsorted in groups.items():
        names = sorted(unsorted, key=lambda name: _is_constant(np.asarray(columns[name], dtype=float)))
        max_curves = MAX_CURVES_PER_CHART if unit else 1
        limits = FRACTION_LIMITS if unit == FRACTION_UNIT else None
        for start in range(0, len(names), max_curves):
            chunk = names[start : start + max_curves]
            curves = tuple(make_curve(columns, name) for name in chunk)
            title = column_label(chunk[0]) if len(chunk) == 1 else title_of([curve.name for curve in curves])
            logarithmic = limits is None and spans_decades(curves)
            charts.append(Chart(title, curves, "" if limits else unit, limits, logarithmic=logarithmic))
    return sorted(charts, key=lambda chart: all(_is_constant(curve.values) for curve in chart.curves))


def _is_constant(values: NDArray[Any]) -> bool:
    """Return whether a column has at most one value besides nan."""
    return len(np.unique(values[~np.isnan(values)])) < 2


def title_of(names: Sequence[str]) -> str:
    """Return a title for a chart of several curves, by which it is told from other charts.

    Example:
        >>> title_of(["margin"]), title_of(["margin", "offset"]), title_of(["margin", "offset", "tilt"])
        ('margin', 'margin and offset', 'margin, offset and 1 more')
    """
    if len(names) <= 2:
        return " and ".join(names)
    return f"{names[0]}, {names[1]} and {len(names) - 2} more"


def render_charts(charts: Sequence[Chart], timeline: Timeline) -> list[dict[str, str]]:
    """Render charts for a page, as a list of `title` and `svg`.

    Args:
        charts: the charts.
        timeline: the steps and phases of the run.
    """

    def render(chart: Chart) -> str:
        def draw(axes: "Axes") -> None:
            draw_chart(axes, chart, timeline)
            # The title of a chart with a single line replaces the legend.
            if len(chart.curves) > 1 or chart.curves[0].baseline is not None:
                add_legend_below(axes)

        return render_svg(draw)

    return [{"title": chart.title, "svg": render(chart)} for chart in charts]
