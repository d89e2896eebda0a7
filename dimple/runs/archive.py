"""Packing of a run folder into one file.

The file is a zip archive without compression, so that its content cannot be larger than the file itself.
"""

import atexit
import functools
import hashlib
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

from dimple.errors import RunError
from dimple.runs.atomic_io import atomic_replace
from dimple.runs.files import RUN_FILES_PATTERN, SLICE_FOLDER, TEMPORARY_PATTERN, iter_run_files, require_unchanged
from dimple.runs.lock import owner_mark, remove_abandoned
from dimple.runs.manifest import MANIFEST, Checksum, is_manifest, manifest_text
from dimple.settings import format_value, without_folders
from dimple.zip_files import open_zip

ARCHIVE_SUFFIX = ".dimple"
# Files that show samples, which may be images of the user.
IMAGES_PATTERN = re.compile(r"(images|pictures)\.safetensors|(page|report)\.html|film\..*|stills|slice")
# Files that may name folders of this machine, which are left out.
TEXT_FILES = ("run.json", "config.yaml", "scene.yaml")
# A file in a run folder or in one of its subfolders; the slice is a run inside the run.
ENTRY_NAME_PATTERN = re.compile(rf"(?:{SLICE_FOLDER}/)?([\w-][\w.-]*)(/[\w-][\w.-]*)?")
# The date of every entry, so that the same run always gives the same file; it is the oldest date of the zip format.
ENTRY_DATE = (1980, 1, 1, 0, 0, 0)


def pack_folder(folder: Path, path: Path, images: bool = True) -> Path:
    """Write the files of a run folder into one zip archive, without other files in the folder.

    Folders of this machine are left out of the texts of the run, so the manifest in the archive is that of its files.

    Args:
        folder: the run folder.
        path: the archive.
        images: whether the files that show samples are packed.

    Raises:
        RunError: if a file is not as the run wrote it, or cannot be read or written.
    """
    require_unchanged(folder)
    files = [file for file in iter_run_files(folder) if _is_packed(file.relative_to(folder).parts[0], images)]
    # The checksums by folder with a manifest: that of the run, and that of a run inside it.
    manifests: dict[Path, dict[str, Checksum]] = {
        file.parent: {} for file in files if file.name == MANIFEST and is_manifest(file)
    }
    with atomic_replace(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            if file.name == MANIFEST:
                continue
            described = next((parent for parent in file.parents if parent in manifests), None)
            checksum = _write_entry(archive, file, file.relative_to(folder))
            if described is not None:
                manifests[described][file.relative_to(described).as_posix()] = checksum
        for described, checksums in manifests.items():
            entry = zipfile.ZipInfo((described / MANIFEST).relative_to(folder).as_posix(), ENTRY_DATE)
            archive.writestr(entry, manifest_text(checksums))
    return path


def _is_packed(name: str, images: bool) -> bool:
    return not TEMPORARY_PATTERN.fullmatch(name) and (images or not IMAGES_PATTERN.fullmatch(name))


def _write_entry(archive: zipfile.ZipFile, file: Path, name: Path) -> Checksum:
    """Add a file to an archive, and return the checksum of what was added."""
    entry = zipfile.ZipInfo(name.as_posix(), ENTRY_DATE)
    if file.name in TEXT_FILES:
        # Bytes that are no text stay as they are.
        content = without_folders(file.read_bytes().decode(errors="surrogateescape")).encode(errors="surrogateescape")
        archive.writestr(entry, content)
        return Checksum(len(content), hashlib.sha256(content).hexdigest())
    with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
        shutil.copyfileobj(source, target)
    return Checksum.of(file)


def unpack(path: Path) -> Path:
    """Unpack a packed run into a temporary folder, which exists until this process ends, and return the folder.

    The file may come from an untrusted source: entries that do not belong to a run or claim to be larger than the
    archive are refused, and nothing is written outside the folder.

    Args:
        path: the archive.

    Raises:
        RunError: if the file is not a packed run or is damaged, or if the disk is full.
    """
    status = path.stat()
    return _extract(path.absolute(), status.st_mtime_ns, status.st_size)


@functools.cache
def _extract(path: Path, _modified: int, size: int) -> Path:
    """Unpack a file; the cache avoids a second time unless the file has changed."""
    remove_abandoned(Path(tempfile.gettempdir()).glob("dimple-*"))
    temporary = Path(tempfile.mkdtemp(prefix=f"dimple-{owner_mark()}"))
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    folder = temporary / path.name
    try:
        with path.open("rb") as file, open_zip(file) as archive:
            for entry in _check_entries(archive, path, size):
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


def _check_entries(archive: zipfile.ZipFile, path: Path, size: int) -> list[zipfile.ZipInfo]:
    entries = archive.infolist()
    for entry in entries:
        found = ENTRY_NAME_PATTERN.fullmatch(entry.filename)
        if found is None or not RUN_FILES_PATTERN.fullmatch(found[1]) or TEMPORARY_PATTERN.fullmatch(found[1]):
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
