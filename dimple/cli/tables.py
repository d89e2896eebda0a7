"""Figures as the terminal prints them: four digits, and the null beside."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def table_of(head: str, row: Mapping[str, Any], units: Mapping[str, str], named: Callable[[str], str] = str) -> "Table":
    """A line for each figure with what stands beside it, which gets no column where none of them has it.

    A star marks figures whose tangents cannot be relied on.

    Args:
        head: of the column of names.
        row: figures, their nulls and verdicts, by name.
        named: how a figure is called.
    """
    from rich.table import Column, Table

    from dimple.stats.aggregate import BY_TANGENTS, VERDICT, found_of, is_beside, is_doubtful
    from dimple.views.content.labels import found_text

    shares, doubtful = {found_of(name) for name in row}, is_doubtful(row)
    lines = [
        {
            head: named(name),
            "value": number(value),
            "found": found_text(row, name).removesuffix(" found"),
            "null": null(row, name),
            "verdict": row.get(name + VERDICT, "") + (" *" if doubtful and name in BY_TANGENTS else ""),
            "unit": units.get(name, ""),
        }
        for name, value in row.items()
        if name not in shares and not name.endswith(VERDICT) and not is_beside(name, row)
    ]
    columns = [column for column in lines[0] if any(line[column] for line in lines)]
    table = Table(*[Column(column, no_wrap=column == head) for column in columns], box=None, pad_edge=False)
    for line in lines:
        table.add_row(*[line[column] for column in columns])
    return table


def number(value: float | None) -> str:
    """Four significant digits; None and infinity by name."""
    return "none" if value is None else f"{value:.4g}"


def null(row: Mapping[str, Any], name: str) -> str:
    """The null of a figure, with its band where there is one."""
    if f"{name}_null" not in row:
        return ""
    text = number(row[f"{name}_null"])
    if f"{name}_null_low" in row:
        text += f" ({number(row[f'{name}_null_low'])} to {number(row[f'{name}_null_high'])})"
    return text
