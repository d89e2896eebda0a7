"""Aggregates of columns over samples, with their comparison: the statistics that tables and curves show."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.columns import COLUMNS, COMPANION_UNITS, describe_column
from dimple.columns.network import FAIR_COIN
from dimple.stats.intervals import mean_interval, median_interval, proportion_interval
from dimple.stats.null_bands import MAX_CHANGE, NOT_JUDGED, UNSETTLED, judge, prediction_interval

Arrays = Mapping[str, NDArray[Any]]
# A statistic `x` has `x_low` and `x_high`, the ends of its 95 % interval, and `x_samples`, their number. Its null is
# `x_null`, with `x_null_low` and `x_null_high` as the ends of the band of its draws.
SAMPLES_SUFFIX = "_samples"
NULL_SUFFIX = "_null"
LOW_SUFFIX = "_low"
HIGH_SUFFIX = "_high"
# The analytic value of the null.
ANALYTIC_SUFFIX = "_analytic"
# The standard error of a mean.
STDERR_SUFFIX = "_stderr"
# The draws of the null, `(B, draws)`; after the suffix of a null, their number.
DRAWS_SUFFIX = "_draws"
# The fraction of samples for which the search of a distance found a point.
FOUND_SUFFIX = "_found"
# The relative change of the statistic, or of its null, with four times as many passes.
CHANGE_SUFFIX = "_change"
# The verdict on the statistic against its null.
VERDICT_SUFFIX = "_verdict"
# End of the unit of every distance.
DISTANCE_UNIT = "input units"
# The ends of the units of distances; a distance in l0 is a number of coordinates.
DISTANCE_UNITS = (DISTANCE_UNIT, "coordinates")
FRACTION_UNIT = "fraction"
FRACTION_LIMITS = (0.0, 1.0)
# The names of columns that are true where a sample is robust begin with this.
ROBUST_PREFIX = "robust_at_"
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
# Comparisons that are statistics of other samples, with an interval instead of the band of a null.
SAMPLE_COMPARISONS = ("margin_test", "confidence_test")
# Fraction of samples with reliable tangents below which a statistic is annotated.
MIN_RELIABLE_FRACTION = 0.5


def aggregate(columns: Arrays, units: Mapping[str, str], mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Aggregate columns over the samples of a mask, with their interval, number, comparison, its band and a verdict.

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
        >>> columns = {"x": np.arange(1.0, 8.0), "x_null": np.full(7, 2.0)}
        >>> aggregate(columns, {"x": "degrees"}, np.ones(7, dtype=bool))
        {'x': 4.0, 'x_low': 1.0, 'x_high': 7.0, 'x_samples': 7, 'x_null': 2.0}
    """
    chosen = {name: values[mask] for name, values in columns.items()}
    row: dict[str, Any] = {}
    for name, values in chosen.items():
        if values.dtype == np.bool_:
            row |= fraction_statistic(name, values)
        elif np.issubdtype(values.dtype, np.floating) and not is_comparison_column(name, chosen):
            row |= statistic(name, chosen, units)
    return row | band_verdicts(row)


def band_verdicts(row: Mapping[str, Any]) -> dict[str, str]:
    """Return `x_verdict` for each statistic `x` of a row that has a verdict."""
    verdicts = {name + VERDICT_SUFFIX: verdict(row, name) for name in row}
    return {name: word for name, word in verdicts.items() if word}


def verdict(row: Mapping[str, Any], name: str) -> str:
    """Return the verdict on a statistic of a row, see `judge`; empty where it is compared with no null.

    Example:
        >>> row = {"x": 2.0, "x_low": 1.6, "x_high": 2.3, "x_samples": 20, "x_null_low": 0.5, "x_null_high": 1.5}
        >>> verdict(row, "x"), verdict(row | {"x_null_change": 0.1}, "x"), verdict({"x": 2.0}, "x")
        ('above', 'unsettled', '')
    """
    comparison = comparison_column(name)
    band = null_band(row, name)
    if band is None and describe_column(name).comparison_label == FAIR_COIN and comparison in row:
        band = (row[comparison], row[comparison])
    if band is None:
        return ""
    interval: tuple[Any, Any] = (row.get(name + LOW_SUFFIX), row.get(name + HIGH_SUFFIX))
    if any(number is None for number in (row[name], *interval, *band)):
        # A file has no number that is not finite; what was decided when it was written holds.
        return str(row.get(name + VERDICT_SUFFIX) or f"{NOT_JUDGED}: recorded without an interval")
    changes = [row.get(column + CHANGE_SUFFIX) for column in (name, comparison)]
    known = [change for change in changes if change is not None]
    return judge(row[name], interval, band, row.get(name + SAMPLES_SUFFIX), known)


def changed_columns(row: Mapping[str, Any]) -> set[str]:
    """Return the statistics of a row that four times the passes change by more than a settled search would.

    Unlike the verdict against the null, a difference of two runs does not depend on the null.

    Example:
        >>> changed_columns({"x": 1.0, "x_change": -0.3, "x_null_change": 0.0, "y": 1.0, "y_null_change": 0.5})
        {'x'}
    """
    changes = {name: row.get(name + CHANGE_SUFFIX) for name in row if name + CHANGE_SUFFIX in row}
    return {
        name
        for name, change in changes.items()
        if change is not None and abs(change) > MAX_CHANGE and not name.endswith(NULL_SUFFIX)
    }


def unsettled_columns(row: Mapping[str, Any]) -> list[str]:
    """Return the statistics of a row that more search changes, or whose null it changes."""
    return [name for name in row if verdict(row, name) == UNSETTLED]


def null_band(row: Mapping[str, Any], name: str) -> tuple[Any, Any] | None:
    """Return the ends of the band of the null of a column; None if it has none, or other samples as comparison.

    Example:
        >>> null_band({"margin_on_null_low": 1.0, "margin_on_null_high": 2.0, "margin_test_low": 1.0}, "margin_on")
        (1.0, 2.0)
    """
    comparison = comparison_column(name)
    return None if comparison in SAMPLE_COMPARISONS else interval_ends(row, comparison)


def interval_ends(row: Mapping[str, Any], column: str) -> tuple[Any, Any] | None:
    """Return the ends of the interval of a column; None if one of them is missing.

    Example:
        >>> interval_ends({"x": 1.0, "x_low": 0.5, "x_high": 2.0}, "x"), interval_ends({"x": 1.0, "x_low": 0.5}, "x")
        ((0.5, 2.0), None)
    """
    names = column + LOW_SUFFIX, column + HIGH_SUFFIX
    return (row[names[0]], row[names[1]]) if row.keys() >= {*names} else None


def median_statistic(name: str, values: NDArray[Any]) -> dict[str, float]:
    """Return the lower median of values as `name`, with its exact interval and the number of values; nan is left out.

    Example:
        >>> median_statistic("x", np.array([3.0, np.nan, np.inf]))
        {'x': 3.0, 'x_low': -inf, 'x_high': inf, 'x_samples': 2}
    """
    defined = values[~np.isnan(values)]
    value = lower_median(defined) if len(defined) else float("nan")
    return with_interval(name, value, median_interval(defined), len(defined))


def mean_statistic(
    name: str, values: NDArray[Any], limits: tuple[float, float] = (-np.inf, np.inf)
) -> dict[str, float]:
    """Return the mean of values as `name`, with its interval and the number of values; nan is left out.

    Example:
        >>> mean_statistic("x", np.array([0.5, 1.0 + 1e-7]), (0.0, 1.0))["x_high"]
        1.0
    """
    # Rounding can leave a value a little outside the limits.
    defined = np.clip(values[~np.isnan(values)].astype(float), *limits)
    value = float(defined.mean()) if len(defined) else float("nan")
    return with_interval(name, value, mean_interval(defined, limits), len(defined))


def fraction_statistic(name: str, mask: NDArray[np.bool_]) -> dict[str, float]:
    """Return the fraction of true values as `name`, with its exact interval and the number of values.

    Example:
        >>> fraction_statistic("far", np.array([False] * 10))["far_high"].__round__(4)
        0.3085
    """
    count = len(mask)
    value = float(mask.mean()) if count else float("nan")
    return with_interval(name, value, proportion_interval(int(mask.sum()), count) if count else (0.0, 1.0), count)


def with_interval(name: str, value: float, interval: tuple[float, float], samples: int) -> dict[str, float]:
    """Return the entries of a statistic: its value, the ends of its interval and the number of samples under it."""
    low, high = interval
    return {name: value, name + LOW_SUFFIX: low, name + HIGH_SUFFIX: high, name + SAMPLES_SUFFIX: samples}


def aggregate_units(names: Iterable[str], units: Mapping[str, str]) -> dict[str, str]:
    """Return the units of the statistics `names` of aggregated columns with the given units."""
    found = {}
    for name in names:
        stem = name.removesuffix(LOW_SUFFIX).removesuffix(HIGH_SUFFIX)
        if name.endswith(CHANGE_SUFFIX):
            found[name] = COMPANION_UNITS[CHANGE_SUFFIX]
        elif name.endswith(NULL_SUFFIX + DRAWS_SUFFIX):
            found[name] = COMPANION_UNITS[NULL_SUFFIX + DRAWS_SUFFIX]
        elif name.endswith(SAMPLES_SUFFIX) and name not in units:
            found[name] = "samples"
        elif name.endswith((FOUND_SUFFIX, FOUND_SUFFIX + NULL_SUFFIX)) or units.get(stem) == "yes or no":
            found[name] = FRACTION_UNIT
        elif name in units or stem in units:
            found[name] = units.get(name, units.get(stem, ""))
    return found


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
    ends = (ANALYTIC_SUFFIX, CHANGE_SUFFIX, DRAWS_SUFFIX, SAMPLES_SUFFIX, STDERR_SUFFIX)
    if any(name.endswith(end) and name.removesuffix(end) in columns for end in ends):
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
    """Aggregate one column together with its interval, comparison, analytic value and found fraction.

    The null of a statistic is the median over the draws of the same statistic of each draw, and its band is that of
    these values: they are the statistics that the samples together give by chance. Without draws, and of a fraction,
    whose mean is known, the null is the statistic of the comparison column. Without draws it has no band: the bands of
    single samples are too wide for a statistic.
    """
    unit = units.get(name, "")

    def summarize(column: str, values: NDArray[Any]) -> dict[str, float]:
        if unit == FRACTION_UNIT:
            return mean_statistic(column, values, FRACTION_LIMITS)
        return median_statistic(column, values)

    row = summarize(name, columns[name])
    comparison = comparison_column(name)
    if name + DRAWS_SUFFIX in columns:
        draws = np.array([summarize("", draw)[""] for draw in columns[name + DRAWS_SUFFIX].T])
        row |= summarize_null(comparison, draws)
    if comparison in columns and (unit == FRACTION_UNIT or name + DRAWS_SUFFIX not in columns):
        row[comparison] = summarize("", columns[comparison])[""]
    if name + ANALYTIC_SUFFIX in columns:
        row[name + ANALYTIC_SUFFIX] = summarize("", columns[name + ANALYTIC_SUFFIX])[""]
    if unit.endswith(DISTANCE_UNITS) and name + FOUND_SUFFIX not in columns:
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
    """Return the lower median of the draws as column `name`, the ends of their band, and their number."""
    low, high = prediction_interval(torch.from_numpy(draws))
    band = {f"{name}_low": float(low), f"{name}_high": float(high)}
    return {name: lower_median(draws), **band, name + DRAWS_SUFFIX: len(draws)}
