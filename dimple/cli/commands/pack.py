"""`dimple pack`: a run as one file."""

from pathlib import Path
from typing import Annotated

import typer


def pack(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The .dimple file; without it one beside the folder, of its name."),
    ] = None,
) -> None:
    """Pack a run into one file, which every command takes in the place of the folder, and napari opens."""
    from dimple import experiment

    typer.echo(str(experiment.pack(run, out)))
