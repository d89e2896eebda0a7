"""Packing of a run folder into one file.

The file is a zip archive without compression, so that its content cannot be larger than the file itself.
"""

import atexit
import functools
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from dimple.errors import RunError
from dimple.runs.atomic_io import atomic_replace
from dimple.settings import format_value, without_folders
from dimple.zip_files import open_zip

ARCHIVE_SUFFIX = ".dimple"
# Files that are not packed: intermediate results (`parts` in version 0.1) and unfinished files.
TEMPORARY_PATTERN = re.compile(r"cache|parts|\.dimple-tmp-.*")
# Files that show samples, which may be images of the user.
IMAGES_PATTERN = re.compile(r"(images|pictures)\.safetensors|(page|report)\.html|film\..*|stills|slice")
# Files that may name folders of this machine, which are left out.
TEXT_FILES = ("run.json", "config.yaml")
# A file in the run folder or in one of its subfolders.
ENTRY_NAME_PATTERN = re.compile(r"([\w-][\w.-]*)(/[\w-][\w.-]*)?")
# The date of every entry, so that the same run always gives the same file; it is the oldest date of the zip format.
ENTRY_DATE = (1980, 1, 1, 0, 0, 0)


def pack_folder(folder: Path, path: Path, run_files: re.Pattern[str], images: bool = True) -> Path:
    """Write the files of a run folder into one zip archive.

    Args:
        folder: the run folder.
        path: the archive.
        run_files: a pattern that matches the names in the folder that belong to a run; other files are left out.
        images: whether the files that show samples are packed.

    Raises:
        RunError: if a file cannot be read or written.
    """
    with atomic_replace(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for file in _iter_run_files(folder, run_files):
            if not images and IMAGES_PATTERN.fullmatch(file.relative_to(folder).parts[0]):
                continue
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), ENTRY_DATE)
            with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                if file.name in TEXT_FILES:
                    target.write(without_folders(source.read().decode()).encode())
                else:
                    shutil.copyfileobj(source, target)
    return path


def _iter_run_files(folder: Path, run_files: re.Pattern[str]) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        first = file.relative_to(folder).parts[0]
        if file.is_file() and run_files.fullmatch(first) and not TEMPORARY_PATTERN.fullmatch(first):
            yield file


def unpack(path: Path, run_files: re.Pattern[str]) -> Path:
    """Unpack a packed run into a temporary folder, which exists until this process ends, and return the folder.

    The file may come from an untrusted source: entries that do not belong to a run or claim to be larger than the
    archive are refused, and nothing is written outside the folder.

    Args:
        path: the archive.
        run_files: a pattern that matches the names that belong to a run.

    Raises:
        RunError: if the file is not a packed run or is damaged, or if the disk is full.
    """
    status = path.stat()
    return _extract(path.absolute(), run_files, status.st_mtime_ns, status.st_size)


@functools.cache
def _extract(path: Path, run_files: re.Pattern[str], _modified: int, size: int) -> Path:
    """Unpack a file; the cache avoids a second time unless the file has changed."""
    temporary = Path(tempfile.mkdtemp(prefix="dimple-"))
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    folder = temporary / path.name
    try:
        with path.open("rb") as file, open_zip(file) as archive:
            for entry in _check_entries(archive, path, size, run_files):
                target = folder / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, target.open("wb") as output:
                    shutil.copyfileobj(source, output)
    except RunError:
        raise
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise RunError(f"{path}: cannot be unpacked into {temporary} ({error.strerror or error}); free space") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise RunError(f"{path}: is not a packed run, or is damaged ({error}); pack the run again") from None
    return folder


def _check_entries(
    archive: zipfile.ZipFile, path: Path, size: int, run_files: re.Pattern[str]
) -> list[zipfile.ZipInfo]:
    entries = archive.infolist()
    for entry in entries:
        found = ENTRY_NAME_PATTERN.fullmatch(entry.filename)
        if found is None or not run_files.fullmatch(found[1]) or TEMPORARY_PATTERN.fullmatch(found[1]):
            raise RunError(
                f"{path}: holds {format_value(entry.filename)}, which is not a file of a run, so dimple pack did not "
                "write it"
            )
    names = {entry.filename for entry in entries}
    if len(names) < len(entries) or any(e.compress_type != zipfile.ZIP_STORED for e in entries):
        raise RunError(f"{path}: is an archive of another program; pack the run with dimple pack RUN")
    if sum(entry.file_size for entry in entries) > size:
        raise RunError(f"{path}: has entries that are larger than its {size} bytes; pack the run again")
    if "run.json" not in names:
        raise RunError(f"{path}: holds no run.json, so it is not a packed run; pack one with dimple pack RUN")
    return entries
