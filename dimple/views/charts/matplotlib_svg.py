"""Charts as SVG elements of a page, in its light or dark colors, and the common style of all matplotlib charts."""

import functools
import hashlib
import io
import math
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from dimple.views.content.labels import BASELINE_TITLE
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

FONT_SIZE = 8.5
# The width is that of a column of a page at its usual size.
FIGURE_SIZE_INCHES = (4.6, 2.9)
# Label of dashed lines, which show the values that the solid lines of the same color are compared with.
BASELINE_LEGEND = f"dashed: {BASELINE_TITLE}"
# Labels of areas and of dotted lines.
INTERVAL_LEGEND = "area: 95 % interval"
BAND_LEGEND = "dotted: band of the null"
# Steps from a first one above zero are drawn on a linear axis up to this ratio of the last to the first.
MAX_LINEAR_RATIO = 20.0
# Colors of curves, distinguishable on a light and on a dark background. Blue and orange are reserved for the classes.
LINE_COLORS = (
    FOREGROUND_COLOR,
    CLASS_COLORS[3],
    CLASS_COLORS[2],
    CLASS_COLORS[5],
    CLASS_COLORS[4],
    CLASS_COLORS[6],
    CLASS_COLORS[7],
)
# Variables of the style sheet of a page for these colors; each has a value for a light and one for a dark background.
CSS_COLOR_NAMES = {BACKGROUND_COLOR: "paper", FOREGROUND_COLOR: "ink", MUTED_COLOR: "muted", GRID_LINE_COLOR: "grid"}
CSS_COLOR_NAMES |= {CLASS_COLORS[0]: "class0", CLASS_COLORS[1]: "class1"}
CSS_COLOR_NAMES |= {color: f"line{index}" for index, color in enumerate(LINE_COLORS) if color != FOREGROUND_COLOR}


P = ParamSpec("P")
R = TypeVar("R")


def without_formulas(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw with texts as they are: a name with dollar signs is no formula, and may be none that can be typeset."""

    @functools.wraps(draw)
    def draw_plainly(*args: P.args, **kwargs: P.kwargs) -> R:
        from matplotlib import rc_context

        with rc_context({"text.parse_math": False}):
            return draw(*args, **kwargs)

    return draw_plainly


@without_formulas
def render_svg(draw: Callable[["Axes"], None], size: tuple[float, float] = FIGURE_SIZE_INCHES) -> Markup:
    """Return a chart as an SVG element for a page whose style sheet defines the colors.

    Args:
        draw: draws the chart into matplotlib axes.
        size: width and height in inches.

    Example:
        >>> "var(--ink)" in render_svg(lambda axes: axes.plot([0, 1], color=to_hex(FOREGROUND_COLOR)))
        True
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # With a fixed salt and without a date, the same run always gives the same page.
    with rc_context({"svg.hashsalt": "dimple", "svg.fonttype": "none"}):
        figure = Figure(figsize=size, facecolor="none", layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _embed_svg(buffer.getvalue())


def _embed_svg(document: str) -> Markup:
    """Return the SVG element of a document, with unique identifiers, color variables and without a fixed size."""
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", document[document.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(
        r'<svg .*?viewBox="(.*?)".*?>', r'<svg viewBox="\1" aria-hidden="true">', svg, count=1, flags=re.DOTALL
    )
    prefix = hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = re.sub(r'<g id="[a-z0-9]+_\d+">', "<g>", svg)
    svg = re.sub(r'( id="|xlink:href="#|url\(#)', rf"\g<1>x{prefix}-", svg).replace("xlink:href", "href")
    variables = {to_hex(color): f"var(--{name})" for color, name in CSS_COLOR_NAMES.items()}
    svg = re.sub(r"(?<=: )#[0-9a-f]{6}\b", lambda match: variables.get(match[0], match[0]), svg)
    return Markup(re.sub(r">\s+<", "><", svg).strip())


def style_axes(axes: "Axes") -> None:
    """Draw axes on the left and at the bottom only, in subdued colors."""
    axes.minorticks_off()
    axes.tick_params(labelsize=FONT_SIZE - 0.5, colors=to_hex(MUTED_COLOR), length=3)
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(to_hex(GRID_LINE_COLOR))


def set_chart_title(axes: "Axes", text: str) -> None:
    """Write the title above the axes, with line breaks according to their width."""
    width = round(14.5 * axes.figure.bbox.width / axes.figure.dpi)
    axes.set_title(
        "\n".join(textwrap.wrap(text, width)), loc="left", fontsize=FONT_SIZE, color=to_hex(FOREGROUND_COLOR), pad=4
    )


def set_step_axis(axes: "Axes", steps: Sequence[int] | NDArray[Any]) -> str:
    """Set the horizontal axis to the training steps that there are, and return what the title says about it.

    From step 0 on it is linear up to 1, then logarithmic, like the snapshot schedule. From a later step on it is
    logarithmic where the steps span more than a factor of 20, and linear elsewhere.
    """
    from matplotlib.ticker import MaxNLocator

    first, last = (float(end) for end in (min(steps), max(steps))) if len(steps) else (0.0, 1.0)
    is_linear = first > 0 and last <= MAX_LINEAR_RATIO * first
    if first <= 0:
        axes.set_xscale("symlog", linthresh=1.0)
        axes.set_xlim(0, max(last, 1.0) * 1.02)
    elif is_linear:
        margin = max(0.02 * (last - first), 0.02 * first)
        axes.set_xlim(first - margin, last + margin)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        axes.set_xscale("log")
        axes.set_xlim(first / 1.02, last * 1.02)
        axes.set_xticks(log_ticks(first, last))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    # The label is to the left of the number of the first step, because the legend is below the numbers.
    axes.annotate(
        "step", (0.0, 0.0), (-10, -6.5), xycoords="axes fraction", textcoords="offset points", ha="right", va="top",
        fontsize=FONT_SIZE - 0.5, color=to_hex(MUTED_COLOR),
    )  # fmt: skip
    return "" if is_linear else ", log steps"


# On both sides of zero together; with more, only powers of ten are marked.
MAX_SYMLOG_TICKS = 6


def log_ticks(low: float, high: float) -> list[float]:
    """Return ticks of a logarithmic axis where the data lie: powers of ten, or with 2 and 5 times where they are few.

    Example:
        >>> log_ticks(0.1, 3.0), log_ticks(0.02, 5000.0)
        ([0.1, 0.2, 0.5, 1.0, 2.0], [0.1, 1.0, 10.0, 100.0, 1000.0])
    """
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)

    def within(factors: tuple[int, ...]) -> list[float]:
        ticks = [float(f"{factor}e{exponent}") for exponent in exponents for factor in factors]
        return [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]

    decades = within((1,))
    if len(decades) > 3:
        return decades[:: math.ceil(len(decades) / 5)]
    return decades if len(decades) == 3 else within((1, 2, 5)) or [low, high]


def set_log_axis(axes: "Axes", values: Sequence[NDArray[np.float64]], horizontal: bool = False) -> str:
    """Make an axis logarithmic; if some values are zero or negative, make it linear in a small interval around zero.

    Args:
        axes: matplotlib axes.
        values: the values on the axis.
        horizontal: if True, change the horizontal axis instead of the vertical one.

    Returns:
        What the title says about the axis.
    """
    axis = axes.xaxis if horizontal else axes.yaxis
    set_scale = axes.set_xscale if horizontal else axes.set_yscale
    finite = np.concatenate([array[np.isfinite(array)] for array in values])
    text = ", log axis"
    if finite.min() > 0:
        set_scale("log")
        ticks = log_ticks(float(finite.min()), float(finite.max()))
    else:
        magnitudes = np.abs(finite[finite != 0])
        # A power of ten, so that zero is as far from the mark of the first decade as the marks are from each other.
        linear_limit = 10.0 ** math.floor(math.log10(float(np.quantile(magnitudes, 0.1))))
        set_scale("symlog", linthresh=linear_limit)
        (axes.axvline if horizontal else axes.axhline)(0, color=to_hex(GRID_LINE_COLOR), linewidth=0.8)
        largest = [max(float((sign * finite).max()), 0.0) for sign in (-1.0, 1.0)]
        sides = [log_ticks(linear_limit, max(end, linear_limit)) if end > 0 else [] for end in largest]
        if sum(map(len, sides)) > MAX_SYMLOG_TICKS:
            sides = [[tick for tick in side if f"{tick:e}".startswith("1.0")] or side[-1:] for side in sides]
        ticks = [0.0, *(-tick for tick in sides[0]), *sides[1]]
        text = f", log axis, linear up to {linear_limit:g}"
    axis.set_ticks(ticks)
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    return text


def add_legend(axes: "Axes", anchor: tuple[float, float], ncols: int) -> None:
    """Add a legend with its upper left corner at `anchor`, in axes coordinates; without labels, add none."""
    handles, labels = axes.get_legend_handles_labels()
    if not labels:
        return
    axes.legend(
        handles, labels, fontsize=FONT_SIZE - 0.5, frameon=False, loc="upper left", bbox_to_anchor=anchor, ncols=ncols,
        handlelength=1.8, labelspacing=0.35, columnspacing=1.2, borderaxespad=0.0, labelcolor=to_hex(FOREGROUND_COLOR),
    )  # fmt: skip


def add_legend_below(axes: "Axes") -> None:
    """Add a legend below the axes, with the number of columns according to the length of the labels."""
    longest = max(map(len, axes.get_legend_handles_labels()[1]), default=0)
    add_legend(axes, (0.0, -0.16), max(1, 60 // (longest + 4)))
