"""Labels of columns, and numbers as text, for everything that a user reads."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.stats.aggregate import (
    ANALYTIC_SUFFIX,
    HIGH_SUFFIX,
    LOW_SUFFIX,
    NULL_SUFFIX,
    comparison_column,
    found_column,
)

COLUMN_LABELS = {
    "train_accuracy": "training accuracy",
    "test_accuracy": "test accuracy",
    "loss": "training loss",
    "boundary_distance": "distance from manifold to boundary",
    "boundary_distance_found": "boundary found within the limit",
    "search_limit": "limit of the search for the boundary",
    "dimple_depth": "dimple depth",
    "dimple_depth_found": "dimple depth found within the limit",
    "gradient_off_manifold_fraction": "off-manifold fraction of the gradient",
    "gradient_off_manifold_fraction_stderr": "off-manifold fraction of the gradient, standard error",
    "perturbation_on_manifold_fraction": "on-manifold fraction of the shortest perturbation",
    "margin_found": "margins found",
    "margin_unbounded_found": "margins found outside the pixel range",
    "margin_pca_top_found": "margins found along the widest directions",
    "margin_pca_bottom_found": "margins found along the narrowest directions",
    "margin_on_found": "margins found along the manifold",
    "margin_off_found": "margins found off the manifold",
    "logit_margin": "logit margin",
    "margin": "margin",
    "margin_unrefined": "margin before refinement",
    "stationarity_angle": "remaining angle (0 = truly nearest)",
    "margin_passes": "passes of the margin search",
    "margin_multiple_minima": "another restart was 10 % nearer",
    "margin_unbounded": "margin without bounds",
    "margin_on": "margin along the manifold",
    "margin_off": "margin off the manifold",
    "margin_pca_top": "margin along the widest directions",
    "margin_pca_bottom": "margin along the narrowest directions",
    "margin_in_slice": "margin in the slice",
    "gradient_slice_fraction": "fraction of the gradient in the slice",
    "classes": "classes in the box",
    "boundary_size": "size of the boundary",
    "valid_fraction": "fraction of the box with valid inputs",
    "margin_misclassified": "margin of the wrongly classified",
    "tangent_reliable": "reliable tangent planes",
    "tangent_plane_distance_ratio": "data's distance from the estimated plane / margin (>1: plane unusable)",
    "margin_on_ratio": "margin along the manifold / free margin",
    "margin_off_ratio": "margin off the manifold / free margin",
    "margin_pca_top_ratio": "margin along the widest directions / free margin",
    "margin_pca_bottom_ratio": "margin along the narrowest directions / free margin",
    "margin_on_ratio_change": "change along the manifold with more search",
    "margin_off_ratio_change": "change off the manifold with more search",
    "spearman_confidence_margin": "rank correlation of confidence and margin",
    "calibration_error": "calibration error",
}
# Labels for the captions and legends of a film, which have less space; the other columns keep their labels.
SHORT_COLUMN_LABELS = {
    "boundary_distance": "manifold to boundary",
    "gradient_off_manifold_fraction": "off-manifold fraction",
}

# Means over points, of which those without a boundary count with the limit of the search.
LIMITED_COLUMNS = ("boundary_distance",)

# Title of the column with the values that quantities are compared with: nulls, chance levels, test points.
BASELINE_TITLE = "comparison"


def column_label(column: str) -> str:
    """Return the label of a column; without an entry in `COLUMN_LABELS`, its name with spaces.

    Example:
        >>> column_label("dimple_depth"), column_label("some_new_column")
        ('dimple depth', 'some new column')
    """
    return COLUMN_LABELS.get(column, column.replace("_", " "))


def short_column_label(column: str) -> str:
    """Return the short label of a column, for captions and legends.

    Example:
        >>> short_column_label("boundary_distance"), short_column_label("dimple_depth")
        ('manifold to boundary', 'dimple depth')
    """
    return SHORT_COLUMN_LABELS.get(column, column_label(column))


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
    is_lower_bound = column in LIMITED_COLUMNS and found is not None and found < 1
    return ("\N{GREATER-THAN OR EQUAL TO} " if is_lower_bound else "") + format_number(value)


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
