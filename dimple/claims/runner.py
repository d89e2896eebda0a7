"""Running of claims: the experiments that are not stored yet, then the verdicts of all leaves that were asked for."""

import dataclasses
import functools
import hashlib
import json
import math
import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, final

import torch

from dimple.claims.catalogue import Leaf, Paper, choose_leaves, leaf_id, load_papers, thresholds_hash
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.row_store import RowStore
from dimple.claims.verdicts import Finding, Judgement, Replicas, judge_paper
from dimple.errors import DimpleError, UsageError, describe_cause
from dimple.experiment.provenance import versions
from dimple.progress import show_progress
from dimple.runs.atomic_io import write_json
from dimple.workers import Advance, Task, Workers

Mode: TypeAlias = Literal["quick", "full"]
JSON_FILE = "claims.json"
NOT_IN_QUICK = "only in the full run: give --full"


@final
@dataclasses.dataclass(frozen=True)
class JudgedLeaf:
    """A leaf with its judgement and the rows behind it.

    Attributes:
        paper, leaf: the leaf, and its paper.
        judgement: the verdict.
        experiment: what was run.
        rows: the rows of its replicas by part, by seed; empty where it was not run.
        seconds: how long the replicas took, all together, on one core; leaves with the same experiment share them.
    """

    paper: Paper
    leaf: Leaf
    judgement: Judgement
    experiment: Experiment
    rows: Mapping[int, Mapping[str, Row]]
    seconds: float

    @property
    def id(self) -> str:
        """Its name among all papers."""
        return leaf_id(self.paper, self.leaf)

    def to_json(self) -> dict[str, Any]:
        """Return its entry in claims.json."""
        return _leaf_to_json(self)


@final
@dataclasses.dataclass(frozen=True)
class JudgedClaims:
    """The verdicts on all leaves that were asked for or are stored.

    Attributes:
        mode: "quick" or "full".
        leaves: the leaves that were asked for and those whose rows are stored, in the order of the papers.
        asked: the names of those that were asked for.
        seconds: how long this run took, with what was stored before.
        device: where it was run.
        is_interrupted: whether it was interrupted, so that leaves are missing that the same call would run.
    """

    mode: Mode
    leaves: tuple[JudgedLeaf, ...]
    asked: frozenset[str]
    seconds: float
    device: str
    is_interrupted: bool = False

    def only_asked(self) -> "JudgedClaims":
        """Return the same without the leaves that were not asked for."""
        return dataclasses.replace(self, leaves=tuple(one for one in self.leaves if one.id in self.asked))

    def to_json(self) -> dict[str, Any]:
        """Return the content of claims.json."""
        return {
            "mode": self.mode,
            "thresholds": thresholds_hash(load_papers()),
            "seconds": round(self.seconds, 1),
            "core_hours": round(sum({one.experiment.key: one.seconds for one in self.leaves}.values()) / 3600, 3),
            "device": self.device,
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "versions": versions(),
            "leaves": [one.to_json() for one in self.leaves],
        }


def run_claims(
    names: Sequence[str] = (),
    *,
    mode: Mode = "quick",
    out: Path,
    data: Sequence[str] = (),
    device: torch.device | None = None,
    workers: Workers | None = None,
) -> JudgedClaims:
    """Run the experiments of the named papers and leaves that are not stored in `out` yet, and judge what is stored.

    Each replica is stored when it is done. An interrupt (SIGINT) ends the run early, with the verdicts on what is
    stored; the same call continues it.

    Args:
        names: such as `shamir2021` or `shamir2021.cling`; all for none.
        mode: "quick", minutes on two cores without any file from outside; or "full".
        out: the folder of the rows, the verdicts and the page.
        data: the places of data sets as `NAME:PATH`; the others are looked for.
        device: where networks are trained and measured.
        workers: processes that run replicas.

    Raises:
        UsageError: if a name is unknown.
        RunError: if the folder cannot be written, or holds a damaged file.
    """
    started = time.monotonic()
    chosen = choose_leaves(tuple(names))
    resources = Resources(parse_locations(data), device or torch.device("cpu"))
    store = RowStore(out)
    store.make_folder()
    reasons, is_interrupted = _run_missing(chosen, mode, store, resources, workers or Workers())
    asked = frozenset(leaf_id(paper, leaf) for paper, leaf in chosen)
    leaves = tuple(one for one in judge_stored(choose_leaves(), mode, store, reasons) if one.rows or one.id in asked)
    seconds = time.monotonic() - started
    result = JudgedClaims(mode, leaves, asked, seconds, str(resources.device), is_interrupted)
    write_json(out / JSON_FILE, result.to_json())
    return result


def parse_locations(data: Sequence[str]) -> dict[str, str]:
    """Return the locations by name of the data set.

    Example:
        >>> parse_locations(["mnist:/data/mnist"])
        {'mnist': 'mnist:/data/mnist'}
    """
    for location in data:
        if ":" not in location:
            raise UsageError(f"--data is {location!r}; write NAME:PATH, such as mnist:/data/mnist")
    return {location.partition(":")[0]: location for location in data}


def judge_stored(
    chosen: Sequence[tuple[Paper, Leaf]], mode: Mode, store: RowStore, reasons: Mapping[str, str]
) -> tuple[JudgedLeaf, ...]:
    """Return the judgements of the chosen leaves; the others of their papers count as far as they are stored.

    Args:
        chosen: the leaves.
        mode: "quick" or "full".
        store: the rows.
        reasons: why leaves were not run, by name.
    """
    result = []
    for paper in dict.fromkeys(paper for paper, _ in chosen):
        rows: dict[str, Any] = {}
        for leaf in paper.leaves:
            experiment, replicas = leaf.run_of(mode)
            stored = store.read(experiment.key)
            complete = {seed: stored[seed] for seed in range(replicas) if seed in stored}
            reason = reasons.get(leaf_id(paper, leaf), f"{len(complete)} of {replicas} seeds so far")
            rows[leaf.id] = complete if len(complete) == replicas else reason
        judgements = judge_paper(paper, rows)
        for leaf in (leaf for one, leaf in chosen if one is paper):
            experiment, _ = leaf.run_of(mode)
            found = rows[leaf.id]
            is_run = not isinstance(found, str)
            seconds = store.seconds(experiment.key) if is_run else 0.0
            result.append(JudgedLeaf(paper, leaf, judgements[leaf.id], experiment, found if is_run else {}, seconds))
    return tuple(result)


def _run_missing(
    chosen: Iterable[tuple[Paper, Leaf]], mode: Mode, store: RowStore, resources: Resources, workers: Workers
) -> tuple[dict[str, str], bool]:
    """Run the replicas that are not stored; return why leaves could not be run, and whether it was interrupted."""
    reasons: dict[str, str] = {}
    users: dict[Experiment, list[str]] = {}
    wanted: dict[Experiment, int] = {}
    for paper, leaf in chosen:
        experiment, replicas = leaf.run_of(mode)
        reason = _refuse(leaf, mode, resources) or experiment.missing(resources)
        if reason:
            reasons[leaf_id(paper, leaf)] = reason
            continue
        users.setdefault(experiment, []).append(leaf_id(paper, leaf))
        wanted[experiment] = max(wanted.get(experiment, 0), replicas)
    tasks: list[Task[_Replica]] = []
    for experiment, replicas in wanted.items():
        missing = sorted(set(range(replicas)) - store.read(experiment.key).keys())
        tasks += [functools.partial(_replicate, experiment, seed, resources) for seed in missing]
    try:
        with show_progress("claims", len(tasks)) as advance:
            for replica in workers.run_unordered(tasks, advance):
                if replica.error:
                    reasons |= dict.fromkeys(users[replica.experiment], f"seed {replica.seed}: {replica.error}")
                else:
                    store.add(replica.experiment, replica.seed, replica.parts, replica.seconds)
    except KeyboardInterrupt:
        return reasons, True
    return reasons, False


def _refuse(leaf: Leaf, mode: Mode, resources: Resources) -> str:
    """Return why a leaf is not run in a mode on a device; "" where it is."""
    if mode == "quick" and not leaf.quick:
        return NOT_IN_QUICK
    if leaf.gpu is not None and resources.device.type == "cpu":
        return f"needs a GPU: {leaf.gpu}"
    return ""


@final
@dataclasses.dataclass(frozen=True)
class _Replica:
    """The result of one replica, or the sentence of the error that ended it."""

    experiment: Experiment
    seed: int
    parts: dict[str, Row]
    seconds: float
    error: str = ""


def _replicate(experiment: Experiment, seed: int, resources: Resources, advance: Advance) -> _Replica:
    """Run one replica."""
    started = time.process_time()
    try:
        parts = experiment.replicate(seed, resources)
    except DimpleError as error:
        return _Replica(experiment, seed, {}, 0.0, str(error))
    # One replica that fails leaves the others.
    except Exception as error:
        return _Replica(experiment, seed, {}, 0.0, f"internal error, {describe_cause(error)}")
    advance()
    return _Replica(experiment, seed, parts, time.process_time() - started)


def hash_rows(rows: Replicas) -> str:
    """Return a hash of the rows of all replicas."""
    return hashlib.sha256(json.dumps({seed: rows[seed] for seed in sorted(rows)}).encode()).hexdigest()[:16]


def _leaf_to_json(one: JudgedLeaf) -> dict[str, Any]:
    """Return a leaf in claims.json; its estimate, interval and threshold are those of the criterion that decided."""
    findings = one.judgement.findings
    deciding = one.judgement.deciding
    criterion = one.leaf.criteria[0] if deciding is None else deciding.criterion
    headline = {} if deciding is None else _finding_to_json(deciding)
    return {
        "id": one.id,
        "paper": one.paper.id,
        "primary": one.leaf.primary,
        "verdict": one.judgement.verdict,
        "n": len(one.rows),
        "estimate": headline.get("estimate"),
        "low": headline.get("low"),
        "high": headline.get("high"),
        "threshold": criterion.threshold,
        "comparison": criterion.comparison,
        "null": headline.get("null"),
        "seconds": round(one.seconds, 1),
        "statement": one.leaf.statement,
        "source": one.leaf.source,
        "statistic": criterion.statistic,
        "reason": one.judgement.reason,
        "level": one.judgement.level,
        "criteria": [_finding_to_json(finding) for finding in findings],
        "beside": [
            {"column": column, "estimate": estimate, "low": low, "high": high}
            for column, estimate, low, high in one.judgement.beside
        ],
        "rows": one.experiment.key,
        "rows_hash": hash_rows(one.rows) if one.rows else None,
        "hash": one.leaf.hash,
    }


def _finding_to_json(finding: Finding) -> dict[str, Any]:
    return {
        "column": finding.criterion.column,
        "statistic": finding.criterion.statistic,
        "threshold": finding.criterion.threshold,
        "comparison": finding.criterion.comparison,
        "estimate": finding.estimate if len(finding.values) else math.nan,
        "low": finding.low,
        "high": finding.high,
        "judged_low": finding.judged_low,
        "judged_high": finding.judged_high,
        "null": finding.null,
        "verdict": finding.verdict,
        "replicas_needed": finding.replicas_needed,
    }
