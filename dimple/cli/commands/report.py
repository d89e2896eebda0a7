"""`dimple report`: the page of a finished run, written again, or one page about several runs."""

from pathlib import Path
from typing import Annotated

import typer

from dimple.errors import UsageError


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="Runs of dimple simulate, probe or slice, as folders or packed."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="HTML file.  [default for one run: report.html in its folder]"
        ),
    ] = None,
) -> None:
    """Write the report of a run again, or compare runs.

    The report is one page that needs no other file.
    """
    from dimple import experiment
    from dimple.runs import Run

    if len(runs) == 1:
        path = experiment.report(runs[0], out)
    elif out is None:
        for run in runs:
            Run.open(run)
        raise UsageError(f"{len(runs)} runs have no common folder for their page; name a file with -o")
    else:
        path = experiment.compare(runs, out)
    typer.echo(str(path))
