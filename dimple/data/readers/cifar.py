"""CIFAR-10 in the forms it travels in: the binary archive, its unpacked records, or a folder of images."""

import hashlib
from pathlib import Path

import numpy as np

from dimple.data.readers.folder import SPLITS, read_archive_folder, read_folder, renumbered
from dimple.data.readers.pixels import Pixels
from dimple.data.readers.tar import members
from dimple.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORDS = {"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)}
RECORD_FOLDER = "cifar-10-batches-bin"
PICKLE_FOLDER = "cifar-10-batches-py"
SHAPE = (3, 32, 32)
RECORD_BYTES = 3073
OFFICIAL_BYTES = 170_052_171
OFFICIAL_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"


def read_cifar10(path: Path, split: str) -> Pixels:
    """One split of CIFAR-10, in the class numbers of its publication.

    Args:
        path: an image folder, a folder with the .bin records, a tar archive of either, or a folder that holds one.
        split: `train` or `test`.

    Raises:
        DataError: if there is no CIFAR-10 of any of these forms, or a damaged one.

    Reference: Krizhevsky 2009, Learning multiple layers of features from tiny images.
    """
    pixels = _read_directory(path, split) if path.is_dir() else _read_archive(path, split)
    if pixels.values.shape[1:] != SHAPE:
        raise DataError(
            f"{path}: its images have shape {pixels.values.shape[1:]}; those of CIFAR-10 have {SHAPE}: "
            "read other data as folder:PATH"
        )
    return pixels


def _read_directory(path: Path, split: str) -> Pixels:
    if any((path / name).is_dir() for name in SPLITS):
        return renumbered(read_folder(path, split), CLASSES, str(path))
    for folder in (path, path / RECORD_FOLDER):
        if any((folder / name).is_file() for names in RECORDS.values() for name in names):
            found = {name: (folder / name).read_bytes() for name in RECORDS[split] if (folder / name).is_file()}
            return _from_records(found, split, str(folder))
    if (path / "data_batch_1").exists() or (path / PICKLE_FOLDER).exists():
        raise _pickled(path)
    archives = sorted(file for file in path.glob("*.tar*") if file.is_file())
    if len(archives) != 1:
        raise DataError(
            f"{path}: holds {len(archives)} archives and neither train/CLASS/IMAGE.png nor data_batch_1.bin; "
            "name the archive or the folder that holds CIFAR-10"
        )
    return _read_archive(archives[0], split)


def _read_archive(path: Path, split: str) -> Pixels:
    if path.stat().st_size == OFFICIAL_BYTES:
        _check_official(path)
    if not _holds_records(path):
        return renumbered(read_archive_folder(path, split), CLASSES, str(path))
    found = {member.parts[-1]: member.read() for member in members(path) if member.parts[-1] in RECORDS[split]}
    return _from_records(found, split, str(path))


def _check_official(path: Path) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != OFFICIAL_SHA256:
        raise DataError(f"{path}: has the size of cifar-10-binary.tar.gz but sha256 {digest}; download it again")


def _holds_records(path: Path) -> bool:
    """Whether the archive is the binary one, by the first member that tells."""
    for member in members(path):
        if PICKLE_FOLDER in member.parts:
            raise _pickled(path)
        if RECORD_FOLDER in member.parts or member.parts[-1].endswith(".bin"):
            return True
        if any(split in member.parts for split in SPLITS):
            return False
    raise DataError(f"{path}: holds neither train/CLASS/IMAGE.png nor data_batch_1.bin; name an archive of CIFAR-10")


def _pickled(path: Path) -> DataError:
    return DataError(f"{path}: is the Python edition, whose pickles can run code; use cifar-10-binary.tar.gz")


def _from_records(found: dict[str, bytes], split: str, place: str) -> Pixels:
    """Records of one label byte and 3072 pixel bytes: all red, all green, all blue, row by row."""
    missing = [name for name in RECORDS[split] if name not in found]
    if missing:
        raise DataError(f"{place}: lacks {', '.join(missing)}; get cifar-10-binary.tar.gz from its source again")
    batches = []
    for name in RECORDS[split]:
        size = len(found[name])
        if size == 0 or size % RECORD_BYTES:
            raise DataError(
                f"{place}: {name} has {size} bytes, so a record of {RECORD_BYTES} is cut short at offset "
                f"{size - size % RECORD_BYTES}; get it from its source again"
            )
        batch = np.frombuffer(found[name], dtype=np.uint8).reshape(-1, RECORD_BYTES)
        wrong = np.flatnonzero(batch[:, 0] >= len(CLASSES))
        if len(wrong):
            raise DataError(
                f"{place}: {name} has label {batch[wrong[0], 0]} at offset {wrong[0] * RECORD_BYTES}; "
                f"labels are 0 to {len(CLASSES) - 1}: get it from its source again"
            )
        batches.append(batch)
    records = np.concatenate(batches)
    return Pixels(records[:, 1:].reshape(-1, *SHAPE), records[:, 0].astype(np.int64), CLASSES)
