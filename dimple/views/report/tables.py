"""Recorded columns as the rows of a table and as charts: each figure with its null, for pages of any kind."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dimple.stats.aggregate import NULL, VERDICT, found_of, is_beside, remark
from dimple.views.content.labels import found_text, null_text, number, sorting_key, words

if TYPE_CHECKING:
    pass

VERDICTS = {
    "above": "above",
    "below": "below",
    "inside": "inside its band",
    "settled": "settled, within 2\N{NO-BREAK SPACE}%",
    "unsettled": "not settled: beyond 2\N{NO-BREAK SPACE}%",
}


def figure_rows(row: Mapping[str, Any], units: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows of a table of figures: name, value, null, the verdict against it where there is one, and unit.

    Beside the verdict stands what makes it doubtful, and beside a distance on how many samples it rests. `key` is the
    value as a number, by which a table can be sorted.

    Args:
        row: numbers by column; the null of `x` is `x_null`, its verdict `x_verdict`.
        units: the unit of each column.

    Example:
        >>> figure_rows({"on_ratio": 2.0, "on_ratio_null": 1.5, "on_ratio_verdict": "above"}, {})[0]["verdict"]
        'above'
    """
    shares = {found_of(column) for column in row}
    return [
        {
            "name": words(column),
            **cell(row, column),
            "null_key": sorting_key(row.get(column + NULL)),
            "verdict": remark(VERDICTS.get(str(row.get(column + VERDICT, "")), ""), row, column),
            "unit": units.get(column, ""),
        }
        for column, value in row.items()
        if column != "step"
        and column not in shares
        and (value is None or isinstance(value, int | float))
        and not is_beside(column, row)
    ]


def cell(row: Mapping[str, Any], column: str) -> dict[str, str]:
    """One figure for a table: `value`, `found` and `null` as text, and the `key` by which it is sorted.

    Example:
        >>> cell({"x": 2.0, "x_null": 1.5}, "x")
        {'value': '2.00', 'key': '2.0', 'found': '', 'null': '1.50'}
    """
    texts = {"found": found_text(row, column), "null": null_text(row, column)}
    return {"value": number(row[column]), "key": sorting_key(row[column]), **texts}
