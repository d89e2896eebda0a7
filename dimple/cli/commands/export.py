"""`dimple export`: a run as a film, a page, files for ParaView, or figures for a paper."""

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
    figure: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Figure for a paper, COLUMN.pdf, .svg or .png with its data as .csv; or a folder for every chart.  "
            "[default: none]",
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="NAME", help="Column of the figure; repeatable.  [default: name of the file]"),
    ] = None,
    width: Annotated[int, typer.Option(metavar="NUMBER", help="Width of the figure in columns of a page, 1 or 2.")] = 1,
    fps: Annotated[int, typer.Option(metavar="NUMBER", help="Snapshots per second.")] = 8,
    size: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Size of the pictures in pixels.")] = "1280x720",
) -> None:  # fmt: skip
    """Write a run as a film, a page, or figures for a paper.

    The suffix of each file decides its format, for example .png for a sheet of key frames. Two runs are drawn side by
    side, with one camera and one time axis.
    """
    require_runs(run, other)
    if figure is None and columns:
        raise UsageError("--column names what --figure draws; add --figure FILE.pdf")
    if figure is not None:
        if other is not None:
            raise UsageError("--figure draws the charts of one run; leave out the second one")
        from dimple import experiment

        for path in experiment.write_figures(run, figure, columns or (), width):
            typer.echo(str(path))
        if not out:
            return

    sides = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
    if sides is None:
        raise UsageError(f"--size is {size!r}; write it as width x height in pixels, such as 1280x720")
    from dimple import experiment

    paths = experiment.export_run(run, out or (), fps, (int(sides[1]), int(sides[2])), other=other)
    for path in paths:
        typer.echo(str(path))
