"""Comparison of several runs on one page: differing settings, and every quantity side by side with its null."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from dimple.columns import describe_column
from dimple.stats.aggregate import comparison_column
from dimple.stats.intervals import mean_interval
from dimple.views.charts.charts_by_unit import FRACTION_LIMITS, UNCHARTED_COLUMNS
from dimple.views.charts.distributions import draw_cdf, format_cdf_axes, is_distance
from dimple.views.charts.matplotlib_svg import (
    CSS_COLOR_NAMES,
    LINE_COLORS,
    add_legend_below,
    render_svg,
    set_chart_title,
    set_log_axis,
    set_step_axis,
    style_axes,
)
from dimple.views.content.columns import spans_decades
from dimple.views.content.frame import ChartCurve
from dimple.views.content.labels import column_label, finite_or_nan, format_number, sorting_key
from dimple.views.content.run_header import PHASE_DESCRIPTIONS
from dimple.views.report.cautions import cautions_of_splits
from dimple.views.report.html import passes_per_sample, write_page
from dimple.views.report.paired import paired_content
from dimple.views.report.run_summary import RunSummary
from dimple.views.report.tables import shown_columns, statistic_cell
from dimple.views.style.colors import Color, to_hex

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The number of colors that can be told apart in a chart.
MAX_RUNS = len(LINE_COLORS)
PANEL_SIZE_INCHES = (3.4, 2.5)
MISSING_TEXT = "—"


@final
@dataclasses.dataclass(frozen=True)
class ComparedRun:
    """A run with the letter and the color that stand for it, and the command that makes it again."""

    letter: str
    color: Color
    summary: RunSummary
    reproduce_command: str


def label_runs(runs: Sequence[tuple[RunSummary, str]]) -> list[ComparedRun]:
    """Return at most `MAX_RUNS` runs, each with the command that makes it again, with their letters and colors."""
    return [
        ComparedRun(chr(ord("A") + place), LINE_COLORS[place], run, reproduce)
        for place, (run, reproduce) in enumerate(runs)
    ]


def write_comparison(shown: Sequence[ComparedRun], path: Path | str) -> Path:
    """Write one HTML file that compares several runs and needs no other file and no network.

    Args:
        shown: the runs in the order of their columns.
        path: the file.

    Raises:
        RunError: if the page cannot be written.
    """
    names = list(dict.fromkeys(one.summary.folder for one in shown))
    splits = list(dict.fromkeys(split for one in shown for split in one.summary.statistics))
    values = {
        "title": " and ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} others",
        "lead": f"{len(shown)} runs side by side",
        "runs": [_run_header(one) for one in shown],
        "cautions": [f"{one.letter}: {text}" for one in shown for text in cautions_of_splits(one.summary.statistics)],
        "differences": difference_table(shown),
        "same_versions": all(one.summary.environment == shown[0].summary.environment for one in shown),
        "outcomes": _outcome_table(shown),
        "stills": [
            still | {"caption": f"{one.letter}, {still['caption']}"} for one in shown for still in one.summary.stills
        ],
        "splits": [
            _split_content(shown, split)
            | {"paired": paired_content([one.summary for one in shown], [one.letter for one in shown], split)}
            for split in splits
        ],
        "cost": _cost_table(shown),
    }
    return write_page(path, "comparison.html", values)


def _run_header(run: ComparedRun) -> dict[str, str]:
    return {
        "letter": run.letter,
        "color": f"var(--{CSS_COLOR_NAMES[run.color]})",
        "folder": run.summary.folder,
        "name": run.summary.name,
        "seed": str(run.summary.seed),
        "reproduce": run.reproduce_command,
        "settings": run.summary.config_text,
    }


def difference_table(runs: Sequence[ComparedRun]) -> dict[str, Any]:
    """Return a table of the settings, versions and devices that differ between the runs."""
    settings = [{**one.summary.settings, **one.summary.environment} for one in runs]
    names = dict.fromkeys(name for one in settings for name in one)
    differing = [name for name in names if len({one.get(name) for one in settings}) > 1]
    # The sum of a file that only one run has says no more than the setting that names the file.
    redundant = {name for name in names if name.startswith("checksums.") and any(name not in one for one in settings)}
    differing = [name for name in differing if name not in redundant]
    return _make_table([(name, [_text_cell(one.get(name, MISSING_TEXT)) for one in settings]) for name in differing])


def differ_by_seed(runs: Sequence[ComparedRun]) -> bool:
    """Return whether the runs differ in seeds, and in nothing else."""
    names = [row["name"] for row in difference_table(runs)["rows"]]
    return bool(names) and all(name.rpartition(".")[2] == "seed" for name in names)


def pool_seeds(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation of a statistic over seeds; nan where a value is not finite."""
    if not np.isfinite(values).all():
        return np.nan, np.nan
    return float(np.mean(values)), float(np.std(values, ddof=1))


def format_pooled(mean: float, deviation: float) -> str:
    """Return mean and standard deviation over seeds as text."""
    return MISSING_TEXT if np.isnan(mean) else f"{format_number(mean)} ± {format_number(deviation)}"


def _pooled_cell(rows: Sequence[Mapping[str, Any]], name: str, unit: str) -> dict[str, str]:
    """Return the cell of a statistic over all seeds: mean, standard deviation, and the 95 % interval of the mean."""
    values = [row[name] for row in rows if name in row]
    is_pooled = len(values) == len(rows) and not describe_column(name).is_exact
    mean, deviation = pool_seeds(values) if is_pooled else (np.nan, np.nan)
    cell = _text_cell(format_pooled(mean, deviation), mean)
    if np.isnan(mean):
        return cell
    limits = (0.0, 1.0) if unit in ("fraction", "probability") else (-np.inf, np.inf)
    interval = " to ".join(format_number(end) for end in mean_interval(values, limits))
    return cell | {"interval": interval, "samples": str(len(values))}


def _outcome_table(runs: Sequence[ComparedRun]) -> dict[str, Any]:
    """Return a table of the verdicts, the dates of the phases and the length of each run."""
    rows = [("run", [_text_cell(one.summary.subtitle) for one in runs])]
    if any("verdict" in one.summary.results for one in runs):
        verdicts = [str(one.summary.results.get("verdict", MISSING_TEXT)) for one in runs]
        rows.append(("cling, then dimple", [_text_cell(verdict) for verdict in verdicts]))
    phases = dict.fromkeys(phase for one in runs for phase in one.summary.phases)
    rows += [(phase, [_text_cell(one.summary.phases.get(phase, MISSING_TEXT)) for one in runs]) for phase in phases]
    return _make_table(rows)


def joined_units(runs: Sequence[ComparedRun], name: str) -> str:
    """Return the unit of a quantity, or those of the runs in their order where they differ, such as two norms."""
    return " | ".join(dict.fromkeys(one.summary.units[name] for one in runs if name in one.summary.units))


def _split_content(runs: Sequence[ComparedRun], split: str) -> dict[str, Any]:
    """Return the aggregates, the curves and the distributions of one split."""
    last = [one.summary.statistics.get(split, {}) for one in runs]
    columns = list(dict.fromkeys(name for row in last for name in shown_columns(row)))
    units = {name: joined_units(runs, name) for one in runs for name in one.summary.units}
    is_pooled = differ_by_seed(runs)
    rows = [
        (
            column_label(name),
            [statistic_cell(row, name) if name in row else _text_cell(MISSING_TEXT) for row in last]
            + ([_pooled_cell(last, name, units.get(name, ""))] if is_pooled else []),
        )
        for name in columns
    ]
    return {
        "name": split,
        "rows": _make_table(rows, [units.get(name, "") for name in columns]) | {"is_pooled": is_pooled},
        "charts": [chart for name in columns if (chart := _curve_chart(runs, split, name, units.get(name, "")))],
        "distributions": _distribution_charts(runs, split, units),
    }


def _curve_chart(runs: Sequence[ComparedRun], split: str, name: str, unit: str) -> dict[str, Any] | None:
    """Return a chart of one quantity along the steps of all runs with several steps; None if no run has several."""
    lines = [
        (one, columns["step"], finite_or_nan(columns[name]), columns.get(comparison_column(name)))
        for one in runs
        if name in (columns := one.summary.series.get(split, {})) and len(columns["step"]) > 1
    ]
    if name in UNCHARTED_COLUMNS or not any(np.isfinite(values).any() for _, _, values, _ in lines):
        return None

    def draw(axes: "Axes") -> None:
        for one, steps, values, null in lines:
            color = to_hex(one.color)
            axes.plot(steps, values, color=color, linewidth=1.6, label=one.letter)
            if null is not None:
                axes.plot(steps, finite_or_nan(null), "--", color=color, linewidth=1.0)
            for key, filled in zip(PHASE_DESCRIPTIONS, ("none", color), strict=True):
                at = np.flatnonzero(steps == one.summary.results.get(key, -1))
                axes.plot(steps[at], values[at], "o", color=color, markersize=5, markerfacecolor=filled)
        title = f"{column_label(name)} [{unit}]" if unit else column_label(name)
        title += set_step_axis(axes, np.concatenate([steps for _, steps, _, _ in lines]))
        if unit == "fraction":
            axes.set_ylim(*FRACTION_LIMITS)
        elif spans_decades([ChartCurve(name, values) for _, _, values, _ in lines]):
            title += set_log_axis(axes, [values for _, _, values, _ in lines])
        set_chart_title(axes, title)
        style_axes(axes)
        add_legend_below(axes)

    return {"title": column_label(name), "svg": render_svg(draw, PANEL_SIZE_INCHES)}


def _distribution_charts(runs: Sequence[ComparedRun], split: str, units: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return charts of the distances and the confidence of all runs at their last steps, one quantity a chart."""
    tables = [(one, one.summary.samples.get(split, {})) for one in runs]
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
        {
            "title": f"distribution of {column_label(name)}",
            "svg": render_svg(_make_cdf_drawer(tables, name, units), PANEL_SIZE_INCHES),
        }
        for name in names
    ]


def _make_cdf_drawer(
    tables: Sequence[tuple[ComparedRun, Mapping[str, Any]]], name: str, units: Mapping[str, str]
) -> Any:
    present = [(one, table) for one, table in tables if name in table]

    def draw(axes: "Axes") -> None:
        for one, table in present:
            draw_cdf(axes, table, name, to_hex(one.color), one.letter)
        format_cdf_axes(axes, [table[name] for _, table in present], f"{column_label(name)} [{units.get(name, '')}]")

    return draw


def _cost_table(runs: Sequence[ComparedRun]) -> dict[str, Any]:
    """Return a table of the seconds of each stage and the passes a sample of each probe."""
    rows = []
    for stage in dict.fromkeys(stage for one in runs for stage in one.summary.seconds):
        seconds = [one.summary.seconds.get(stage) for one in runs]
        rows.append(
            (
                f"{stage}, seconds",
                [_text_cell(MISSING_TEXT) if s is None else _text_cell(f"{s:.1f}", s) for s in seconds],
            )
        )
    for probe in dict.fromkeys(probe for one in runs for probe in one.summary.passes):
        each = [passes_per_sample(one.summary.passes[probe]) if probe in one.summary.passes else None for one in runs]
        rows.append(
            (
                f"{probe}, passes a sample",
                [_text_cell(MISSING_TEXT) if e is None else _text_cell(f"{e:,.1f}", e) for e in each],
            )
        )
    return _make_table(rows)


def _text_cell(text: str, value: float | None = None) -> dict[str, str]:
    """Return a cell without a null; a number is sorted by its value, text alphabetically."""
    return {
        "value": text,
        "key": text if value is None else sorting_key(value),
        "found": "",
        "interval": "",
        "null": "",
    }


def _make_table(rows: Sequence[tuple[str, list[dict[str, str]]]], units: Sequence[str] = ()) -> dict[str, Any]:
    """Return rows of cells for the template; with `units`, one for each row, the cells are quantities."""
    units = units or [""] * len(rows)
    named = [{"name": name, "cells": cells, "unit": unit} for (name, cells), unit in zip(rows, units, strict=True)]
    return {"rows": named, "strong": any(units), "is_pooled": False}
