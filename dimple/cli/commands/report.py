"""`dimple report`: the page of a finished run, written again, or one page about several."""

from pathlib import Path
from typing import Annotated

import typer

from dimple.cli import console
from dimple.errors import UsageError


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders, of dimple simulate or dimple probe.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The HTML file; report.html in the run folder without it, for one run."),
    ] = None,
) -> None:
    """Write a run's report again, or compare several runs: one page, to read or to print, that needs no other file."""
    from dimple import experiment
    from dimple.runs import Run

    if len(runs) == 1:
        path = experiment.report(runs[0], out, console.progress)
    elif out is None:
        for run in runs:
            Run.open(run)
        raise UsageError(f"{len(runs)} runs have no folder in common for their page; name a file with -o")
    else:
        path = experiment.compare(runs, out)
    typer.echo(str(path))
