"""Matplotlib's plots as parts of a page: in the page's colours, light or dark, and with letters that stay letters."""

import hashlib
import io
import math
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from dimple.views.style.colors import CLASSES, INK, MUTED, PAPER, RULE, hexadecimal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LETTERS = 8.5
# As wide as a column of a page at its usual size, in inches.
SIZE = (4.6, 2.9)
# Curves that can be told apart, on light and on dark paper. Blue and orange are left to the classes.
LINES = (INK, CLASSES[3], CLASSES[2], CLASSES[5], CLASSES[4], CLASSES[6], CLASSES[7])
# What a page calls these colours, for which it has one value on light and one on dark paper.
VARIABLES = {PAPER: "paper", INK: "ink", MUTED: "muted", RULE: "grid"}
VARIABLES |= {CLASSES[0]: "class0", CLASSES[1]: "class1"}
VARIABLES |= {colour: f"line{number}" for number, colour in enumerate(LINES) if colour != INK}


def plot(draw: Callable[["Axes"], None], size: tuple[float, float] = SIZE) -> Markup:
    """What `draw` puts into matplotlib axes, as an SVG element for a page whose style sheet has the colours.

    Args:
        size: width and height in inches.

    Example:
        >>> "var(--ink)" in plot(lambda axes: axes.plot([0, 1], color=hexadecimal(INK)))
        True
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # Without a fixed salt and date the same run would never give the same page twice.
    with rc_context({"svg.hashsalt": "dimple", "svg.fonttype": "none"}):
        figure = Figure(figsize=size, facecolor="none", layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _part_of_a_page(buffer.getvalue())


def _part_of_a_page(document: str) -> Markup:
    """The element of an SVG document: names that no other plot has, colours by variable, as large as its place."""
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", document[document.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(
        r'<svg .*?viewBox="(.*?)".*?>', r'<svg viewBox="\1" aria-hidden="true">', svg, count=1, flags=re.DOTALL
    )
    prefix = hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = re.sub(r'<g id="[a-z0-9]+_\d+">', "<g>", svg)
    svg = re.sub(r'( id="|xlink:href="#|url\(#)', rf"\g<1>x{prefix}-", svg).replace("xlink:href", "href")
    names = {hexadecimal(colour): f"var(--{name})" for colour, name in VARIABLES.items()}
    svg = re.sub(r"(?<=: )#[0-9a-f]{6}\b", lambda found: names.get(found[0], found[0]), svg)
    return Markup(re.sub(r">\s+<", "><", svg).strip())


def plain(axes: "Axes") -> None:
    """Axes on two sides, in the colours of what stands back."""
    axes.minorticks_off()
    axes.tick_params(labelsize=LETTERS - 0.5, colors=hexadecimal(MUTED), length=3)
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(hexadecimal(RULE))


def heading(axes: "Axes", text: str) -> None:
    """What the axes show, above them, in as many lines as their width asks for."""
    width = round(14.5 * axes.figure.bbox.width / axes.figure.dpi)
    axes.set_title("\n".join(textwrap.wrap(text, width)), loc="left", fontsize=LETTERS, color=hexadecimal(INK), pad=4)


def along_steps(axes: "Axes", last: float) -> None:
    """The axis of training steps, from before the first to the last: logarithmic from step 1 on, as snapshots are."""
    axes.set_xscale("symlog", linthresh=1.0)
    axes.set_xlim(0, max(last, 1.0) * 1.02)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    # Beside the number of the first step there is room, and beneath the numbers stands the key.
    axes.annotate(
        "step", (0.0, 0.0), (-10, -6.5), xycoords="axes fraction", textcoords="offset points", ha="right", va="top",
        fontsize=LETTERS - 0.5, color=hexadecimal(MUTED),
    )  # fmt: skip


def by_decades(axes: "Axes", values: Sequence[NDArray[np.float64]], across: bool = False) -> None:
    """A logarithmic axis; where values are zero or negative, one that is linear around zero, below the small sizes.

    Args:
        across: the horizontal axis, instead of the upright one.
    """
    axis = axes.xaxis if across else axes.yaxis
    scale, limits = (axes.set_xscale, axes.get_xlim) if across else (axes.set_yscale, axes.get_ylim)
    finite = np.concatenate([part[np.isfinite(part)] for part in values])
    if finite.min() > 0:
        scale("log")
    else:
        sizes = np.abs(finite[finite != 0])
        # A power of ten, so that zero is as far from the first decade's mark as the marks are from each other.
        linear = 10.0 ** math.floor(math.log10(float(np.quantile(sizes, 0.1))))
        scale("symlog", linthresh=linear)
        (axes.axvline if across else axes.axhline)(0, color=hexadecimal(RULE), linewidth=0.8)
        decades = 10.0 ** np.arange(math.log10(linear), math.log10(float(sizes.max())) + 0.5, 2)
        low, high = limits()
        axis.set_ticks([v for v in (*-decades[::-1], 0.0, *decades) if low <= v <= high])
    axis.set_major_formatter(lambda value, _: f"{value:g}")


def key(axes: "Axes", corner: tuple[float, float], columns: int) -> None:
    """The names of what was drawn with a label, from a corner outside the axes on."""
    handles, names = axes.get_legend_handles_labels()
    if not names:
        return
    axes.legend(
        handles, names, fontsize=LETTERS - 0.5, frameon=False, loc="upper left", bbox_to_anchor=corner, ncols=columns,
        handlelength=1.8, labelspacing=0.35, columnspacing=1.4, borderaxespad=0.0, labelcolor=hexadecimal(INK),
    )  # fmt: skip


def key_below(axes: "Axes") -> None:
    """The same under the axes, in as many columns as the names leave room for."""
    longest = max(map(len, axes.get_legend_handles_labels()[1]), default=0)
    key(axes, (0.0, -0.16), max(1, 60 // (longest + 4)))
