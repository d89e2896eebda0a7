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
from dimple.claims.row_store import ClaimShard, RowStore
from dimple.claims.verdicts import Finding, Judgement, Replicas, judge_paper
from dimple.errors import DimpleError, UsageError, describe_cause
from dimple.experiment.provenance import versions
from dimple.progress import show_progress
from dimple.runs.atomic_io import write_json
from dimple.workers import Advance, Task, Workers

Mode: TypeAlias = Literal["quick", "full"]
JSON_FILE = "claims.json"
NOT_IN_QUICK = "only in the full run: give --full"
POISON = "killed its process twice, most likely for lack of memory; use fewer jobs="


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
        """Return its entry in claims.json; estimate, interval and threshold are those of the criterion that decided."""
        deciding = self.judgement.deciding
        criterion = self.leaf.criteria[0] if deciding is None else deciding.criterion
        headline = {} if deciding is None else _finding_to_json(deciding)
        return {
            "id": self.id,
            "paper": self.paper.id,
            "primary": self.leaf.primary,
            "verdict": self.judgement.verdict,
            "n": len(self.rows),
            **{key: headline.get(key) for key in ("estimate", "low", "high")},
            "threshold": criterion.threshold,
            "comparison": criterion.comparison,
            "null": headline.get("null"),
            "seconds": round(self.seconds, 1),
            "statement": self.leaf.statement,
            "source": self.leaf.source,
            "statistic": criterion.statistic,
            "reason": self.judgement.reason,
            "level": self.judgement.level,
            "criteria": [_finding_to_json(finding) for finding in self.judgement.findings],
            "beside": [
                {"column": column, "estimate": estimate, "low": low, "high": high}
                for column, estimate, low, high in self.judgement.beside
            ],
            "rows": self.experiment.key,
            "rows_hash": _hash_rows(self.rows) if self.rows else None,
            "hash": self.leaf.hash,
        }


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
        poison: the shards that killed their process twice; the others are stored.
    """

    mode: Mode
    leaves: tuple[JudgedLeaf, ...]
    asked: frozenset[str]
    seconds: float
    device: str
    is_interrupted: bool = False
    poison: tuple[ClaimShard, ...] = ()

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
    shards = shards_of(chosen, mode)
    absent = {one: reason for one in {shard.experiment for shard in shards} if (reason := one.missing(resources))}
    shards = [shard for shard in shards if shard.experiment not in absent]
    outcome = run_shards(shards, store, resources, workers or Workers())
    failed = {shard.experiment: f"seed {shard.seed}: {error}" for shard, error in outcome.errors.items()}
    reasons: dict[str, str] = {}
    for paper, leaf in chosen:
        found = (absent | failed).get(leaf.run_of(mode)[0]) if mode == "full" or leaf.quick else NOT_IN_QUICK
        if found is not None:
            reasons[leaf_id(paper, leaf)] = found
    asked = frozenset(leaf_id(paper, leaf) for paper, leaf in chosen)
    leaves = tuple(one for one in judge_stored(mode, store, reasons) if one.rows or one.id in asked)
    seconds = time.monotonic() - started
    result = JudgedClaims(
        mode, leaves, asked, seconds, str(resources.device), outcome.is_interrupted, tuple(outcome.poison)
    )
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


def judge_stored(mode: Mode, store: RowStore, reasons: Mapping[str, str]) -> tuple[JudgedLeaf, ...]:
    """Return the judgements of all leaves in the order of the papers; without all its seeds a leaf is not run.

    Args:
        mode: "quick" or "full".
        store: the rows.
        reasons: why leaves were not run, by name.
    """
    result = []
    for paper in load_papers():
        rows: dict[str, Replicas | str] = {}
        for leaf in paper.leaves:
            experiment, replicas = leaf.run_of(mode)
            stored = store.read(experiment.key)
            complete = {seed: stored[seed] for seed in range(replicas) if seed in stored}
            reason = reasons.get(leaf_id(paper, leaf), f"{len(complete)} of {replicas} seeds so far")
            rows[leaf.id] = complete if len(complete) == replicas else reason
        judgements = judge_paper(paper, rows)
        for leaf in paper.leaves:
            experiment, _ = leaf.run_of(mode)
            found = rows[leaf.id]
            if isinstance(found, str):
                result.append(JudgedLeaf(paper, leaf, judgements[leaf.id], experiment, {}, 0.0))
            else:
                seconds = store.seconds(experiment.key)
                result.append(JudgedLeaf(paper, leaf, judgements[leaf.id], experiment, found, seconds))
    return tuple(result)


def shards_of(chosen: Iterable[tuple[Paper, Leaf]], mode: Mode) -> list[ClaimShard]:
    """Return the units of work of leaves: each of their experiments with each seed, experiment by experiment."""
    wanted: dict[Experiment, tuple[str, int]] = {}
    for paper, leaf in chosen:
        if mode == "full" or leaf.quick:
            experiment, replicas = leaf.run_of(mode)
            claim, count = wanted.get(experiment, (leaf_id(paper, leaf), 0))
            wanted[experiment] = claim, max(count, replicas)
    return [ClaimShard(claim, experiment, seed) for experiment, (claim, n) in wanted.items() for seed in range(n)]


@final
@dataclasses.dataclass
class Outcome:
    """The ends of the shards of a command, but for those whose rows are stored.

    Attributes:
        errors: why a shard was not finished.
        poison: those of them that killed their process twice.
        is_interrupted: whether an interrupt ended the command.
    """

    errors: dict[ClaimShard, str] = dataclasses.field(default_factory=dict)
    poison: list[ClaimShard] = dataclasses.field(default_factory=list)
    is_interrupted: bool = False


def run_shards(shards: Sequence[ClaimShard], store: RowStore, resources: Resources, workers: Workers) -> Outcome:
    """Run those of the shards that are not stored."""
    missing = store.find_missing(shards)
    for shard in missing:
        store.mark_poison(shard, False)
    tasks: list[Task[_Replica]] = [functools.partial(_replicate, shard, resources) for shard in missing]
    outcome = Outcome()
    try:
        with show_progress("claims", len(tasks)) as advance:
            for replica in workers.run_unordered(tasks, advance, _lose_replica):
                if not replica.error:
                    store.add(replica.shard.experiment, replica.shard.seed, replica.parts, replica.seconds)
                    continue
                outcome.errors[replica.shard] = replica.error
                if replica.is_poison:
                    outcome.poison.append(replica.shard)
                    store.mark_poison(replica.shard)
    except KeyboardInterrupt:
        outcome.is_interrupted = True
    return outcome


@final
@dataclasses.dataclass(frozen=True)
class _Replica:
    """The rows of one shard, or the sentence of the error that ended it."""

    shard: ClaimShard
    parts: dict[str, Row]
    seconds: float
    error: str = ""
    is_poison: bool = False


def _replicate(shard: ClaimShard, resources: Resources, advance: Advance) -> _Replica:
    """Run one shard."""
    started = time.process_time()
    try:
        parts = shard.experiment.replicate(shard.seed, resources)
    except DimpleError as error:
        return _Replica(shard, {}, 0.0, str(error))
    # One that fails leaves the others.
    except Exception as error:
        return _Replica(shard, {}, 0.0, f"internal error, {describe_cause(error)}")
    advance()
    return _Replica(shard, parts, time.process_time() - started)


def _lose_replica(task: Task[_Replica]) -> _Replica:
    """Return what stands for a shard that killed its process twice."""
    assert isinstance(task, functools.partial)
    return _Replica(task.args[0], {}, 0.0, POISON, is_poison=True)


def _hash_rows(rows: Replicas) -> str:
    """Return a hash of the rows of all replicas."""
    return hashlib.sha256(json.dumps({seed: rows[seed] for seed in sorted(rows)}).encode()).hexdigest()[:16]


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
