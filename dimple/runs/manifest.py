"""The manifest of a run folder: size and check sum of every finished file, one line for each.

`manifest.jsonl` is a log: the line is on the disk before the file that it describes takes the place of the one before.
A process that is killed at any moment therefore leaves a file that agrees with a line, as it was before or as it should
become. A line without a check sum says that the file is removed.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, final

from dimple.errors import RunError

MANIFEST = "manifest.jsonl"
# The folder of shards, which several processes write without a lock; their files hold their own check sums.
SHARDS_FOLDER = "shards"
HEADER = json.dumps({"dimple": "manifest", "version": 1})
WAY_OUT = "make the run again with force=True, or remove the manifest to read its files unchecked"


class Checksum(NamedTuple):
    """The size of a file in bytes, and its SHA-256 check sum in hexadecimal digits."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "Checksum":
        """Return the check sum of a file."""
        with naming_file(path), path.open("rb") as file:
            return cls(os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())


def manifest_text(checksums: Mapping[str, Checksum]) -> str:
    """Return the text of a manifest, by the paths of files within the run."""
    lines = (json.dumps({"path": name, **checksum._asdict()}) for name, checksum in sorted(checksums.items()))
    return "\n".join([HEADER, *lines]) + "\n"


def find_manifest(path: Path) -> Path | None:
    """Return the manifest in the folder of a file or in the folder above; None for a file that it does not describe."""
    for folder in () if path.name == MANIFEST else path.absolute().parents[:2]:
        if is_manifest(folder / MANIFEST):
            return folder / MANIFEST
        if folder.name == SHARDS_FOLDER:
            return None
    return None


def is_manifest(path: Path) -> bool:
    """Return whether a file is a manifest of dimple; other programs use the name too.

    Raises:
        OSError: if the file cannot be read; a run whose manifest was taken for missing would get files without lines.
    """
    try:
        with naming_file(path), path.open("rb") as file:
            return file.readline(len(HEADER) + 1).decode().rstrip("\n") == HEADER
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, UnicodeDecodeError):
        return False


@contextlib.contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Name a file in the OSError of a failed read, which does not say of which file."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def list_files(folder: Path) -> list[Path]:
    """Return all files below a folder, in the order of their paths; none where it is missing.

    Raises:
        OSError: if a folder cannot be read, which `Path.glob` takes for an empty one.
    """
    return sorted(_iter_files(folder))


def _iter_files(folder: Path) -> Iterator[Path]:
    try:
        entries = list(folder.iterdir())
    except FileNotFoundError:
        # Another process may have removed it meanwhile.
        return
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            yield from _iter_files(entry)
        elif entry.is_file():
            yield entry


def append_checksum(manifest: Path, path: Path, checksum: Checksum | None) -> None:
    """Write a line about a file that is going to be replaced, or removed; it is on the disk when this returns."""
    values = {} if checksum is None else checksum._asdict()
    name = path.absolute().relative_to(manifest.parent).as_posix()
    line = (json.dumps({"path": name, **values}) + "\n").encode()
    with manifest.open("ab+", buffering=0) as file:
        file.seek(-1, os.SEEK_END)
        # A process that was killed, or had no space, may have left a part of a line.
        line = line if file.read(1) == b"\n" else b"\n" + line
        # One call, so that lines of several processes do not mix.
        if file.write(line) != len(line):
            raise OSError(28, "No space left on device")
        os.fsync(file.fileno())


@final
class Manifest:
    """The lines of a manifest, which are read when they are first needed.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # All check sums of each file from the oldest on; None where it was removed.
        self._lines: dict[str, list[Checksum | None]] | None = None

    @property
    def exists(self) -> bool:
        """True if there is a manifest, which older versions of dimple did not write."""
        return is_manifest(self.folder / MANIFEST)

    def _read(self) -> dict[str, list[Checksum | None]]:
        """Return the check sums by path, without lines that are torn."""
        found: dict[str, list[Checksum | None]] = {}
        path = self.folder / MANIFEST
        with naming_file(path):
            content = path.read_bytes()
        for line in content.splitlines()[1:]:
            try:
                entry = json.loads(line)
                checksum = Checksum(int(entry["bytes"]), str(entry["sha256"])) if "sha256" in entry else None
                found.setdefault(str(entry["path"]), []).append(checksum)
            except (ValueError, TypeError, KeyError):
                continue
        return found

    def read_bytes(self, path: Path) -> bytes:
        """Return the content of a file of the run.

        Raises:
            RunError: if the run has a manifest, and the content agrees with none of its lines.
            OSError: if the file cannot be read.
        """
        with naming_file(path):
            content = path.read_bytes()
        checksum = Checksum(len(content), hashlib.sha256(content).hexdigest())
        name = path.relative_to(self.folder).as_posix()
        if self._lines is None or checksum not in self._lines.get(name, []):
            # Another process may have written the file since the manifest was read.
            if not self.exists:
                return content
            self._lines = self._read()
            if problem := _find_problem(checksum, self._lines.get(name, [])):
                raise RunError(f"{path}: {problem}; {WAY_OUT}")
        return content

    def is_removed(self, name: str) -> bool:
        """Return whether the last line about a file says that it was removed."""
        return self._read().get(name, [Checksum(0, "")])[-1] is None

    def check(self, files: Iterable[Path]) -> tuple[dict[str, Checksum], dict[str, str]]:
        """Compare files of the run with the manifest.

        Args:
            files: all files that belong to the run, without those of a run inside it.

        Returns:
            The check sums of the files that agree, and a problem for each other file, both by path. A missing file is
            a problem unless the last line about it says that it was removed.
        """
        lines = self._read()
        checksums = {path.relative_to(self.folder).as_posix(): Checksum.of(path) for path in files}
        problems = {name: _find_problem(checksum, lines.get(name, [])) for name, checksum in checksums.items()}
        missing = {name: "is missing" for name, found in lines.items() if name not in checksums and found[-1]}
        problems = {name: problem for name, problem in problems.items() if problem} | missing
        return {name: one for name, one in checksums.items() if name not in problems}, problems


def _find_problem(checksum: Checksum, lines: list[Checksum | None]) -> str:
    """Return how a file differs from the lines about it; "" if it agrees with one of them."""
    if checksum in lines:
        return ""
    last = next((line for line in reversed(lines) if line is not None), None)
    if last is None:
        return "does not stand in the manifest, so the run did not write it"
    if checksum.bytes != last.bytes:
        return f"has {checksum.bytes} bytes, and the run wrote {last.bytes}"
    return "was changed after the run wrote it (its SHA-256 check sum differs)"
