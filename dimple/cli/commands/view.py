"""`dimple view`: the interactive window."""

from pathlib import Path
from typing import Annotated

import typer

from dimple.cli import console


def view(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    beside: Annotated[
        Path | None, typer.Argument(metavar="RUN2", help="Another one, beside it: the same steps, the same camera.")
    ] = None,
    fps: Annotated[int, typer.Option(help="Snapshots a second when they are played.")] = 8,
) -> None:
    """Open a run, or two, in a window: turn it, play through training, click a point to see its way to the boundary."""
    from dimple import experiment

    for path in experiment.view(run, beside, fps, console.progress):
        typer.echo(str(path))
