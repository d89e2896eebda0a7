"""A lock on a run folder: at most one process writes a run, and a process that was killed holds no lock."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterable
from pathlib import Path

from dimple.errors import RunError
from dimple.workers import is_running

try:
    import fcntl
except ImportError:
    # Windows, where a second writer is not noticed.
    fcntl = None  # type: ignore[assignment]

LOCK = ".dimple-lock"
# The open lock file of each folder that this process has locked.
_held: dict[Path, int] = {}


def lock_folder(folder: Path, patience: float = 0.0) -> None:
    """Keep other processes from writing into a folder until `unlock_folder`, or until this process ends.

    A folder that this process has locked already stays locked.

    Args:
        folder: the folder.
        patience: for how many seconds to wait for another process.

    Raises:
        RunError: if another process has locked it; it names the process.
        OSError: if the lock file cannot be written.
    """
    path = folder.absolute() / LOCK
    if is_locked_here(folder):
        return
    deadline = time.monotonic() + patience
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            is_locked = _try_lock(descriptor)
            if not is_locked and time.monotonic() >= deadline:
                holder = _describe_holder(descriptor)
                raise RunError(f"{folder}: is being written by {holder}; wait for it, or choose another out=")
            # The process that had the lock removes the file at its end, perhaps after it was opened here.
            if is_locked and _is_same_file(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
                _held[path] = descriptor
                return
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if not is_locked:
            time.sleep(0.05)


def is_locked_here(folder: Path) -> bool:
    """Return whether this process has locked a folder."""
    path = folder.absolute() / LOCK
    held = _held.get(path)
    return held is not None and _is_same_file(held, path)


def unlock_folder(folder: Path) -> None:
    """Let other processes write into a folder again."""
    path = folder.absolute() / LOCK
    descriptor = _held.pop(path, None)
    if descriptor is not None:
        # The lock file of a process that has ended locks nothing.
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    """Lock an open file until it is closed, also by the end of this process; False if another process has locked it."""
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without locks, on which a second writer is not noticed.
        pass
    return True


def owner_mark() -> str:
    """Return the part of a name of something temporary that says which process it belongs to."""
    return f"{_machine_mark()}-{os.getpid()}-"


def _machine_mark() -> str:
    # Short whatever the name of the machine, since it may be part of the path of a socket.
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def remove_abandoned(paths: Iterable[Path]) -> None:
    """Remove those files and folders with an owner mark in their names whose process on this machine has ended."""
    for path in paths:
        found = re.search(rf"{_machine_mark()}-(\d+)-", path.name)
        if found is not None and not is_running(int(found[1])):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()


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
