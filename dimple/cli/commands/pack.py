"""`dimple pack`: a run in one file; `dimple check`: whether the files of runs are as they were written."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from dimple.cli import console
from dimple.cli.flags import JsonOption, require_runs


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
    require_runs(run)
    from dimple import experiment

    typer.echo(str(experiment.pack(run, out, images=not no_images)))


def check(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Runs to check, folders or packed.")],
    as_json: JsonOption = False,
) -> None:
    """Check that the files of runs are as they were written.

    Every file is compared with its check sum in the manifest of the run. The exit code is 5 if a file was changed, is
    torn or is missing, and for a run without a manifest.
    """
    from dimple import experiment
    from dimple.errors import RunError

    results: list[dict[str, Any]] = []
    for run in runs:
        try:
            found = experiment.check(run)
            results.append({"run": str(run), **dataclasses.asdict(found)})
        except RunError as error:
            results.append({"run": str(run), "files": 0, "problems": {"": str(error)}, "is_finished": None})
    if as_json:
        console.print_json({"results": results})
    for result in [] if as_json else results:
        for name, problem in result["problems"].items():
            typer.echo(f"{result['run']}/{name}: {problem}" if name else problem)
        if not result["problems"]:
            state = "" if result["is_finished"] else "; the run is not finished"
            typer.echo(f"{result['run']}: whole, {result['files']} files{state}")
    if any(result["problems"] for result in results):
        raise typer.Exit(RunError.exit_code)
