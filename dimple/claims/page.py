"""The page of the claims: what was predicted, by whom, what was measured, and what would change the verdict."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dimple.claims.catalogue import Paper, describe_leaf
from dimple.claims.figure import draw_diagram, draw_finding
from dimple.claims.row_store import FOLDER
from dimple.claims.runner import JudgedClaims, JudgedLeaf
from dimple.claims.tables import VERDICTS, count_verdicts, format_estimate, format_number, to_csv
from dimple.claims.verdicts import defined, median_of, replica_values
from dimple.runs.atomic_io import write_bytes
from dimple.views.report.html import write_page

PAGE_FILE = "index.html"
CSV_FILE = "claims.csv"


def write_claims_page(claims: JudgedClaims, out: Path, films: Mapping[str, str] | None = None) -> Path:
    """Write index.html and claims.csv into the folder of the claims.

    Args:
        claims: the verdicts.
        out: the folder.
        films: the page with the film of each scene, relative to the folder, where there is one.

    Raises:
        RunError: if a file cannot be written.
    """
    write_bytes(out / CSV_FILE, to_csv(claims).encode())
    content = claims.to_json()
    papers = dict.fromkeys(one.paper for one in claims.leaves)
    counts = f"{_count(len(claims.leaves), 'claim')} of {_count(len(papers), 'paper')}"
    values = {
        "title": "Claims about decision boundaries, and what was measured",
        "lead": f"{counts}, {claims.mode} run: {count_verdicts(claims)}.",
        "papers": [_describe_paper(paper, claims, films or {}) for paper in papers],
        "verdicts": VERDICTS,
        "cut": claims.mode == "quick",
        "environment": [
            ("machine", f"{content['machine']}, device {claims.device}"),
            ("hours", f"{content['core_hours']:.2f} of one core for all replicas; this run {claims.seconds:.0f} s"),
            *content["versions"].items(),
            ("hash of all thresholds", content["thresholds"]),
        ],
    }
    return write_page(out / PAGE_FILE, "claims.html", values)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _describe_paper(paper: Paper, claims: JudgedClaims, films: Mapping[str, str]) -> dict[str, Any]:
    leaves = [one for one in claims.leaves if one.paper is paper]
    return {
        "id": paper.id,
        "title": paper.title,
        "authors": paper.authors,
        "link": paper.link,
        "read": paper.read,
        "leaves": [_describe_judged(one, films) for one in leaves],
        "counts": [sum(one.judgement.verdict == verdict for one in leaves) for verdict in VERDICTS],
    }


def _describe_judged(one: JudgedLeaf, films: Mapping[str, str]) -> dict[str, Any]:
    """Return what the page says about a leaf."""
    findings = []
    for finding in one.judgement.findings:
        criterion = finding.criterion
        nulls = defined(replica_values(one.rows, criterion.null_column)) if criterion.null_column else np.empty(0)
        findings.append(
            {
                "statistic": criterion.statistic,
                "threshold": criterion.describe_bounds(),
                "estimate": format_number(finding.estimate) if len(finding.values) else "undefined",
                "interval": f"{format_number(finding.low)} to {format_number(finding.high)}",
                "judged": f"{format_number(finding.judged_low)} to {format_number(finding.judged_high)}",
                "null": format_number(finding.null),
                "verdict": finding.verdict,
                "figure": draw_finding(finding, nulls) if len(finding.values) else "",
            }
        )
    deciding = one.judgement.deciding
    criterion = one.leaf.criteria[0] if deciding is None else deciding.criterion
    meanings = {entry.column: entry.meaning for entry in one.leaf.beside}
    return {
        "id": one.id,
        "anchor": one.id.replace(".", "-"),
        "statement": one.leaf.statement,
        "primary": one.leaf.primary,
        "verdict": one.judgement.verdict,
        "verdict_class": one.judgement.verdict.replace(" ", "-"),
        "reason": one.judgement.reason,
        "level": f"{100 * (1 - one.judgement.level):.3g} %",
        "n": len(one.rows),
        "estimate": format_estimate(one),
        "threshold": criterion.describe_bounds(),
        "null": "-" if deciding is None else format_number(deciding.null),
        "seconds": f"{one.seconds:.0f}",
        "findings": findings,
        "beside": [
            (meanings[column], *_format_beside(estimate, low, high))
            for column, estimate, low, high in one.judgement.beside
        ],
        "references": [(entry.value, entry.of, entry.seen) for entry in one.leaf.references],
        "written": describe_leaf(one.paper, one.leaf),
        "diagram": draw_diagram(one.experiment.diagram, one.rows) if one.experiment.diagram and one.rows else "",
        "parts": _describe_parts(one),
        "rows": f"{FOLDER}/{one.experiment.key}.parquet" if one.rows else "",
        "films": [(name, films[name]) for name in one.experiment.scenes if name in films],
    }


def _format_beside(estimate: float, low: float, high: float) -> tuple[str, str]:
    if math.isnan(estimate):
        return "undefined", "no seed has a value"
    return format_number(estimate), f"{format_number(low)} to {format_number(high)}"


def _describe_parts(one: JudgedLeaf) -> list[tuple[str, list[str]]]:
    """Return the median over the seeds of each criterion for each part, where there are several parts."""
    parts = next(iter(one.rows.values()), {})
    if len(parts) < 2:
        return []
    result = []
    for part in parts:
        cells = []
        for criterion in one.leaf.criteria:
            values = defined(np.array([rows[part][criterion.column] for rows in one.rows.values()]))
            cells.append(format_number(median_of(values)) if len(values) else "undefined")
        result.append((part, cells))
    return result
