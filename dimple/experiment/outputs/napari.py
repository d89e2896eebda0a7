"""The verb `napari`: a run in the viewer napari, from its folder or packed into one file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dimple.boundary import Boundary
from dimple.errors import RunError
from dimple.experiment.outputs.view import Answers
from dimple.experiment.provenance import silent
from dimple.levelsets.base import level_function
from dimple.levelsets.dense import corner_values
from dimple.protocols import Progress
from dimple.runs import Run
from dimple.runs.archive import SUFFIX
from dimple.runs.atomic_io import read_table
from dimple.stats.aggregate import NULL
from dimple.views.content.from_run import frames_of_run
from dimple.views.content.labels import number
from dimple.views.napari.image_layers import picture_layers
from dimple.views.napari.layout import Arrangement, LayerData
from dimple.views.napari.run_layers import Score, run_layers
from dimple.views.napari.window import arrange, open_napari, require_napari

# Along the longest side of the box.
CORNERS = 65
# The share of the training points whose scores lie within the range of the colours.
WITHIN = 0.9


def napari(path: Path | str, progress: Progress = silent) -> None:
    """Open the run and return when napari's window is closed.

    Args:
        path: a run folder, simulated or measured on images, or a packed run.

    Raises:
        RunError: if there is no run, or nothing in it to look at.
        DeviceError: without napari, without a display, or without a system library that its window needs.
    """
    require_napari()
    run = Run.open(path)
    with progress("layers", 1) as advance:
        arrangement = arrangement_of(run)
        advance()
    open_napari(arrangement, f"dimple: {run.info.get('name', run.path.name)}")


def arrangement_of(run: Run) -> Arrangement:
    """The layers of a run: its boundary along training, or the images of a measurement with their perturbations.

    Raises:
        RunError: if it has neither.
    """
    if (run.path / "geometry.safetensors").is_file():
        return run_layers(frames_of_run(run), run.points(), score_of(run))
    if (run.path / "pictures.safetensors").is_file():
        return _pictures(run)
    raise RunError(
        f"{run.path}: holds neither a boundary in two or three dimensions nor images; open {run.path / 'report.html'} "
        "in a browser, or measure images again with --force"
    )


def score_of(run: Run) -> Score | None:
    """The score of a run's networks over its box, evaluated where it is asked; None where the run has no networks."""
    if "train" not in run.info.get("seconds", {}):
        return None
    answers, steps = Answers(run), run.steps
    low, high = run.box
    spacing = max(b - a for a, b in zip(low, high, strict=True)) / (CORNERS - 1)
    axes = [np.linspace(a, b, round((b - a) / spacing) + 1) for a, b in zip(low, high, strict=True)]

    def values(place: int) -> NDArray[np.float32]:
        level = level_function(Boundary(answers.network(steps[place]).float()), 1)

        def drawn(x: Tensor) -> Tensor:
            return level(answers.inputs(x.double()).float())

        return corner_values(drawn, axes, torch.device("cpu"))

    points = run.points()
    sizes = np.abs(points["gap"][(points["split"] == "train") & (points["step"] == steps[-1])])
    return Score(axes, values, float(np.quantile(sizes, WITHIN)) or 1.0)


def _pictures(run: Run) -> Arrangement:
    """The images of the last network, those with the smallest margin first."""
    table, units = read_table(run.path / "measurements.parquet")
    arrays = run.pictures()
    last = table["step"] == table["step"].max()
    rows, parts = [], []
    for split in dict.fromkeys(name.partition("/")[0] for name in arrays):
        kept = {name.partition("/")[2]: values for name, values in arrays.items() if name.startswith(f"{split}/")}
        of_split = np.flatnonzero(last & (table["split"] == split))
        place = {int(table["index"][row]): row for row in of_split}
        rows += [place[int(index)] for index in kept.pop("index")]
        parts.append(kept)
    column = "margin" if "margin" in table else "margin_any"
    margins = table[column][rows]
    order = [k for k in np.argsort(margins, kind="stable") if np.isfinite(margins[k])]
    if not order:
        raise RunError(f"{run.path}: no boundary was found near any of its images, so there is nothing to look at")
    pictures = {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}
    classes = run.info["classes"]
    captions = [_caption({n: values[rows[k]] for n, values in table.items()}, classes, column, units) for k in order]
    return picture_layers(pictures, captions)


def _caption(row: dict[str, Any], classes: list[str], column: str, units: dict[str, str]) -> str:
    """What is known of one image, in lines."""
    lines = [
        f"{row['split']} image {row['index']}: {classes[row['label']]}, predicted {classes[row['prediction']]}",
        f"margin {number(float(row[column]))} [{units.get(column, '')}]",
    ]
    for name, short in (("margin_on", "on the manifold"), ("margin_off", "off the manifold")):
        if name in row:
            lines.append(f"{short} {number(float(row[name]))}, null {number(float(row[name + NULL]))}")
    if "on_share" in row:
        lines.append(f"on-manifold share {row['on_share']:.1%}, null {row['on_share' + NULL]:.1%}")
    return "\n".join(lines)


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
