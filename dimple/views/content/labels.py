"""Labels of columns, and numbers as text, for everything that a user reads."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.columns import describe_column
from dimple.stats.aggregate import (
    ANALYTIC_SUFFIX,
    DISTANCE_UNIT,
    DRAWS_SUFFIX,
    FOUND_SUFFIX,
    NULL_SUFFIX,
    SAMPLE_COMPARISONS,
    SAMPLES_SUFFIX,
    annotation,
    comparison_column,
    found_column,
    interval_ends,
    verdict,
)
from dimple.stats.null_bands import COVERAGE, interval_coverage

# Means over points, of which those without a boundary count with the limit of the search.
LIMITED_COLUMNS = ("boundary_distance",)
# The distance that is given only where it is proven.
PROVEN_COLUMN = "margin_exact"
# The sign of a lower bound.
AT_LEAST = "\N{GREATER-THAN OR EQUAL TO} "

# Title of the column with the values that quantities are compared with: nulls, chance levels, test points.
BASELINE_TITLE = "comparison"
# The name of a comparison with random subspaces or permutations.
NULL_LABEL = "null"
# The text of a cell for which there is no entry.
NO_ENTRY = "\N{EN DASH}"


def column_label(column: str) -> str:
    """Return the label of a column; for a name that no table knows, its name with spaces.

    Example:
        >>> column_label("dimple_depth"), column_label("some_new_column")
        ('dimple depth', 'some new column')
    """
    return describe_column(column).label


def short_column_label(column: str) -> str:
    """Return the short label of a column, for captions and legends.

    Example:
        >>> short_column_label("boundary_distance"), short_column_label("dimple_depth")
        ('manifold to boundary', 'dimple depth')
    """
    meaning = describe_column(column)
    return meaning.short_label or meaning.label


def format_number(value: float | None, significant: int = 3) -> str:
    """Format a number with three significant digits or more; nan and None become "not measured", infinity "none found".

    Example:
        >>> format_number(0.04333), format_number(1500.0), format_number(float("inf")), format_number(2.5e-7)
        ('0.0433', '1500', 'none found', '2.5e-07')
    """
    if value is None or math.isnan(value):
        return "not measured"
    if isinstance(value, int):
        return str(value)
    if math.isinf(value):
        return "none found"
    if value == 0 or 1e-4 <= abs(value) < 1e5:
        digits = 0 if value == 0 else max(0, significant - 1 - math.floor(math.log10(abs(value))))
        return f"{value:.{digits}f}"
    return f"{value:.{significant}g}"


def format_statistic(row: Mapping[str, Any], column: str, suffix: str = "") -> str:
    """Format a quantity of a row, with the sign of a lower bound where it is one.

    Points without a boundary within the search limit count with the limit, so a mean over them is a lower bound. A
    median is infinite where fewer than half of the points have a boundary.

    Args:
        row: quantities by column.
        column: the quantity.
        suffix: `_null` for its null, or other comparison.

    Example:
        >>> row = {"boundary_distance": 0.2, "boundary_distance_found": 0.9, "boundary_distance_null": 0.3}
        >>> format_statistic(row, "boundary_distance"), format_statistic(row, "boundary_distance", "_null")
        ('\N{GREATER-THAN OR EQUAL TO} 0.200', '0.300')
    """
    value = row[comparison_column(column) if suffix else column]
    found = row.get(found_column(column) + suffix)
    if found and value is not None and math.isinf(value):
        return "no median"
    return (AT_LEAST if is_lower_bound(row, column, suffix) else "") + format_number(value)


def is_lower_bound(row: Mapping[str, Any], column: str, suffix: str = "") -> bool:
    """Return whether a quantity of a row, or its comparison, is a mean in which points count with the search limit."""
    found = row.get(found_column(column) + suffix)
    return column in LIMITED_COLUMNS and found is not None and found < 1


def format_interval(row: Mapping[str, Any], column: str) -> str:
    """Format the 95 % interval of a quantity of a row, or why it has none; a dash for a count, a setting or a bound.

    Example:
        >>> format_interval({"x": 1.0, "x_low": 0.5, "x_high": math.inf, "x_samples": 6}, "x")
        '0.500 to none found'
        >>> format_interval({"x": 1.0, "x_low": None, "x_high": None, "x_samples": 3}, "x")
        'too few samples'
        >>> format_interval({"search_limit": 1.0}, "search_limit"), format_interval({"x": 1.0}, "x")
        ('–', 'not recorded')
    """
    ends = interval_ends(row, column)
    if ends is None:
        return NO_ENTRY if describe_column(column).is_exact else "not recorded"
    if is_lower_bound(row, column):
        return AT_LEAST + format_number(ends[0])
    if all(end is None or not math.isfinite(end) for end in ends):
        return "too few samples"
    return format_range(*ends)


def format_range(low: float | None, high: float | None) -> str:
    """Format two ends, with as many digits as make them differ, up to six.

    Example:
        >>> format_range(0.5, 1.25), format_range(1.0008, 1.0014), format_range(0.5, None)
        ('0.500 to 1.25', '1.0008 to 1.0014', '0.500 to none found')
    """
    # Files of a run hold null for a number that is not finite.
    for digits in range(3, 7):
        ends = ["none found" if end is None else format_number(end, digits) for end in (low, high)]
        if ends[0] != ends[1] or low == high:
            break
    return " to ".join(ends)


def format_samples(row: Mapping[str, Any], column: str) -> str:
    """Format the number of samples behind a quantity of a row; a dash where there are none, as for a setting.

    Example:
        >>> format_samples({"x": 1.0, "x_samples": 20.0}, "x"), format_samples({"x": 1.0}, "x")
        ('20', '–')
    """
    samples = row.get(column + SAMPLES_SUFFIX)
    return NO_ENTRY if samples is None else f"{samples:,.0f}"


def format_pixel_levels(value: float | None, unit: str, levels: int | None) -> str:
    """Format a distance between images in the maximum norm in levels of a pixel, as is the custom; empty for others.

    Args:
        value: the distance, in units of the range of a pixel.
        unit: its unit.
        levels: the level of the brightest pixel, such as 255; None where the inputs are no such images.

    Example:
        >>> format_pixel_levels(8 / 255, "linf, input units", 255), format_pixel_levels(0.5, "l2, input units", 255)
        ('8/255', '')
    """
    if levels is None or not unit.startswith(f"linf, {DISTANCE_UNIT}") or value is None or not math.isfinite(value):
        return ""
    return f"{levels * value:.3g}/{levels}"


def sorting_key(value: float | None) -> str:
    """Format a number for the script that sorts the tables of a page; empty for None and nan, which come last.

    Example:
        >>> sorting_key(0.5), sorting_key(float("inf")), sorting_key(float("nan"))
        ('0.5', 'Infinity', '')
    """
    return "" if value is None or math.isnan(value) else repr(float(value)).replace("inf", "Infinity")


def format_comparison(row: Mapping[str, Any], column: str) -> str:
    """Format what a column is compared with: its name, its value, and the band of a null or the interval of samples.

    A band says what it holds where that is not 95 %. The text is empty if the row has no such column.

    Example:
        >>> format_comparison({"x_null": 0.5, "x_null_low": 0.4, "x_null_high": 0.62, "x_null_draws": 5}, "x")
        'null 0.500 (0.400 to 0.620, a 67 % band)'
        >>> row = {"margin_test": 0.5, "margin_test_low": 0.49996, "margin_test_high": 0.50004}
        >>> format_comparison(row, "margin")
        'test points 0.500 (0.49996 to 0.50004, 95 % interval)'
        >>> format_comparison({"majority_accuracy": 0.15}, "accuracy"), format_comparison({}, "accuracy")
        ('largest class 0.150', '')
    """
    null = comparison_column(column)
    if null not in row:
        return ""
    label = describe_column(column).comparison_label or NULL_LABEL
    text = f"{label} {format_statistic(row, column, NULL_SUFFIX)}"
    ends = interval_ends(row, null)
    if ends is not None:
        draws = row.get(null + DRAWS_SUFFIX)
        coverage = COVERAGE if draws is None else interval_coverage(int(draws))
        note = f", a {coverage:.0%} band".replace("%", " %") if coverage < COVERAGE else ""
        note = ", 95 % interval" if null in SAMPLE_COMPARISONS else note
        text += f" ({format_range(*ends)}{note})"
    if column + ANALYTIC_SUFFIX in row:
        text += f", isotropic {format_number(row[column + ANALYTIC_SUFFIX])}"
    return ", ".join(filter(None, (text, format_found_fraction(row, column, NULL_SUFFIX))))


def format_verdict(row: Mapping[str, Any], column: str) -> str:
    """Format the verdict on a column against its null, with what makes it doubtful; empty where there is none.

    Example:
        >>> row = {"x": 2.0, "x_low": 1.6, "x_high": 2.3, "x_samples": 20, "x_null_low": 0.5, "x_null_high": 1.5}
        >>> format_verdict(row, "x"), format_verdict({"x": 2.0}, "x")
        ('above', '')
    """
    return annotation(verdict(row, column), row, column)


def format_found_fraction(row: Mapping[str, Any], column: str, suffix: str = "") -> str:
    """Format the number of samples for which a quantity was found; empty if it is unknown, or none or all of them.

    Args:
        row: quantities by column.
        column: the quantity.
        suffix: `_null` for the fraction of the null.

    Example:
        >>> format_found_fraction({"margin_on": 0.05, "margin_on_found": 0.75}, "margin_on")
        '75% found'
        >>> format_found_fraction({"margin_on": 0.05, "margin_on_found": 0.75, "margin_on_samples": 20}, "margin_on")
        '15 of 20 found'
        >>> row = {"margin_exact": 0.2, "margin_exact_found": 0.6, "margin_exact_found_samples": 20}
        >>> format_found_fraction(row, "margin_exact")
        'proven for 12 of 20'
    """
    name = found_column(column)
    fraction = row.get(name + suffix)
    if fraction is None or (not 0 < fraction < 1 and column != PROVEN_COLUMN):
        return ""
    # Samples without the quantity are not counted with it, but in the fraction.
    samples = row.get(name + SAMPLES_SUFFIX, row.get(name.removesuffix(FOUND_SUFFIX) + SAMPLES_SUFFIX))
    if suffix or samples is None:
        return f"{100 * fraction:.3g}% found"
    count = f"{fraction * samples:.0f} of {samples:.0f}"
    return f"proven for {count}" if column == PROVEN_COLUMN else f"{count} found"


def finite_or_nan(values: NDArray[Any]) -> NDArray[np.float64]:
    """Replace infinities by nan, which plots leave out."""
    numbers = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)
