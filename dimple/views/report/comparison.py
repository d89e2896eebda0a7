"""Comparison of several runs on one page: differing settings, and every quantity side by side with its null."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np

from dimple.columns import describe_column
from dimple.stats.aggregate import comparison_column
from dimple.stats.cautions import cautions
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
from dimple.views.report.html import passes_per_sample, write_page
from dimple.views.report.paired import PairedSplit, merge_units, pair_runs, paired_content
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


@final
@dataclasses.dataclass(frozen=True)
class PooledSeeds:
    """A statistic over runs that differ in their seeds only.

    Attributes:
        mean, standard_deviation: over the seeds.
        low, high: the ends of the 95 % interval of the mean.
        count: the number of seeds.
    """

    mean: float
    standard_deviation: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{format_number(self.mean)} ± {format_number(self.standard_deviation)}"


@final
@dataclasses.dataclass(frozen=True)
class Comparison:
    """Several runs, and what is compared between them, for the page, the terminal and scripts alike.

    Attributes:
        runs: at most `MAX_RUNS`, in the order of their columns.
    """

    runs: tuple[ComparedRun, ...]

    @classmethod
    def of(cls, runs: Sequence[tuple[RunSummary, str]]) -> Self:
        """Return the comparison of runs, each with the command that makes it again.

        Where the inputs have several ranges, a distance has that of its run in its unit: 2 in [-1, 1] is 1 in [0, 1].
        """
        has_ranges = len({run.bounds for run, _ in runs if run.bounds}) > 1
        return cls(
            tuple(
                ComparedRun(chr(ord("A") + place), LINE_COLORS[place], _name_range(run) if has_ranges else run, command)
                for place, (run, command) in enumerate(runs)
            )
        )

    @property
    def summaries(self) -> list[RunSummary]:
        """The runs without their letters."""
        return [one.summary for one in self.runs]

    @property
    def letters(self) -> list[str]:
        """The letters of the runs."""
        return [one.letter for one in self.runs]

    @property
    def splits(self) -> list[str]:
        """The splits that any of the runs has, in their order."""
        return list(dict.fromkeys(split for run in self.summaries for split in run.statistics))

    @functools.cached_property
    def differences(self) -> dict[str, list[str]]:
        """The settings, versions and devices that differ, with one value a run."""
        settings = [{**run.settings, **run.environment} for run in self.summaries]
        names = dict.fromkeys(name for one in settings for name in one)
        differing = [name for name in names if len({one.get(name) for one in settings}) > 1]
        # The sum of a file that only one run has says no more than the setting that names the file.
        redundant = {name for name in names if name.startswith("checksums.") and any(name not in s for s in settings)}
        return {name: [s.get(name, MISSING_TEXT) for s in settings] for name in differing if name not in redundant}

    @functools.cached_property
    def merged_units(self) -> tuple[dict[str, str], set[str]]:
        """The unit of each quantity, and the quantities whose units differ, see `merge_units`."""
        return merge_units(self.summaries, self.letters)

    @functools.cached_property
    def pairs(self) -> dict[str, PairedSplit]:
        """The comparison at the same samples, by split."""
        return {split: pair_runs(self.summaries, self.letters, split) for split in self.splits}

    def rows(self, split: str) -> list[Mapping[str, Any]]:
        """Return the last statistics of each run; no entries for a run without the split."""
        return [run.statistics.get(split, {}) for run in self.summaries]

    def cautions(self, split: str) -> dict[str, list[str]]:
        """Return the sentences about the statistics of a split that each run had by itself, by letter."""
        return dict(zip(self.letters, map(cautions, self.rows(split)), strict=True))

    @property
    def is_pooled(self) -> bool:
        """True where the runs differ in their seeds, and in nothing else."""
        return bool(self.differences) and all(name.rpartition(".")[2] == "seed" for name in self.differences)

    def pool(self, split: str, name: str) -> PooledSeeds | None:
        """Return a statistic over the seeds; None where more differs, or it is exact, missing or not finite."""
        values = [row[name] for row in self.rows(split) if row.get(name) is not None]
        is_defined = len(values) == len(self.runs) and bool(np.isfinite(values).all())
        if not self.is_pooled or not is_defined or describe_column(name).is_exact:
            return None
        is_share = self.merged_units[0].get(name) in ("fraction", "probability")
        interval = mean_interval(values, (0.0, 1.0) if is_share else (-np.inf, np.inf))
        return PooledSeeds(float(np.mean(values)), float(np.std(values, ddof=1)), *interval, len(values))


def _name_range(run: RunSummary) -> RunSummary:
    """Return a summary whose units of distances name the range of the inputs."""
    within = f"inputs in {run.bounds}: " if run.bounds else ""
    units = {name: f"{within}{unit}" if "input unit" in unit else unit for name, unit in run.units.items()}
    return dataclasses.replace(run, units=units)


def write_comparison(comparison: Comparison, path: Path | str) -> Path:
    """Write one HTML file that compares several runs and needs no other file and no network.

    Args:
        comparison: the runs.
        path: the file.

    Raises:
        RunError: if the page cannot be written.
    """
    shown = comparison.runs
    names = list(dict.fromkeys(one.summary.folder for one in shown))
    differences = [(name, list(map(_text_cell, values))) for name, values in comparison.differences.items()]
    values = {
        "title": " and ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} others",
        "lead": f"{len(shown)} runs side by side",
        "runs": [_run_header(one) for one in shown],
        "differences": _make_table(differences),
        "same_versions": all(one.summary.environment == shown[0].summary.environment for one in shown),
        "outcomes": _outcome_table(shown),
        "is_pooled": comparison.is_pooled,
        "stills": [
            still | {"caption": f"{one.letter}, {still['caption']}"} for one in shown for still in one.summary.stills
        ],
        "splits": [_split_content(comparison, split) for split in comparison.splits],
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


def _pooled_cell(pooled: PooledSeeds | None) -> dict[str, str]:
    """Return the cell of a statistic over all seeds: mean, standard deviation, and the interval of the mean."""
    if pooled is None:
        return _text_cell(MISSING_TEXT)
    interval = f"{format_number(pooled.low)} to {format_number(pooled.high)}"
    return _text_cell(str(pooled), pooled.mean) | {"interval": interval, "samples": str(pooled.count)}


def _outcome_table(runs: Sequence[ComparedRun]) -> dict[str, Any]:
    """Return a table of the verdicts, the dates of the phases and the length of each run."""
    rows = [("run", [_text_cell(one.summary.subtitle) for one in runs])]
    if any("verdict" in one.summary.results for one in runs):
        verdicts = [str(one.summary.results.get("verdict", MISSING_TEXT)) for one in runs]
        rows.append(("cling, then dimple", [_text_cell(verdict) for verdict in verdicts]))
    steps = [one.summary.last_step for one in runs]
    if any(step > 0 for step in steps):
        rows.append(("step of the final numbers", [_text_cell(f"{step:,}", step) for step in steps]))
    phases = dict.fromkeys(phase for one in runs for phase in one.summary.phases)
    rows += [(phase, [_text_cell(one.summary.phases.get(phase, MISSING_TEXT)) for one in runs]) for phase in phases]
    return _make_table(rows)


def _split_content(comparison: Comparison, split: str) -> dict[str, Any]:
    """Return the aggregates, the pairs, the curves and the distributions of one split; no axis has two units."""
    last = comparison.rows(split)
    columns = list(dict.fromkeys(name for row in last for name in shown_columns(row)))
    units, differing = comparison.merged_units
    rows = [
        (
            column_label(name),
            [statistic_cell(row, name) if name in row else _text_cell(MISSING_TEXT) for row in last]
            + ([_pooled_cell(comparison.pool(split, name))] if comparison.is_pooled else []),
        )
        for name in columns
    ]
    runs = comparison.runs
    return {
        "name": split,
        "rows": _make_table(rows, [units.get(name, "") for name in columns]),
        "cautions": [
            f"{letter}: {sentence}" for letter, found in comparison.cautions(split).items() for sentence in found
        ],
        "paired": paired_content(comparison.pairs[split], comparison.letters, units),
        "charts": [
            chart
            for name in columns
            if name not in differing and (chart := _curve_chart(runs, split, name, units.get(name, "")))
        ],
        "distributions": _distribution_charts(
            runs, split, {name: unit for name, unit in units.items() if name not in differing}
        ),
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
        "verdict": "",
    }


def _make_table(rows: Sequence[tuple[str, list[dict[str, str]]]], units: Sequence[str] = ()) -> dict[str, Any]:
    """Return rows of cells for the template; with `units`, one for each row, the cells are quantities."""
    units = units or [""] * len(rows)
    named = [{"name": name, "cells": cells, "unit": unit} for (name, cells), unit in zip(rows, units, strict=True)]
    return {"rows": named, "strong": any(units)}
