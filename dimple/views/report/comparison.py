"""Several runs on one page: what differs between them, and every figure of theirs side by side, with its null."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from dimple.stats.aggregate import NULL, found_of, is_beside
from dimple.views.charts.distributions import draw_shares, frame_shares, is_distance
from dimple.views.charts.figure_charts import NO_CURVE, SHARES
from dimple.views.charts.matplotlib_svg import (
    LINES,
    VARIABLES,
    along_steps,
    by_decades,
    heading,
    key_below,
    plain,
    plot,
)
from dimple.views.content.columns import spans_decades
from dimple.views.content.frame import Curve
from dimple.views.content.labels import finite_or_nan, sorting_key, words
from dimple.views.content.run_header import MEANINGS
from dimple.views.report.html import passes_each, write_page
from dimple.views.report.run_summary import Account
from dimple.views.report.tables import cell
from dimple.views.style.colors import Colour, hexadecimal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# So many can be told apart in a chart.
MOST = len(LINES)
PANEL = (3.4, 2.5)
MISSING = "—"


@final
@dataclasses.dataclass(frozen=True)
class _Shown:
    """A run with the letter and the colour that mean it all over the page."""

    letter: str
    colour: Colour
    run: Account
    reproduce: str


def write_comparison(runs: Sequence[tuple[Account, str]], path: Path | str) -> Path:
    """Write one HTML file about several runs, that needs no other file and no network.

    Args:
        runs: at most `MOST`, in the order of their columns, each with the command that makes it again.

    Raises:
        RunError: if the page cannot be written.
    """
    shown = [_Shown(chr(ord("A") + place), LINES[place], run, reproduce) for place, (run, reproduce) in enumerate(runs)]
    names = list(dict.fromkeys(one.run.name for one in shown))
    splits = list(dict.fromkeys(split for one in shown for split in one.run.figures))
    values = {
        "title": " and ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} others",
        "lead": f"{len(shown)} runs side by side",
        "runs": [_heading(one) for one in shown],
        "differences": differences(shown),
        "same_versions": all(one.run.made_with == shown[0].run.made_with for one in shown),
        "outcomes": _outcomes(shown),
        "stills": [
            still | {"caption": f"{one.letter}, {still['caption']}"} for one in shown for still in one.run.stills
        ],
        "splits": [_split(shown, split) for split in splits],
        "cost": _cost(shown),
    }
    return write_page(path, "runs.html", values)


def _heading(one: _Shown) -> dict[str, str]:
    return {
        "letter": one.letter,
        "colour": f"var(--{VARIABLES[one.colour]})",
        "label": f"{one.letter}: {one.run.name}, seed {one.run.seed}",
        "reproduce": one.reproduce,
        "asked": one.run.asked,
    }


def differences(shown: Sequence[_Shown]) -> dict[str, Any]:
    """The settings, versions and device that are not the same in all runs, as a table."""
    told = [{**one.run.settings, **one.run.made_with} for one in shown]
    names = dict.fromkeys(name for one in told for name in one)
    differing = [name for name in names if len({one.get(name) for one in told}) > 1]
    return _table([(name, [_text(one.get(name, MISSING)) for one in told]) for name in differing])


def _outcomes(shown: Sequence[_Shown]) -> dict[str, Any]:
    """Verdicts, the dates of the phases, and how long each run is."""
    rows = [("run", [_text(one.run.lead) for one in shown])]
    if any("verdict" in one.run.summary for one in shown):
        verdicts = [str(one.run.summary.get("verdict", MISSING)) for one in shown]
        rows.append(("first clinging, then dimpling", [_text(verdict) for verdict in verdicts]))
    phases = dict.fromkeys(phase for one in shown for phase in one.run.phases)
    rows += [(phase, [_text(one.run.phases.get(phase, MISSING)) for one in shown]) for phase in phases]
    return _table(rows)


def _split(shown: Sequence[_Shown], split: str) -> dict[str, Any]:
    """The figures, the curves and the distributions of one split."""
    last = [one.run.figures.get(split, {}) for one in shown]
    columns = [
        name
        for name in dict.fromkeys(name for row in last for name in row)
        if name != "step" and any(_is_figure(row, name) for row in last)
    ]
    units = {name: unit for one in reversed(shown) for name, unit in one.run.units.items()}
    figures = [(words(name), [cell(row, name) if name in row else _text(MISSING) for row in last]) for name in columns]
    return {
        "name": split,
        "figures": _table(figures, [units.get(name, "") for name in columns]),
        "charts": [chart for name in columns if (chart := _curves(shown, split, name, units.get(name, "")))],
        "distributions": _distributions(shown, split, units),
    }


def _is_figure(row: Mapping[str, Any], name: str) -> bool:
    beside = name in map(found_of, row) or is_beside(name, row)
    return name in row and isinstance(row[name], int | float | None) and not beside


def _curves(shown: Sequence[_Shown], split: str, name: str, unit: str) -> dict[str, Any] | None:
    """One figure along the steps of all runs that have several; None where none has."""
    lines = [
        (one, columns["step"], finite_or_nan(columns[name]), columns.get(name + NULL))
        for one in shown
        if name in (columns := one.run.series.get(split, {})) and len(columns["step"]) > 1
    ]
    if name in NO_CURVE or not any(np.isfinite(values).any() for _, _, values, _ in lines):
        return None

    def draw(axes: "Axes") -> None:
        for one, steps, values, null in lines:
            colour = hexadecimal(one.colour)
            axes.plot(steps, values, color=colour, linewidth=1.6, label=one.letter)
            if null is not None:
                axes.plot(steps, finite_or_nan(null), "--", color=colour, linewidth=1.0)
            for key, filled in zip(MEANINGS, ("none", colour), strict=True):
                at = np.flatnonzero(steps == one.run.summary.get(key, -1))
                axes.plot(steps[at], values[at], "o", color=colour, markersize=5, markerfacecolor=filled)
        along_steps(axes, float(max(steps[-1] for _, steps, _, _ in lines)))
        if unit == "share":
            axes.set_ylim(*SHARES)
        elif spans_decades([Curve(name, values) for _, _, values, _ in lines]):
            by_decades(axes, [values for _, _, values, _ in lines])
        heading(axes, f"{words(name)} [{unit}]" if unit else words(name))
        plain(axes)
        key_below(axes)

    return {"title": words(name), "svg": plot(draw, PANEL)}


def _distributions(shown: Sequence[_Shown], split: str, units: Mapping[str, str]) -> list[dict[str, Any]]:
    """The distances and the confidence of all runs at their last steps, one figure a chart."""
    tables = [(one, one.run.samples.get(split, {})) for one in shown]
    names = [
        name
        for name in dict.fromkeys(name for _, table in tables for name in table)
        if any(
            name in table
            and (name == "confidence" or is_distance(name, table, units))
            and np.isfinite(table[name]).any()
            for _, table in tables
        )
    ]
    return [
        {"title": f"distribution of {words(name)}", "svg": plot(_shares(tables, name, units), PANEL)} for name in names
    ]


def _shares(tables: Sequence[tuple[_Shown, Mapping[str, Any]]], name: str, units: Mapping[str, str]) -> Any:
    having = [(one, table) for one, table in tables if name in table]

    def draw(axes: "Axes") -> None:
        for one, table in having:
            draw_shares(axes, table, name, hexadecimal(one.colour), one.letter)
        frame_shares(axes, [table[name] for _, table in having], f"{words(name)} [{units.get(name, '')}]")

    return draw


def _cost(shown: Sequence[_Shown]) -> dict[str, Any]:
    """Seconds by stage and passes a sample by probe."""
    rows = []
    for stage in dict.fromkeys(stage for one in shown for stage in one.run.seconds):
        seconds = [one.run.seconds.get(stage) for one in shown]
        rows.append((f"{stage}, seconds", [_text(MISSING) if s is None else _text(f"{s:.1f}", s) for s in seconds]))
    for probe in dict.fromkeys(probe for one in shown for probe in one.run.passes):
        each = [passes_each(one.run.passes[probe]) if probe in one.run.passes else None for one in shown]
        rows.append(
            (f"{probe}, passes a sample", [_text(MISSING) if e is None else _text(f"{e:,.1f}", e) for e in each])
        )
    return _table(rows)


def _text(text: str, value: float | None = None) -> dict[str, str]:
    """A cell without a null; a number sorts by its value, words by themselves."""
    return {"value": text, "key": text if value is None else sorting_key(value), "found": "", "null": ""}


def _table(rows: Sequence[tuple[str, list[dict[str, str]]]], units: Sequence[str] = ()) -> dict[str, Any]:
    """Rows of cells for the template; with `units`, one a row, the figures are what counts."""
    units = units or [""] * len(rows)
    named = [{"name": name, "cells": cells, "unit": unit} for (name, cells), unit in zip(rows, units, strict=True)]
    return {"rows": named, "strong": any(units)}
