"""The paired part of a comparison: the same samples under each run, right under all of them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from dimple.stats.aggregate import changed_columns
from dimple.stats.intervals import holm_levels
from dimple.stats.null_bands import UNSETTLED
from dimple.stats.paired import PairedDifference, compare_pairs
from dimple.views.charts.distributions import is_distance
from dimple.views.charts.matplotlib_svg import render_svg, set_chart_title, set_log_axis, style_axes
from dimple.views.content.labels import column_label, format_number
from dimple.views.report.run_summary import RunSummary
from dimple.views.style.colors import FOREGROUND_COLOR, MUTED_COLOR, to_hex

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Columns = Mapping[str, NDArray[Any]]
LEVEL = 0.05
SCATTER_SIZE_INCHES = (3.2, 3.0)
# What a verdict on the same samples does not say.
ONE_TRAINING = (
    "These are differences between these networks: one training of each does not tell two methods apart, since another "
    "seed may differ by as much"
)
# Fewer pairs decide nothing: the exact test of five cannot fall below .05.
MIN_PAIRS = 6
# The settings of a simulation that decide its samples.
SAMPLE_SETTINGS = ("data", "manifold", "seed")


@final
@dataclasses.dataclass(frozen=True)
class PairedRow:
    """One quantity at the same samples under the first run and another.

    Attributes:
        column: the quantity.
        letter: of the other run.
        difference: its values minus those of the first run.
        level: the level of its test, by Holm over all tests of the split.
        is_unsettled: whether more search changes it under one of the two.
    """

    column: str
    letter: str
    difference: PairedDifference
    level: float
    is_unsettled: bool = False

    @property
    def verdict(self) -> str:
        """Which run has the larger values, in words."""
        if self.is_unsettled:
            return UNSETTLED
        if self.difference.p_value > self.level:
            return "no difference shown"
        return f"{self.letter} is {'larger' if self.difference.above > 0.5 else 'smaller'}"

    @property
    def texts(self) -> dict[str, str]:
        """The numbers as words of a table: median, interval, above and p."""
        found = self.difference
        return {
            "median": format_number(found.median),
            "interval": f"{format_number(found.low)} to {format_number(found.high)}",
            "above": f"{found.above:.0%}",
            "p": "< 0.0001" if found.p_value < 1e-4 else f"{found.p_value:.2g}",
        }


@final
@dataclasses.dataclass(frozen=True)
class PairedSplit:
    """The paired comparison of the first run with each other one, at the samples of a split.

    Attributes:
        reason: a sentence where nothing can be paired; else empty.
        count, total: the number of samples that are right under all runs, and of those that are in all.
        rows: a row for each quantity and other run.
        tables: the columns of each run at the samples that are right under all, in the same order.
        left_out: the distances that have different units, such as two norms.
    """

    reason: str
    count: int = 0
    total: int = 0
    rows: tuple[PairedRow, ...] = ()
    tables: tuple[Columns, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def left_out_note(self) -> str:
        """A sentence about what is left out; empty where all distances are compared."""
        names = ", ".join(map(column_label, self.left_out))
        return f"Not compared, because the runs have it in different units: {names}." if names else ""


def pair_runs(runs: Sequence[RunSummary], letters: Sequence[str], split: str) -> PairedSplit:
    """Compare the first run with each other one, sample by sample, where all are right.

    Args:
        runs: the runs, the first of which is compared with.
        letters: the letter of each.
        split: the split.
    """
    tables = [run.samples.get(split, {}) for run in runs]
    if not all("index" in table and len(table["index"]) for table in tables):
        return PairedSplit("The samples of this split are not in all runs, so nothing is paired.")
    if len({sample_identity(run, split) for run in runs}) > 1:
        return PairedSplit("The runs have different samples, so nothing is paired.")
    rows = _common_rows(tables)
    if len(rows[0]) == 0:
        return PairedSplit("The runs have no sample in common, so nothing is paired.")
    right = [
        np.asarray(table.get("correct", table["prediction"] == table["label"]))[row]
        for table, row in zip(tables, rows, strict=True)
    ]
    chosen = np.logical_and.reduce(right)
    if chosen.sum() < MIN_PAIRS:
        return PairedSplit(
            f"Only {int(chosen.sum())} samples are right under all runs; {MIN_PAIRS} can decide something."
        )
    paired = tuple(
        {name: values[row][chosen] for name, values in table.items()} for table, row in zip(tables, rows, strict=True)
    )
    differing = merge_units(runs, letters)[1]
    columns = _compared_columns(paired, runs[0].units)
    found = [
        (name, letter, compare_pairs(paired[0][name], other[name]))
        for name in columns
        if name not in differing
        for letter, other in zip(letters[1:], paired[1:], strict=True)
    ]
    levels = holm_levels([one.p_value for _, _, one in found], LEVEL)
    unsettled = {
        letter: changed_columns(run.statistics.get(split, {})) for letter, run in zip(letters, runs, strict=True)
    }
    compared = tuple(
        PairedRow(name, letter, one, level, name in unsettled[letters[0]] | unsettled[letter])
        for (name, letter, one), level in zip(found, levels, strict=True)
    )
    left_out = tuple(name for name in columns if name in differing)
    return PairedSplit("", int(chosen.sum()), len(chosen), compared, paired, left_out)


def paired_content(found: PairedSplit, letters: Sequence[str], units: Mapping[str, str]) -> dict[str, Any]:
    """Return the paired comparison for the template: the rows of its table, and a scatter of the first distance."""
    if found.reason:
        return {"reason": found.reason}
    first = found.rows[0].column if found.rows else ""
    return {
        "reason": "",
        "count": found.count,
        "total": found.total,
        "tests": len(found.rows),
        "first": letters[0],
        "note": ONE_TRAINING,
        "rows": [
            {
                "name": column_label(row.column),
                "unit": units.get(row.column, ""),
                "letter": row.letter,
                "verdict": row.verdict,
                **row.texts,
            }
            for row in found.rows
        ],
        "left_out": found.left_out_note,
        "charts": [
            {
                "title": f"{column_label(first)}, {letter} against {letters[0]}",
                "svg": _scatter(found.tables[0][first], other[first], letters[0], letter, first),
            }
            for letter, other in zip(letters[1:], found.tables[1:], strict=True)
        ]
        if first
        else [],
    }


def merge_units(runs: Sequence[RunSummary], letters: Sequence[str]) -> tuple[dict[str, str], set[str]]:
    """Return the unit of each quantity, that of each run where they differ, and the quantities whose units differ."""
    units: dict[str, str] = {}
    differing = set()
    for name in dict.fromkeys(name for run in runs for name in run.units):
        each = {letter: run.units[name] for letter, run in zip(letters, runs, strict=True) if name in run.units}
        if len(set(each.values())) > 1:
            differing.add(name)
            units[name] = "; ".join(f"{letter}: {unit}" for letter, unit in each.items())
        else:
            units[name] = next(iter(each.values()))
    return units, differing


def sample_identity(run: RunSummary, split: str) -> tuple[tuple[str, str], ...]:
    """Return what decides the samples of a split: their check sum, or the settings of a simulation that make them."""
    sums = [f"checksums.{split} images", "checksums.x"]
    found = [(name, run.settings[name]) for name in sums if name in run.settings]
    if found:
        return tuple(found)
    return tuple(
        (name, value) for name, value in sorted(run.settings.items()) if name.partition(".")[0] in SAMPLE_SETTINGS
    )


def _common_rows(tables: Sequence[Columns]) -> list[NDArray[np.int64]]:
    """Return the rows of each table with the samples that all of them have, in the same order."""
    common = set.intersection(*(set(table["index"].tolist()) for table in tables))
    ordered = sorted(common)
    places = [{index: row for row, index in enumerate(table["index"].tolist())} for table in tables]
    return [np.array([place[index] for index in ordered], dtype=np.int64) for place in places]


def _compared_columns(tables: Sequence[Columns], units: Mapping[str, str]) -> list[str]:
    """Return the distances that all tables have, and the confidence as the last one; of equal columns the first."""
    common = [name for name in tables[0] if all(name in table for table in tables)]
    columns: list[str] = []
    for name in common:
        is_new = not any(all(np.array_equal(table[name], table[other]) for table in tables) for other in columns)
        if is_distance(name, tables[0], units) and is_new:
            columns.append(name)
    return columns + [name for name in common if name == "confidence"]


def _scatter(a: NDArray[Any], b: NDArray[Any], first: str, second: str, name: str) -> Markup:
    """Return a scatter of the same samples under two runs, with the line where they are equal."""
    shown = np.isfinite(a) & np.isfinite(b)

    def draw(axes: "Axes") -> None:
        axes.plot(a[shown], b[shown], "o", markersize=3.2, color=to_hex(FOREGROUND_COLOR), alpha=0.6, markeredgewidth=0)
        ends = [float(min(a[shown].min(), b[shown].min())), float(max(a[shown].max(), b[shown].max()))]
        axes.plot(ends, ends, "--", color=to_hex(MUTED_COLOR), linewidth=1.0)
        scale = ""
        if ends[0] > 0 and ends[1] / ends[0] > 10:
            set_log_axis(axes, [b[shown]])
            scale = set_log_axis(axes, [a[shown]], horizontal=True).replace("axis", "axes")
        axes.set_xlabel(first, color=to_hex(MUTED_COLOR))
        axes.set_ylabel(second, color=to_hex(MUTED_COLOR))
        set_chart_title(axes, f"{column_label(name)}, one dot a sample{scale}")
        style_axes(axes)

    return render_svg(draw, SCATTER_SIZE_INCHES) if shown.any() else Markup("")
