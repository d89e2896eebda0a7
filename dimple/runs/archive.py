"""A run folder as one file: a zip archive that compresses nothing, so that nothing in it can be larger than the file."""

import atexit
import functools
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from dimple.errors import RunError
from dimple.runs.atomic_io import replacing

SUFFIX = ".dimple"
# The parts of an unfinished measurement are of no use to anybody else.
PASSING = re.compile(r"parts|\.dimple-tmp-.*")
NAME = re.compile(r"([\w-][\w.-]*)(/[\w-][\w.-]*)?")
# The same run gives the same file, whenever it is packed; no zip archive is older.
DATE = (1980, 1, 1, 0, 0, 0)


def pack_folder(folder: Path, path: Path, ours: re.Pattern[str]) -> Path:
    """Write the files of a run folder into one; unpacked by any program for zip archives it is the folder again.

    Args:
        ours: matches the names in the folder that belong to a run.

    Raises:
        RunError: if a file cannot be read or written.
    """
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for file in _files(folder, ours):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), DATE)
            with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target)
    return path


def _files(folder: Path, ours: re.Pattern[str]) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        first = file.relative_to(folder).parts[0]
        if file.is_file() and ours.fullmatch(first) and not PASSING.fullmatch(first):
            yield file


def unpacked(path: Path, ours: re.Pattern[str]) -> Path:
    """The folder that a packed run was made of, for as long as this process lives.

    Anybody may have written the file: what is no file of a run, or pretends to be larger than the archive, is refused,
    and nothing is ever written outside the folder.

    Args:
        ours: matches the names that belong to a run.

    Raises:
        RunError: if the file is no packed run, is damaged, or has no room on the disk.
    """
    facts = path.stat()
    return _unpack(path.absolute(), ours, facts.st_mtime_ns, facts.st_size)


@functools.cache
def _unpack(path: Path, ours: re.Pattern[str], _written: int, size: int) -> Path:
    """Done once for a file, and again where it has changed since."""
    home = Path(tempfile.mkdtemp(prefix="dimple-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    folder = home / path.name
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in _checked(archive, path, size, ours):
                target = folder / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
    except RunError:
        raise
    except OSError as error:
        shutil.rmtree(home, ignore_errors=True)
        raise RunError(f"{path}: cannot be unpacked into {home} ({error.strerror or error}); free space") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise RunError(f"{path}: is no packed run, or a damaged one ({error}); pack the run again") from None
    return folder


def _checked(archive: zipfile.ZipFile, path: Path, size: int, ours: re.Pattern[str]) -> list[zipfile.ZipInfo]:
    entries = archive.infolist()
    for entry in entries:
        found = NAME.fullmatch(entry.filename)
        if found is None or not ours.fullmatch(found[1]) or PASSING.fullmatch(found[1]):
            raise RunError(f"{path}: holds {entry.filename!r}, which no run has, so it was not packed by dimple pack")
    names = {entry.filename for entry in entries}
    if len(names) < len(entries) or any(e.compress_type != zipfile.ZIP_STORED for e in entries):
        raise RunError(f"{path}: is an archive of another make; pack the run with dimple pack RUN")
    if sum(entry.file_size for entry in entries) > size:
        raise RunError(f"{path}: claims to hold more than its {size} bytes; pack the run again")
    if "run.json" not in names:
        raise RunError(f"{path}: holds no run.json, so it is no packed run; pack one with dimple pack RUN")
    return entries
