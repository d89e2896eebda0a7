"""`dimple gallery`: a static site with a page for each scene."""

from pathlib import Path
from typing import Annotated

import typer

from dimple.cli.flags import DeviceOption


def gallery(
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the site; an unfinished site is continued.")],
    scenes: Annotated[
        list[str] | None,
        typer.Option(
            "--scene",
            metavar="NAME",
            help="Built-in scene or scene file; repeatable.  [default: all built-in scenes]",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY.PATH=VALUE", help="Setting to change in every scene; repeatable.  [default: none]"
        ),
    ] = None,
    lesson: Annotated[
        bool,
        typer.Option("--lesson", help="Site for a lesson: five scenes with questions, and answers to unfold."),
    ] = False,
    device: DeviceOption = "auto",
    jobs: Annotated[
        int | None,
        typer.Option(
            envvar="DIMPLE_JOBS",
            metavar="NUMBER",
            help="Scenes simulated at the same time.  [default: one for each core, at most 8]",
        ),
    ] = None,
) -> None:
    """Write a static site with a page for each scene.

    The site has an index, and a page with a film for each scene. With --lesson the index asks questions about what is
    seen, for a class that needs nothing but a browser. It opens from disk and loads nothing from the network.
    """
    import loky
    import torch

    from dimple import experiment

    torch.set_num_threads(1)
    job_count = min(8, loky.cpu_count()) if jobs is None else jobs
    index = experiment.build_gallery(out, scenes or (), overrides or (), device=device, jobs=job_count, lesson=lesson)
    typer.echo(str(index))
