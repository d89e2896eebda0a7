"""The files of a run folder: their names, their removal, and their comparison with the manifest."""

import contextlib
import dataclasses
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import final

from dimple.errors import RunError, convert_file_errors
from dimple.runs.atomic_io import TEMPORARY_PREFIX, remove_file, write_bytes
from dimple.runs.lock import LOCK, remove_abandoned
from dimple.runs.manifest import (
    MANIFEST,
    SHARDS_FOLDER,
    WAY_OUT,
    Checksum,
    Manifest,
    is_manifest,
    list_files,
    manifest_text,
)
from dimple.runs.shards import ShardFolder

# The folder of the slice in a run.
SLICE_FOLDER = "slice"
CACHE_FOLDER = "cache"
# The names of all files and folders of a run, including those of version 0.1.
RUN_FILES_PATTERN = re.compile(
    r"((scene|config)\.yaml|run\.json|manifest\.jsonl|slice|snapshots|cache|shards|parts|stills"
    r"|(geometry|images|pictures)\.safetensors"
    r"|(metrics|replicas|points|measurements|quantiles|spectra|speed|transfer)\.parquet"
    r"|film\.(mp4|gif|png)|(page|report)\.html|boundary\.pvd|boundary_steps|boundary_\d+\.vtp|\.dimple-.*)"
)
# Files that are not packed: intermediate results (`parts` in version 0.1) and unfinished files.
TEMPORARY_PATTERN = re.compile(r"cache|shards|parts|\.dimple-.*")


def iter_run_files(folder: Path) -> Iterator[Path]:
    """Yield the finished files of a run, with those of a run inside it, in the order of their paths."""
    for file in list_files(folder):
        first = file.relative_to(folder).parts[0]
        if RUN_FILES_PATTERN.fullmatch(first) and not file.name.startswith(".dimple-"):
            yield file


@final
@dataclasses.dataclass(frozen=True)
class FilesCheck:
    """The comparison of the files of a run with its manifest.

    Attributes:
        files: the number of files that are as the run wrote them.
        problems: a problem for each other file, by its path.
        is_finished: whether the run has ended, so that no file may be missing.
    """

    files: int
    problems: dict[str, str]
    is_finished: bool


def check_files(folder: Path) -> FilesCheck:
    """Compare the files of a run, and of a run inside it, with the manifest.

    Raises:
        RunError: if there is no manifest.
    """
    if not is_manifest(folder / MANIFEST):
        raise RunError(
            f"{folder}: has no {MANIFEST}, so its files cannot be checked: an older version of dimple wrote it, or the "
            "manifest was removed"
        )
    is_finished = _is_finished(folder)
    count = 0
    problems = ShardFolder(folder).find_problems()
    for part, prefix in ((folder, ""), (folder / SLICE_FOLDER, f"{SLICE_FOLDER}/")):
        if is_manifest(part / MANIFEST):
            whole, found = _compare(part)
            count += len(whole)
            problems |= {prefix + name: problem for name, problem in found.items()}
    if not is_finished:
        # A process that was killed leaves lines about files that it was about to write.
        problems = {name: problem for name, problem in problems.items() if (folder / name).exists()}
    return FilesCheck(count, problems, is_finished)


def _is_finished(folder: Path) -> bool:
    """Return whether a run has ended; also where its run.json is damaged."""
    try:
        info = json.loads((folder / "run.json").read_bytes())
        return bool(info["status"] != "running")
    except FileNotFoundError:
        return not is_started(folder)
    except (OSError, ValueError, TypeError, KeyError):
        return True


def require_unchanged(folder: Path) -> None:
    """Raise a RunError that names the first file that is not as the run wrote it; do nothing without a manifest."""
    if is_manifest(folder / MANIFEST):
        for name, problem in check_files(folder).problems.items():
            raise RunError(f"{folder / name}: {problem}; {WAY_OUT}")


def _compare(folder: Path) -> tuple[dict[str, Checksum], dict[str, str]]:
    checksums, problems = Manifest(folder).check(_iter_own_files(folder))
    # Intermediate results go without a line.
    is_kept = {name: not name.startswith(f"{CACHE_FOLDER}/") or (folder / name).exists() for name in problems}
    return checksums, {name: problem for name, problem in problems.items() if is_kept[name]}


def _iter_own_files(folder: Path) -> Iterator[Path]:
    """Yield the files that the manifest of a run describes: all but itself and those of a run inside the run."""
    inner = {entry.name for entry in folder.iterdir() if is_manifest(entry / MANIFEST)}
    for file in iter_run_files(folder):
        if file.name != MANIFEST and file.relative_to(folder).parts[0] not in {SHARDS_FOLDER, *inner}:
            yield file


def renew_manifest(folder: Path, may_miss: bool) -> None:
    """Check the files of a run, and write its manifest with one line for each; damaged intermediate results go.

    Args:
        folder: the run folder, locked by this process.
        may_miss: whether files may be missing, such as those that a process was about to write when it was killed.

    Raises:
        RunError: if another file is not as the run wrote it.
    """
    if is_manifest(folder / MANIFEST):
        checksums, problems = _compare(folder)
    else:
        files = _iter_own_files(folder)
        checksums = {file.relative_to(folder).as_posix(): Checksum.of(file) for file in files}
        problems = {}
    for name, problem in problems.items():
        is_missing = not (folder / name).exists()
        if name.startswith(f"{CACHE_FOLDER}/"):
            (folder / name).unlink()
        elif not (is_missing and may_miss):
            raise RunError(f"{folder / name}: {problem}; make the run again with force=True")
    write_bytes(folder / MANIFEST, manifest_text(checksums).encode())


def remove_temporary_files(folder: Path) -> None:
    """Remove the files of a process that was killed while it wrote them; this process has locked the folder."""
    unfinished = list(folder.glob(f"**/{TEMPORARY_PREFIX}*"))
    # Other processes write shards without the lock.
    in_shards = [file for file in unfinished if file.relative_to(folder).parts[0] == SHARDS_FOLDER]
    remove_abandoned(in_shards)
    for file in set(unfinished).difference(in_shards):
        with contextlib.suppress(OSError):
            file.unlink()


def remove_abandoned_files(folder: Path) -> None:
    """Remove the manifest that a process, killed last thing in a finished run, had not put in its place."""
    remove_abandoned(folder.glob(f"{TEMPORARY_PREFIX}*"))


def is_started(folder: Path) -> bool:
    """Return whether a process was killed while it began a run in a folder, or while it removed one."""
    names = {entry.name for entry in folder.iterdir() if not entry.name.startswith(".dimple-")}
    if not names:
        return True
    if "run.json" in names or not is_manifest(folder / MANIFEST):
        return False
    return names <= {MANIFEST, "scene.yaml", "config.yaml"} or Manifest(folder).is_removed("run.json")


@convert_file_errors
def clear_folder(folder: Path) -> None:
    """Remove all files of a run from its folder, except for the lock.

    Raises:
        RunError: if the folder holds other files, or is not a run of dimple; then nothing is deleted.
    """
    names = sorted(entry.name for entry in folder.iterdir())
    other_files = [name for name in names if not RUN_FILES_PATTERN.fullmatch(name)]
    if other_files or not (is_started(folder) or _is_run(folder)):
        reason = f"also holds {other_files[0]!r}" if other_files else "has a run.json of another program"
        raise RunError(f"{folder}: {reason}, so it is not replaced; choose another out=")
    # A process that is killed here leaves a folder that is taken for a start.
    remove_file(folder / "run.json")
    for name in sorted(set(names) - {"run.json", LOCK}, key=lambda name: name == MANIFEST):
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        else:
            (folder / name).unlink()


def _is_run(folder: Path) -> bool:
    """Return whether a folder with a run.json is a run of dimple."""
    if is_manifest(folder / MANIFEST):
        return True
    try:
        info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(info, dict) and {"status", "seconds"} <= info.keys()
