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
from dimple.experiment.outputs.view import RunEvaluator
from dimple.experiment.probing.saved_images import pixel_range
from dimple.experiment.run import Run
from dimple.levelsets.base import level_function
from dimple.levelsets.dense import corner_values
from dimple.progress import show_progress
from dimple.protocols import Progress
from dimple.runs.archive import ARCHIVE_SUFFIX
from dimple.stats.aggregate import comparison_column
from dimple.views.content.from_run import frames_from_run
from dimple.views.content.labels import format_number
from dimple.views.napari.image_layers import make_image_layout
from dimple.views.napari.layout import LayerData, NapariLayout
from dimple.views.napari.run_layers import ScoreGrid, make_run_layout
from dimple.views.napari.window import apply_layout, open_napari, require_napari

# Grid points of the score along the longest side of the box.
GRID_POINTS_PER_SIDE = 65
# The fraction of the training points whose scores lie within the range of the colors.
SCORE_QUANTILE = 0.9


def open_in_napari(path: Path | str, progress: Progress = show_progress) -> None:
    """Open a run in napari, and return when its window is closed.

    Args:
        path: a run folder, simulated or measured on images, or a packed run.

    Raises:
        RunError: if there is no run, or the run has nothing to show.
        DeviceError: if napari, a display or a system library for its window is missing.
    """
    require_napari()
    run = Run.open(path)
    with progress("layers", 1) as advance:
        layout = build_napari_layout(run)
        advance()
    open_napari(layout, f"dimple: {run.info.get('name', run.path.name)}")


def build_napari_layout(run: Run) -> NapariLayout:
    """Return the layers of a run: its boundary along training, or the images of a measurement with their perturbations.

    Raises:
        RunError: if the run has neither.
    """
    if (run.path / "geometry.safetensors").is_file():
        return make_run_layout(frames_from_run(run), run.columns("points"), build_score_grid(run))
    if run.has_images:
        return _build_image_layout(run)
    raise RunError(
        f"{run.path}: holds neither a boundary in two or three dimensions nor images; open {run.path / 'report.html'} "
        "in a browser, or measure images again with force=True"
    )


def build_score_grid(run: Run) -> ScoreGrid | None:
    """Return the logit margin of class 1 over the box of a run, evaluated on demand; None without snapshots."""
    if "train" not in run.info.get("seconds", {}):
        return None
    evaluator = RunEvaluator(run)
    steps = run.steps
    low, high = run.display_bounds
    spacing = max(b - a for a, b in zip(low, high, strict=True)) / (GRID_POINTS_PER_SIDE - 1)
    axes = [np.linspace(a, b, round((b - a) / spacing) + 1) for a, b in zip(low, high, strict=True)]

    def values(index: int) -> NDArray[np.float32]:
        level = level_function(Boundary(evaluator.load_network(steps[index]).float()), 1)

        def displayed_level(x: Tensor) -> Tensor:
            return level(evaluator.to_input_space(x.double()).float())

        return corner_values(displayed_level, axes, torch.device("cpu"))

    points = run.columns("points")
    sizes = np.abs(points["logit_margin"][(points["split"] == "train") & (points["step"] == steps[-1])])
    return ScoreGrid(axes, values, float(np.quantile(sizes, SCORE_QUANTILE)) or 1.0)


def _build_image_layout(run: Run) -> NapariLayout:
    """Return the images with their perturbations under the last network, in the order of their margins."""
    table, units = run.read_table("measurements")
    arrays = run.images()
    last = table["step"] == table["step"].max()
    rows = []
    arrays_by_split = []
    for split in dict.fromkeys(name.partition("/")[0] for name in arrays):
        saved = {name.partition("/")[2]: values for name, values in arrays.items() if name.startswith(f"{split}/")}
        split_rows = np.flatnonzero(last & (table["split"] == split))
        row_of_index = {int(table["index"][row]): row for row in split_rows}
        rows += [row_of_index[int(index)] for index in saved.pop("index")]
        arrays_by_split.append(saved)
    column = "margin" if "margin" in table else "margin_unbounded"
    margins = table[column][rows]
    order = [k for k in np.argsort(margins, kind="stable") if np.isfinite(margins[k])]
    if not order:
        raise RunError(f"{run.path}: no boundary was found near any of its images, so there is nothing to show")
    images = {name: np.concatenate([saved[name] for saved in arrays_by_split])[order] for name in arrays_by_split[0]}
    classes = run.info["classes"]
    captions = [_caption({n: values[rows[k]] for n, values in table.items()}, classes, column, units) for k in order]
    return make_image_layout(images, captions, *pixel_range(run.settings.get("bounds", "data"), images["image"]))


def _caption(row: dict[str, Any], classes: list[str], column: str, units: dict[str, str]) -> str:
    """Return the caption of an image, one line for each fact."""
    lines = [
        f"{row['split']} image {row['index']}: {classes[row['label']]}, predicted {classes[row['prediction']]}",
        f"margin {format_number(float(row[column]))} [{units.get(column, '')}]",
    ]
    for name, label in (("margin_on", "along the manifold"), ("margin_off", "off the manifold")):
        if name in row:
            null = format_number(float(row[comparison_column(name)]))
            lines.append(f"margin {label} {format_number(float(row[name]))}, null {null}")
    name = "perturbation_on_manifold_fraction"
    if name in row:
        lines.append(f"on-manifold fraction {row[name]:.1%}, null {row[comparison_column(name)]:.1%}")
    return "\n".join(lines)


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """Return the reader of a packed run for napari; None for other files, and for a list of files.

    Example:
        >>> get_reader("picture.png") is None
        True
    """
    return read_layers if isinstance(path, str) and Path(path).suffix == ARCHIVE_SUFFIX else None


def read_layers(path: str | list[str]) -> list[LayerData]:
    """Return the layers of a packed run.

    A viewer that has no other layers is also arranged as `dimple napari` arranges it.

    Raises:
        RunError: if the file is not a packed run, or the run has nothing to show.
    """
    assert isinstance(path, str)
    layout = build_napari_layout(Run.open(path))
    _arrange_after_loading(layout)
    return list(layout.layers)


def _arrange_after_loading(layout: NapariLayout) -> None:
    """Arrange the current viewer once it has the layers, because a reader can return only the layers."""
    import napari

    viewer = napari.current_viewer()
    if viewer is None or len(viewer.layers):
        return

    def apply_when_complete(_: Any) -> None:
        if len(viewer.layers) == len(layout.layers):
            viewer.layers.events.inserted.disconnect(apply_when_complete)
            apply_layout(viewer, layout)

    viewer.layers.events.inserted.connect(apply_when_complete)
