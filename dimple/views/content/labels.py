"""Labels of columns, and numbers as text, for everything that a user reads."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.columns import describe_column
from dimple.stats.aggregate import (
    ANALYTIC_SUFFIX,
    HIGH_SUFFIX,
    LOW_SUFFIX,
    NULL_SUFFIX,
    comparison_column,
    found_column,
)

# Means over points, of which those without a boundary count with the limit of the search.
LIMITED_COLUMNS = ("boundary_distance",)

# Title of the column with the values that quantities are compared with: nulls, chance levels, test points.
BASELINE_TITLE = "comparison"


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


def format_number(value: float | None) -> str:
    """Format a number with three significant digits; nan and None become "not measured", infinity "none found".

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
        digits = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
        return f"{value:.{digits}f}"
    return f"{value:.3g}"


def format_statistic(row: Mapping[str, Any], column: str, suffix: str = "") -> str:
    """Format a quantity of a row, with the sign of a lower bound where it is one, and with its interval if it has one.

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
    is_lower_bound = column in LIMITED_COLUMNS and found is not None and found < 1
    text = ("\N{GREATER-THAN OR EQUAL TO} " if is_lower_bound else "") + format_number(value)
    if not suffix and column + LOW_SUFFIX in row and column + HIGH_SUFFIX in row:
        text += f" ({format_number(row[column + LOW_SUFFIX])} to {format_number(row[column + HIGH_SUFFIX])})"
    return text


def sorting_key(value: float | None) -> str:
    """Format a number for the script that sorts the tables of a page; empty for None and nan, which come last.

    Example:
        >>> sorting_key(0.5), sorting_key(float("inf")), sorting_key(float("nan"))
        ('0.5', 'Infinity', '')
    """
    return "" if value is None or math.isnan(value) else repr(float(value)).replace("inf", "Infinity")


def format_null(row: Mapping[str, Any], column: str) -> str:
    """Format the null (or other comparison) of a column, with its interval and analytic value if the row has them.

    The text is empty if the row has no such column.

    Example:
        >>> format_null({"x_null": 0.5, "x_null_low": 0.4, "x_null_high": 0.62}, "x")
        '0.500 (0.400 to 0.620)'
    """
    null = comparison_column(column)
    if null not in row:
        return ""
    text = format_statistic(row, column, NULL_SUFFIX)
    if null + LOW_SUFFIX in row and null + HIGH_SUFFIX in row:
        text += f" ({format_number(row[null + LOW_SUFFIX])} to {format_number(row[null + HIGH_SUFFIX])})"
    if column + ANALYTIC_SUFFIX in row:
        text += f", isotropic {format_number(row[column + ANALYTIC_SUFFIX])}"
    return ", ".join(filter(None, (text, format_found_fraction(row, column, NULL_SUFFIX))))


def format_found_fraction(row: Mapping[str, Any], column: str, suffix: str = "") -> str:
    """Format the fraction of samples for which a quantity was found; empty if it is unknown, 0 or 1.

    Args:
        row: quantities by column.
        column: the quantity.
        suffix: `_null` for the fraction of the null.

    Example:
        >>> format_found_fraction({"margin_on": 0.05, "margin_on_found": 0.75}, "margin_on")
        '75% found'
    """
    fraction = row.get(found_column(column) + suffix)
    return "" if fraction is None or not 0 < fraction < 1 else f"{100 * fraction:.3g}% found"


def finite_or_nan(values: NDArray[Any]) -> NDArray[np.float64]:
    """Replace infinities by nan, which plots leave out."""
    numbers = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)
