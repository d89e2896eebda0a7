"""`dimple explain`: the meaning of a quantity, or of every number of a run."""

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimple.columns import COLUMNS, ColumnMeaning, describe_column
from dimple.columns.samples import LARGEST_CLASS
from dimple.columns.terms import TERMS
from dimple.errors import UsageError
from dimple.settings import suggest_word

if TYPE_CHECKING:
    from dimple.runs import RunFolder

INDENT = "    "
# Of a line of text, since longer lines are hard to read.
MAX_WIDTH = 96
# Labels of comparisons in tables, in the words of a sentence.
COMPARISONS = {LARGEST_CLASS: "always guessing the most frequent class"}


def explain(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[QUANTITY | WORD | RUN]...",
            help="Quantities such as margin_on_ratio, words such as isotropic, and runs.",
        ),
    ] = None,
) -> None:
    """Say what quantities, words of tables and runs mean.

    Of a run it explains every number. Without an argument it lists all quantities and words.
    """
    for name in names or [*COLUMNS, *TERMS]:
        if name in (names or ()) and Path(name).exists():
            _explain_run(Path(name))
        else:
            _explain_quantity(name)


def _explain_quantity(name: str) -> None:
    entry = describe_column(name)
    if entry.meaning:
        _print(name, entry, "")
    elif name.lower() in TERMS:
        typer.echo(name)
        _print_paragraph(TERMS[name.lower()])
    else:
        hint = suggest_word(name, [*COLUMNS, *TERMS], "dimple explain lists all")
        raise UsageError(f"{name!r} is neither a quantity, a word of the tables, nor a run; {hint}")


def _explain_run(path: Path) -> None:
    from dimple.runs import RunFolder
    from dimple.stats.aggregate import is_comparison_column
    from dimple.stats.cautions import cautions_of_run

    run = RunFolder.open(path)
    summary: dict[str, Any] = run.info.get("summary", {})
    if "verdict" in summary:
        typer.echo(f"verdict: {summary['verdict']}: {summary['verdict_reason']}\n")
    # A file has null for a number that is not defined.
    last = summary["final"] if "final" in summary else summary.get("rows", [{}])[-1]
    row = {name: math.nan if value is None else value for name, value in last.items()}
    if len({one["step"] for one in summary.get("rows", [])}) == 1:
        # A network that is not one of a series is at no step.
        row.pop("step", None)
    # The verdicts on a simulation and on a slice stand beside their statistics.
    known = summary | summary.get("verdicts", {}) | row
    units = _units(run)
    for name, value in row.items():
        entry = describe_column(name)
        if entry.comparison not in row:
            entry = dataclasses.replace(entry, comparison="")
        if entry.meaning and isinstance(value, int | float) and not is_comparison_column(name, row):
            _print(name, entry, _format(known, name, units.get(name, "")))
    for sentence in cautions_of_run(summary.get("rows", [])):
        typer.echo(f"\n{sentence}")


def _units(run: "RunFolder") -> dict[str, str]:
    names = [name for name in ("metrics", "measurements") if (run.path / f"{name}.parquet").exists()]
    return {column: unit for name in names for column, unit in run.units(name).items()}


def _format(row: dict[str, Any], name: str, unit: str) -> str:
    """Return a quantity with its unit, interval, number, comparison and verdict."""
    from dimple.views.report.tables import statistic_cell

    cell = statistic_cell(row, name)
    parts = [cell["null"]]
    if f"{name}_low" in row:
        parts = [f"95 % interval {cell['interval']} of {cell['samples']} samples", cell["null"]]
    if cell["verdict"]:
        parts.append(f"verdict: {cell['verdict']}")
    return " = " + ", ".join(
        filter(None, [cell["value"] + (f" [{unit}]" if unit not in ("", "number") else ""), *parts])
    )


def _print(name: str, entry: ColumnMeaning, value: str) -> None:
    _print_paragraph(f"{name}{value}: {entry.label}" + ("" if value else f" [{entry.unit}]"), "")
    what = COMPARISONS.get(entry.comparison_label, entry.comparison_label)
    text = entry.text + (f" Compared with {what} ({entry.comparison})." if entry.comparison else "")
    _print_paragraph(text + (f" Source: {entry.source}." if entry.source else ""))


def _print_paragraph(text: str, first_indent: str = INDENT) -> None:
    import shutil
    import textwrap

    width = min(MAX_WIDTH, shutil.get_terminal_size().columns)
    filled = textwrap.fill(text, width, initial_indent=first_indent, subsequent_indent=INDENT, break_on_hyphens=False)
    typer.echo(filled)
