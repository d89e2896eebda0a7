"""The content of a comparison of runs, as data for scripts and as tables for the terminal."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dimple.views.report.cautions import cautions_of_splits
from dimple.views.report.comparison import (
    ComparedRun,
    differ_by_seed,
    difference_table,
    format_pooled,
    joined_units,
    pool_seeds,
)
from dimple.views.report.paired import PairedSplit, pair_runs
from dimple.views.report.tables import shown_columns, statistic_cell
from dimple.views.report.text_table import break_name, choose_rows

if TYPE_CHECKING:
    from rich.table import Table


def splits_of(runs: Sequence[ComparedRun]) -> list[str]:
    """Return the splits that any of the runs has, in their order."""
    return list(dict.fromkeys(split for one in runs for split in one.summary.statistics))


def pair_split(runs: Sequence[ComparedRun], split: str) -> PairedSplit:
    """Compare the runs sample by sample, see `pair_runs`."""
    return pair_runs([one.summary for one in runs], [one.letter for one in runs], split)


def comparison_facts(runs: Sequence[ComparedRun]) -> dict[str, Any]:
    """Return runs, differences, statistics and paired comparisons as numbers and strings.

    `runs` has the letter, folder, name, seed, verdict and cautions of each; `differences` the settings that differ,
    with one value a run. Each of `splits` has `statistics`, with one value a run, and `mean` and `standard_deviation`
    where the runs differ in seeds only; and `paired`, the comparison at the same samples, or the reason why there is
    none.
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
                "cautions": cautions_of_splits(one.summary.statistics),
            }
            for one in runs
        ],
        "differences": _differences(runs),
        "splits": [_split_facts(runs, split) for split in splits_of(runs)],
    }


def _differences(runs: Sequence[ComparedRun]) -> dict[str, list[str]]:
    return {row["name"]: [cell["value"] for cell in row["cells"]] for row in difference_table(runs)["rows"]}


def _split_facts(runs: Sequence[ComparedRun], split: str) -> dict[str, Any]:
    rows = [one.summary.statistics.get(split, {}) for one in runs]
    names = dict.fromkeys(name for row in rows for name in shown_columns(row))
    is_pooled = differ_by_seed(runs)
    statistics: dict[str, dict[str, Any]] = {}
    for name in names:
        values = [row.get(name) for row in rows]
        statistics[name] = {"unit": joined_units(runs, name), "values": values}
        if is_pooled and None not in values:
            mean, deviation = pool_seeds([float(value) for value in values if value is not None])
            statistics[name] |= {"mean": mean, "standard_deviation": deviation}
    found = pair_split(runs, split)
    paired: dict[str, Any] = {"reason": found.reason, "count": found.count, "total": found.total}
    paired["rows"] = [
        {"quantity": row.column, "run": row.letter, **dataclasses.asdict(row.difference), "verdict": row.verdict}
        for row in found.rows
    ]
    return {"split": split, "statistics": statistics, "paired": paired}


def build_statistics_table(runs: Sequence[ComparedRun], split: str, count: int) -> "Table":
    """Return a table of at most `count` statistics: one column a run, and one of all seeds where only they differ."""
    from rich.markup import escape
    from rich.table import Column, Table

    rows = [one.summary.statistics.get(split, {}) for one in runs]
    names = [name for name in choose_rows(rows[0], count)[0] if name in shown_columns(rows[0])]
    is_pooled = differ_by_seed(runs)
    heads = [*(one.letter for one in runs), *(["all seeds"] if is_pooled else [])]
    table = Table(
        Column(f"{split} samples" if split else "statistic"),
        *[Column(head, justify="right") for head in heads],
        box=None,
        pad_edge=False,
    )
    for name in names:
        cells = [statistic_cell(row, name)["value"] if name in row else "–" for row in rows]
        if is_pooled and all(name in row for row in rows):
            cells.append(format_pooled(*pool_seeds([row[name] for row in rows])))
        unit = joined_units(runs, name)
        table.add_row(escape(f"{name} [{unit}]" if " | " in unit else name), *cells)
    return table


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
        verdict = row.verdict.replace(" is ", " ").replace("no difference", "none")
        table.add_row(break_name(row.column), *([row.letter] if has_letters else []), *numbers, verdict)
    return table
