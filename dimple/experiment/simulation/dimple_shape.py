"""Position of the boundary over the manifold as translation and tilt, and shape of the dimples at training points."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dimple.boundary import Boundary
from dimple.data import DataSplits
from dimple.manifolds import Manifold
from dimple.stats.aggregate import DRAWS_SUFFIX, median_statistic, statistic, with_interval
from dimple.stats.intervals import mean_interval
from dimple.tensors import norm, pairwise_distances, project_onto_span

# Cells of a path along the manifold, each of which is tested for a change of class at its end, and bisections in one.
CELLS = 32
BISECTIONS = 12
ANGLE_UNIT = "degrees"
SHAPE_UNITS = {
    **{f"boundary_angle{end}": ANGLE_UNIT for end in ("", "_null", "_null_low", "_null_high")},
    **dict.fromkeys(("boundary_translation", "boundary_tilt", "dimple_width"), "l2, input units"),
    "dimple_width_found": "fraction",
    **{
        f"{name}{end}": unit
        for name, unit in (
            ("dimple_depth", "l2, input units"),
            ("dimple_depth_over_spacing", "x spacing"),
            ("dimple_depth_over_logit", "l2 per logit"),
        )
        for end in ("", "_null", "_null_low", "_null_high")
    },
}


def opposite_spacing(samples: DataSplits) -> NDArray[np.float64]:
    """Return the l2 distance from each measured training sample to the nearest one of another label, `(N,)`."""
    x = samples.train.double().flatten(1)
    rows = samples.train_rows
    distances = pairwise_distances(x[rows], x)
    is_same = samples.train_labels[rows, None] == samples.train_labels
    return np.asarray(distances.masked_fill(is_same, torch.inf).min(dim=1).values.numpy())


def measure_widths(boundary: Boundary, manifold: Manifold, x: Tensor, step: Tensor, limit: float) -> Tensor:
    """Return the width of the dimple over each point at half of its depth, `(B,)`, along the manifold.

    From the middle of the step to the boundary, paths at the same height over the manifold run in both directions along
    each column of the tangent basis, until they cross the boundary. The width is twice the mean distance on the
    manifold, as a chord, over the paths that do so within the limit. It is `inf` where none does or the point has no
    boundary.

    Args:
        boundary: in the precision of `x`.
        manifold: the manifold, which is followed by projection.
        x: `(B, n)` points of the manifold.
        step: `(B, n)` steps along the normal to the boundary; nan where there is none.
        limit: the largest distance along a path.
    """
    width = torch.full_like(x[:, 0], torch.inf)
    predicted = boundary.predict(x)
    # A boundary that is thinner than a cell of the search for it has a middle of another class.
    middle = x + step.nan_to_num() / 2
    rows = torch.nonzero(step.isfinite().all(dim=1) & (boundary.predict(middle) == predicted)).squeeze(1)
    if len(rows) == 0:
        return width
    basis = manifold.tangent_basis(x[rows]).to(x)
    directions = torch.cat([basis, -basis], dim=2).mT
    count = directions.shape[1]
    start, height, y = (values[rows].repeat_interleave(count, dim=0) for values in (x, step / 2, predicted))
    directions = directions.reshape(-1, x.shape[1])

    def look_above(paths: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """Return the points of the manifold, and whether the class at the height above them is another one."""
        closest = manifold.project(start[paths] + distance[:, None] * directions[paths]).to(x)
        normal = height[paths] - project_onto_span(manifold.tangent_basis(closest).to(x), height[paths])
        normal *= (norm(height[paths]) / norm(normal).clamp(min=torch.finfo(x.dtype).tiny))[:, None]
        return closest, boundary.logit_margin(closest + normal, y[paths]) <= 0

    low = torch.zeros_like(start[:, 0])
    open_paths = torch.arange(len(start), device=x.device)
    for cell in range(1, CELLS + 1):
        _, crossed = look_above(open_paths, torch.full_like(low[open_paths], cell * limit / CELLS))
        open_paths = open_paths[~crossed]
        low[open_paths] = cell * limit / CELLS
        if len(open_paths) == 0:
            break
    is_closed = torch.ones_like(y, dtype=torch.bool)
    is_closed[open_paths] = False
    closed = torch.nonzero(is_closed).squeeze(1)
    half = torch.full_like(low, torch.nan)
    if len(closed):
        inner = low[closed]
        outer = low[closed] + limit / CELLS
        for _ in range(BISECTIONS):
            middles = (inner + outer) / 2
            closest, crossed = look_above(closed, middles)
            inner = torch.where(crossed, inner, middles)
            outer = torch.where(crossed, middles, outer)
        half[closed] = norm(closest - start[closed])
    width[rows] = (2 * half.reshape(-1, count).nanmean(dim=1)).nan_to_num(nan=torch.inf)
    return width


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
    low, high = mean_interval(position)
    # Without its sign, a mean that may be zero may be as large as the farther end.
    ends = (0.0 if low <= 0 <= high else min(abs(low), abs(high)), max(abs(low), abs(high)))
    # Equal positions have a standard deviation of rounding.
    squares = (position - position.mean()) ** 2 if np.ptp(position) > 0 else np.zeros(len(position))
    variances = mean_interval(squares, (0.0, np.inf))
    return {
        **statistic("boundary_angle", columns, SHAPE_UNITS),
        **with_interval("boundary_translation", float(abs(position.mean())), ends, len(position)),
        **with_interval(
            "boundary_tilt", squares.mean() ** 0.5, (variances[0] ** 0.5, variances[1] ** 0.5), len(position)
        ),
    }


def summarize_fall(metrics: dict[str, NDArray[Any]], dimple_step: int | None) -> dict[str, Any]:
    """Return how the translation, the tilt and the angle of the boundary change until the dimpling.

    Args:
        metrics: the columns of metrics.parquet.
        dimple_step: the step of the dimpling, or None.

    Returns:
        The first step at which all points have a boundary within the limit of the search, the last one before the
        dimpling (or of the training), the values at both, the median angle of a random direction, and
        `translation_fraction`, or None where neither part falls. Where there is no such first step, it is step 0; the
        translation and the tilt are nan there, and the fraction is None.
    """
    steps = metrics["step"]
    last = last_before(steps, dimple_step)
    first = int(np.argmax(metrics["boundary_distance_found"][: last + 1] >= 1))
    names = ("translation", "tilt", "angle")
    return {
        "first_step": int(steps[first]),
        "last_step": int(steps[last]),
        **{name: [float(metrics[f"boundary_{name}"][index]) for index in (first, last)] for name in names},
        "angle_null": float(metrics["boundary_angle_null"][0]),
        "translation_fraction": translation_fraction(metrics, first, last),
    }


def last_before(steps: NDArray[Any], dimple_step: int | None) -> int:
    """Return the index of the last snapshot before the dimpling, or of the training."""
    return len(steps) - 1 if dimple_step is None else max(int(np.searchsorted(steps, dimple_step)) - 1, 0)


def translation_fraction(metrics: dict[str, NDArray[Any]], first: int, last: int) -> float | None:
    """Return the fall of the squared translation over the falls of the squared translation and tilt of two snapshots.

    A rise counts as no fall. It is None where neither falls or they are not known.
    """
    squares = [metrics[f"boundary_{name}"][[first, last]] ** 2 for name in ("translation", "tilt")]
    falls = [float(np.maximum(before - after, 0.0)) for before, after in squares]
    return falls[0] / sum(falls) if sum(falls) > 0 else None


def summarize_dimples(columns: dict[str, NDArray[np.float64]], spacing: NDArray[np.float64]) -> dict[str, float]:
    """Return the median shape of the dimples: depth, width, and the depth over the spacing and over the logit margin.

    The depths have the null of `Offset`, the depth along normals of random subspaces.

    Args:
        columns: those of `Offset` at training points, with its draws, the logit margin and `dimple_width`, which is
            measured on a manifold alone.
        spacing: the distance to the nearest training point of another label.
    """
    depth = columns["offset"]
    draws = np.copysign(columns["offset_draws"], depth[:, None])
    row: dict[str, float] = {}
    sizes = {"": np.ones(len(depth)), "_over_spacing": spacing, "_over_logit": np.abs(columns["logit_margin"])}
    with np.errstate(divide="ignore", invalid="ignore"):
        for end, size in sizes.items():
            name = f"dimple_depth{end}"
            row |= statistic(name, {name: depth / size, name + DRAWS_SUFFIX: draws / size[:, None]}, SHAPE_UNITS)
    if "dimple_width" in columns:
        row |= median_statistic("dimple_width", columns["dimple_width"])
        row["dimple_width_found"] = float(np.isfinite(columns["dimple_width"]).mean())
    return row
