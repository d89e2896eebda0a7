"""Reader of CIFAR-10 in its usual forms: the binary archive, its unpacked records, or a folder of images."""

import hashlib
from pathlib import Path

import numpy as np

from dimple.data.readers.folder import SPLITS, read_folder
from dimple.data.readers.pixels import RawImages
from dimple.data.readers.tar import iterate_members
from dimple.errors import DataError
from dimple.limits import require_memory

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORD_FILES = {"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)}
RECORD_FOLDER = "cifar-10-batches-bin"
PICKLE_FOLDER = "cifar-10-batches-py"
IMAGE_SHAPE = (3, 32, 32)
# One label and the pixels of one image.
RECORD_BYTES = 3073
OFFICIAL_ARCHIVE_BYTES = 170_052_171
OFFICIAL_ARCHIVE_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"


def read_cifar10(path: Path, split: str) -> RawImages:
    """Read one split of CIFAR-10, with the official class numbers.

    Args:
        path: an image folder, a folder with the .bin records, a tar archive of either, or a folder that holds one.
        split: `train` or `test`.

    Raises:
        DataError: if the path holds CIFAR-10 in none of these forms, or a damaged copy.

    Reference: Krizhevsky 2009, Learning multiple layers of features from tiny images.
    """
    images = _read_directory(path, split) if path.is_dir() else _read_archive(path, split)
    if images.values.shape[1:] != IMAGE_SHAPE:
        raise DataError(
            f"{path}: its images have shape {images.values.shape[1:]}; those of CIFAR-10 have {IMAGE_SHAPE}: "
            "read other data as folder:PATH"
        )
    return images


def _read_directory(path: Path, split: str) -> RawImages:
    if any((path / name).is_dir() for name in SPLITS):
        return read_folder(path, split, CLASS_NAMES)
    for folder in (path, path / RECORD_FOLDER):
        if any((folder / name).is_file() for names in RECORD_FILES.values() for name in names):
            files = [folder / name for name in RECORD_FILES[split] if (folder / name).is_file()]
            require_memory(2 * sum(file.stat().st_size for file in files), f"{folder}: has large files", DataError)
            contents = {file.name: file.read_bytes() for file in files}
            return _parse_records(contents, split, str(folder))
    if (path / "data_batch_1").exists() or (path / PICKLE_FOLDER).exists():
        raise _pickle_error(path)
    archives = sorted(file for file in path.glob("*.tar*") if file.is_file())
    if len(archives) != 1:
        raise DataError(
            f"{path}: holds {len(archives)} archives and neither train/CLASS/IMAGE.png nor data_batch_1.bin; "
            "name the archive or the folder that holds CIFAR-10"
        )
    return _read_archive(archives[0], split)


def _read_archive(path: Path, split: str) -> RawImages:
    if path.stat().st_size == OFFICIAL_ARCHIVE_BYTES:
        _check_official(path)
    if not _has_records(path):
        return read_folder(path, split, CLASS_NAMES)
    contents = {
        member.parts[-1]: member.read() for member in iterate_members(path) if member.parts[-1] in RECORD_FILES[split]
    }
    return _parse_records(contents, split, str(path))


def _check_official(path: Path) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != OFFICIAL_ARCHIVE_SHA256:
        raise DataError(f"{path}: has the size of cifar-10-binary.tar.gz but sha256 {digest}; download it again")


def _has_records(path: Path) -> bool:
    """Return whether the archive is the binary edition, by the first member that decides it."""
    for member in iterate_members(path):
        if PICKLE_FOLDER in member.parts:
            raise _pickle_error(path)
        if RECORD_FOLDER in member.parts or member.parts[-1].endswith(".bin"):
            return True
        if any(split in member.parts for split in SPLITS):
            return False
    raise DataError(f"{path}: holds neither train/CLASS/IMAGE.png nor data_batch_1.bin; name an archive of CIFAR-10")


def _pickle_error(path: Path) -> DataError:
    return DataError(f"{path}: is the Python edition, whose pickles can run code; use cifar-10-binary.tar.gz")


def _parse_records(contents: dict[str, bytes], split: str, location: str) -> RawImages:
    """Parse records of one label byte and 3072 pixel bytes: red, then green, then blue, each row by row."""
    missing = [name for name in RECORD_FILES[split] if name not in contents]
    if missing:
        raise DataError(f"{location}: lacks {', '.join(missing)}; get cifar-10-binary.tar.gz from its source again")
    batches = []
    for name in RECORD_FILES[split]:
        size = len(contents[name])
        if size == 0 or size % RECORD_BYTES:
            raise DataError(
                f"{location}: {name} has {size} bytes, so a record of {RECORD_BYTES} is cut short at offset "
                f"{size - size % RECORD_BYTES}; get it from its source again"
            )
        batch = np.frombuffer(contents[name], dtype=np.uint8).reshape(-1, RECORD_BYTES)
        invalid = np.flatnonzero(batch[:, 0] >= len(CLASS_NAMES))
        if len(invalid):
            raise DataError(
                f"{location}: {name} has label {batch[invalid[0], 0]} at offset {invalid[0] * RECORD_BYTES}; "
                f"labels are 0 to {len(CLASS_NAMES) - 1}: get it from its source again"
            )
        batches.append(batch)
    records = np.concatenate(batches)
    return RawImages(records[:, 1:].reshape(-1, *IMAGE_SHAPE), records[:, 0].astype(np.int64), CLASS_NAMES)
