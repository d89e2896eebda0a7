"""Claims that are run in parts, by processes on several machines into one folder; the state of such a folder."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import final

import torch

from dimple.claims.catalogue import choose_leaves
from dimple.claims.experiments.base import CPU, Resources
from dimple.claims.row_store import ClaimShard, RowStore
from dimple.claims.runner import JudgedClaims, Mode, Outcome, parse_locations, run_claims, run_shards, shards_of
from dimple.errors import DataError, IncompleteError, RunError
from dimple.experiment import ShardStatus
from dimple.experiment.provenance import versions
from dimple.runs.atomic_io import write_json
from dimple.runs.shards import format_numbers, list_shards
from dimple.workers import Workers

PLAN_FILE = "plan.json"


@final
@dataclasses.dataclass(frozen=True)
class ClaimsPlan:
    """The division of claims into parts, which is the same on every machine.

    The seeds of an experiment take as long as each other, and experiments do not, so neighbors are in different parts.

    Attributes:
        names: of the papers and claims; all of them for none.
        mode: "quick" or "full".
        parts: into how many parts the shards are divided.
        versions: of the packages that run them.
    """

    names: tuple[str, ...]
    mode: Mode
    parts: int
    versions: dict[str, str]

    @property
    def shards(self) -> list[ClaimShard]:
        """All shards, experiment by experiment."""
        return shards_of(choose_leaves(self.names), self.mode)

    def part(self, index: int) -> list[ClaimShard]:
        """Return the shards of one of the parts."""
        return self.shards[index :: self.parts]

    def parts_of(self, shards: Iterable[ClaimShard]) -> list[int]:
        """Return the numbers of the parts that hold any of the shards, rising."""
        wanted = set(shards)
        return sorted({place % self.parts for place, one in enumerate(self.shards) if one in wanted})


def run_part(
    names: Sequence[str],
    part: int,
    parts: int,
    *,
    mode: Mode,
    out: Path,
    data: Sequence[str],
    device: torch.device,
    workers: Workers,
) -> Outcome:
    """Run one of several parts of claims: those of its shards that are not stored in `out` yet.

    All parts have the same names, mode, versions and folder, on a file system that all machines see. They may run at
    the same time, in any order; `gather` then judges.

    Args:
        part: the number of the part, from 0.
        parts: how many there are.
        names, mode, out, data, device, workers: as in `run_claims`.

    Raises:
        UsageError: if a name is unknown.
        DataError: if data of any of the claims are missing on this machine.
        RunError: if the folder is divided otherwise, cannot be written, or holds a damaged file.
    """
    plan = ClaimsPlan(tuple(names), mode, parts, versions())
    resources = Resources(parse_locations(data), device)
    for shard in plan.shards:
        if shard.seed == 0 and (reason := shard.experiment.missing(resources)):
            raise DataError(f"{shard.claim} {reason}, on every machine; or name the claims to run")
    store = RowStore(out)
    store.make_folder()
    _agree_on(plan, store)
    return run_shards(plan.part(part), store, resources, workers)


def _agree_on(plan: ClaimsPlan, store: RowStore) -> None:
    """Write the plan, unless it is there.

    Raises:
        RunError: if there is another plan that is not finished.
    """
    file = store.folder / PLAN_FILE
    found = _read_plan(store) if file.exists() else plan
    if found != plan and (missing := store.find_missing(found.shards)):
        settings = [one.name for one in dataclasses.fields(plan) if getattr(plan, one.name) != getattr(found, one.name)]
        raise RunError(
            f"{store.folder.parent}: holds an unfinished division into {found.parts} parts with other settings "
            f"({', '.join(settings)}), {len(missing)} shards are missing; choose another out=, or remove {file}"
        )
    write_json(file, dataclasses.asdict(plan))


def _read_plan(store: RowStore) -> ClaimsPlan:
    """Return the plan of a folder.

    Raises:
        RunError: if there is none, or it is damaged.
    """
    file = store.folder / PLAN_FILE
    try:
        plan = ClaimsPlan(**json.loads(file.read_bytes()))
        plan = dataclasses.replace(plan, names=tuple(plan.names))
        if plan.mode not in ("quick", "full") or type(plan.parts) is not int or plan.parts < 1:
            raise ValueError("no such mode or number of parts")
    except FileNotFoundError:
        raise RunError(
            f"{store.folder.parent}: has no parts of dimple claims --shard; dimple claims --out {store.folder.parent} "
            "judges what is stored"
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{file}: is damaged ({error}); remove it, and run the parts again") from None
    return plan


def status(out: Path) -> ShardStatus:
    """Return the state of claims that are run in parts; they count no passes.

    Raises:
        RunError: if the folder has no parts, or holds a damaged file.
    """
    store = RowStore(out)
    plan = _read_plan(store)
    shards = plan.shards
    missing = set(store.find_missing(shards))
    done = [shard for shard in shards if shard not in missing]
    seconds = {key: store.seconds(key) for key in {shard.experiment.key for shard in done}}
    counts = {key: len(store.read(key)) for key in seconds}
    # Experiments of which no seed is stored are taken to need as long as the others.
    mean = sum(seconds.values()) / max(sum(counts.values()), 1)
    left = sum(seconds[key] / counts[key] if (key := one.experiment.key) in seconds else mean for one in missing)
    poison = sum(map(store.is_poison, missing))
    return ShardStatus(
        str(out), len(shards), len(done), len(missing), poison, plan.parts, plan.parts_of(missing),
        0.0, round(sum(seconds.values()), 3), None, left if done else None,
    )  # fmt: skip


def missing_parts(out: Path) -> list[int]:
    """Return the numbers of the parts with shards that are not stored.

    Raises:
        RunError: if the folder has no parts, or holds a damaged file.
    """
    return status(out).missing_parts


def gather(out: Path, device: torch.device = CPU) -> JudgedClaims:
    """Judge claims whose parts were run by `run_part`, on this device.

    Raises:
        IncompleteError: if shards are missing.
        RunError: if the folder has no parts, or holds a damaged file.
    """
    store = RowStore(out)
    plan = _read_plan(store)
    if missing := store.find_missing(plan.shards):
        raise IncompleteError(
            f"{out}: {len(missing)} of {len(plan.shards)} shards are missing: {list_shards(missing)}; run them with "
            f"the same dimple claims (--array={format_numbers(plan.parts_of(missing))}), then gather"
        )
    return run_claims(plan.names, mode=plan.mode, out=out, device=device)
