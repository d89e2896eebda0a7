"""The on- and off-manifold margins of many samples as one figure each, beside the band of the same for chance."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.probes.nulls import band

Arrays = dict[str, NDArray[Any]]


def median(values: NDArray[Any]) -> float:
    """The lower median: one of the values, so that searches that found nothing (inf) need no arithmetic.

    Example:
        >>> median(np.array([1.0, np.inf, -np.inf, 2.0]))
        1.0
    """
    return float(np.sort(values)[(len(values) - 1) // 2])


def ratio_row(way: str, columns: Arrays, draws: NDArray[Any]) -> dict[str, float]:
    """Medians over samples of the restricted margin and of its ratio to the free one, beside their random band.

    Args:
        way: `on` or `off`.
        columns: with `margin_any` and `margin_<way>`.
        draws: the restricted margins within random subspaces, `(B, draws)`.
    """
    free = np.abs(columns["margin_any"])[:, None]
    margin = np.abs(columns[f"margin_{way}"])
    crossed = np.isfinite(free[:, 0])
    ratio = margin[crossed] / free[crossed, 0]
    null_ratios = (
        np.median(draws[crossed] / free[crossed], axis=0) if crossed.any() else np.full(draws.shape[1], np.nan)
    )
    null_margins = np.median(draws, axis=0)
    row = {f"margin_{way}": median(columns[f"margin_{way}"])}
    row |= _with_band(f"margin_{way}_null", null_margins)
    row[f"{way}_ratio"] = median(ratio) if crossed.any() else float("nan")
    return row | _with_band(f"{way}_ratio_null", null_ratios)


def _with_band(name: str, draws: NDArray[Any]) -> dict[str, float]:
    low, high = band(torch.from_numpy(draws))
    return {name: median(draws), f"{name}_low": float(low), f"{name}_high": float(high)}
