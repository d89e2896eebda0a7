"""The rows of experiments on disk: one small table for each experiment, which grows by one replica after another."""

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dimple.claims.experiments.base import Experiment, Row
from dimple.errors import RunError
from dimple.runs.atomic_io import atomic_replace, remove_file, write_bytes

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

FOLDER = "rows"
LOCK = ".lock"
SECONDS = "seconds"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes out of the context, where the platform has file locks."""
    with path.open("w") as file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            raise RunError(
                f"{path}: cannot be locked ({error.strerror}); choose an out= on a disk with locks"
            ) from None
        yield


@final
@dataclasses.dataclass(frozen=True)
class ClaimShard:
    """A unit of work: one experiment with one seed.

    Attributes:
        claim: the name of the first claim that uses it.
        experiment: what is run; claims with the same one share its shards.
        seed: of the replica.
    """

    claim: str
    experiment: Experiment
    seed: int

    def __str__(self) -> str:
        return f"{self.claim}, seed {self.seed}"


@final
class RowStore:
    """The rows of all experiments below a folder: `rows/<key>.parquet`, with seed, part, seconds and its own columns.

    A key names an experiment with all its settings and its version, so that rows of another one are never used. They
    are no secret and no program: a reader can check every verdict with them.

    Args:
        out: the folder of the claims.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER

    def make_folder(self) -> None:
        """Make the folder of the rows.

        Raises:
            RunError: if it cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{self.folder}: cannot be made ({error.strerror}); choose another out=") from None

    def path(self, key: str) -> Path:
        """Return the file with the rows of an experiment."""
        return self.folder / f"{key}.parquet"

    def read(self, key: str) -> dict[int, dict[str, Row]]:
        """Return the rows by part, by seed; empty where nothing was run.

        Raises:
            RunError: if the file is damaged.
        """
        return {
            seed: {part: {name: value for name, value in row.items() if name != SECONDS} for part, row in parts.items()}
            for seed, parts in self._read(key).items()
        }

    def find_missing(self, shards: Iterable[ClaimShard]) -> list[ClaimShard]:
        """Return the shards whose rows are not stored.

        Raises:
            RunError: if a table is damaged.
        """
        shards = list(shards)
        stored = {key: self.read(key).keys() for key in {shard.experiment.key for shard in shards}}
        return [shard for shard in shards if shard.seed not in stored[shard.experiment.key]]

    def mark_poison(self, shard: ClaimShard, is_poison: bool = True) -> None:
        """Note that a shard has killed its process twice, or forget it before it is run again."""
        if is_poison:
            write_bytes(self._poison_file(shard), b"")
        else:
            remove_file(self._poison_file(shard))

    def is_poison(self, shard: ClaimShard) -> bool:
        """Return whether a shard killed its process twice when it was last run."""
        return self._poison_file(shard).is_file()

    def _poison_file(self, shard: ClaimShard) -> Path:
        return self.folder / f"{shard.experiment.key}-{shard.seed}.poison"

    def seconds(self, key: str) -> float:
        """Return the seconds that all stored replicas of an experiment took."""
        return sum(next(iter(parts.values()))[SECONDS] for parts in self._read(key).values())

    def _read(self, key: str) -> dict[int, dict[str, Row]]:
        path = self.path(key)
        if not path.exists():
            return {}
        try:
            lines = pq.ParquetFile(path).read(use_threads=False).to_pylist()
            result: dict[int, dict[str, Row]] = {}
            for line in lines:
                numbers = {name: float(value) for name, value in line.items() if name not in ("seed", "part")}
                result.setdefault(int(line["seed"]), {})[str(line["part"])] = numbers
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"{path}: is not a readable table of a claim ({error}); remove it to run it again"
            ) from error
        return result

    def add(self, experiment: Experiment, seed: int, parts: Mapping[str, Row], seconds: float) -> None:
        """Store the rows of one replica, all or none of them."""
        self.make_folder()
        with _locked(self.folder / LOCK):
            self._add(experiment, seed, parts, seconds)

    def _add(self, experiment: Experiment, seed: int, parts: Mapping[str, Row], seconds: float) -> None:
        """Read the rows, and write them with those of one replica; no other process may do so meanwhile."""
        stored = self._read(experiment.key)
        assert parts and len({frozenset(row) for row in parts.values()}) == 1, f"{experiment.key}: unequal columns"
        stored[seed] = {part: {**row, SECONDS: seconds} for part, row in parts.items()}
        lines: list[dict[str, Any]] = [
            {"seed": number, "part": part, **row} for number in sorted(stored) for part, row in stored[number].items()
        ]
        arrays = {
            name: pa.array([line[name] for line in lines])
            if name in ("seed", "part")
            else pa.array(np.array([line[name] for line in lines], dtype=float))
            for name in lines[0]
        }
        description = json.dumps({**experiment.description, "version": experiment.version})
        table = pa.table(arrays).replace_schema_metadata({"experiment": description})
        with atomic_replace(self.path(experiment.key)) as temporary:
            pq.write_table(table, temporary, compression="zstd")
