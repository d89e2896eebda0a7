"""Position of the boundary over the manifold as translation and tilt, and shape of the dimples at training points."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.data import DataSplits
from dimple.stats.aggregate import lower_median, statistic

ANGLE_UNIT = "degrees"
SHAPE_UNITS = {
    **{f"boundary_angle{end}": ANGLE_UNIT for end in ("", "_null", "_null_low", "_null_high")},
    **dict.fromkeys(("boundary_translation", "boundary_tilt", "dimple_width"), "l2, input units"),
    "dimple_width_found": "fraction",
    "dimple_depth_over_spacing": "x spacing of opposite labels",
    "dimple_depth_over_logit": "l2, input units per logit",
}


def opposite_spacing(samples: DataSplits) -> NDArray[np.float64]:
    """Return the l2 distance from each training point to the nearest one of another label, `(N,)`."""
    distances = torch.cdist(samples.train.double(), samples.train.double())
    is_same = samples.train_labels[:, None] == samples.train_labels
    return np.asarray(distances.masked_fill(is_same, torch.inf).min(dim=1).values.numpy())


def summarize_position(columns: dict[str, NDArray[np.float64]], limit: float) -> dict[str, float]:
    """Return the median angle of the boundary, and its mean squared distance in two parts.

    With the distance s of each point to the boundary, positive in class 0 and negative elsewhere, and E the mean,
    E[s^2] = E[s]^2 + E[(s - E[s])^2]. The root of the first part is the translation: of a flat boundary over a flat
    manifold it is the distance at the centroid. The root of the second part is the tilt, the tangent of the angle times
    the spread of the points along the tilt; for curved ones it also holds the bending. A boundary that turns about the
    centroid changes the tilt alone.

    Args:
        columns: those of `Offset` at held-out points, with the prediction.
        limit: larger distances count as this one.
    """
    side = np.where(columns["prediction"] == 0, 1.0, -1.0)
    position = side * np.minimum(np.abs(columns["offset"]), limit)
    return {
        **statistic("boundary_angle", columns, SHAPE_UNITS),
        "boundary_translation": float(abs(position.mean())),
        "boundary_tilt": float(position.std()),
    }


def summarize_fall(metrics: dict[str, NDArray[Any]], dimple_step: int | None) -> dict[str, Any]:
    """Return how the translation, the tilt and the angle of the boundary change until the dimpling.

    Args:
        metrics: the columns of metrics.parquet.
        dimple_step: the step of the dimpling, or None.

    Returns:
        The first step, the last one before the dimpling (or of the training), the values at both, the median angle of
        a random direction, and `translation_fraction`: the fall of the squared translation over the falls of the
        squared translation and tilt, where a rise counts as no fall; None where neither falls.
    """
    steps = metrics["step"]
    last = len(steps) - 1 if dimple_step is None else max(int(np.searchsorted(steps, dimple_step)) - 1, 0)
    names = ("translation", "tilt", "angle")
    ends = {name: [float(metrics[f"boundary_{name}"][index]) for index in (0, last)] for name in names}
    falls = [max(ends[name][0] ** 2 - ends[name][1] ** 2, 0.0) for name in ("translation", "tilt")]
    return {
        "first_step": int(steps[0]),
        "last_step": int(steps[last]),
        **ends,
        "angle_null": float(metrics["boundary_angle_null"][0]),
        "translation_fraction": falls[0] / sum(falls) if sum(falls) > 0 else None,
    }


def summarize_dimples(columns: dict[str, NDArray[np.float64]], spacing: NDArray[np.float64]) -> dict[str, float]:
    """Return the median shape of the dimples: their width, and their depth over the spacing and over the logit margin.

    Args:
        columns: those of `Offset` at training points, with the logit margin.
        spacing: the distance to the nearest training point of another label.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        over_spacing = columns["offset"] / spacing
        over_logit = columns["offset"] / np.abs(columns["logit_margin"])
    return {
        "dimple_width": lower_median(columns["dimple_width"]),
        "dimple_width_found": float(np.isfinite(columns["dimple_width"]).mean()),
        "dimple_depth_over_spacing": lower_median(over_spacing),
        "dimple_depth_over_logit": lower_median(over_logit),
    }
