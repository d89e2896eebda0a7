"""Charts of the error of tangent estimates against one quantity each, on logarithmic axes, as one picture."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np

from dimple.runs.atomic_io import atomic_replace
from dimple.views.charts.matplotlib_svg import without_formulas
from dimple.views.style.colors import (
    BACKGROUND_COLOR,
    CLASS_COLORS,
    FOREGROUND_COLOR,
    GRID_LINE_COLOR,
    MUTED_COLOR,
    to_hex,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Width and height of the picture.
FIGURE_SIZE_INCHES = (9.6, 7.4)
DPI = 100
# Smaller errors are rounding errors; the axis ends there.
ROUNDING_ERROR_DEGREES = 1e-5


@final
@dataclasses.dataclass(frozen=True)
class ErrorSweep:
    """Errors of tangent estimates for several values of one quantity, with all other quantities constant.

    Attributes:
        name: label of the quantity.
        values: values of the quantity, `(T,)`.
        median: median error over the points at each value, in degrees.
        quantile_90: 90 % quantile of the error at each value, in degrees.
        quadratic_median: median error of the second-order estimate, in degrees; nan if it does not exist.
        slope: exponent of the power law fitted to `median`, to the values above rounding errors and below half the
            null; None if there are too few of them.
        expected_slope: exponent according to theory; None if there is no prediction.
    """

    name: str
    values: tuple[float, ...]
    median: tuple[float, ...]
    quantile_90: tuple[float, ...]
    quadratic_median: tuple[float, ...]
    slope: float | None
    expected_slope: float | None


@without_formulas
def write_error_sweeps(title: str, sweeps: Sequence[ErrorSweep], null: tuple[float, float, float], path: Path) -> None:
    """Draw the sweeps, two in a row, and write them as a PNG.

    Args:
        title: title of the picture.
        sweeps: the sweeps.
        null: the error of random subspaces, drawn in each chart: median, and low and high end of its interval.
        path: the file.

    Raises:
        RunError: if the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(
        figsize=FIGURE_SIZE_INCHES,
        dpi=DPI,
        facecolor=to_hex(BACKGROUND_COLOR),
        layout=ConstrainedLayoutEngine(h_pad=0.12),
    )
    canvas = FigureCanvasAgg(figure)
    all_axes = figure.subplots((len(sweeps) + 1) // 2, 2, squeeze=False, sharey=True).ravel()
    for axes, sweep in zip(all_axes, sweeps, strict=False):
        _draw_sweep(axes, sweep, null)
    for axes in all_axes[len(sweeps) :]:
        axes.set_visible(False)
    for axes in all_axes[::2]:
        axes.set_ylabel("largest principal angle, degrees", fontsize=9, color=to_hex(FOREGROUND_COLOR))
    figure.suptitle(title, fontsize=11, color=to_hex(FOREGROUND_COLOR))
    handles = {
        label: handle for axes in all_axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles), fontsize=9, frameon=False
    )
    with atomic_replace(path) as temporary, temporary.open("wb") as file:
        canvas.print_png(file)


def _draw_sweep(axes: "Axes", sweep: ErrorSweep, null: tuple[float, float, float]) -> None:
    x = np.array(sweep.values)
    median, quantile_90, quadratic_median = (
        np.clip(errors, ROUNDING_ERROR_DEGREES, None)
        for errors in (sweep.median, sweep.quantile_90, sweep.quadratic_median)
    )
    blue = to_hex(CLASS_COLORS[0])
    orange = to_hex(CLASS_COLORS[1])
    axes.axhspan(null[1], null[2], color=to_hex(GRID_LINE_COLOR), linewidth=0)
    axes.axhline(null[0], color=to_hex(MUTED_COLOR), linewidth=1.2, label="random subspaces")
    axes.fill_between(x, median, quantile_90, color=blue, alpha=0.18, linewidth=0, label="up to 90 %")
    axes.plot(x, median, "o-", color=blue, linewidth=1.8, markersize=4, label="local PCA, median")
    axes.plot(x, quadratic_median, "s--", color=orange, linewidth=1.2, markersize=3, label="quadratic, median")
    if sweep.expected_slope is not None and sweep.slope is not None:
        # The line goes through the middle of the curve, so that the two slopes can be compared at both ends.
        middle = len(x) // 2
        line = median[middle] * (x / x[middle]) ** sweep.expected_slope
        axes.plot(x, line, ":", color=to_hex(FOREGROUND_COLOR), linewidth=1.4, label="slope in theory")
    axes.set_xscale("log")
    axes.set_yscale("log")
    bottom = min(float(np.nanmin([*median, *quadratic_median])), 1.0)
    axes.set_ylim(min(axes.get_ylim()[0], bottom / 2), 130)
    axes.set_xticks(x, [f"{value:.0f}" if value >= 100 else f"{value:.3g}" for value in x])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    slope_text = "" if sweep.slope is None else f": slope {sweep.slope:.2f}"
    if sweep.expected_slope is not None and sweep.slope is not None:
        slope_text += f", theory {sweep.expected_slope:.2f}"
    axes.set_title(sweep.name + slope_text, loc="left", fontsize=10, color=to_hex(FOREGROUND_COLOR))
    axes.tick_params(labelsize=8.5, colors=to_hex(MUTED_COLOR))
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(to_hex(GRID_LINE_COLOR))
