"""The figure of a criterion: every seed a dot, the interval, the region in which the claim holds, and the null."""

import math
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from dimple.claims.verdicts import Finding, Replicas
from dimple.views.charts.matplotlib_svg import FONT_SIZE, LINE_COLORS, render_svg, style_axes
from dimple.views.style.colors import FOREGROUND_COLOR, GRID_LINE_COLOR, MUTED_COLOR, to_hex

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE_INCHES = (6.6, 1.25)
# Values that span more than this factor are drawn on a logarithmic axis.
LOG_SPAN = 30.0
HOLDS_COLOR = LINE_COLORS[2]


def draw_finding(finding: Finding, nulls: NDArray[np.float64]) -> Markup:
    """Return the figure of one criterion as SVG.

    Dots are seeds, the thick line is the interval at 95 % with the estimate as a tick, the shaded region is where the
    claim holds. Below, hollow, are the values of the null. Infinite values stand at the edge, with an arrow.

    Args:
        finding: what the replicas say.
        nulls: the value of the null for each replica; empty where it names none.
    """

    def draw(axes: "Axes") -> None:
        style_axes(axes)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        axes.set_ylim(-1.6 if len(nulls) else -0.8, 1.0)
        bounds = [bound for bound in finding.criterion.bounds if math.isfinite(bound)]
        shown = np.concatenate([finding.values, nulls, bounds])
        low, high = _set_axis(axes, shown[np.isfinite(shown)])
        first, last = (float(np.clip(bound, low, high)) for bound in finding.criterion.bounds)
        axes.axvspan(first, last, color=to_hex(HOLDS_COLOR), alpha=0.14, linewidth=0)
        for bound in bounds:
            axes.axvline(bound, color=to_hex(HOLDS_COLOR), linewidth=1.2)
        _draw_seeds(axes, finding.values, 0.45, (low, high), filled=True)
        ends = np.clip([finding.low, finding.high], low, high)
        axes.plot(ends, [-0.25, -0.25], color=to_hex(FOREGROUND_COLOR), linewidth=2.4, solid_capstyle="butt")
        estimate = float(np.clip(finding.estimate, low, high))
        axes.plot([estimate] * 2, [-0.5, 0.0], color=to_hex(FOREGROUND_COLOR), linewidth=2.4)
        if len(nulls):
            _draw_seeds(axes, nulls, -1.05, (low, high), filled=False)

    return render_svg(draw, SIZE_INCHES)


def draw_diagram(columns: tuple[str, ...], rows: Replicas) -> Markup:
    """Return the picture of all parts of an experiment as SVG: the fraction of the seeds in each cell.

    Args:
        columns: of the horizontal axis, the vertical axis, the panels, and the yes or no, as `Experiment.diagram`.
        rows: of the replicas by part, by seed.
    """
    across, up, panel, answer = columns
    cells: dict[tuple[float, float, float], list[float]] = {}
    for parts in rows.values():
        for row in parts.values():
            cells.setdefault((row[panel], row[up], row[across]), []).append(row[answer])
    panels, ups, acrosses = (sorted({cell[index] for cell in cells}) for index in range(3))

    def draw(axes: "Axes") -> None:
        style_axes(axes)
        width = len(acrosses) + 1
        for place, number in enumerate(panels):
            for (one, height, length), answers in cells.items():
                if one == number:
                    x = place * width + acrosses.index(length)
                    _draw_cell(axes, x, ups.index(height), float(np.mean(answers)))
            axes.text(place * width + (len(acrosses) - 1) / 2, len(ups) - 0.35, f"{panel} {number:g}", ha="center",
                      va="bottom", fontsize=FONT_SIZE, color=to_hex(FOREGROUND_COLOR))  # fmt: skip
        ticks = [place * width + index for place in range(len(panels)) for index in range(len(acrosses))]
        axes.set_xticks(ticks, [f"{value:g}" for value in acrosses] * len(panels))
        axes.set_yticks(range(len(ups)), [f"{value:g}" for value in ups])
        axes.set_xlim(-0.6, len(panels) * width - 1.4)
        axes.set_ylim(-0.6, len(ups) - 0.4)
        axes.set_xlabel(across, fontsize=FONT_SIZE, color=to_hex(MUTED_COLOR))
        axes.set_ylabel(up, fontsize=FONT_SIZE, color=to_hex(MUTED_COLOR))

    width = 0.9 + 0.5 * (len(acrosses) + 1) * len(panels)
    return render_svg(draw, (max(width, 4.0), 1.0 + 0.45 * len(ups)))


def _draw_cell(axes: "Axes", x: float, y: float, fraction: float) -> None:
    """Draw a square whose color is darker for a larger fraction, with the fraction in it."""
    from matplotlib.patches import Rectangle

    color = to_hex(HOLDS_COLOR)
    axes.add_patch(
        Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, facecolor=color, alpha=0.08 + 0.8 * fraction, linewidth=0)
    )
    axes.text(x, y, f"{fraction:.2g}", ha="center", va="center", fontsize=FONT_SIZE - 1, color=to_hex(FOREGROUND_COLOR))


def _set_axis(axes: "Axes", finite: NDArray[np.float64]) -> tuple[float, float]:
    """Set the limits of the horizontal axis, and return them; it is logarithmic where positive values span far."""
    if len(finite) == 0:
        finite = np.array([0.0, 1.0])
    low = float(finite.min())
    high = float(finite.max())
    if low > 0 and math.log10(high) - math.log10(low) > math.log10(LOG_SPAN):
        axes.set_xscale("log")
        pad = 0.08 * (math.log10(high) - math.log10(low))
        limits = 10 ** max(math.log10(low) - pad, -300.0), 10 ** min(math.log10(high) + pad, 300.0)
    else:
        pad = 0.08 * (high - low) or max(abs(high), 1.0) * 0.1
        limits = low - pad, high + pad
    axes.set_xlim(*limits)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    return limits


def _draw_seeds(
    axes: "Axes", values: NDArray[np.float64], height: float, limits: tuple[float, float], filled: bool
) -> None:
    """Draw a dot for each seed, at slightly different heights, so that equal ones are seen."""
    color = to_hex(FOREGROUND_COLOR if filled else MUTED_COLOR)
    jitter = 0.22 * ((np.arange(len(values)) * 0.618) % 1 - 0.5) * 2
    for marker, chosen, place in (
        ("o", np.isfinite(values), values),
        (">", np.isposinf(values), np.full(len(values), limits[1])),
        ("<", np.isneginf(values), np.full(len(values), limits[0])),
    ):
        axes.plot(
            place[chosen], height + jitter[chosen], marker, markersize=4.2, color=color, alpha=0.8,
            markerfacecolor=color if filled else "none", markeredgewidth=0.9, clip_on=False,
        )  # fmt: skip
    if not filled:
        axes.annotate(
            "null", (0.0, height), (-4, 0), xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
            va="center", fontsize=FONT_SIZE - 1, color=to_hex(MUTED_COLOR),
        )  # fmt: skip
        axes.axhline(height + 0.55, color=to_hex(GRID_LINE_COLOR), linewidth=0.6)
