"""Rows of HTML tables: recorded quantities with their null or comparison."""

import re
from collections.abc import Mapping
from typing import Any

from dimple.columns import describe_column
from dimple.stats.aggregate import comparison_column, found_column, is_comparison_column, verdict
from dimple.stats.null_bands import NOT_JUDGED
from dimple.views.content.labels import (
    NO_ENTRY,
    column_label,
    format_comparison,
    format_found_fraction,
    format_interval,
    format_pixel_levels,
    format_samples,
    format_statistic,
    format_verdict,
    sorting_key,
)

# The verdicts that the dimpled manifold model predicts (Shamir, Melamed, BenShmuel 2021).
PREDICTIONS = {
    "margin_on_ratio": "above",
    "gradient_off_manifold_fraction": "above",
    "margin_off_ratio": "below",
    "perturbation_on_manifold_fraction": "below",
    "boundary_distance": "below",
    "boundary_angle": "below",
}


def prediction_note(row: Mapping[str, Any]) -> str:
    """Return which of the verdicts of a row speak for the dimpled manifold model; empty for a row without one.

    Example:
        >>> ends = {"_low": 1.6, "_high": 2.3, "_samples": 20, "_null_low": 0.5, "_null_high": 1.5}
        >>> row = {"margin_on_ratio": 2.0, **{f"margin_on_ratio{end}": value for end, value in ends.items()}}
        >>> prediction_note(row)[:73]
        'the dimpled manifold model predicts margin_on_ratio above its null; insid'
    """
    verdicts = {name: verdict(row, name) for name in PREDICTIONS if name in row}
    judged = [name for name, words in verdicts.items() if words and not words.startswith(NOT_JUDGED)]
    if not judged:
        return ""
    named = [
        f"{', '.join(names)} {side}"
        for side in ("above", "below")
        if (names := [name for name in judged if PREDICTIONS[name] == side])
    ]
    null = "its null" if len(judged) == 1 else "their nulls"
    return (
        f"the dimpled manifold model predicts {' and '.join(named)} {null}; inside, not decided and unsettled say "
        "nothing more than chance"
    )


def shown_columns(row: Mapping[str, Any]) -> list[str]:
    """Return the columns of a row that are quantities of their own: not steps, verdicts, intervals or comparisons.

    Example:
        >>> shown_columns({"step": 3, "x": 2.0, "x_low": 1.0, "x_samples": 9, "x_null": 1.5, "x_verdict": "above"})
        ['x']
    """
    found_columns = {found_column(column) for column in row}
    return [
        column
        for column, value in row.items()
        if column != "step"
        and column not in found_columns
        and (value is None or isinstance(value, int | float))
        and not is_comparison_column(column, row)
    ]


def statistic_rows(row: Mapping[str, Any], units: Mapping[str, str], levels: int | None = None) -> list[dict[str, Any]]:
    """Return the rows of a table of quantities: name, meaning, value, interval, number, comparison, verdict and unit.

    A verdict comes with what makes it doubtful, and a distance with the fraction of samples on which it rests. `key` is
    the value as a number, by which the page sorts the table.

    Args:
        row: numbers by column; `comparison_column` names the null of each.
        units: the unit of each column.
        levels: the level of the brightest pixel, where the inputs are images.

    Example:
        >>> row = {"x": 2.0, "x_low": 1.6, "x_high": 2.3, "x_samples": 20, "x_null_low": 0.5, "x_null_high": 1.5}
        >>> statistic_rows(row, {})[0]["verdict"]
        'above'
    """
    return [
        {
            "name": column_label(column),
            "meaning": describe_column(column).text,
            "source": describe_column(column).source,
            **statistic_cell(row, column),
            "pixels": format_pixel_levels(row[column], units.get(column, ""), levels),
            "null": break_comparison(format_comparison(row, column) or NO_ENTRY),
            "null_key": sorting_key(row.get(comparison_column(column))),
            "verdict": format_verdict(row, column) or NO_ENTRY,
            "unit": units.get(column, ""),
        }
        for column in shown_columns(row)
    ]


def break_comparison(text: str) -> str:
    r"""Return a comparison in lines: its value, its band, and each further number.

    Example:
        >>> break_comparison("null 1.89 (1.81 to 2.04, a 67 % band), isotropic 2.00")
        'null 1.89\n(1.81 to 2.04,\na 67 % band)\nisotropic 2.00'
    """
    within_brackets = re.sub(r", (?=[^(]*\))", ",\n", text.replace(" (", "\n("))
    return within_brackets.replace(", ", "\n")


def statistic_cell(row: Mapping[str, Any], column: str) -> dict[str, str]:
    """Return one quantity for a table as text, and the `key` by which it is sorted.

    Example:
        >>> statistic_cell({"x": 2.0, "x_low": 1.0, "x_high": 4.0, "x_samples": 9, "x_null": 1.5}, "x")
        {'value': '2.00', 'key': '2.0', 'interval': '1.00 to 4.00', 'samples': '9', 'found': '', 'null': 'null 1.50',
         'verdict': ''}
    """
    return {
        "value": format_statistic(row, column),
        "key": sorting_key(row[column]),
        "interval": format_interval(row, column),
        "samples": format_samples(row, column),
        "found": format_found_fraction(row, column),
        "null": format_comparison(row, column),
        "verdict": format_verdict(row, column),
    }
