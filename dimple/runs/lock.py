"""A lock on a run folder: at most one process writes a run, and a process that was killed holds no lock."""

import contextlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterable
from pathlib import Path

from dimple.errors import RunError

try:
    import fcntl
except ImportError:
    # Windows, where a second writer is not noticed.
    fcntl = None  # type: ignore[assignment]

LOCK = ".dimple-lock"
# What is younger is never taken for something that a killed process left.
SECONDS_UNTIL_LOCKED = 2.0
# The open lock file of each folder that this process has locked.
_held: dict[Path, int] = {}


def lock_folder(folder: Path) -> None:
    """Keep other processes from writing into a folder until `unlock_folder`, or until this process ends.

    A folder that this process has locked already stays locked.

    Raises:
        RunError: if another process has locked it; it names the process.
        OSError: if the lock file cannot be written.
    """
    path = folder.absolute() / LOCK
    held = _held.get(path)
    if held is not None and _is_same_file(held, path):
        return
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not try_lock(descriptor):
                holder = _describe_holder(descriptor)
                raise RunError(f"{folder}: is being written by {holder}; wait for it, or choose another out=")
            # The process that had the lock removes the file at its end, perhaps after it was opened here.
            if _is_same_file(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
                _held[path] = descriptor
                return
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def unlock_folder(folder: Path) -> None:
    """Let other processes write into a folder again."""
    path = folder.absolute() / LOCK
    descriptor = _held.pop(path, None)
    if descriptor is not None:
        # The lock file of a process that has ended locks nothing.
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Lock an open file until it is closed, also by the end of this process; False if another process has locked it.

    Where the platform or the file system has no locks, nothing is locked.
    """
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def remove_abandoned(paths: Iterable[Path]) -> None:
    """Remove those of temporary files, or of folders with a lock file, whose process has been killed."""
    if fcntl is None:
        return
    for path in paths:
        # A younger one may not be locked yet.
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > SECONDS_UNTIL_LOCKED:
                is_folder = path.is_dir()
                with (path / LOCK if is_folder else path).open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path) if is_folder else path.unlink()


def _describe_holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.read(descriptor, 1000))
        return f"process {int(holder['pid'])} on {str(holder['host'])!r}"
    except (ValueError, TypeError, KeyError):
        return "another process"


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
