"""`dimple film`: a run as a film, a page, or files for ParaView."""

import re
from pathlib import Path
from typing import Annotated

import typer

from dimple.cli import console
from dimple.errors import UsageError


def film(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out", "-o",
            help=".mp4, .gif, .png (sheet), .html (page to turn and scrub), .pvd or .vtkhdf (ParaView); repeatable. "
            "film.mp4 in the run folder without it.",
        ),
    ] = None,
    fps: Annotated[int, typer.Option(help="Snapshots a second.")] = 8,
    size: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Of the pictures, in pixels.")] = "1280x720",
) -> None:  # fmt: skip
    """Show a run: a film, a sheet of key frames, a web page in one file, or a time series for ParaView."""
    from dimple import experiment

    sides = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
    if sides is None:
        raise UsageError(f"--size is {size!r}; write it as width x height in pixels, such as 1280x720")
    paths = experiment.film(run, out or (), fps, (int(sides[1]), int(sides[2])), console.progress)
    for path in paths:
        typer.echo(str(path))
