"""Tables of statistics for the terminal: with the comparison and the verdict."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dimple.stats.aggregate import TANGENT_DEPENDENT_COLUMNS, has_unreliable_tangents, verdict
from dimple.views.content.labels import NO_ENTRY, format_pixel_levels
from dimple.views.report.tables import break_comparison, shown_columns, statistic_cell

if TYPE_CHECKING:
    from rich.table import Table

# Terminals narrower than this get names on two lines.
WIDE_TERMINAL = 110
MAX_NAME_WIDTH = 21
INTERVAL = "95 % interval"
NUMERIC = ("value", INTERVAL, f"value\n{INTERVAL}", "n")
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
    levels: int | None = None,
) -> "Table":
    """Return a table with one line for each statistic: value, 95 % interval, number, comparison, verdict and unit.

    The column `comparison` holds the null of a statistic, or the value that it is compared with instead. A star marks
    statistics that depend on unreliable tangents.

    Args:
        heading: of the column of names.
        row: statistics with their comparisons and verdicts, by name.
        units: by name.
        format_name: gives the label of a name.
        width: of the terminal, in characters.
        levels: the level of the brightest pixel, where the inputs are images.
    """
    from rich.markup import escape
    from rich.table import Column, Table

    lines = []
    for name in shown_columns(row):
        cell = statistic_cell(row, name)
        pixels = format_pixel_levels(row[name], units.get(name, ""), levels)
        lines.append(
            {
                heading: format_name(name),
                "value": "\n".join(filter(None, (cell["value"], pixels, cell["found"]))),
                INTERVAL: cell["interval"],
                "n": cell["samples"],
                "comparison": break_comparison(cell["null"] or NO_ENTRY),
                "verdict": re.sub("(?<=[:,]) ", "\n", star_verdict(row, name) or NO_ENTRY),
                "unit": units.get(name, ""),
            }
        )
    if width < WIDE_TERMINAL:
        lines = [_narrow_line(heading, line) for line in lines]
    columns = [column for column in lines[0] if any(line[column] not in ("", NO_ENTRY) for line in lines)]
    table = Table(
        *[
            Column(
                one,
                no_wrap=one not in (heading, "comparison", "unit", "verdict"),
                min_width=MAX_NAME_WIDTH if one == heading else None,
                justify="right" if one in NUMERIC else "left",
            )
            for one in columns
        ],
        box=None,
        pad_edge=False,
    )
    for line in lines:
        # Units in brackets are no markup.
        table.add_row(*[escape(line[column]) for column in columns])
    return table


def star_verdict(row: Mapping[str, Any], name: str) -> str:
    """Return the verdict on a statistic, with a star where it depends on unreliable tangents; empty without both.

    Example:
        >>> star_verdict({"margin_on_ratio": 2.0, "tangent_reliable": 0.1}, "margin_on_ratio")
        '– *'
    """
    is_doubtful = has_unreliable_tangents(row) and name in TANGENT_DEPENDENT_COLUMNS
    return f"{verdict(row, name) or NO_ENTRY} *" if is_doubtful else verdict(row, name)


def build_condition_table(conditions: Sequence[Mapping[str, str]]) -> "Table":
    """Return the table of the conditions of a verdict, from `describe_conditions`: value, threshold and outcome."""
    from rich.markup import escape
    from rich.table import Column, Table

    heads = ("condition of the verdict", "value", "has to be", "outcome")
    columns = [Column(one, no_wrap=one != heads[0], justify="right" if one == "value" else "left") for one in heads]
    table = Table(*columns, box=None, pad_edge=False)
    for row in conditions:
        table.add_row(*[escape(row[key]) for key in ("statement", "value", "threshold", "met")])
    return table


def _narrow_line(heading: str, line: Mapping[str, str]) -> dict[str, str]:
    """Return a line for a narrow terminal: the unit is below the name, and the interval below the value."""
    unit = f"\n[{line['unit']}]" if line["unit"] else ""
    interval = "" if line[INTERVAL] == NO_ENTRY else f"\n{line[INTERVAL]}"
    return {
        heading: break_name(line[heading]) + unit,
        f"value\n{INTERVAL}": line["value"] + interval,
        **{name: line[name] for name in ("n", "comparison", "verdict")},
    }


def choose_rows(row: Mapping[str, Any], count: int) -> tuple[dict[str, Any], int]:
    """Return at most `count` statistics of a row with their comparisons, headlines first, and the number left out.

    Example:
        >>> choose_rows({"confidence": 0.9, "margin_passes": 40, "margin": 0.5, "margin_null": 0.7}, 2)
        ({'margin': 0.5, 'confidence': 0.9, 'margin_null': 0.7}, 1)
    """
    names = shown_columns(row)
    ordered = [*(name for name in HEADLINES if name in names), *(name for name in names if name not in HEADLINES)]
    chosen = {name: row[name] for name in ordered[:count]}
    # What is no statistic of its own beside those that are chosen belongs to them.
    others = [name for name in row if name not in names and name not in shown_columns({**chosen, name: row[name]})]
    return chosen | {name: row[name] for name in others}, len(ordered) - len(chosen)


def break_name(name: str) -> str:
    """Return a name of at most two lines, broken behind an underscore or a space."""
    if len(name) <= MAX_NAME_WIDTH:
        return name
    at = 1 + max(name.rfind("_", 0, MAX_NAME_WIDTH), name.rfind(" ", 0, MAX_NAME_WIDTH))
    return f"{name[:at]}\n{name[at:]}"
