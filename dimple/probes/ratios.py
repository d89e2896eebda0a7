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
        draws: the restricted margins within random subspaces, `(B, draws)`, unsigned; they take the sign of the
            sample, and their medians are taken as that of the figure is.
    """
    signed_free, margin = columns["margin_any"], columns[f"margin_{way}"]
    free = np.abs(signed_free)[:, None]
    crossed = np.isfinite(free[:, 0])
    signed_draws = np.sign(signed_free)[:, None] * draws
    row = {f"margin_{way}": median(margin), f"margin_{way}_found": float(np.isfinite(margin).mean())}
    row |= _with_band(f"margin_{way}_null", _medians(signed_draws))
    row[f"margin_{way}_found_null"] = float(np.isfinite(draws).mean())
    if not crossed.any():
        names = ("", "_null", "_null_low", "_null_high")
        return row | {f"{way}_ratio{end}": float("nan") for end in names}
    row[f"{way}_ratio"] = median(np.abs(margin)[crossed] / free[crossed, 0])
    return row | _with_band(f"{way}_ratio_null", _medians(draws[crossed] / free[crossed]))


def _medians(draws: NDArray[Any]) -> NDArray[Any]:
    """The lower median over the samples, for each draw."""
    return np.array([median(column) for column in draws.T])


def _with_band(name: str, draws: NDArray[Any]) -> dict[str, float]:
    low, high = band(torch.from_numpy(draws))
    return {name: median(draws), f"{name}_low": float(low), f"{name}_high": float(high)}
