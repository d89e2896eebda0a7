"""`dimple completeness`: a proof that the boundary mesh of a run is complete."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from dimple.cli import console
from dimple.cli.flags import JsonOption, require_runs


def completeness(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run of dimple simulate, as a folder or packed.")],
    resolution: Annotated[
        int, typer.Option(metavar="NUMBER", help="Cells along each axis of the box, a power of two.")
    ] = 64,
    steps: Annotated[
        list[int] | None,
        typer.Option("--step", metavar="NUMBER", help="Snapshot to check; repeatable.  [default: the last one]"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Prove that the mesh misses no component larger than a cell.

    Where the proof does not succeed, the command prints how much of the box is undecided.
    """
    require_runs(run)
    import torch

    from dimple import experiment

    torch.set_num_threads(1)
    results = experiment.check_run_completeness(run, resolution, steps or ())
    if as_json:
        rows = [{**dataclasses.asdict(result), "is_complete": result.is_complete} for result in results]
        console.print_json({"run": str(run), "resolution": resolution, "results": rows})
        return
    for result in results:
        typer.echo(str(result))
