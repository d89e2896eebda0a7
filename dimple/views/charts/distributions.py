"""How a figure is distributed over the samples: the share of them up to each value, with that of its null dashed."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dimple.stats.aggregate import DISTANCE, NULL, is_beside
from dimple.tensors import chunks
from dimple.views.charts.figure_charts import TOGETHER
from dimple.views.charts.matplotlib_svg import LINES, by_decades, heading, key_below, plain, plot
from dimple.views.charts.quantile_fans import SEARCHED
from dimple.views.content.labels import words
from dimple.views.style.colors import MUTED, RULE, hexadecimal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Column = NDArray[Any]
Columns = Mapping[str, Column]


def distribution_charts(columns: Columns, units: Mapping[str, str]) -> list[dict[str, str]]:
    """The distances, those of one unit together, as many in a chart as can be told apart: `title` and `svg`."""
    groups: dict[str, list[str]] = {}
    for column in columns:
        if is_distance(column, columns, units):
            groups.setdefault(units[column], []).append(column)
    return [
        {"title": f"distributions [{unit}]", "svg": plot(cumulative_shares(columns, names[part], unit))}
        for unit, names in groups.items()
        for part in chunks(len(names), TOGETHER)
    ]


def is_distance(column: str, columns: Columns, units: Mapping[str, str]) -> bool:
    """Whether a column is a distance to the boundary: no null, and not what only tells of the search."""
    real = np.issubdtype(np.asarray(columns[column]).dtype, np.floating)
    return real and units.get(column, "").endswith(DISTANCE) and column != SEARCHED and not is_beside(column, columns)


def cumulative(values: Column) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sorted finite values, and the share of all values at most as large; nan counts as never reached.

    Example:
        >>> cumulative(np.array([3.0, 1.0, np.inf, np.nan]))[1]
        array([0.25, 0.5 ])
    """
    finite = np.sort(np.asarray(values, dtype=np.float64)[np.isfinite(values)])
    return finite, np.arange(1, len(finite) + 1) / max(len(values), 1)


def cumulative_shares(columns: Columns, names: Sequence[str], unit: str) -> Any:
    """What draws these columns' cumulative shares into axes."""

    def draw(axes: "Axes") -> None:
        for place, name in enumerate(names):
            draw_shares(axes, columns, name, hexadecimal(LINES[place]), words(name))
        if any(name + NULL in columns for name in names):
            axes.plot([], [], "--", color=hexadecimal(MUTED), linewidth=1.2, label="dashed: their nulls")
        frame_shares(axes, [columns[name] for name in names], f"share of samples up to a value [{unit}]")

    return draw


def draw_shares(axes: "Axes", columns: Columns, name: str, colour: str, label: str) -> None:
    """One column's cumulative shares, and dashed those of its null, if it has one."""
    axes.step(*cumulative(columns[name]), where="post", color=colour, linewidth=1.8, label=label)
    if name + NULL in columns:
        axes.step(*cumulative(columns[name + NULL]), "--", where="post", color=colour, linewidth=1.2)


def frame_shares(axes: "Axes", drawn: Sequence[Column], title: str) -> None:
    """The axes around such shares: by decades where the values span several."""
    finite = np.concatenate([cumulative(values)[0] for values in drawn])
    sizes = np.abs(finite[finite != 0])
    wide = len(sizes) > 0 and np.quantile(sizes, 0.95) > 20 * np.quantile(sizes, 0.05)
    if wide:
        by_decades(axes, [finite], across=True)
    elif len(finite) and finite.min() < 0:
        axes.axvline(0, color=hexadecimal(RULE), linewidth=0.8)
    axes.set_ylim(0, 1.02)
    heading(axes, title)
    plain(axes)
    key_below(axes)
