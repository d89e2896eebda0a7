"""The shards of a measurement: its division into units of work, and one file for each finished unit.

Processes on several machines write shards into one folder without a lock. The name of a file holds the key of its
content, the file begins with a check sum of the rest, and it is moved into place when it is complete, so that a shard
is finished if and only if its file agrees with both.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from numpy.typing import NDArray
from safetensors import SafetensorError

from dimple.errors import RunError
from dimple.runs.atomic_io import make_folder, remove_file, write_bytes
from dimple.runs.manifest import SHARDS_FOLDER, list_files
from dimple.runs.safetensors_io import pack_entry, read_metadata, unpack_entry

Arrays = dict[str, NDArray[Any]]
PLAN_FILE = "plan.json"
# A network has at most this many shards in each split, so that a long measurement does not become a million files.
MAX_SHARDS_PER_SPLIT = 64
_SUM_LENGTH = 64
_HEADER_START = _SUM_LENGTH + 1


@final
@dataclasses.dataclass(frozen=True)
class Shard:
    """A unit of work: one network at a range of the samples of one split.

    Attributes:
        step: the step of the network.
        split: the name of the split.
        start, stop: the range among the measured samples of the split.
        key: the sha256 of what its content depends on.
    """

    step: int
    split: str
    start: int
    stop: int
    key: str

    @property
    def file_name(self) -> str:
        """The path of its file in the folder of shards, without the suffix."""
        return f"{self.step:08d}/{self.split}-{self.start:08d}-{self.key[:16]}"

    def __str__(self) -> str:
        return f"step {self.step}, {self.split} samples {self.start} to {self.stop - 1}"


@final
@dataclasses.dataclass(frozen=True)
class ShardPlan:
    """The division of a measurement into shards, which does not depend on who measures them.

    Attributes:
        identity: the sha256 of the settings, the check sums of the inputs, the versions and the device.
        steps: the steps of the networks.
        counts: the number of measured samples of each split.
        chunk_size: the number of samples that are measured together.
        parts: into how many parts `--shard` divides the shards; None where it does not.

    Example:
        >>> plan = ShardPlan("abc", (0, 5), {"test": 100}, 32, 3)
        >>> [str(shard) for shard in plan.part(0)]
        ['step 0, test samples 0 to 31', 'step 0, test samples 32 to 63']
        >>> plan.parts_of(plan.shards[3:5])
        [1]
    """

    identity: str
    steps: tuple[int, ...]
    counts: dict[str, int]
    chunk_size: int
    parts: int | None = None

    @property
    def shards(self) -> list[Shard]:
        """All shards, network by network."""
        return [
            Shard(step, split, start, min(start + rows, count), self._key(step, split, start))
            for step in self.steps
            for split, count in self.counts.items()
            for rows in [self._rows(count)]
            for start in range(0, count, rows)
        ]

    def _rows(self, count: int) -> int:
        """Return the number of samples of a shard: full chunks, as few as the number of shards allows."""
        return self.chunk_size * -(-count // (self.chunk_size * MAX_SHARDS_PER_SPLIT))

    def _key(self, step: int, split: str, start: int) -> str:
        content = [self.identity, self.chunk_size, step, split, start, self.counts[split]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def part(self, index: int) -> list[Shard]:
        """Return the shards of one of the parts, neighbours, so that a part needs few networks."""
        assert self.parts is not None
        shards = self.shards
        return shards[len(shards) * index // self.parts : len(shards) * (index + 1) // self.parts]

    def parts_of(self, shards: Iterable[Shard]) -> list[int]:
        """Return the numbers of the parts that hold any of the shards, rising."""
        assert self.parts is not None
        wanted = set(shards)
        listed = self.shards
        # The inverse of the bounds in `part`.
        parts = (((place + 1) * self.parts - 1) // len(listed) for place, one in enumerate(listed) if one in wanted)
        return sorted(set(parts))


def format_numbers(numbers: Sequence[int]) -> str:
    """Return rising numbers as batch systems write them.

    Example:
        >>> format_numbers([3, 17, 40, 41, 42])
        '3,17,40-42'
    """
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], number]
        else:
            ranges.append([number])
    return ",".join("-".join(map(str, one)) for one in ranges)


def list_shards(shards: Sequence[object]) -> str:
    """Return the first shards in words, and how many more there are."""
    more = f" and {len(shards) - 3} more" if len(shards) > 3 else ""
    return ", ".join(map(str, shards[:3])) + more


@final
class ShardFolder:
    """The files of the shards of a run.

    Args:
        run: the run folder.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / SHARDS_FOLDER

    @property
    def exists(self) -> bool:
        """True if the run is divided into shards, and not finished."""
        return (self.path / PLAN_FILE).is_file()

    def write_plan(self, plan: ShardPlan) -> None:
        """Write the plan; this process has locked the run."""
        make_folder(self.path)
        write_bytes(self.path / PLAN_FILE, _seal(json.dumps(dataclasses.asdict(plan)).encode()))

    def read_plan(self) -> ShardPlan:
        """Return the plan.

        Raises:
            RunError: if there is none, or it is not as it was written.
        """
        path = self.path / PLAN_FILE
        try:
            plan = ShardPlan(**json.loads(_unseal(path.read_bytes())))
        except FileNotFoundError:
            raise RunError(f"{self.path.parent}: holds no shards; name the folder of an unfinished probe") from None
        except (OSError, ValueError, TypeError) as error:
            raise RunError(f"{path}: is damaged ({error}); remove it, and run the probe in this folder again") from None
        return dataclasses.replace(plan, steps=tuple(plan.steps))

    def write(self, shard: Shard, arrays: Arrays, about: Mapping[str, Any]) -> None:
        """Write a finished shard.

        Args:
            shard: the shard.
            arrays: the columns by name, in order.
            about: what else belongs to it, as JSON has it.

        Raises:
            RunError: if the run was finished meanwhile, or the file cannot be written.
        """
        if not self.exists:
            raise RunError(
                f"{self.path.parent}: was finished by another process meanwhile; there is nothing left to do"
            )
        path = self._file(shard)
        make_folder(path.parent)
        write_bytes(path, _seal(pack_entry(arrays, {"key": shard.key, **about})))
        remove_file(self._poison_file(shard))

    def read(self, shard: Shard) -> tuple[Arrays, dict[str, Any]] | None:
        """Return the columns of a finished shard and what belongs to them; None if it is missing, torn or changed."""
        try:
            arrays, about = unpack_entry(_unseal(self._file(shard).read_bytes()))
            return (arrays, about) if about["key"] == shard.key else None
        except (OSError, SafetensorError, ValueError, KeyError):
            return None

    def read_about(self, shard: Shard) -> tuple[dict[str, Any], float] | None:
        """Return what belongs to a shard, and the time at which it was finished, without a check of its content."""
        try:
            with self._file(shard).open("rb") as file:
                file.seek(_HEADER_START)
                length = file.read(8)
                header = length + file.read(int.from_bytes(length, "little"))
                return json.loads(read_metadata(header)["about"]), os.fstat(file.fileno()).st_mtime
        except (OSError, ValueError, KeyError):
            return None

    def find_missing(self, shards: Iterable[Shard]) -> list[Shard]:
        """Return the shards that are missing, torn or changed."""
        return [shard for shard in shards if self.read(shard) is None]

    def mark_poison(self, shard: Shard) -> None:
        """Note that a shard has killed its process twice."""
        path = self._poison_file(shard)
        make_folder(path.parent)
        write_bytes(path, json.dumps({"host": socket.gethostname()}).encode())

    def unmark_poison(self, shards: Iterable[Shard]) -> None:
        """Forget which of the shards have killed their processes, before they are measured again."""
        for shard in shards:
            remove_file(self._poison_file(shard))

    def is_poison(self, shard: Shard) -> bool:
        """Return whether a shard has killed its process twice when it was last measured."""
        return self._poison_file(shard).is_file()

    def find_problems(self) -> dict[str, str]:
        """Return a problem for each file that is torn or changed, by its path in the run."""
        problems: dict[str, str] = {}
        # A file that a killed process had not finished is no shard.
        for file in list_files(self.path):
            if file.name.startswith(".") or (file.suffix != ".shard" and file.name != PLAN_FILE):
                continue
            try:
                _unseal(file.read_bytes())
            except (OSError, ValueError) as error:
                problems[file.relative_to(self.path.parent).as_posix()] = str(error)
        return problems

    def clear(self) -> None:
        """Delete all files of shards, the plan first, after the run was finished."""
        with contextlib.suppress(OSError):
            (self.path / PLAN_FILE).unlink()
        shutil.rmtree(self.path, ignore_errors=True)

    def _file(self, shard: Shard) -> Path:
        return self.path / f"{shard.file_name}.shard"

    def _poison_file(self, shard: Shard) -> Path:
        return self.path / f"{shard.file_name}.poison"


def _seal(content: bytes) -> bytes:
    """Return the content behind its check sum."""
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def _unseal(sealed: bytes) -> bytes:
    """Return the content behind a check sum.

    Raises:
        ValueError: if they do not agree.
    """
    content = sealed[_HEADER_START:]
    if sealed[:_HEADER_START] != _seal(content)[:_HEADER_START]:
        raise ValueError("is torn or was changed after the run wrote it (its SHA-256 check sum differs)")
    return content
