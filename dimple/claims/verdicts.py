"""Verdicts on leaves from the rows of their experiments: an interval over the replicas against the threshold."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from dimple.claims.catalogue import LEVEL, Criterion, Leaf, Paper
from dimple.claims.experiments.base import Row
from dimple.errors import RunError
from dimple.stats.intervals import holm_levels, median_interval, nested_intervals, replicas_to_decide

Verdict: TypeAlias = Literal["supported", "contradicted", "undecided", "not run"]
# Numbers that differ by this fraction of themselves, or of 1, are equal.
ROUNDING = 1e-9
# The rows of one replica by part, by seed.
Replicas: TypeAlias = Mapping[int, Mapping[str, Row]]


@final
@dataclasses.dataclass(frozen=True)
class Finding:
    """The statement of the replicas about one criterion.

    Attributes:
        criterion: the criterion.
        values: one for each replica, the median over its parts.
        low, high: the ends of the 95 % interval of their median.
        judged_low, judged_high: those at the level of the verdict: that of a contradiction, which several criteria
            share, unless it is supported.
        verdict: of this criterion alone.
        null: the median of its null over the replicas; None where it names none.
        replicas_needed: how many replicas would decide; None where it is decided, or for over 1,000.
    """

    criterion: Criterion
    values: NDArray[np.float64]
    low: float
    high: float
    judged_low: float
    judged_high: float
    verdict: Verdict
    null: float | None
    replicas_needed: int | None

    @property
    def estimate(self) -> float:
        """The median over the replicas."""
        return median_of(self.values)


@final
@dataclasses.dataclass(frozen=True)
class Judgement:
    """The verdict on a leaf.

    Attributes:
        verdict: one of four words.
        reason: one sentence.
        level: the level of the verdict, after the correction for the other primary leaves of the paper.
        findings: one for each criterion; empty if it was not run.
        beside: the median and the ends of the 95 % interval of each column beside; nan where no seed has a value.
    """

    verdict: Verdict
    reason: str
    level: float
    findings: tuple[Finding, ...] = ()
    beside: tuple[tuple[str, float, float, float], ...] = ()

    @property
    def deciding(self) -> Finding | None:
        """The finding that decided: the first one with the verdict of the leaf; None if it was not run."""
        same = [finding for finding in self.findings if finding.verdict == self.verdict]
        return next(iter(same or self.findings), None)


def judge_paper(paper: Paper, rows: Mapping[str, Replicas | str]) -> dict[str, Judgement]:
    """Return the judgement of each leaf of a paper.

    The primary leaves, run or not, share the level by the correction of Holm.

    Args:
        paper: the paper.
        rows: by id of the leaf, the rows of its experiment; or, in words, why it was not run.
    """
    primary = [leaf for leaf in paper.leaves if leaf.primary]
    p_values = [_p_value(leaf, rows[leaf.id]) for leaf in primary]
    levels = dict(zip((leaf.id for leaf in primary), holm_levels(p_values, LEVEL), strict=True))
    return {leaf.id: judge(leaf, rows[leaf.id], levels.get(leaf.id, LEVEL)) for leaf in paper.leaves}


def judge(leaf: Leaf, rows: Replicas | str, level: float = LEVEL) -> Judgement:
    """Return the judgement of one leaf at a level."""
    if isinstance(rows, str):
        return Judgement("not run", rows, level)
    findings = tuple(_find(criterion, rows, level, len(leaf.criteria)) for criterion in leaf.criteria)
    verdicts = {finding.verdict for finding in findings}
    verdict: Verdict = "contradicted" if "contradicted" in verdicts else "undecided"
    if verdicts == {"supported"}:
        verdict = "supported"
    values = {entry.column: defined(replica_values(rows, entry.column)) for entry in leaf.beside}
    beside = tuple((column, median_of(found), *median_interval(found)) for column, found in values.items())
    judgement = Judgement(verdict, "", level, findings, beside)
    assert judgement.deciding is not None
    reason = _give_reason(judgement.deciding) + _name_exceptions(judgement.deciding, rows)
    if verdict == "supported":
        reason += _name_passing_nulls(findings)
    return dataclasses.replace(judgement, reason=reason)


def replica_values(rows: Replicas, column: str) -> NDArray[np.float64]:
    """Return the value of a column for each replica: the median over its parts, nan where none is defined."""
    values = []
    for seed in sorted(rows):
        if any(column not in row for row in rows[seed].values()):
            raise RunError(f"the rows of seed {seed} have no column {column!r}; remove their file to run them again")
        parts = defined(np.array([row[column] for row in rows[seed].values()], dtype=float))
        values.append(median_of(parts))
    return np.array(values)


def median_of(values: NDArray[np.float64]) -> float:
    """Return the median; infinite where a middle value is, nan of no values or between opposite infinities.

    Example:
        >>> median_of(np.array([1.0, 3.0, np.inf])), median_of(np.array([1.0, np.inf]))
        (3.0, inf)
    """
    with np.errstate(invalid="ignore"):
        return float(np.median(values)) if len(values) else math.nan


def defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values that are not nan."""
    return values[~np.isnan(values)]


def _find(criterion: Criterion, rows: Replicas, level: float, criterion_count: int) -> Finding:
    """Return what the replicas say about one criterion; a contradiction by any of several shares the level."""
    values = replica_values(rows, criterion.column)
    known = defined(values)
    # A replica without a value speaks for neither side: it widens the interval.
    padded = _pad(values)
    low, high = (_widen(bound, side) for bound, side in zip(criterion.bounds, (-1, 1), strict=True))
    supported = _interval(padded, level)
    contradicted = _interval(padded, level / criterion_count)
    verdict: Verdict = "undecided"
    if low <= supported[0] and supported[1] <= high:
        verdict = "supported"
    elif contradicted[1] < low or contradicted[0] > high:
        verdict = "contradicted"
    needed = None
    if verdict == "undecided" and len(known):
        needed = _replicas_needed(known, len(values), (low, high), level, criterion_count)
    null = None
    if criterion.null_column is not None and len(nulls := defined(replica_values(rows, criterion.null_column))):
        null = median_of(nulls)
    judged = supported if verdict == "supported" else contradicted
    return Finding(criterion, known, *_interval(padded, LEVEL), *judged, verdict, null, needed)


def _widen(bound: float, side: int) -> float:
    """Return a bound beside itself by the rounding of a number that should equal it."""
    return bound + side * ROUNDING * max(1.0, abs(bound)) if math.isfinite(bound) else bound


def _replicas_needed(
    known: NDArray[np.float64], count: int, bounds: tuple[float, float], level: float, criterion_count: int
) -> int | None:
    """Return how many replicas would support or contradict, if the fractions of the values stayed as they are."""
    low, high = bounds
    inside = [int((known >= low).sum())] if math.isfinite(low) else []
    inside += [int((known <= high).sum())] if math.isfinite(high) else []
    if all(2 * within > len(known) for within in inside):
        sizes = [replicas_to_decide(within, len(known), level, count) for within in inside]
        found = [size for size in sizes if size is not None]
        return max(found) if len(found) == len(sizes) else None
    outside = [len(known) - within for within in inside if 2 * within < len(known)]
    sizes = [replicas_to_decide(beyond, len(known), level / criterion_count, count) for beyond in outside]
    return min((size for size in sizes if size is not None), default=None)


def _pad(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the values with -inf for each undefined one, and with +inf."""
    return np.nan_to_num(values, nan=-np.inf, posinf=np.inf, neginf=-np.inf), np.nan_to_num(
        values, nan=np.inf, posinf=np.inf, neginf=-np.inf
    )


def _interval(padded: tuple[NDArray[np.float64], NDArray[np.float64]], level: float) -> tuple[float, float]:
    return median_interval(padded[0], level)[0], median_interval(padded[1], level)[1]


def _p_value(leaf: Leaf, rows: Replicas | str) -> float:
    """Return the smallest level at which the verdict on a leaf is decided; 1 where it is not run."""
    if isinstance(rows, str):
        return 1.0
    errors = [error for error, _, _ in nested_intervals(np.zeros(len(rows)))]
    count = len(leaf.criteria)
    for level in sorted({level for error in errors for level in (error, error * count)}):
        if judge(leaf, rows, level).verdict != "undecided":
            return level
    return 1.0


def _give_reason(finding: Finding) -> str:
    """Return the sentence about the criterion that decided, or failed to."""
    criterion = finding.criterion
    bounds = f"has to be {criterion.describe_bounds()}"
    if len(finding.values) == 0:
        return f"{criterion.statistic}: no seed has a value; {bounds}"
    text = (
        f"{criterion.statistic} {finding.estimate:.3g} [{finding.judged_low:.3g}, {finding.judged_high:.3g}], {bounds}"
    )
    if finding.verdict == "undecided":
        needed = finding.replicas_needed
        text += f"; {f'about {needed}' if needed else 'over 1,000'} replicas would decide"
    return text


def _name_passing_nulls(findings: Sequence[Finding]) -> str:
    """Return the nulls that meet the bounds as well, where the statistic alone tells nothing about the claim."""
    passing = [
        f"{finding.null:.3g}"
        for finding in findings
        if finding.null is not None and finding.criterion.bounds[0] <= finding.null <= finding.criterion.bounds[1]
    ]
    return f"; the null or control meets it too ({', '.join(passing)})" if passing else ""


def _name_exceptions(finding: Finding, rows: Replicas) -> str:
    """Return the parts whose median over the seeds is on the other side of the bounds than the median of all."""
    low, high = (_widen(bound, side) for bound, side in zip(finding.criterion.bounds, (-1, 1), strict=True))
    column = finding.criterion.column
    parts = next(iter(rows.values()))
    if len(parts) < 2 or len(finding.values) == 0:
        return ""
    others = []
    for part in parts:
        middle = median_of(defined(np.array([row[part][column] for row in rows.values()])))
        if (low <= middle <= high) != (low <= finding.estimate <= high):
            others.append(f"{part} ({middle:.3g})")
    return f"; the other way round in {', '.join(others)}" if others else ""
