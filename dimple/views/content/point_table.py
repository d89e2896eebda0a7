"""What is known of the points of a run at all its snapshots, as columns one snapshot below the other."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.views.content.frame import Frame

Columns = Mapping[str, NDArray[Any]]
# What is asked for most comes first: a viewer has room for some of it under its cursor.
FIRST = ("prediction", "margin", "margin_on", "margin_on_null", "margin_off", "margin_off_null", "on_share")


def point_columns(frames: Sequence[Frame], table: Columns) -> dict[str, NDArray[Any]]:
    """Step, index and label of each training point, its name where it has one, and what the run measured there.

    Args:
        frames: all of a run.
        table: its table of points; where it lacks some point of some snapshot, nothing is taken from it.
    """
    sets = [frame.drawing.points for frame in frames]
    counts = [len(s.classes) for s in sets]
    known: dict[str, NDArray[Any]] = {
        "step": np.repeat([frame.step for frame in frames], counts),
        "index": np.concatenate([np.arange(count) for count in counts]),
        "label": np.concatenate([s.classes for s in sets]),
    }
    if all(s.names for s in sets):
        known["name"] = np.array([name for s in sets for name in s.names])
    if "split" not in table:
        return known
    rows = np.flatnonzero(table["split"] == "train")
    rows = rows[np.lexsort((table["index"][rows], table["step"][rows]))]
    if any(not np.array_equal(table[name][rows], known[name]) for name in ("step", "index")):
        return known
    measured = {name: values[rows] for name, values in table.items() if name not in ("split", *known)}
    return known | {name: measured[name] for name in FIRST if name in measured} | measured
