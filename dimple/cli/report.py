"""`dimple report`: the page of a finished run, written again."""

from pathlib import Path
from typing import Annotated

import typer

from dimple.cli import console


def report(
    run: Annotated[Path, typer.Argument(help="A run folder, of dimple simulate or dimple probe.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The HTML file; report.html in the run folder without it.")
    ] = None,
) -> None:
    """Write a run's report again: one page, to read or to print, that needs no other file."""
    from dimple import experiment

    typer.echo(str(experiment.report(run, out, console.progress)))
