"""Statistics and runs as HTML in the output of a notebook's cell, in the notebook's own style."""

from collections.abc import Mapping, Sequence
from typing import Any

from dimple.views.report.html import template_environment
from dimple.views.report.tables import statistic_rows


def statistics_html(
    heading: str,
    row: Mapping[str, Any],
    units: Mapping[str, str],
    still: str = "",
    still_text: str = "",
    notes: Sequence[str] = (),
) -> str:
    """Return a table of statistics; the meaning of each appears when the pointer rests on its row.

    Args:
        heading: one line above the table.
        row: statistics with their comparisons and verdicts, by name.
        units: by name.
        still: the data URI of a picture below the table; empty for none.
        still_text: what the picture shows, in words.
        notes: sentences below the table.
    """
    values = {
        "heading": heading,
        "rows": statistic_rows(row, units),
        "still": still,
        "still_text": still_text,
        "notes": notes,
    }
    return template_environment().get_template("notebook.html").render(**values)
