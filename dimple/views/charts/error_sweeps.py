"""How the error of an estimate goes with one quantity after another: a page of small logarithmic charts."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np

from dimple.runs.atomic_io import replacing
from dimple.views.style.colors import CLASSES, INK, MUTED, PAPER, RULE, hexadecimal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE, DPI = (9.6, 7.4), 100
# Errors below this, in degrees, are rounding: the axis ends there.
ROUNDING = 1e-5


@final
@dataclasses.dataclass(frozen=True)
class Sweep:
    """Errors while one quantity takes several values and all others stay.

    Attributes:
        name: of the quantity, in a word or two.
        at: its values `(T,)`.
        median, high: the error at each, in degrees: half, and nine tenths, of the places are below.
        quadratic: the median of the second-order estimate; nan where it cannot be made.
        slope: the exponent of the power law through `median`, where it lies above rounding and below half the null.
        theory: the exponent that theory gives, where it gives one.
    """

    name: str
    at: tuple[float, ...]
    median: tuple[float, ...]
    high: tuple[float, ...]
    quadratic: tuple[float, ...]
    slope: float | None
    theory: float | None


def write_sweeps(title: str, sweeps: Sequence[Sweep], null: tuple[float, float, float], path: Path) -> None:
    """Draw the sweeps, two in a row, as a PNG; the null (median, low and high) is the band in each of them.

    Raises:
        RunError: if the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=SIZE, dpi=DPI, facecolor=hexadecimal(PAPER), layout=ConstrainedLayoutEngine(h_pad=0.12))
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots((len(sweeps) + 1) // 2, 2, squeeze=False, sharey=True).ravel()
    for axes, sweep in zip(panels, sweeps, strict=False):
        _draw(axes, sweep, null)
    for axes in panels[len(sweeps) :]:
        axes.set_visible(False)
    for axes in panels[::2]:
        axes.set_ylabel("largest principal angle, degrees", fontsize=9, color=hexadecimal(INK))
    figure.suptitle(title, fontsize=11, color=hexadecimal(INK))
    named = {label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=len(named), fontsize=9, frameon=False)
    with replacing(path) as temporary, temporary.open("wb") as file:
        canvas.print_png(file)


def _draw(axes: "Axes", sweep: Sweep, null: tuple[float, float, float]) -> None:
    at = np.array(sweep.at)
    median, high = (np.clip(values, ROUNDING, None) for values in (sweep.median, sweep.high))
    blue, orange = hexadecimal(CLASSES[0]), hexadecimal(CLASSES[1])
    axes.axhspan(null[1], null[2], color=hexadecimal(RULE), linewidth=0)
    axes.axhline(null[0], color=hexadecimal(MUTED), linewidth=1.2, label="random subspaces")
    axes.fill_between(at, median, high, color=blue, alpha=0.18, linewidth=0, label="to its 90 %")
    axes.plot(at, median, "o-", color=blue, linewidth=1.8, markersize=4, label="local PCA, median")
    axes.plot(
        at, np.clip(sweep.quadratic, ROUNDING, None), "s--", color=orange, linewidth=1.2, markersize=3,
        label="quadratic, median",
    )  # fmt: skip
    if sweep.theory is not None and sweep.slope is not None:
        # Through the middle of the curve, so that the two slopes can be compared at both ends.
        middle = len(at) // 2
        line = median[middle] * (at / at[middle]) ** sweep.theory
        axes.plot(at, line, ":", color=hexadecimal(INK), linewidth=1.4, label="theory's slope")
    axes.set_xscale("log")
    axes.set_yscale("log")
    bottom = min(float(np.nanmin([*median, *np.clip(sweep.quadratic, ROUNDING, None)])), 1.0)
    axes.set_ylim(min(axes.get_ylim()[0], bottom / 2), 130)
    axes.set_xticks(at, [f"{value:.0f}" if value >= 100 else f"{value:.3g}" for value in at])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    slope = "" if sweep.slope is None else f": slope {sweep.slope:.2f}"
    theory = "" if sweep.theory is None or sweep.slope is None else f", theory {sweep.theory:.2f}"
    axes.set_title(sweep.name + slope + theory, loc="left", fontsize=10, color=hexadecimal(INK))
    axes.tick_params(labelsize=8.5, colors=hexadecimal(MUTED))
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(hexadecimal(RULE))
