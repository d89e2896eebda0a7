"""`dimple napari`: a run in the image viewer napari."""

from pathlib import Path
from typing import Annotated

import typer

from dimple.cli import console


def napari(run: Annotated[Path, typer.Argument(help="A run folder, or what dimple pack made of one.")]) -> None:
    """Open a run in napari: its boundary, points and score along training, or its images and their perturbations."""
    from dimple import experiment

    experiment.napari(run, console.progress)
