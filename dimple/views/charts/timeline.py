"""The strip of curves under a film: plotted once a run, then only its cursor moves."""

import dataclasses
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import numpy as np
from PIL import Image, ImageDraw

from dimple.views.charts.matplotlib_svg import LETTERS, LINES, along_steps, by_decades, heading, key, plain
from dimple.views.content.frame import Chart, Reals, Timeline
from dimple.views.style.colors import MUTED, PAPER, hexadecimal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

DPI = 100
# Pixels kept free beside each chart for the names of its curves.
LEGEND = 205


@final
@dataclasses.dataclass(frozen=True)
class Strip:
    """A plotted strip with what the cursor needs to know.

    Attributes:
        picture: the charts side by side, without a cursor.
        cursors: a row of pixel coordinates `(T,)` for each chart, where its cursor stands at each snapshot.
        spans: the top and bottom pixel of each chart.
        dots: for each curve its pixel places `(T, 2)` and its colour.
    """

    picture: Image.Image
    cursors: tuple[Reals, ...]
    spans: tuple[tuple[float, float], ...]
    dots: tuple[tuple[Reals, tuple[int, int, int]], ...]

    def at(self, index: int) -> Image.Image:
        """The strip with its cursor at one snapshot and a dot on every curve."""
        picture = self.picture.copy()
        pen = ImageDraw.Draw(picture)
        for places, (top, bottom) in zip(self.cursors, self.spans, strict=True):
            pen.line((places[index], top, places[index], bottom), fill=MUTED, width=1)
        for places, colour in self.dots:
            x, y = places[index]
            if np.isfinite(y):
                pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour, outline=PAPER)
        return picture


def plot_strip(timeline: Timeline, size: tuple[int, int], scale: float = 1.0, stacked: bool = False) -> Strip:
    """Plot the charts of a timeline in a picture of `size` pixels.

    Solid lines are figures of the run, dashed lines of the same colour their nulls. The axis of steps is logarithmic
    from step 1 on, as snapshots are; vertical lines mark the completed phases.

    Args:
        scale: by which letters and lines are larger than usual.
        stacked: one below the other, instead of side by side.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    dpi = DPI * scale
    figure = Figure(figsize=(size[0] / dpi, size[1] / dpi), dpi=dpi, facecolor=hexadecimal(PAPER))
    canvas = FigureCanvasAgg(figure)
    count = max(len(timeline.charts), 1)
    cursors, spans, dots = [], [], []
    panels = []
    for number, chart in enumerate(timeline.charts):
        place = _stacked(number, count, size, scale) if stacked else _beside(number, count, size, scale)
        axes = figure.add_axes(place)
        draw_chart(axes, chart, timeline)
        key(axes, *(((0.0, -0.16), 3) if stacked else ((1.01, 1.04), 1)))
        panels.append((axes, chart))
    canvas.draw()
    for axes, chart in panels:
        bottom, top = axes.get_ylim()
        ends = axes.transData.transform([(0.0, bottom), (0.0, top)])
        spans.append((size[1] - float(ends[1, 1]), size[1] - float(ends[0, 1])))
        for curve, colour in zip(chart.curves, LINES, strict=False):
            pixels = axes.transData.transform(np.stack([timeline.steps, curve.values], axis=1))
            dots.append((np.stack([pixels[:, 0], size[1] - pixels[:, 1]], axis=1), colour))
        cursors.append(axes.transData.transform(np.stack([timeline.steps, 0 * timeline.steps], axis=1))[:, 0])
    buffer = io.BytesIO()
    canvas.print_png(buffer)
    return Strip(Image.open(buffer).convert("RGB").resize(size), tuple(cursors), tuple(spans), tuple(dots))


def _beside(number: int, count: int, size: tuple[int, int], scale: float) -> tuple[float, float, float, float]:
    """Where a chart stands in a row, in shares of the picture, with room for its legend to the right."""
    width, height = size[0] / scale, size[1] / scale
    return (number / count + 58 / width, 26 / height, 1 / count - (58 + LEGEND) / width, 1 - 52 / height)


def _stacked(number: int, count: int, size: tuple[int, int], scale: float) -> tuple[float, float, float, float]:
    """Where a chart stands in a column, with room for its legend below."""
    width, height = size[0] / scale, size[1] / scale
    return (44 / width, 1 - (number + 1) / count + 66 / height, 1 - 62 / width, 1 / count - 92 / height)


def draw_chart(axes: "Axes", chart: Chart, timeline: Timeline) -> None:
    """Draw one chart into matplotlib axes: solid figures, dashed nulls, dotted phase marks with their names."""
    for curve, colour in zip(chart.curves, LINES, strict=False):
        axes.plot(timeline.steps, curve.values, color=hexadecimal(colour), linewidth=1.8, label=curve.name)
        if curve.null is not None:
            axes.plot(timeline.steps, curve.null, "--", color=hexadecimal(colour), linewidth=1.1)
    along_steps(axes, float(timeline.steps[-1]) if len(timeline.steps) else 1.0)
    if chart.logarithmic:
        by_decades(axes, [curve.values for curve in chart.curves])
    else:
        axes.set_ylim(*(chart.limits or _span(chart)))
    curves = list(axes.lines)
    for name, step in timeline.phases:
        axes.axvline(step, color=hexadecimal(MUTED), linewidth=1.0, linestyle=":")
        below = _is_free_below(axes, curves, step)
        axes.annotate(
            name, (step, 0.0 if below else 1.0), (-3, 3 if below else -3), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="right", va="bottom" if below else "top", rotation=90, fontsize=LETTERS - 1,
            color=hexadecimal(MUTED),
        )  # fmt: skip
    unit = f" [{chart.unit}]" if chart.unit else ""
    heading(axes, chart.title + unit)
    plain(axes)
    if any(curve.null is not None for curve in chart.curves):
        axes.plot([], [], "--", color=hexadecimal(MUTED), linewidth=1.1, label="dashed: their nulls")


def _is_free_below(axes: "Axes", curves: "Sequence[Line2D]", step: int) -> bool:
    """Whether to the left of a step fewer lines run at the bottom of the axes than at the top."""
    to_axes = axes.transData - axes.transAxes
    right = to_axes.transform((step, axes.get_ylim()[0]))[0]
    crowd = 0
    for line in curves:
        drawn = np.column_stack([np.asarray(part, dtype=np.float64) for part in line.get_data()])
        places = to_axes.transform(drawn[np.isfinite(drawn).all(1)]).reshape(-1, 2)
        near = places[(places[:, 0] > right - 0.06) & (places[:, 0] < right + 0.01), 1]
        crowd += int((near < 0.3).sum()) - int((near > 0.7).sum())
    return crowd < 0


def _span(chart: Chart) -> tuple[float, float]:
    """From zero, or the smallest value below it, to a little above the largest value of the curves and their nulls."""
    values = [v for curve in chart.curves for v in (curve.values, curve.null) if v is not None]
    finite = np.concatenate([np.zeros(1), *[v[np.isfinite(v)] for v in values]])
    low, high = float(finite.min()), float(finite.max())
    return 1.08 * low, 1.08 * high if high > 0 else max(1.0 + low, 0.1)
