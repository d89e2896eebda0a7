"""The table of the training points of a run at all its snapshots."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.views.content.frame import Frame

Columns = Mapping[str, NDArray[Any]]
# The most important columns come first, because a viewer shows only a few of them at the cursor.
LEADING_COLUMNS = (
    "prediction",
    "margin",
    "margin_on",
    "margin_on_null",
    "margin_off",
    "margin_off_null",
    "perturbation_on_manifold_fraction",
)


def build_point_table(frames: Sequence[Frame], table: Columns) -> dict[str, NDArray[Any]]:
    """Return the columns of all training points at all snapshots, one snapshot after the other.

    Args:
        frames: all frames of a run.
        table: the columns of points.parquet. If a training point is missing from it at some snapshot, its columns are
            not used.

    Returns:
        `step`, `index` and `label`, then `name` if all points have captions, then the measured columns of `table`.
    """
    point_sets = [frame.drawing.points for frame in frames]
    counts = [len(points.labels) for points in point_sets]
    columns: dict[str, NDArray[Any]] = {
        "step": np.repeat([frame.step for frame in frames], counts),
        "index": np.concatenate([np.arange(count) for count in counts]),
        "label": np.concatenate([points.labels for points in point_sets]),
    }
    if all(points.captions for points in point_sets):
        columns["name"] = np.array([caption for points in point_sets for caption in points.captions])
    if "split" not in table:
        return columns
    rows = np.flatnonzero(table["split"] == "train")
    rows = rows[np.lexsort((table["index"][rows], table["step"][rows]))]
    if any(not np.array_equal(table[name][rows], columns[name]) for name in ("step", "index")):
        return columns
    measured = {name: values[rows] for name, values in table.items() if name not in ("split", *columns)}
    return columns | {name: measured[name] for name in LEADING_COLUMNS if name in measured} | measured
