"""Charts of the quantiles of distances over the steps, by split and by whether samples are classified correctly."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dimple.stats.aggregate import DISTANCE_UNITS
from dimple.views.charts.matplotlib_svg import (
    FONT_SIZE,
    render_svg,
    set_chart_title,
    set_log_axis,
    set_step_axis,
    style_axes,
)
from dimple.views.content.labels import column_label
from dimple.views.style.colors import CLASS_COLORS, FOREGROUND_COLOR, to_hex

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Column = NDArray[Any]
# The distances of a search before refinement describe the search and not the network.
UNREFINED_MARGIN_COLUMN = "margin_unrefined"
# Lower quantile, upper quantile, and opacity of the area between them.
QUANTILE_BANDS = (("q05", "q95", 0.16), ("q25", "q75", 0.34))


def quantile_fan_charts(quantiles: Mapping[str, Column]) -> list[dict[str, Any]]:
    """Return the title and the panels of each distance; a panel has `title` and `svg` and shows one group of samples.

    The panels of a distance share their axes. The distances of misclassified samples are shown without their sign.

    Args:
        quantiles: columns `step`, `split`, `correct`, `statistic`, `unit`, `samples` and `q05` to `q95`; an empty
            mapping if there is a single step.
    """
    if not quantiles:
        return []
    charts = []
    for statistic in dict.fromkeys(quantiles["statistic"].tolist()):
        rows = {name: values[quantiles["statistic"] == statistic] for name, values in quantiles.items()}
        unit = str(rows["unit"][0])
        if unit.endswith(DISTANCE_UNITS) and statistic != UNREFINED_MARGIN_COLUMN:
            charts.append({"title": f"{column_label(statistic)} [{unit}]", "panels": _quantile_fan_panels(rows)})
    return charts


def _quantile_fan_panels(quantiles: Mapping[str, Column]) -> list[dict[str, str]]:
    magnitudes = np.concatenate([np.abs(quantiles[name]) for low, high, _ in QUANTILE_BANDS for name in (low, high)])
    finite = magnitudes[np.isfinite(magnitudes) & (magnitudes > 0)]
    if len(finite) == 0:
        return []
    limits = (float(finite.min()) / 1.15, float(finite.max()) * 1.15)
    steps = np.unique(quantiles["step"])
    panels = []
    for split, correct in sorted(
        set(zip(quantiles["split"].tolist(), quantiles["correct"].tolist(), strict=True)), reverse=True
    ):
        rows = np.flatnonzero((quantiles["split"] == split) & (quantiles["correct"] == correct))
        rows = rows[np.argsort(quantiles["step"][rows])]
        group = {name: values[rows] for name, values in quantiles.items()}
        if not (np.isfinite(group["q95"]) & (np.abs(group["q95"]) > 0)).any():
            continue  # All distances are zero or were not found.
        title = f"{split}, {'classified correctly' if correct else 'misclassified'}"
        color = to_hex(FOREGROUND_COLOR if correct else CLASS_COLORS[3])
        svg = render_svg(_make_fan_drawer(group, title, color, limits, steps), (3.4, 2.5))
        panels.append({"title": title, "svg": svg})
    return panels


def _make_fan_drawer(
    group: Mapping[str, Column], title: str, color: str, limits: tuple[float, float], steps: Column
) -> Any:
    """Return a function that draws the quantiles of one group of samples into matplotlib axes."""

    def magnitude(name: str) -> Column:
        # A distance that was not found is drawn above the upper limit, so that a band does not end.
        distances = np.abs(group[name].astype(np.float64))
        return np.where(np.isfinite(distances), distances, 10 * limits[1])

    def draw(axes: "Axes") -> None:
        for low, high, alpha in QUANTILE_BANDS:
            axes.fill_between(
                group["step"], magnitude(low), magnitude(high), color=color, alpha=alpha, linewidth=0,
                label=f"{int(low[1:])} to {int(high[1:])} %",
            )  # fmt: skip
        is_single = len(group["step"]) == 1
        axes.plot(
            group["step"], magnitude("q50"), color=color, linewidth=1.8, marker="o" if is_single else "",
            label="median", clip_on=not is_single,
        )  # fmt: skip
        scale = set_step_axis(axes, steps)
        if limits[1] > 20 * limits[0]:
            scale += set_log_axis(axes, [np.array(limits)])
            axes.set_ylim(*limits)
        else:
            axes.set_ylim(0, limits[1])
        set_chart_title(axes, title + scale)
        style_axes(axes)
        axes.legend(fontsize=FONT_SIZE - 1.5, frameon=False, loc="best", labelcolor=to_hex(FOREGROUND_COLOR))

    return draw
