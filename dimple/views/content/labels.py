"""Column names and numbers as a reader meets them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.stats.aggregate import CLOSED, HIGH, LOW, NULL, found_of

WORDS = {
    "train_accuracy": "train accuracy",
    "test_accuracy": "test accuracy",
    "loss": "training loss",
    "boundary_distance": "boundary to manifold",
    "boundary_found": "boundary within reach",
    "boundary_limit": "boundary to manifold, limit",
    "dimple_depth": "dimple depth",
    "dimple_found": "dimples within reach",
    "off_share": "off-manifold share",
    "off_share_error": "off-manifold share, standard error",
    "margin_found": "margins found",
    "margin_any_found": "margins found in any direction",
    "margin_pca_top_found": "margins found along the widest directions",
    "margin_pca_bottom_found": "margins found along the narrowest directions",
    "margin_on_found": "margins found along the manifold",
    "margin_off_found": "margins found off the manifold",
    "gap": "score gap",
    "margin": "margin",
    "margin_reached": "margin before landing",
    "margin_residual": "angle that is left to the nearest point",
    "margin_passes": "passes of the margin's search",
    "margin_masked": "gradient hides the boundary",
    "margin_any": "margin in any direction",
    "margin_on": "margin along the manifold",
    "margin_off": "margin off the manifold",
    "margin_pca_top": "margin along the widest directions",
    "margin_pca_bottom": "margin along the narrowest directions",
    "margin_section": "margin in the section",
    "section_share": "gradient in the section",
    "classes": "classes in the box",
    "boundary_size": "size of the boundary",
    "valid_share": "share of the box with valid inputs",
    "margin_wrong": "margin of the wrongly classified",
    "on_share": "on-manifold share of the shortest step",
    "gradient_off_share": "off-manifold share of the gradient",
    "tangent_reliable": "tangents to be relied on",
    "tangent_validity": "distance from the tangent plane, of the margin",
    "on_ratio": "margin along the manifold, of the free one",
    "off_ratio": "margin off the manifold, of the free one",
    "pca_top_ratio": "margin along the widest directions, of the free one",
    "pca_bottom_ratio": "margin along the narrowest directions, of the free one",
    "on_ratio_change": "change along the manifold with more search",
    "off_ratio_change": "change off the manifold with more search",
}


def words(column: str) -> str:
    """The name of a column in words.

    Example:
        >>> words("dimple_depth"), words("some_new_column")
        ('dimple depth', 'some new column')
    """
    return WORDS.get(column, column.replace("_", " "))


def number(value: float | None) -> str:
    """Three significant digits; words for what is no number.

    Example:
        >>> number(0.04333), number(1500.0), number(float("inf")), number(2.5e-7)
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


def sorting_key(value: float | None) -> str:
    """A number as the page's script reads it to sort a table; empty for what is none, which comes last.

    Example:
        >>> sorting_key(0.5), sorting_key(float("inf")), sorting_key(float("nan"))
        ('0.5', 'Infinity', '')
    """
    return "" if value is None or math.isnan(value) else repr(float(value)).replace("inf", "Infinity")


def null_text(row: Mapping[str, Any], column: str) -> str:
    """The null of a column with its band and closed form where there are such; empty where it has no null.

    Example:
        >>> null_text({"x_null": 0.5, "x_null_low": 0.4, "x_null_high": 0.62}, "x")
        '0.500 (0.400 to 0.620)'
    """
    if column + NULL not in row:
        return ""
    text = number(row[column + NULL])
    if column + LOW in row and column + HIGH in row:
        text += f" ({number(row[column + LOW])} to {number(row[column + HIGH])})"
    if column + CLOSED in row:
        text += f", isotropic {number(row[column + CLOSED])}"
    return ", ".join(filter(None, (text, found_text(row, column, NULL))))


def found_text(row: Mapping[str, Any], column: str, end: str = "") -> str:
    """On what share of the samples a figure, or its null, rests; empty where on all or none of them.

    Example:
        >>> found_text({"margin_on": 0.05, "margin_on_found": 0.75}, "margin_on")
        '75% found'
    """
    share = row.get(found_of(column) + end)
    return "" if share is None or not 0 < share < 1 else f"{100 * share:.3g}% found"


def finite_or_nan(values: NDArray[Any]) -> NDArray[np.float64]:
    """The same numbers with infinities as nan, which plots leave out."""
    reals = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(reals), reals, np.nan)
