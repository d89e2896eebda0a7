"""Aggregates of columns over samples, with their comparison: the statistics that tables and curves show."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.columns import COLUMNS
from dimple.stats.null_bands import prediction_interval, verdict

Arrays = Mapping[str, NDArray[Any]]
# The null of a column `x` is `x_null`, with `x_null_low` and `x_null_high` as the ends of its prediction interval.
NULL_SUFFIX = "_null"
LOW_SUFFIX = "_low"
HIGH_SUFFIX = "_high"
# The analytic value of the null.
ANALYTIC_SUFFIX = "_analytic"
# The draws of the null, `(B, draws)`.
DRAWS_SUFFIX = "_draws"
# The fraction of samples for which the search of a distance found a point.
FOUND_SUFFIX = "_found"
# The position of the statistic relative to the prediction interval.
VERDICT_SUFFIX = "_verdict"
# End of the unit of every distance.
DISTANCE_UNIT = "input units"
FRACTION_UNIT = "fraction"
# Columns that are meaningful only with reliable tangents.
TANGENT_DEPENDENT_COLUMNS = (
    "margin_on",
    "margin_off",
    "margin_on_ratio",
    "margin_off_ratio",
    "perturbation_on_manifold_fraction",
    "gradient_off_manifold_fraction",
    "boundary_angle",
)
RELIABLE_COLUMN = "tangent_reliable"
# Fraction of samples with reliable tangents below which a statistic is annotated.
MIN_RELIABLE_FRACTION = 0.5


def aggregate(columns: Arrays, units: Mapping[str, str], mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Aggregate columns over the samples of a mask, with their comparison, prediction interval and verdict.

    A column of real numbers becomes its median, or its mean where the unit is `fraction`; a boolean column becomes the
    fraction of true values. A distance also has the fraction of samples for which it was found. Columns of integers,
    such as classes, are left out.

    Args:
        columns: `(B,)` each, and the draws of their nulls `(B, draws)`.
        units: unit by column.
        mask: `(B,)` bool, the samples to include.

    Returns:
        The statistics by column.

    Example:
        >>> columns = {"x": np.array([1.0, 5.0]), "x_null": np.array([2.0, 2.0]), "far": np.array([True, False])}
        >>> aggregate(columns, {"x": "degrees"}, np.array([True, True]))
        {'x': 1.0, 'x_null': 2.0, 'far': 0.5}
    """
    chosen = {name: values[mask] for name, values in columns.items()}
    row: dict[str, Any] = {}
    for name, values in chosen.items():
        if values.dtype == np.bool_:
            row[name] = float(values.mean())
        elif np.issubdtype(values.dtype, np.floating) and not is_comparison_column(name, chosen):
            row |= statistic(name, chosen, units)
            comparison = comparison_column(name)
            if comparison + LOW_SUFFIX in row:
                interval = (row[comparison + LOW_SUFFIX], row[comparison + HIGH_SUFFIX])
                row[name + VERDICT_SUFFIX] = verdict(row[name], *interval)
    return row


def aggregate_units(names: Mapping[str, Any], units: Mapping[str, str]) -> dict[str, str]:
    """Return the units of the statistics `names` of aggregated columns with the given units."""
    fractions = {
        name: FRACTION_UNIT
        for name in names
        if name.endswith((FOUND_SUFFIX, FOUND_SUFFIX + NULL_SUFFIX))
        or units.get(name.removesuffix(LOW_SUFFIX).removesuffix(HIGH_SUFFIX)) == "yes or no"
    }
    return {name: units[name] for name in names if name in units} | fractions


def comparison_column(name: str) -> str:
    """Return the name of the comparison of a column: its null, or the one that the table of columns names.

    Example:
        >>> comparison_column("margin_on"), comparison_column("train_accuracy")
        ('margin_on_null', 'train_majority_accuracy')
    """
    entry = COLUMNS.get(name)
    return entry.comparison if entry is not None and entry.comparison else name + NULL_SUFFIX


def is_comparison_column(name: str, columns: Mapping[str, Any]) -> bool:
    """Return whether a column is the comparison or the interval of one of `columns`, or part of its comparison."""
    if any(name.endswith(end) and name.removesuffix(end) in columns for end in (ANALYTIC_SUFFIX, DRAWS_SUFFIX)):
        return True
    stem = name.removesuffix(LOW_SUFFIX).removesuffix(HIGH_SUFFIX)
    if stem != name and stem in columns:
        return True
    if stem.endswith(NULL_SUFFIX):
        return stem.removesuffix(NULL_SUFFIX) in columns
    return any(column in COLUMNS and stem == COLUMNS[column].comparison for column in columns)


def found_column(name: str) -> str:
    """Return the name of the column with the fraction of samples for which a distance, or its ratio, was found.

    Example:
        >>> found_column("margin"), found_column("margin_on_ratio"), found_column("dimple_depth")
        ('margin_found', 'margin_on_found', 'dimple_depth_found')
    """
    return name.removesuffix("_ratio") + FOUND_SUFFIX


def statistic(name: str, columns: Arrays, units: Mapping[str, str]) -> dict[str, float]:
    """Aggregate one column together with its comparison, analytic value and found fraction.

    The null of a statistic is the median over the draws of the same statistic of each draw, and its interval is that of
    these values: they are the statistics that the samples together give by chance. Without draws the null is the
    statistic of the comparison column.
    """
    unit = units.get(name, "")

    def summarize(values: NDArray[Any]) -> float:
        defined = values[~np.isnan(values)]
        if len(defined) == 0:
            return float("nan")
        return float(defined.mean()) if unit == FRACTION_UNIT else lower_median(defined)

    row = {name: summarize(columns[name])}
    comparison = comparison_column(name)
    if name + DRAWS_SUFFIX in columns:
        row |= summarize_null(comparison, np.array([summarize(draw) for draw in columns[name + DRAWS_SUFFIX].T]))
    else:
        names = [comparison + end for end in ("", LOW_SUFFIX, HIGH_SUFFIX)]
        row |= {column: summarize(columns[column]) for column in names if column in columns}
    if name + ANALYTIC_SUFFIX in columns:
        row[name + ANALYTIC_SUFFIX] = summarize(columns[name + ANALYTIC_SUFFIX])
    if unit.endswith(DISTANCE_UNIT) and name + FOUND_SUFFIX not in columns:
        row[name + FOUND_SUFFIX] = float(np.isfinite(columns[name]).mean())
        if name + DRAWS_SUFFIX in columns:
            row[name + FOUND_SUFFIX + NULL_SUFFIX] = float(np.isfinite(columns[name + DRAWS_SUFFIX]).mean())
    return row


def annotation(verdict: str, row: Mapping[str, Any], name: str) -> str:
    """Return the verdict on a statistic with a warning where the tangents behind it are unreliable.

    Example:
        >>> annotation("above", {"margin_on_ratio": 20.0, "tangent_reliable": 0.02}, "margin_on_ratio")
        'above, tangents unreliable'
    """
    warning = "tangents unreliable" if name in TANGENT_DEPENDENT_COLUMNS and has_unreliable_tangents(row) else ""
    return ", ".join(filter(None, (verdict, warning)))


def has_unreliable_tangents(row: Mapping[str, Any]) -> bool:
    """Return whether fewer than half of the tangents behind the statistics of a row are reliable."""
    fraction = row.get(RELIABLE_COLUMN)
    return fraction is not None and bool(fraction < MIN_RELIABLE_FRACTION)


def lower_median(values: NDArray[Any]) -> float:
    """Return the lower median, which is always one of the values: infinite distances are never averaged.

    Example:
        >>> lower_median(np.array([1.0, np.inf, -np.inf, 2.0]))
        1.0
    """
    return float(np.sort(values)[(len(values) - 1) // 2])


def summarize_null(name: str, draws: NDArray[Any]) -> dict[str, float]:
    """Return the lower median of the draws as column `name`, and their prediction interval as its two ends."""
    low, high = prediction_interval(torch.from_numpy(draws))
    return {name: lower_median(draws), f"{name}_low": float(low), f"{name}_high": float(high)}
