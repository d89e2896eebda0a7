"""What napari calls when a packed run is dropped on it, or named on its command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dimple.experiment.layering import arrangement_of
from dimple.runs import Run
from dimple.runs.packed import SUFFIX
from dimple.views.arrangement import Arrangement, LayerData
from dimple.views.napari_window import arrange


def reader_of(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """The reader of a packed run; None for anything else, and for several files, which napari stacks only on demand.

    Example:
        >>> reader_of("picture.png") is None
        True
    """
    return read if isinstance(path, str) and Path(path).suffix == SUFFIX else None


def read(path: str | list[str]) -> list[LayerData]:
    """The layers of a packed run; in a viewer without any others they are also shown as `dimple napari` shows them.

    Raises:
        RunError: if the file is no packed run, or there is nothing in it to look at.
    """
    assert isinstance(path, str)
    arrangement = arrangement_of(Run.open(path))
    _arrange_when_there(arrangement)
    return list(arrangement.layers)


def _arrange_when_there(arrangement: Arrangement) -> None:
    """Arrange the viewer that is in front once it has the layers: a reader hands over nothing but these."""
    import napari

    viewer = napari.current_viewer()
    if viewer is None or len(viewer.layers):
        return

    def arrive(_: Any) -> None:
        if len(viewer.layers) == len(arrangement.layers):
            viewer.layers.events.inserted.disconnect(arrive)
            arrange(viewer, arrangement)

    viewer.layers.events.inserted.connect(arrive)
