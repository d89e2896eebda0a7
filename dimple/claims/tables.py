"""The verdicts as tables: for the terminal, and as CSV."""

import csv
import io
import math
from collections import Counter
from typing import TYPE_CHECKING

from dimple.claims.runner import JudgedClaims, JudgedLeaf
from dimple.claims.verdicts import Finding

if TYPE_CHECKING:
    from rich.text import Text

VERDICTS = ("supported", "contradicted", "undecided", "not run")
STYLES = {"supported": "green", "contradicted": "red", "undecided": "yellow", "not run": "dim"}
# Terminals of fewer characters have the numbers of a claim on a line of their own.
WIDE_TERMINAL = 100
WIDE_ROW = "{:<13}{:<25}{:<26}{:<12}{:>8} {:>4} {:>6}"
CSV_COLUMNS = (
    "id", "paper", "primary", "verdict", "n", "estimate", "low", "high", "threshold", "null", "seconds", "statistic",
)  # fmt: skip


def format_number(value: float | None) -> str:
    """Return a number with three digits, or all before the point; a dash where there is none.

    Example:
        >>> format_number(0.12345), format_number(1876.5), format_number(float("inf")), format_number(None)
        ('0.123', '1876', 'inf', '-')
    """
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e6 else f"{value:.3g}"


def format_estimate(one: JudgedLeaf) -> str:
    """Return the estimate that decided with its 95 % interval; a dash where the leaf was not run."""
    finding = one.judgement.deciding
    if finding is None:
        return "-"
    if not len(finding.values):
        return "undefined"
    return f"{format_number(finding.estimate)} [{format_number(finding.low)}, {format_number(finding.high)}]"


def describe_claims(claims: JudgedClaims, width: int) -> list[tuple[int, "Text"]]:
    """Return the table of all leaves as lines for a terminal of this width, each with its indent.

    A wide terminal has a line of numbers for each leaf, with the statistic below; in a narrow one the numbers have a
    line of their own. A star marks primary claims.
    """
    from rich.text import Text

    is_wide = width >= WIDE_TERMINAL
    lines: list[tuple[int, Text]] = []
    paper = None
    for one in claims.leaves:
        if one.paper is not paper:
            paper = one.paper
            lines.append((0, Text(f"\n{paper.id}: {paper.title}", style="bold")))
            if is_wide:
                head = WIDE_ROW.format("verdict", "claim", "estimate [95 %]", "has to be", "null", "n", "s")
                lines.append((2, Text(head, style="dim")))
        lines += _describe_leaf(one, is_wide)
    return lines


def _describe_leaf(one: JudgedLeaf, is_wide: bool) -> list[tuple[int, "Text"]]:
    """Return the lines of a leaf."""
    from rich.text import Text

    verdict = one.judgement.verdict
    name = f"{one.leaf.id}{' *' if one.leaf.primary else ''}"
    finding = one.judgement.deciding
    if finding is None:
        return [(2, Text(f"{verdict:<13}{name}: {one.judgement.reason}", style="dim"))]
    bound = finding.criterion.describe_bounds(signs=True)
    null = format_number(finding.null)
    seconds = f"{one.seconds:.0f}"
    if is_wide:
        first = WIDE_ROW.format(verdict, name, format_estimate(one), bound, null, len(one.rows), seconds)
        numbers = []
    else:
        first = f"{verdict:<13}{name}"
        against = "" if finding.null is None else f", null {null}"
        text = f"{format_estimate(one)}, has to be {bound}{against}; {len(one.rows)} seeds, {seconds} s"
        numbers = [(6, Text(text))]
    head = Text(first)
    head.stylize(STYLES[verdict], 0, len(verdict))
    return [(2, head), *numbers, (15 if is_wide else 6, Text(_describe(finding, one), style="dim"))]


def _describe(finding: Finding, one: JudgedLeaf) -> str:
    """Return the statistic that decided, with the remarks of the reason on parts and null."""
    remarks = [text for text in one.judgement.reason.split("; ") if text.startswith(("the other way", "the null"))]
    return "; ".join([finding.criterion.statistic, *remarks])


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
