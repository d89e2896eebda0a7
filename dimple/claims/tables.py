"""The verdicts as tables: for the terminal, and as CSV."""

import csv
import io
import math
from collections import Counter
from typing import TYPE_CHECKING

from dimple.claims.runner import JudgedClaims, JudgedLeaf

if TYPE_CHECKING:
    from rich.table import Table

VERDICTS = ("supported", "contradicted", "undecided", "not run")
STYLES = {"supported": "green", "contradicted": "red", "undecided": "yellow", "not run": "dim"}
CSV_COLUMNS = (
    "id", "paper", "primary", "verdict", "n", "estimate", "low", "high", "threshold", "null", "seconds", "statistic",
)  # fmt: skip


def format_number(value: float | None) -> str:
    """Return a number with three digits; a dash where there is none.

    Example:
        >>> format_number(0.12345), format_number(float("inf")), format_number(None)
        ('0.123', 'inf', '-')
    """
    return "-" if value is None or math.isnan(value) else f"{value:.3g}"


def format_estimate(one: JudgedLeaf) -> str:
    """Return the estimate of the headline with its 95 % interval; a dash where it was not run."""
    if not one.judgement.findings:
        return "-"
    finding = one.judgement.findings[0]
    if not len(finding.values):
        return "undefined"
    return f"{format_number(finding.estimate)} [{format_number(finding.low)}, {format_number(finding.high)}]"


def build_claims_table(claims: JudgedClaims, width: int) -> "Table":
    """Return the table of all leaves for a terminal of this width; a star marks primary claims."""
    from rich.table import Column, Table
    from rich.text import Text

    is_wide = width >= 120
    headings = ["estimate [95 %]", "has to be", "null", "n", "verdict", "s"]
    table = Table(
        Column("claim (* primary)", overflow="fold", ratio=1), *[Column(heading) for heading in headings],
        box=None, pad_edge=False, expand=True,
    )  # fmt: skip
    for one in claims.leaves:
        finding = one.judgement.findings[0] if one.judgement.findings else None
        name = Text(f"{one.id}{' *' if one.leaf.primary else ''}", style="bold")
        name.append("\n" + _describe(one), style="dim")
        estimate = format_estimate(one)
        table.add_row(
            name,
            estimate if is_wide else estimate.replace(" [", "\n["),
            one.leaf.criteria[0].describe_bounds(signs=True),
            "-" if finding is None else format_number(finding.null),
            str(len(one.rows)),
            Text(one.judgement.verdict, style=STYLES[one.judgement.verdict]),
            f"{one.seconds:.0f}",
        )
    return table


def _describe(one: JudgedLeaf) -> str:
    """Return the statistic; where another criterion decided, or none was measured, the reason."""
    findings = one.judgement.findings
    if not findings:
        return one.judgement.reason
    deciding = [finding for finding in findings if finding.verdict == one.judgement.verdict]
    if one.judgement.verdict == "supported" or deciding[:1] == [findings[0]]:
        return one.leaf.criteria[0].statistic
    return f"{one.leaf.criteria[0].statistic}; decided by: {one.judgement.reason}"


def count_verdicts(claims: JudgedClaims) -> str:
    """Return how many leaves have each verdict, in one sentence."""
    counts: Counter[str] = Counter(one.judgement.verdict for one in claims.leaves)
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])


def to_csv(claims: JudgedClaims) -> str:
    """Return one line for each leaf, with the columns of `CSV_COLUMNS`."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, CSV_COLUMNS, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(claims.to_json()["leaves"])
    return stream.getvalue()
