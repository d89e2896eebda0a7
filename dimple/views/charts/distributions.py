"""Cumulative distributions of distances over the samples, drawn solid, with those of their baselines, drawn dashed."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dimple.stats.aggregate import DISTANCE_UNITS, comparison_column, is_comparison_column
from dimple.tensors import chunks
from dimple.views.charts.charts_by_unit import MAX_CURVES_PER_CHART, title_of
from dimple.views.charts.matplotlib_svg import (
    BASELINE_LEGEND,
    LINE_COLORS,
    add_legend_below,
    render_svg,
    set_chart_title,
    set_log_axis,
    style_axes,
)
from dimple.views.charts.quantile_fans import UNREFINED_MARGIN_COLUMN
from dimple.views.content.labels import column_label
from dimple.views.style.colors import GRID_LINE_COLOR, MUTED_COLOR, to_hex

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Column = NDArray[Any]
Columns = Mapping[str, Column]


def distribution_charts(columns: Columns, units: Mapping[str, str]) -> list[dict[str, str]]:
    """Return charts of the distributions of all distances, grouped by unit, as a list of `title` and `svg`.

    Args:
        columns: measured columns, `(B,)` each.
        units: units by column.
    """
    groups: dict[str, list[str]] = {}
    for column in columns:
        if is_distance(column, columns, units):
            groups.setdefault(units[column], []).append(column)
    return [
        {
            "title": f"distribution of {title_of([column_label(name) for name in names[chunk]])} [{unit}]",
            "svg": render_svg(make_cdf_drawer(columns, names[chunk], unit)),
        }
        for unit, names in groups.items()
        for chunk in chunks(len(names), MAX_CURVES_PER_CHART)
    ]


def is_distance(column: str, columns: Columns, units: Mapping[str, str]) -> bool:
    """Return whether a column is a distance to the boundary, without comparison columns and unrefined distances."""
    return (
        np.issubdtype(np.asarray(columns[column]).dtype, np.floating)
        and units.get(column, "").endswith(DISTANCE_UNITS)
        and column != UNREFINED_MARGIN_COLUMN
        and not is_comparison_column(column, columns)
    )


def empirical_cdf(values: Column) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sorted finite values, and for each the fraction of all values that are at most as large.

    The number of all values includes nan and infinity.

    Example:
        >>> empirical_cdf(np.array([3.0, 1.0, np.inf, np.nan]))[1]
        array([0.25, 0.5 ])
    """
    finite = np.sort(np.asarray(values, dtype=np.float64)[np.isfinite(values)])
    return finite, np.arange(1, len(finite) + 1) / max(len(values), 1)


def make_cdf_drawer(columns: Columns, names: Sequence[str], unit: str) -> Any:
    """Return a function that draws the cumulative distributions of some columns into matplotlib axes."""

    def draw(axes: "Axes") -> None:
        for index, name in enumerate(names):
            draw_cdf(axes, columns, name, to_hex(LINE_COLORS[index]), column_label(name))
        if any(comparison_column(name) in columns for name in names):
            axes.plot([], [], "--", color=to_hex(MUTED_COLOR), linewidth=1.2, label=BASELINE_LEGEND)
        format_cdf_axes(axes, [columns[name] for name in names], f"fraction of samples up to a value [{unit}]")

    return draw


def draw_cdf(axes: "Axes", columns: Columns, name: str, color: str, label: str) -> None:
    """Draw the cumulative distribution of a column, and dashed that of its comparison column if there is one."""
    axes.step(*empirical_cdf(columns[name]), where="post", color=color, linewidth=1.8, label=label)
    if comparison_column(name) in columns:
        axes.step(*empirical_cdf(columns[comparison_column(name)]), "--", where="post", color=color, linewidth=1.2)


def format_cdf_axes(axes: "Axes", samples: Sequence[Column], title: str) -> None:
    """Format the axes of cumulative distributions: logarithmic if the values span several decades.

    Args:
        axes: matplotlib axes.
        samples: the values of each distribution.
        title: title above the axes.
    """
    finite = np.concatenate([empirical_cdf(values)[0] for values in samples])
    magnitudes = np.abs(finite[finite != 0])
    if len(magnitudes) > 0 and np.quantile(magnitudes, 0.95) > 20 * np.quantile(magnitudes, 0.05):
        title += set_log_axis(axes, [finite], horizontal=True)
    elif len(finite) and finite.min() < 0:
        axes.axvline(0, color=to_hex(GRID_LINE_COLOR), linewidth=0.8)
    axes.set_ylim(0, 1.02)
    set_chart_title(axes, title)
    style_axes(axes)
    add_legend_below(axes)
