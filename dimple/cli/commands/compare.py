"""`dimple compare`: one page about several runs."""

from pathlib import Path
from typing import Annotated

import typer

from dimple.cli.flags import require_runs


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Runs of dimple simulate or probe, as folders or packed.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="HTML file.")] = Path("comparison.html"),
) -> None:
    """Compare runs side by side.

    The page has their differences, all statistics and the distributions, and needs no other file.
    """
    require_runs(*runs)
    from dimple import experiment

    typer.echo(str(experiment.compare(runs, out)))
