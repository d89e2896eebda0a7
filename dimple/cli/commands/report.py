"""`dimple report`: the page of a finished run, written again, or one page about several runs."""

from pathlib import Path
from typing import Annotated

import typer

from dimple.cli.flags import require_runs
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
    require_runs(*runs)
    if len(runs) > 1 and out is None:
        raise UsageError(f"{len(runs)} runs have no common folder for their page; name a file with -o")
    from dimple import experiment

    path = experiment.compare(runs, out) if out is not None and len(runs) > 1 else experiment.report(runs[0], out)
    typer.echo(str(path))
