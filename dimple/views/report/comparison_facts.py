"""The content of a comparison of runs, as data for scripts and as tables for the terminal."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dimple.stats.aggregate import verdict
from dimple.views.content.labels import NO_ENTRY
from dimple.views.report.comparison import Comparison
from dimple.views.report.paired import ONE_TRAINING, PairedSplit
from dimple.views.report.tables import shown_columns, statistic_cell
from dimple.views.report.text_table import break_name, choose_rows, star_verdict

if TYPE_CHECKING:
    from rich.table import Table


def comparison_facts(comparison: Comparison) -> dict[str, Any]:
    """Return runs, differences, statistics and paired comparisons as numbers and strings.

    `runs` has the letter, folder, name, seed and verdict of each; `differences` the settings that differ, with one
    value a run. Each of `splits` has `statistics`, with one value and one verdict a run, and over seeds where nothing
    else differs; `cautions`, sentences about the statistics of each run by its letter; and `paired`, the comparison at
    the same samples with what it says, or the reason why there is none.
    """
    return {
        "runs": [
            {
                "letter": one.letter,
                "folder": one.summary.folder,
                "name": one.summary.name,
                "seed": one.summary.seed,
                "verdict": one.summary.results.get("verdict"),
                "verdict_reason": one.summary.results.get("verdict_reason"),
            }
            for one in comparison.runs
        ],
        "differences": comparison.differences,
        "splits": [_split_facts(comparison, split) for split in comparison.splits],
    }


def _split_facts(comparison: Comparison, split: str) -> dict[str, Any]:
    rows = comparison.rows(split)
    units, _ = comparison.merged_units
    statistics: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(name for row in rows for name in shown_columns(row)):
        statistics[name] = {
            "unit": units.get(name, ""),
            "values": [row.get(name) for row in rows],
            "verdicts": [verdict(row, name) or None if name in row else None for row in rows],
        }
        pooled = comparison.pool(split, name)
        if pooled is not None:
            statistics[name]["seeds"] = dataclasses.asdict(pooled)
    found = comparison.pairs[split]
    paired = {
        "reason": found.reason,
        "count": found.count,
        "total": found.total,
        "note": "" if found.reason else ONE_TRAINING,
        "rows": [
            {"quantity": row.column, "run": row.letter, **dataclasses.asdict(row.difference), "verdict": row.verdict}
            for row in found.rows
        ],
    }
    return {"split": split, "statistics": statistics, "cautions": comparison.cautions(split), "paired": paired}


def build_statistics_table(comparison: Comparison, split: str, count: int) -> "Table":
    """Return a table of at most `count` statistics: one column a run, and one of all seeds where only they differ."""
    from rich.markup import escape
    from rich.table import Column, Table

    rows = comparison.rows(split)
    names = [name for name in choose_rows(rows[0], count)[0] if name in shown_columns(rows[0])]
    units, differing = comparison.merged_units
    heads = [*comparison.letters, *(["all seeds"] if comparison.is_pooled else [])]
    table = Table(
        Column(f"{split} samples" if split else "statistic"),
        *[Column(head, justify="right") for head in heads],
        box=None,
        pad_edge=False,
    )
    for name in names:
        cells = [_statistic_text(row, name) if name in row else NO_ENTRY for row in rows]
        if comparison.is_pooled:
            cells.append(str(comparison.pool(split, name) or NO_ENTRY))
        table.add_row(escape(f"{name} [{units[name]}]" if name in differing else name), *cells)
    return table


def _statistic_text(row: Mapping[str, Any], name: str) -> str:
    """Return the value of a statistic with its verdict below."""
    return "\n".join(filter(None, (statistic_cell(row, name)["value"], star_verdict(row, name))))


def build_paired_table(found: PairedSplit) -> "Table":
    """Return the table of a paired comparison; the other run has a column where there are several."""
    from rich.table import Column, Table

    has_letters = len(found.tables) > 2
    heads = ("difference", "95 % interval", "larger", "p")
    columns = [Column(head, justify="right", no_wrap=True) for head in heads]
    letters = [Column("run")] if has_letters else []
    table = Table(
        Column("quantity", no_wrap=True),
        *letters,
        *columns,
        Column("verdict", no_wrap=True),
        box=None,
        padding=(0, 1, 0, 0),
    )
    for row in found.rows:
        numbers = [row.texts[name] for name in ("median", "interval", "above", "p")]
        words = row.verdict.replace(" is ", " ").replace("no difference", "none")
        table.add_row(break_name(row.column), *([row.letter] if has_letters else []), *numbers, words)
    return table
