"""Charts of the columns of a table, one for each unit."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from dimple.stats.aggregate import DISTANCE, is_beside
from dimple.views.charts.matplotlib_svg import key_below, plot
from dimple.views.charts.timeline import draw_chart
from dimple.views.content.columns import curve_of, spans_decades
from dimple.views.content.frame import Chart, Timeline
from dimple.views.content.labels import words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# So many curves share a chart.
TOGETHER = 4


SHARES = (0.0, 1.04)


# The steps themselves, and what belongs to another figure.
NO_CURVE = ("step", "boundary_limit", "off_share_error")


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
