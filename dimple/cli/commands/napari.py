"""`dimple napari`: a run in the image viewer napari."""

from pathlib import Path
from typing import Annotated

import typer

from dimple.cli.flags import require_runs


def napari(run: Annotated[Path, typer.Argument(metavar="RUN", help="Run, as a folder or packed.")]) -> None:
    """Open a run in the image viewer napari.

    A simulation shows boundary, points and scores along training, a measurement shows images and their perturbations.
    """
    require_runs(run)
    from dimple import experiment

    experiment.open_in_napari(run)
