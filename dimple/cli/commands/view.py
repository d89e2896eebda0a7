"""`dimple view`: the interactive window."""

from pathlib import Path
from typing import Annotated

import typer

from dimple.cli.flags import require_runs


def view(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run, as a folder or packed.")],
    other: Annotated[
        Path | None,
        typer.Argument(metavar="RUN2", help="Second run, shown next to it at the same steps."),
    ] = None,
    fps: Annotated[int, typer.Option(metavar="NUMBER", help="Snapshots per second when they are played.")] = 8,
) -> None:
    """Open one or two runs in an interactive window.

    Turn the view, play the training, or click a point to see its shortest perturbation.
    """
    require_runs(run, other)
    from dimple import experiment

    for path in experiment.view(run, other, fps):
        typer.echo(str(path))
