"""Charts of the curves of all replicas, with their median and a band that holds 95 % of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dimple.views.charts.matplotlib_svg import (
    LINE_COLORS,
    render_svg,
    set_chart_title,
    set_log_axis,
    set_step_axis,
    style_axes,
)
from dimple.views.content.columns import spans_decades
from dimple.views.content.frame import ChartCurve
from dimple.views.content.labels import column_label
from dimple.views.style.colors import to_hex

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Columns = Mapping[str, NDArray[Any]]
# The columns of metrics that are drawn, where they were measured.
BAND_COLUMNS = (
    "boundary_distance",
    "train_accuracy",
    "margin",
    "dimple_depth",
    "gradient_off_manifold_fraction",
    "loss",
)
BAND = (0.025, 0.975)


def replica_charts(replicas: Columns, units: Mapping[str, str]) -> list[dict[str, str]]:
    """Return charts as `title` and `svg`, one for each column of `BAND_COLUMNS` that is known at two steps or more.

    Args:
        replicas: columns `replica`, `step` and those of metrics, with a row for each replica and snapshot.
        units: units by column.
    """
    count = len(np.unique(replicas["replica"]))
    steps = replicas["step"].reshape(count, -1)[0]
    curves = {name: replicas[name].reshape(count, -1) for name in BAND_COLUMNS if name in replicas}
    return [
        {
            "title": column_label(name),
            "svg": render_svg(_make_drawer(steps, values, name, units.get(name, ""))),
        }
        for name, values in curves.items()
        if np.isfinite(values).any(axis=0).sum() > 1
    ]


def _make_drawer(steps: NDArray[Any], curves: NDArray[Any], name: str, unit: str) -> Any:
    """Return a function that draws the curves `(R, T)` into matplotlib axes."""
    color = to_hex(LINE_COLORS[0])
    # Each end is the value of one replica, so that infinite distances are never averaged.
    low, median, high = np.quantile(curves, [BAND[0], 0.5, BAND[1]], axis=0, method="inverted_cdf")

    def draw(axes: "Axes") -> None:
        axes.plot(steps, curves.T, color=color, linewidth=0.5, alpha=0.35)
        axes.fill_between(steps, low, high, color=color, alpha=0.2, linewidth=0)
        axes.plot(steps, median, color=color, linewidth=2.0)
        title = column_label(name) + (f" [{unit}]" if unit else "") + set_step_axis(axes, steps)
        if spans_decades([ChartCurve(name, median)]):
            title += set_log_axis(axes, list(curves))
        set_chart_title(axes, title)
        style_axes(axes)

    return draw
