"""Rows of HTML tables: recorded quantities with their null or comparison."""

from collections.abc import Mapping
from typing import Any

from dimple.columns import describe_column
from dimple.stats.aggregate import (
    VERDICT_SUFFIX,
    annotation,
    comparison_column,
    found_column,
    is_comparison_column,
)
from dimple.views.content.labels import column_label, format_found_fraction, format_null, format_number, sorting_key

VERDICT_LABELS = {
    "above": "above",
    "below": "below",
    "inside": "inside its band",
    "settled": "settled, within 2\N{NO-BREAK SPACE}%",
    "unsettled": "not settled: beyond 2\N{NO-BREAK SPACE}%",
}


def statistic_rows(row: Mapping[str, Any], units: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the rows of a table of quantities: name, meaning, value, null, verdict where there is one, and unit.

    A verdict comes with what makes it doubtful, and a distance with the fraction of samples on which it rests. `key` is
    the value as a number, by which the page sorts the table.

    Args:
        row: numbers by column; `comparison_column` names the null of each, `x_verdict` is the verdict of `x`.
        units: the unit of each column.

    Example:
        >>> row = {"margin_on_ratio": 2.0, "margin_on_ratio_null": 1.5, "margin_on_ratio_verdict": "above"}
        >>> statistic_rows(row, {})[0]["verdict"]
        'above'
    """
    found_columns = {found_column(column) for column in row}
    return [
        {
            "name": column_label(column),
            "meaning": describe_column(column).meaning,
            **statistic_cell(row, column),
            "null_key": sorting_key(row.get(comparison_column(column))),
            "verdict": annotation(VERDICT_LABELS.get(str(row.get(column + VERDICT_SUFFIX, "")), ""), row, column),
            "unit": units.get(column, ""),
        }
        for column, value in row.items()
        if column != "step"
        and column not in found_columns
        and (value is None or isinstance(value, int | float))
        and not is_comparison_column(column, row)
    ]


def statistic_cell(row: Mapping[str, Any], column: str) -> dict[str, str]:
    """Return one quantity for a table: `value`, `found` and `null` as text, and the `key` by which it is sorted.

    Example:
        >>> statistic_cell({"x": 2.0, "x_null": 1.5}, "x")
        {'value': '2.00', 'key': '2.0', 'found': '', 'null': '1.50'}
    """
    texts = {"found": format_found_fraction(row, column), "null": format_null(row, column)}
    return {"value": format_number(row[column]), "key": sorting_key(row[column]), **texts}
