"""The charts of a film as one picture, drawn once for a run; for each frame, only the cursor is added."""

import dataclasses
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import numpy as np
from PIL import Image, ImageDraw

from dimple.views.charts.matplotlib_svg import (
    BAND_LEGEND,
    BASELINE_LEGEND,
    FONT_SIZE,
    INTERVAL_LEGEND,
    LINE_COLORS,
    add_legend,
    set_chart_title,
    set_log_axis,
    set_step_axis,
    style_axes,
    without_formulas,
)
from dimple.views.content.frame import Chart, FloatArray, Timeline
from dimple.views.style.colors import BACKGROUND_COLOR, MUTED_COLOR, to_hex

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

DPI = 100
# Space for the legend to the right of each chart in a row, in pixels at scale 1.
LEGEND_WIDTH = 205


@final
@dataclasses.dataclass(frozen=True)
class TimelineImage:
    """A picture of charts, with the data for drawing a cursor.

    Attributes:
        image: the charts without a cursor.
        cursor_x: for each chart, the x of the cursor at each snapshot, `(T,)`, in pixels.
        chart_spans: for each chart, the y of its upper and of its lower end in pixels.
        curve_markers: for each curve, its pixel at each snapshot, `(T, 2)`, and its color.
    """

    image: Image.Image
    cursor_x: tuple[FloatArray, ...]
    chart_spans: tuple[tuple[float, float], ...]
    curve_markers: tuple[tuple[FloatArray, tuple[int, int, int]], ...]

    def draw_cursor(self, index: int) -> Image.Image:
        """Return the picture with the cursor at one snapshot and a dot on each curve."""
        picture = self.image.copy()
        draw = ImageDraw.Draw(picture)
        for cursor_x, (top, bottom) in zip(self.cursor_x, self.chart_spans, strict=True):
            draw.line((cursor_x[index], top, cursor_x[index], bottom), fill=MUTED_COLOR, width=1)
        for pixels, color in self.curve_markers:
            x, y = pixels[index]
            if np.isfinite(y):
                draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=color, outline=BACKGROUND_COLOR)
        return picture


@without_formulas
def plot_timeline(
    timeline: Timeline, size: tuple[int, int], scale: float = 1.0, stacked: bool = False
) -> TimelineImage:
    """Plot the charts of a timeline as one picture.

    Solid lines are quantities of the run, dashed lines of the same color their baselines. The axis of steps is
    logarithmic from step 1 on, like the snapshot schedule. Vertical lines mark the steps at which phases are complete.

    Args:
        timeline: the charts, steps and phases.
        size: width and height of the picture in pixels.
        scale: factor for the size of text and lines.
        stacked: if True, the charts are one below the other instead of side by side.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    dpi = DPI * scale
    figure = Figure(figsize=(size[0] / dpi, size[1] / dpi), dpi=dpi, facecolor=to_hex(BACKGROUND_COLOR))
    canvas = FigureCanvasAgg(figure)
    count = max(len(timeline.charts), 1)
    chart_position = _column_position if stacked else _row_position
    panels = []
    for index, chart in enumerate(timeline.charts):
        left, bottom, width, height = chart_position(index, count, size, scale)
        axes = figure.add_axes((left, bottom, width, height))
        draw_chart(axes, chart, timeline)
        # Below a chart, the legend begins at the left end of the picture, where the labels of the axis are.
        add_legend(axes, *(((-left / width, -0.16), 3) if stacked else ((1.01, 1.04), 1)))
        panels.append((axes, chart))
    canvas.draw()
    cursor_x = []
    spans = []
    markers = []
    for axes, chart in panels:
        bottom, top = axes.get_ylim()
        ends = axes.transData.transform([(0.0, bottom), (0.0, top)])
        spans.append((size[1] - float(ends[1, 1]), size[1] - float(ends[0, 1])))
        for curve, color in zip(chart.curves, LINE_COLORS, strict=False):
            pixels = axes.transData.transform(np.stack([timeline.steps, curve.values], axis=1))
            markers.append((np.stack([pixels[:, 0], size[1] - pixels[:, 1]], axis=1), color))
        cursor_x.append(axes.transData.transform(np.stack([timeline.steps, 0 * timeline.steps], axis=1))[:, 0])
    buffer = io.BytesIO()
    canvas.print_png(buffer)
    image = Image.open(buffer).convert("RGB").resize(size)
    return TimelineImage(image, tuple(cursor_x), tuple(spans), tuple(markers))


def _row_position(
    index: int, num_charts: int, size: tuple[int, int], scale: float
) -> tuple[float, float, float, float]:
    """Return left, bottom, width and height of a chart in a row, as fractions of the picture.

    The space for the legend is to the right of the chart.
    """
    width = size[0] / scale
    height = size[1] / scale
    return (index / num_charts + 58 / width, 26 / height, 1 / num_charts - (58 + LEGEND_WIDTH) / width, 1 - 52 / height)


def _column_position(
    index: int, num_charts: int, size: tuple[int, int], scale: float
) -> tuple[float, float, float, float]:
    """Return the same for a chart in a column, with the space for the legend below the chart."""
    width = size[0] / scale
    height = size[1] / scale
    return (44 / width, 1 - (index + 1) / num_charts + 66 / height, 1 - 62 / width, 1 / num_charts - 92 / height)


def draw_chart(axes: "Axes", chart: Chart, timeline: Timeline) -> None:
    """Draw a chart into matplotlib axes: curves with interval, baseline and band, and lines with names for phases."""
    for curve, color in zip(chart.curves, LINE_COLORS, strict=False):
        for end in curve.band or ():
            axes.plot(timeline.steps, end, ":", color=to_hex(color), linewidth=0.9)
        axes.plot(timeline.steps, curve.values, color=to_hex(color), linewidth=1.8, label=curve.name)
        if curve.baseline is not None:
            axes.plot(timeline.steps, curve.baseline, "--", color=to_hex(color), linewidth=1.1)
    scale = set_step_axis(axes, timeline.steps)
    if chart.logarithmic:
        scale += set_log_axis(axes, [curve.values for curve in chart.curves])
    else:
        axes.set_ylim(*(chart.limits or _value_limits(chart)))
    curves = list(axes.lines)
    _fill_intervals(axes, chart, timeline)
    for name, step in timeline.phases:
        axes.axvline(step, color=to_hex(MUTED_COLOR), linewidth=1.0, linestyle=":")
        at_bottom = _is_clear_at_bottom(axes, curves, step)
        axes.annotate(
            name, (step, 0.0 if at_bottom else 1.0), (-3, 3 if at_bottom else -3), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="right", va="bottom" if at_bottom else "top", rotation=90,
            fontsize=FONT_SIZE - 1, color=to_hex(MUTED_COLOR),
        )  # fmt: skip
    unit = f" [{chart.unit}]" if chart.unit else ""
    set_chart_title(axes, chart.title + unit + scale)
    style_axes(axes)
    if any(curve.baseline is not None for curve in chart.curves):
        axes.plot([], [], "--", color=to_hex(MUTED_COLOR), linewidth=1.1, label=BASELINE_LEGEND)
    if any(curve.band is not None for curve in chart.curves):
        axes.plot([], [], ":", color=to_hex(MUTED_COLOR), linewidth=0.9, label=BAND_LEGEND)
    if any(curve.interval is not None for curve in chart.curves):
        axes.fill_between([], [], color=to_hex(MUTED_COLOR), alpha=0.3, linewidth=0, label=INTERVAL_LEGEND)


def _fill_intervals(axes: "Axes", chart: Chart, timeline: Timeline) -> None:
    """Draw the intervals of curves within the limits of the axes; an infinite end is drawn to the end of the axis."""
    bottom, top = axes.get_ylim()
    for curve, color in zip(chart.curves, LINE_COLORS, strict=False):
        if curve.interval is not None:
            low, high = (np.clip(end, bottom, top) for end in curve.interval)
            axes.fill_between(timeline.steps, low, high, color=to_hex(color), alpha=0.15, linewidth=0)
    axes.set_ylim(bottom, top)


def _is_clear_at_bottom(axes: "Axes", curves: "Sequence[Line2D]", step: int) -> bool:
    """Return whether the lines have fewer points at the bottom of the axes than at the top, to the left of a step."""
    to_axes = axes.transData - axes.transAxes
    right = to_axes.transform((step, axes.get_ylim()[0]))[0]
    excess_at_bottom = 0
    for line in curves:
        points = np.column_stack([np.asarray(coordinate, dtype=np.float64) for coordinate in line.get_data()])
        positions = to_axes.transform(points[np.isfinite(points).all(1)]).reshape(-1, 2)
        heights = positions[(positions[:, 0] > right - 0.06) & (positions[:, 0] < right + 0.01), 1]
        excess_at_bottom += int((heights < 0.3).sum()) - int((heights > 0.7).sum())
    return excess_at_bottom < 0


def _value_limits(chart: Chart) -> tuple[float, float]:
    """Return limits that contain zero and all values of the curves and baselines, with some space.

    Intervals are contained too, but for what would take more than half as much space again.
    """
    arrays = [array for curve in chart.curves for array in (curve.values, curve.baseline) if array is not None]
    ends = [end for curve in chart.curves for end in curve.interval or ()]
    low, high = _finite_range(arrays)
    most = 0.25 * (high - low)
    ends_low, ends_high = _finite_range([*arrays, *ends])
    low, high = max(low - most, ends_low), min(high + most, ends_high)
    return 1.08 * low, 1.08 * high if high > 0 else max(1.0 + low, 0.1)


def _finite_range(arrays: Sequence[FloatArray]) -> tuple[float, float]:
    """Return the smallest and the largest finite value and zero."""
    finite = np.concatenate([np.zeros(1), *[array[np.isfinite(array)] for array in arrays]])
    return float(finite.min()), float(finite.max())
