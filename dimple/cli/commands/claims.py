"""`dimple claims`: a verdict on every claim of the papers, written down before it is run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dimple.cli import console
from dimple.cli.flags import DeviceOption, JsonOption
from dimple.errors import RunError

if TYPE_CHECKING:
    from rich.console import Console

    from dimple.claims.catalogue import Leaf, Paper
    from dimple.claims.runner import JudgedClaims

# That of an interrupted program.
INTERRUPT_EXIT_CODE = 130
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
    result = _run(names or [], full, data or [], out, films, device, jobs)
    if as_json:
        console.print_json(result.only_asked().to_json())
    if result.is_interrupted:
        raise typer.Exit(INTERRUPT_EXIT_CODE)
    if not as_json:
        _print_table(result.only_asked())
        for name in ("index.html", "claims.json", "claims.csv"):
            typer.echo(out / name)


def _run(
    names: list[str], full: bool, data: list[str], out: Path, films: bool, device: str, jobs: int | None
) -> "JudgedClaims":
    import loky
    import torch

    from dimple.claims.films import simulate_scenes
    from dimple.claims.page import write_claims_page
    from dimple.claims.runner import run_claims
    from dimple.tensors import resolve_device
    from dimple.workers import Workers

    torch.set_num_threads(1)
    with Workers(min(8, loky.cpu_count()) if jobs is None else jobs, 1) as workers:
        result = run_claims(
            names,
            mode="full" if full else "quick",
            out=out,
            data=data,
            device=resolve_device(device),
            workers=workers,
        )
        write_claims_page(result, out, simulate_scenes(result, out, workers) if films else {})
    return result


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
