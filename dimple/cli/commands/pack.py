"""`dimple pack`: a run in one file."""

from pathlib import Path
from typing import Annotated

import typer


def pack(
    run: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a finished run.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="File to write, .dimple.  [default: the name of the folder, next to it]"
        ),
    ] = None,
    no_images: Annotated[
        bool,
        typer.Option("--no-images", help="File without the stored samples, pages and films."),
    ] = False,
) -> None:
    """Pack a run into one file.

    Every command takes the file instead of the folder, and napari opens it.
    """
    from dimple import experiment

    typer.echo(str(experiment.pack(run, out, images=not no_images)))
