"""`dimple claims`: a verdict on every claim of the papers, written down before it is run."""

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimple.cli import console
from dimple.cli.flags import DeviceOption, JsonOption, parse_shard
from dimple.errors import IncompleteError, RunError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from dimple.claims.catalogue import Leaf, Paper
    from dimple.claims.runner import JudgedClaims

# That of an interrupted program.
INTERRUPT_EXIT_CODE = 130
# The largest number of shards whose errors are printed.
MAX_SENTENCES = 10
DEFAULT_OUT = Path("runs") / "claims"


def claims(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PAPER | CLAIM]...", help="Papers and claims, such as shamir2021 or shamir2021.cling."),
    ] = None,
    list_only: Annotated[bool, typer.Option("--list", help="Print the claims, and run nothing.")] = False,
    show: Annotated[
        str | None,
        typer.Option(
            metavar="CLAIM", help="Print all that is written down about a claim, and run nothing.  [default: none]"
        ),
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Recompute the verdicts of a claims.json from its rows; exits 5 if they differ.  [default: none]",
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full/--quick", help="All claims, hours with MNIST and CIFAR-10; or those of minutes.")
    ] = False,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:PATH", help="Data set, such as mnist:DIR; repeatable.  [default: as for scenes]"),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder of results.")] = DEFAULT_OUT,
    films: Annotated[
        bool, typer.Option("--films", help="Simulate each scene behind a claim too, with its film.")
    ] = False,
    device: DeviceOption = "auto",
    jobs: Annotated[
        int | None,
        typer.Option(
            envvar="DIMPLE_JOBS", metavar="NUMBER", help="Processes.  [default: one for each core, at most 8]"
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Part of the work to run, from 0/N to N-1/N, for dimple gather; all parts have the same --out.  "
            "[default: none, all of it]",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Judge the claims of the papers against nulls and controls.

    Each claim has its statement, threshold and controls written down before it is run. Results are stored one
    replica after another; the same command continues an interrupted run.
    """
    if list_only or show is not None:
        _print_catalogue([*(names or []), *([] if show is None else [show])], show is not None, as_json)
        return
    if verify is not None:
        _check_file(verify, as_json)
        return
    part = None if shard is None else parse_shard(shard, out, False)
    if part is not None and films:
        raise UsageError("--films simulates the scenes of judged claims; leave it out with --shard")
    import loky
    import torch

    from dimple.claims.films import simulate_scenes
    from dimple.claims.runner import run_claims
    from dimple.tensors import resolve_device
    from dimple.workers import Workers

    torch.set_num_threads(1)
    # A seed that kills its process must not kill this one.
    with Workers(min(8, loky.cpu_count()) if jobs is None else jobs, 1, isolated=True) as workers:
        settings: dict[str, Any] = {
            "mode": "full" if full else "quick",
            "out": out,
            "data": data or [],
            "device": resolve_device(device),
            "workers": workers,
        }
        if part is not None:
            _run_part(names or [], part, settings, as_json)
            return
        result = run_claims(names or [], **settings)
        print_claims(result, out, as_json, simulate_scenes(result, out, workers) if films else {})


def _run_part(names: list[str], part: tuple[int, int], settings: dict[str, Any], as_json: bool) -> None:
    from dimple.claims import shards

    out = settings["out"]
    outcome = shards.run_part(names, *part, **settings)
    if as_json:
        console.print_json(dataclasses.asdict(shards.status(out)))
    if outcome.is_interrupted:
        raise typer.Exit(INTERRUPT_EXIT_CODE)
    name = "/".join(map(str, part))
    if outcome.errors:
        shown = [f"{shard}: {error}" for shard, error in list(outcome.errors.items())[:MAX_SENTENCES]]
        count = len(outcome.errors)
        raise IncompleteError(
            *shown, f"{out}: {count} shards of part {name} failed; the others are stored, and the same command tries "
            "these again"
        )  # fmt: skip
    console.print_note(f"dimple: part {name} is run; {shlex.join(['dimple', 'gather', str(out)])} judges all parts")


def print_claims(result: "JudgedClaims", out: Path, as_json: bool, films: Mapping[str, str]) -> None:
    """Write the page of claims, and print their verdicts.

    Raises:
        IncompleteError: if some killed their processes.
    """
    from dimple.claims.page import write_claims_page
    from dimple.runs.shards import list_shards

    write_claims_page(result, out, films)
    if as_json:
        console.print_json(result.only_asked().to_json())
    if result.is_interrupted:
        raise typer.Exit(INTERRUPT_EXIT_CODE)
    if not as_json:
        _print_table(result.only_asked())
        for name in ("index.html", "claims.json", "claims.csv"):
            typer.echo(out / name)
    if result.poison:
        raise IncompleteError(
            f"{out}: {len(result.poison)} shards killed their process twice, most likely for lack of memory: "
            f"{list_shards(result.poison)}; the others are stored, and the same command tries these again: use fewer "
            "jobs="
        )


def _check_file(file: Path, as_json: bool) -> None:
    from dimple.claims.recompute import find_differences

    differences = find_differences(file)
    if as_json:
        console.print_json({"file": str(file), "differences": differences})
    if differences:
        raise RunError(*(f"{file}: {sentence}" for sentence in differences))
    if not as_json:
        typer.echo(f"{file}: every verdict follows from the stored rows, by the thresholds of this version")


def _print_catalogue(names: list[str], whole: bool, as_json: bool) -> None:
    """Print what is written down about claims: one line of JSON each, the whole text, or the statement."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from dimple.claims.catalogue import choose_leaves, leaf_to_json

    out = Console(highlight=False)
    shown = None
    for paper, leaf in choose_leaves(tuple(names)):
        if as_json:
            console.print_json(leaf_to_json(paper, leaf))
        elif whole:
            _print_leaf(out, paper, leaf)
        else:
            if paper is not shown:
                out.print(f"\n{paper.authors}: {paper.title}", style="bold", markup=False)
                shown = paper
            marks = ", ".join([*(["primary"] if leaf.primary else []), "quick" if leaf.quick else "full"])
            out.print(f"  {paper.id}.{leaf.id} ({marks})", markup=False)
            out.print(Padding(Text(leaf.statement, style="dim"), (0, 0, 0, 4)))


def _print_leaf(out: "Console", paper: "Paper", leaf: "Leaf") -> None:
    from rich.markup import escape
    from rich.table import Column, Table

    from dimple.claims.catalogue import describe_leaf

    out.print(f"{paper.id}.{leaf.id}", style="bold", markup=False)
    table = Table(Column(style="dim", no_wrap=True), Column(), box=None, show_header=False, pad_edge=False)
    for name, text in describe_leaf(paper, leaf):
        table.add_row(escape(name), escape(text))
    out.print(table)


def _print_table(result: "JudgedClaims") -> None:
    from rich.console import Console
    from rich.padding import Padding

    from dimple.claims.tables import count_verdicts, describe_claims

    out = Console(highlight=False)
    for indent, line in describe_claims(result, out.width):
        out.print(Padding(line, (0, 0, 0, indent)))
    out.print(f"\n{count_verdicts(result)}", style="bold", markup=False)
