"""Robustness curve: the robust accuracy at every radius, between certified radii and the examples found."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dimple.stats.aggregate import ROBUST_PREFIX
from dimple.views.charts.matplotlib_svg import LINE_COLORS, add_legend_below, render_svg, set_chart_title, style_axes
from dimple.views.content.labels import format_number
from dimple.views.style.colors import FOREGROUND_COLOR, to_hex

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Column = NDArray[Any]
Columns = Mapping[str, Column]
CERTIFIED = "certified_radius"
FOUND = "robust_radius_upper"
# The certified and the found fractions in words, from the lower one.
LABELS = {CERTIFIED: "certified", FOUND: "no example found"}
ATTACKED = "standard attacks"
# The radii of the table: zero, and those below which these fractions of the finite distances found lie.
TABLE_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


def summarize_robustness_curve(columns: Columns, unit: str) -> dict[str, Any] | None:
    """Return the picture and the table of a robustness curve, or None without both its columns.

    Args:
        columns: `(B,)` each, of all samples, with `certified_radius` and `robust_radius_upper`; and `robust_at_EPS`
            where the standard attacks were run.
        unit: of the radii.

    Returns:
        `charts`, a list of one `title` and `svg`; `heads` and `lines` of the table, in words.
    """
    if CERTIFIED not in columns or FOUND not in columns or not len(columns[FOUND]):
        return None
    attacked = attacked_fractions(columns)
    svg = render_svg(lambda axes: _draw(axes, columns, attacked, unit))
    heads = [f"radius [{unit}]", *LABELS.values(), *([ATTACKED] if attacked else [])]
    lines = []
    for radius in table_radii(columns[FOUND], attacked):
        fractions = [robust_fraction(columns[name], radius) for name in LABELS]
        line = [format_number(radius), *(f"{fraction:.3f}" for fraction in fractions)]
        if attacked:
            line.append(f"{attacked[radius]:.3f}" if radius in attacked else "")
        lines.append(line)
    return {"charts": [{"title": "robustness curve", "svg": svg}], "heads": heads, "lines": lines}


def robust_fraction(radii: Column, radius: float) -> float:
    """Return the fraction of samples whose own radius is larger than a radius.

    Example:
        >>> robust_fraction(np.array([0.0, 1.0, 2.0, np.inf]), 1.0)
        0.5
    """
    return float((radii > radius).mean())


def table_radii(found: Column, attacked: Mapping[float, float]) -> list[float]:
    """Return the radii of the table, ascending: zero, the radii of the attacks, or quantiles of the distances found."""
    if attacked:
        return [0.0, *attacked]
    finite = found[np.isfinite(found) & (found > 0)]
    quantiles = np.quantile(finite, TABLE_QUANTILES, method="lower").tolist() if len(finite) else []
    return [0.0, *dict.fromkeys(quantiles)]


def attacked_fractions(columns: Columns) -> dict[float, float]:
    """Return the robust accuracy under the standard attacks by radius, ascending.

    Example:
        >>> attacked_fractions({"robust_at_0.5": np.array([True, False]), "robust_at_0.1": np.array([True, True])})
        {0.1: 1.0, 0.5: 0.5}
    """
    names = [name for name in columns if re.fullmatch(re.escape(ROBUST_PREFIX) + r"[\d.e+-]+", name)]
    return dict(sorted((float(name.removeprefix(ROBUST_PREFIX)), float(columns[name].mean())) for name in names))


def _draw(axes: "Axes", columns: Columns, attacked: Mapping[float, float], unit: str) -> None:
    radii = np.concatenate([columns[name] for name in LABELS] + [np.array(list(attacked))])
    end = 1.05 * float(radii[np.isfinite(radii)].max(initial=0.0)) or 1.0
    for number, (name, label) in enumerate(LABELS.items()):
        own = np.sort(columns[name][columns[name] > 0])
        steps = np.concatenate([[0.0], own[np.isfinite(own)], [end]])
        fractions = [robust_fraction(columns[name], radius) for radius in steps]
        axes.step(steps, fractions, where="post", color=to_hex(LINE_COLORS[number]), linewidth=1.8, label=label)
    if attacked:
        color = to_hex(FOREGROUND_COLOR)
        axes.plot(list(attacked), list(attacked.values()), "o", color=color, markersize=4, label=ATTACKED)
    axes.set_xlim(0, end)
    axes.set_ylim(0, 1.02)
    set_chart_title(axes, f"robust accuracy within a radius [{unit}]")
    style_axes(axes)
    add_legend_below(axes)
