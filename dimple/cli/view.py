"""`dimple view`: the interactive window."""

from pathlib import Path
from typing import Annotated

import typer


def view(run: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Open a run in a window: turn it, scrub and play through training."""
    from dimple import experiment

    experiment.view(run)
