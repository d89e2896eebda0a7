"""The state of a probe that is divided into shards: what is measured, missing or poison, and the time that is left."""

import dataclasses
import json
import shlex
import time
from pathlib import Path
from typing import final

from dimple.errors import RunError, UsageError, convert_file_errors
from dimple.locations import require_run
from dimple.object_reference import parse_reference
from dimple.runs.schema import MAX_SETTINGS_BYTES, parse_settings, read_text
from dimple.runs.shards import ShardFolder, ShardPlan
from dimple.settings import expand_home

# The rate is that of shards that were finished within so many times the mean time of a shard, but at least a minute.
WINDOW_SHARDS = 5.0
MIN_WINDOW_SECONDS = 60.0


@final
@dataclasses.dataclass(frozen=True)
class ShardStatus:
    """The state of the shards of a probe.

    Attributes:
        run: the folder.
        shards: the number of all shards; 0 for a finished run, which has none.
        done, missing, poison: the numbers of those that are measured, that are not, and, of the latter, that killed
            their process twice when they were last measured.
        missing_parts: the numbers of the parts of `--shard` with missing shards, of `parts` in all.
        passes: of all measured shards.
        seconds: that these took, all processes together.
        passes_per_second: of all processes together, over the shards that were finished last; None where no process
            has finished a shard lately.
        seconds_left: with this rate, or with one process if there is none; None before the first shard.
    """

    run: str
    shards: int
    done: int
    missing: int
    poison: int
    parts: int | None
    missing_parts: list[int]
    passes: float
    seconds: float
    passes_per_second: float | None
    seconds_left: float | None


@convert_file_errors
def status(out: Path | str) -> ShardStatus:
    """Return the state of a probe; the contents of shards are not checked, which `gather` does.

    Raises:
        RunError: if there is no run, or one without shards.
    """
    path, plan = open_plan(out)
    if plan is None:
        return ShardStatus(str(path), 0, 0, 0, 0, None, [], 0.0, 0.0, None, 0.0)
    folder = ShardFolder(path)
    shards = plan.shards
    found = {shard: about for shard in shards if (about := folder.read_about(shard)) is not None}
    missing = [shard for shard in shards if shard not in found]
    finished = [(at, about["seconds"], about["passes"]) for about, at in found.values()]
    seconds = sum(spent for _, spent, _ in finished)
    passes = sum(count for _, _, count in finished)
    rate = _recent_rate(finished, time.time())
    left = None
    if finished:
        left = len(missing) * (seconds / len(finished) if rate is None else passes / len(finished) / rate)
    return ShardStatus(
        str(path),
        len(shards),
        len(found),
        len(missing),
        sum(folder.is_poison(shard) for shard in missing),
        plan.parts,
        [] if plan.parts is None else plan.parts_of(missing),
        round(passes, 1),
        round(seconds, 3),
        rate,
        left,
    )


def gather_command(out: Path | str) -> str:
    """Return the command that makes the tables of a probe, which names the user's own code where the network is such.

    Raises:
        RunError: if the settings of the run cannot be read.
    """
    file = expand_home(out) / "config.yaml"
    settings = parse_settings(read_text(Path.read_bytes, file, MAX_SETTINGS_BYTES), file)
    reference = parse_reference(str(settings["model"]))
    code = {"file": reference.place, "module": f"{reference.place}.py"}.get(reference.source)
    return shlex.join(["dimple", "gather", str(out), *(["--allow-code", code] if code else [])])


@convert_file_errors
def missing_parts(out: Path | str) -> list[int]:
    """Return the numbers of the parts of `--shard` that hold shards that are missing, torn or changed.

    Raises:
        RunError: if there is no run, or one without shards.
        UsageError: if the run is not divided into parts.
    """
    path, plan = open_plan(out)
    if plan is None:
        return []
    if plan.parts is None:
        raise UsageError(f"{path}: has no parts of --shard; the same dimple probe continues it")
    return plan.parts_of(ShardFolder(path).find_missing(plan.shards))


def open_plan(out: Path | str) -> tuple[Path, ShardPlan | None]:
    """Return the folder of a run and its plan; None for a run that is finished.

    Raises:
        RunError: if there is no run, or one without shards.
    """
    path = expand_home(out)
    require_run(path)
    return path, None if path.is_file() or _is_complete(path) else ShardFolder(path).read_plan()


def _is_complete(path: Path) -> bool:
    try:
        return bool(json.loads((path / "run.json").read_bytes())["status"] == "complete")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"{path / 'run.json'}: cannot be read ({error})") from None


def _recent_rate(finished: list[tuple[float, float, float]], now: float) -> float | None:
    """Return the passes a second of the shards that were finished last, given as time, seconds and passes."""
    if not finished:
        return None
    window = max(WINDOW_SHARDS * sum(seconds for _, seconds, _ in finished) / len(finished), MIN_WINDOW_SECONDS)
    start = max(now - window, min(at - seconds for at, seconds, _ in finished))
    # Of a shard that was begun before the window, the part that lies in it.
    passes = sum(count * min(1.0, (at - start) / max(seconds, 1e-9)) for at, seconds, count in finished if at > start)
    return passes / (now - start) if passes and now > start else None
