"""`dimple export`: a run as a film, a page, or files for ParaView."""

import re
from pathlib import Path
from typing import Annotated

import typer

from dimple.cli.flags import require_runs
from dimple.errors import UsageError


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run, as a folder or packed.")],
    other: Annotated[
        Path | None, typer.Argument(metavar="RUN2", help="Second simulation, which a film shows beside the first one.")
    ] = None,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out", "-o", metavar="FILE",
            help="File to write: .mp4, .gif, .png (sheet of key frames), .html (interactive page), .pvd or .vtkhdf "
            "(ParaView); repeatable.  [default: film.mp4 in the run folder]",
        ),
    ] = None,
    fps: Annotated[int, typer.Option(metavar="NUMBER", help="Snapshots per second.")] = 8,
    size: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Size of the pictures in pixels.")] = "1280x720",
) -> None:  # fmt: skip
    """Write a run as a film, as a web page, or for ParaView.

    The suffix of each file decides its format, for example .png for a sheet of key frames. Two runs are drawn side by
    side, with one camera and one time axis.
    """
    sides = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
    if sides is None:
        raise UsageError(f"--size is {size!r}; write it as width x height in pixels, such as 1280x720")
    require_runs(run, other)
    from dimple import experiment

    paths = experiment.export_run(run, out or (), fps, (int(sides[1]), int(sides[2])), other=other)
    for path in paths:
        typer.echo(str(path))
