"""Tables of statistics for the terminal: with the comparison and the verdict."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

# Terminals narrower than this get names on two lines.
WIDE_TERMINAL = 110
MAX_NAME_WIDTH = 21
# The statistics of a measurement that are shown first where the others are left out.
HEADLINES = (
    "margin",
    "accuracy",
    "samples",
    "margin_on_ratio",
    "margin_off_ratio",
    "gradient_off_manifold_fraction",
    "perturbation_on_manifold_fraction",
    "tangent_reliable",
)


def build_table(
    heading: str,
    row: Mapping[str, Any],
    units: Mapping[str, str],
    format_name: Callable[[str], str] = str,
    width: int = WIDE_TERMINAL,
) -> "Table":
    """Return a table with one line for each statistic; a column that would be empty is left out.

    The column `comparison` holds the null of a statistic, or the value that it is compared with instead. A star marks
    statistics that depend on unreliable tangents.

    Args:
        heading: of the column of names.
        row: statistics with their comparisons and verdicts, by name.
        units: by name.
        format_name: gives the label of a name.
        width: of the terminal, in characters.
    """
    from rich.table import Column, Table

    from dimple.stats.aggregate import (
        TANGENT_DEPENDENT_COLUMNS,
        VERDICT_SUFFIX,
        found_column,
        has_unreliable_tangents,
        is_comparison_column,
    )
    from dimple.views.content.labels import format_found_fraction, format_null, format_statistic

    found_columns = {found_column(name) for name in row}
    is_doubtful = has_unreliable_tangents(row)
    lines = [
        {
            heading: format_name(name) if width >= WIDE_TERMINAL else _break_name(format_name(name)),
            "value": format_statistic(row, name),
            "found": format_found_fraction(row, name).removesuffix(" found"),
            "comparison": format_null(row, name).replace(" (", "\n(").replace(", ", "\n"),
            "verdict": row.get(name + VERDICT_SUFFIX, "")
            + (" *" if is_doubtful and name in TANGENT_DEPENDENT_COLUMNS else ""),
            "unit": units.get(name, ""),
        }
        for name in row
        if name not in found_columns and not name.endswith(VERDICT_SUFFIX) and not is_comparison_column(name, row)
    ]
    columns = [column for column in lines[0] if any(line[column] for line in lines)]
    table = Table(*[Column(column, no_wrap=column != "unit") for column in columns], box=None, pad_edge=False)
    for line in lines:
        table.add_row(*[line[column] for column in columns])
    return table


def choose_rows(row: Mapping[str, Any], count: int) -> tuple[dict[str, Any], int]:
    """Return at most `count` statistics of a row with their comparisons, headlines first, and the number left out.

    Example:
        >>> choose_rows({"confidence": 0.9, "margin_passes": 40, "margin": 0.5, "margin_null": 0.7}, 2)
        ({'margin': 0.5, 'confidence': 0.9, 'margin_null': 0.7}, 1)
    """
    from dimple.stats.aggregate import VERDICT_SUFFIX, found_column, is_comparison_column

    found = {found_column(name) for name in row}
    names = [
        name
        for name in row
        if name not in found and not name.endswith(VERDICT_SUFFIX) and not is_comparison_column(name, row)
    ]
    ordered = [*(name for name in HEADLINES if name in names), *(name for name in names if name not in HEADLINES)]
    chosen = {name: row[name] for name in ordered[:count]}
    belongs = {end for name in chosen for end in (found_column(name), name + VERDICT_SUFFIX)}
    others = [name for name in row if name not in names and (name in belongs or is_comparison_column(name, chosen))]
    return chosen | {name: row[name] for name in others}, len(ordered) - len(chosen)


def _break_name(name: str) -> str:
    """Return a name of at most two lines, broken behind an underscore or a space."""
    if len(name) <= MAX_NAME_WIDTH:
        return name
    at = 1 + max(name.rfind("_", 0, MAX_NAME_WIDTH), name.rfind(" ", 0, MAX_NAME_WIDTH))
    return f"{name[:at]}\n{name[at:]}"
