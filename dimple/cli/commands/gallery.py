"""`dimple gallery`: every scene, the tutorials and the reference as one static site."""

from pathlib import Path
from typing import Annotated

import typer

from dimple.cli import console
from dimple.cli.flags import Device


def gallery(
    out: Annotated[Path, typer.Argument(help="The folder of the site; an unfinished one is continued.")],
    scenes: Annotated[
        list[str] | None,
        typer.Option("--scene", help="A scene that ships, or a scene file; repeatable. Without it all that ship."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY.PATH=VALUE", help="Change one setting in every scene; repeatable."),
    ] = None,
    device: Device = "auto",
    jobs: Annotated[
        int | None,
        typer.Option(envvar="DIMPLE_JOBS", help="Scenes simulated at a time; without it one a core, up to 8."),
    ] = None,
) -> None:
    """Show scenes as a static site: an index, a page for each with its film, the tutorials and the reference.

    It opens from disk and asks no network. Needs the extra dimple[docs].
    """
    import joblib
    import torch

    from dimple import experiment

    torch.set_num_threads(1)
    count = min(8, joblib.cpu_count()) if jobs is None else jobs
    index = experiment.gallery(out, scenes or (), changes or (), device=device, progress=console.progress, jobs=count)
    typer.echo(str(index))
