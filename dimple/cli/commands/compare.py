"""`dimple compare`: one page about several runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dimple.cli import console
from dimple.cli.flags import JsonOption, require_runs

if TYPE_CHECKING:
    from rich.console import Console

    from dimple.views.report.comparison import Comparison
    from dimple.views.report.paired import PairedSplit

MAX_STATISTICS = 10
MAX_DIFFERENCES = 10


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Runs of dimple simulate or probe, as folders or packed.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="HTML file.")] = Path("comparison.html"),
    as_json: JsonOption = False,
) -> None:
    """Compare runs side by side.

    The terminal shows what differs, the first statistics, and the differences at the same samples with their intervals
    and exact tests. The page has all statistics and the distributions, and needs no other file.
    """
    require_runs(*runs)
    from dimple.experiment.outputs.report import read_comparison
    from dimple.views.report.comparison import write_comparison
    from dimple.views.report.comparison_facts import comparison_facts

    compared = read_comparison(runs)
    page = write_comparison(compared, out)
    if as_json:
        console.print_json({"page": str(page), **comparison_facts(compared)})
        return
    _print_comparison(compared)
    typer.echo(str(page))


def _print_comparison(comparison: "Comparison") -> None:
    from rich.console import Console

    from dimple.views.report.comparison_facts import build_statistics_table

    out = Console(highlight=False)
    for one in comparison.runs:
        verdict = one.summary.results.get("verdict")
        words = f"{one.letter}  {one.summary.folder}, {one.summary.name}, seed {one.summary.seed}"
        out.print(words + (f": {verdict}" if verdict else ""), markup=False)
    differences = list(comparison.differences.items())
    for name, values in differences[:MAX_DIFFERENCES]:
        out.print(f"differs  {name}: {' | '.join(values)}", markup=False)
    if len(differences) > MAX_DIFFERENCES:
        out.print(f"differs  {len(differences) - MAX_DIFFERENCES} more settings: see the page, or --json")
    for split in comparison.splits:
        out.print()
        out.print(build_statistics_table(comparison, split, MAX_STATISTICS))
        if comparison.is_pooled:
            out.print("all seeds: mean ± standard deviation; the page and --json have the interval of the mean")
        for letter, sentences in comparison.cautions(split).items():
            for sentence in sentences:
                out.print(f"{letter}: {sentence}", markup=False)
        _print_pairs(out, comparison.pairs[split], comparison.letters[0])


def _print_pairs(out: "Console", found: "PairedSplit", first: str) -> None:
    from dimple.views.report.comparison_facts import build_paired_table
    from dimple.views.report.paired import ONE_TRAINING

    if found.reason:
        out.print(found.reason, markup=False)
        return
    out.print(
        f"\nthe same samples: {found.count} of the {found.total} in all runs are right under all; difference: the "
        f"median of those to {first}; larger: the share of samples where the other run is larger; p: exact sign test; "
        "all verdicts hold together with 95 % (Holm)",
        markup=False,
    )
    if found.rows:
        out.print(build_paired_table(found))
        out.print(ONE_TRAINING, markup=False)
    if found.left_out_note:
        out.print(found.left_out_note, markup=False)
