"""`dimple compare`: one page about several runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dimple.cli import console
from dimple.cli.flags import JsonOption, require_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from dimple.views.report.comparison import ComparedRun
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


def _print_comparison(runs: "Sequence[ComparedRun]") -> None:
    from rich.console import Console

    from dimple.views.report.comparison import run_cautions
    from dimple.views.report.comparison_facts import build_statistics_table, comparison_facts, pair_split, splits_of

    out = Console(highlight=False)
    facts = comparison_facts(runs)
    for run in facts["runs"]:
        verdict = f": {run['verdict']}" if run["verdict"] else ""
        out.print(f"{run['letter']}  {run['folder']}, {run['name']}, seed {run['seed']}{verdict}", markup=False)
    differences = list(facts["differences"].items())
    for name, values in differences[:MAX_DIFFERENCES]:
        out.print(f"differs  {name}: {' | '.join(values)}", markup=False)
    if len(differences) > MAX_DIFFERENCES:
        out.print(f"differs  {len(differences) - MAX_DIFFERENCES} more settings: see the page, or --json")
    for split in splits_of(runs):
        out.print()
        out.print(build_statistics_table(runs, split, MAX_STATISTICS))
        for letter, sentences in run_cautions(runs, split).items():
            for sentence in sentences:
                out.print(f"{letter}: {sentence}", markup=False)
        _print_pairs(out, pair_split(runs, split), runs[0].letter)


def _print_pairs(out: "Console", found: "PairedSplit", first: str) -> None:
    from dimple.views.report.comparison_facts import build_paired_table
    from dimple.views.report.paired import ONE_TRAINING

    if found.reason:
        out.print(found.reason, markup=False)
        return
    out.print(
        f"\nthe same samples: {found.count} of {found.total} are right under all runs; median difference to {first}; "
        f"larger: the share of samples where the other run is larger; p: exact sign test; the verdicts of the "
        f"{len(found.rows)} tests together hold with 95 %",
        markup=False,
    )
    if found.rows:
        out.print(build_paired_table(found))
        out.print(ONE_TRAINING, markup=False)
    if found.left_out_note:
        out.print(found.left_out_note, markup=False)
