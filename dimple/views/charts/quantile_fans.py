"""How distances are distributed along training: quantiles at each step, by split, and for right and wrong apart."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dimple.stats.aggregate import DISTANCE
from dimple.views.charts.matplotlib_svg import LETTERS, along_steps, by_decades, heading, plain, plot
from dimple.views.content.labels import words
from dimple.views.style.colors import CLASSES, INK, hexadecimal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Column = NDArray[Any]
# What the search found before its points were landed is a matter of the search.
SEARCHED = "margin_reached"
# From a quantile to its mirror image, and how dark the area between them is.
FANS = (("q05", "q95", 0.16), ("q25", "q75", 0.34))


def evolution(quantiles: Mapping[str, Column]) -> list[dict[str, Any]]:
    """For every distance that was measured a title and its panels: title and drawing of one group each.

    The panels of a distance share their axes. Wrongly classified samples are shown at their distance without its sign.

    Args:
        quantiles: columns `step`, `split`, `correct`, `figure`, `unit`, `samples` and `q05` to `q95`; none at all where
            there is one step only.
    """
    if not quantiles:
        return []
    shown = []
    for figure in dict.fromkeys(quantiles["figure"].tolist()):
        mine = {name: values[quantiles["figure"] == figure] for name, values in quantiles.items()}
        unit = str(mine["unit"][0])
        if unit.endswith(DISTANCE) and figure != SEARCHED:
            shown.append({"title": f"{words(figure)} [{unit}]", "panels": _panels(mine)})
    return shown


def _panels(mine: Mapping[str, Column]) -> list[dict[str, str]]:
    sizes = np.concatenate([np.abs(mine[name]) for low, high, _ in FANS for name in (low, high)])
    finite = sizes[np.isfinite(sizes) & (sizes > 0)]
    if len(finite) == 0:
        return []
    limits = float(finite.min()) / 1.15, float(finite.max()) * 1.15
    last = int(mine["step"].max())
    panels = []
    for split, correct in sorted(set(zip(mine["split"].tolist(), mine["correct"].tolist(), strict=True)), reverse=True):
        rows = (mine["split"] == split) & (mine["correct"] == correct)
        part = {name: values[rows] for name, values in mine.items()}
        order = np.argsort(part["step"])
        part = {name: values[order] for name, values in part.items()}
        if not (np.isfinite(part["q95"]) & (np.abs(part["q95"]) > 0)).any():
            continue  # All of it is zero or was not found: there is no distance to draw.
        title = f"{split}, classified {'correctly' if correct else 'wrongly'}"
        colour = hexadecimal(INK if correct else CLASSES[3])
        panels.append({"title": title, "svg": plot(_drawing(part, title, colour, limits, last), (3.4, 2.5))})
    return panels


def _drawing(part: Mapping[str, Column], title: str, colour: str, limits: tuple[float, float], last: int) -> Any:
    """What draws the fan of one group into axes."""

    def size(name: str) -> Column:
        # What was not found leaves the picture at the top instead of ending a band.
        reals = np.abs(part[name].astype(np.float64))
        return np.where(np.isfinite(reals), reals, 10 * limits[1])

    def draw(axes: "Axes") -> None:
        for low, high, shade in FANS:
            axes.fill_between(
                part["step"], size(low), size(high), color=colour, alpha=shade, linewidth=0,
                label=f"{int(low[1:])} to {int(high[1:])} %",
            )  # fmt: skip
        single = len(part["step"]) == 1
        axes.plot(
            part["step"],
            size("q50"),
            color=colour,
            linewidth=1.8,
            marker="o" if single else "",
            label="median",
            clip_on=not single,
        )
        along_steps(axes, last)
        if limits[1] > 20 * limits[0]:
            by_decades(axes, [np.array(limits)])
            axes.set_ylim(*limits)
        else:
            axes.set_ylim(0, limits[1])
        heading(axes, title)
        plain(axes)
        axes.legend(fontsize=LETTERS - 1.5, frameon=False, loc="best", labelcolor=hexadecimal(INK))

    return draw
