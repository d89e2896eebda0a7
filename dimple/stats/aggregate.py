"""Many samples as one figure for each column, beside its null: what tables, terminals and curves show."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.stats.null_bands import band, verdict

Arrays = Mapping[str, NDArray[Any]]
# The null of a column `x`, the ends of its band and its closed form are columns of these names; `x_draws` are the draws
# behind them, `(B, draws)`.
NULL, LOW, HIGH, CLOSED, DRAWS = "_null", "_null_low", "_null_high", "_closed", "_draws"
FOUND, VERDICT = "_found", "_verdict"
# Distances whose share of found ones has another name.
OTHERS_FOUND = {"boundary_distance": "boundary_found", "dimple_depth": "dimple_found"}
DISTANCE, SHARE = "input units", "share"
# Figures that depend on the tangents, the share of samples whose tangents can be relied on, and what it should be.
BY_TANGENTS = ("margin_on", "margin_off", "on_ratio", "off_ratio", "on_share", "gradient_off_share")
RELIABLE, MOST = "tangent_reliable", 0.5


def digest(columns: Arrays, units: Mapping[str, str], rows: NDArray[np.bool_]) -> dict[str, Any]:
    """One figure for each column that counts something, over some of the samples, with null, band and verdict.

    Real numbers become medians, or means where the unit is `share`; yes or no becomes the share of yes; distances say
    besides how many were found. Class numbers and other whole numbers have no figure.

    Args:
        columns: `(B,)` each, and the draws of their nulls.
        units: by column.
        rows: `(B,)`, the samples that count.

    Example:
        >>> columns = {"x": np.array([1.0, 5.0]), "x_null": np.array([2.0, 2.0]), "far": np.array([True, False])}
        >>> digest(columns, {"x": "degrees"}, np.array([True, True]))
        {'x': 1.0, 'x_null': 2.0, 'far': 0.5}
    """
    chosen = {name: values[rows] for name, values in columns.items()}
    row: dict[str, Any] = {}
    for name, values in chosen.items():
        if values.dtype == np.bool_:
            row[name] = float(values.mean())
        elif np.issubdtype(values.dtype, np.floating) and not is_beside(name, chosen):
            row |= figure(name, chosen, units)
            if name + LOW in row:
                row[name + VERDICT] = verdict(row[name], row[name + LOW], row[name + HIGH])
    return row


def digest_units(names: Mapping[str, Any], units: Mapping[str, str]) -> dict[str, str]:
    """The units of the figures of a digest."""
    share = {name: SHARE for name in names if name.endswith((FOUND, FOUND + NULL)) or units.get(name) == "yes or no"}
    return {name: units[name] for name in names if name in units} | share


def is_beside(name: str, columns: Mapping[str, Any]) -> bool:
    """Whether a column stands beside another one that is there, as its null or the draws of it."""
    return any(name.endswith(end) and name[: -len(end)] in columns for end in (NULL, LOW, HIGH, CLOSED, DRAWS))


def found_of(name: str) -> str:
    """The column that says on what share of the samples a distance, or a ratio of distances, rests.

    Example:
        >>> found_of("margin"), found_of("on_ratio"), found_of("dimple_depth")
        ('margin_found', 'margin_on_found', 'dimple_found')
    """
    if name.endswith("_ratio"):
        return f"margin_{name.removesuffix('_ratio')}{FOUND}"
    return OTHERS_FOUND.get(name, name + FOUND)


def figure(name: str, columns: Arrays, units: Mapping[str, str]) -> dict[str, float]:
    """The figure of one column, and of all that stands beside it.

    The null of a figure is the median over the draws of the same figure taken for each draw, and its band that of
    these: what many samples together would show by chance. Without draws it is the figure of the null's column.
    """
    unit = units.get(name, "")

    def over(values: NDArray[Any]) -> float:
        defined = values[~np.isnan(values)]
        if len(defined) == 0:
            return float("nan")
        return float(defined.mean()) if unit == SHARE else median(defined)

    row = {name: over(columns[name])}
    if name + DRAWS in columns:
        row |= with_band(name + NULL, np.array([over(draw) for draw in columns[name + DRAWS].T]))
    else:
        row |= {name + end: over(columns[name + end]) for end in (NULL, LOW, HIGH) if name + end in columns}
    if name + CLOSED in columns:
        row[name + CLOSED] = over(columns[name + CLOSED])
    if unit.endswith(DISTANCE) and name + FOUND not in columns:
        row[name + FOUND] = float(np.isfinite(columns[name]).mean())
        if name + DRAWS in columns:
            row[name + FOUND + NULL] = float(np.isfinite(columns[name + DRAWS]).mean())
    return row


def remark(verdict: str, row: Mapping[str, Any], name: str) -> str:
    """The verdict on a figure, and what makes it doubtful.

    Example:
        >>> remark("above", {"on_ratio": 20.0, "tangent_reliable": 0.02}, "on_ratio")
        'above, tangents unreliable'
    """
    doubt = "tangents unreliable" if name in BY_TANGENTS and is_doubtful(row) else ""
    return ", ".join(filter(None, (verdict, doubt)))


def is_doubtful(row: Mapping[str, Any]) -> bool:
    """Whether most of the tangents behind a row's figures on and off the manifold cannot be relied on."""
    reliable = row.get(RELIABLE)
    return reliable is not None and bool(reliable < MOST)


def median(values: NDArray[Any]) -> float:
    """The lower median: one of the values, so that searches that found nothing (inf) need no arithmetic.

    Example:
        >>> median(np.array([1.0, np.inf, -np.inf, 2.0]))
        1.0
    """
    return float(np.sort(values)[(len(values) - 1) // 2])


def with_band(name: str, draws: NDArray[Any]) -> dict[str, float]:
    """A null `name` from a figure for each draw: their median and the ends of their band."""
    low, high = band(torch.from_numpy(draws))
    return {name: median(draws), f"{name}_low": float(low), f"{name}_high": float(high)}
