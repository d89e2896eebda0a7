"""Reader of MNIST, and of other data sets in the form of four IDX files."""

import contextlib
import gzip
import io
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.data.readers.pixels import RawImages, name_classes
from dimple.errors import DataError
from dimple.limits import require_memory
from dimple.settings import format_value

CLASS_NAMES = tuple("0123456789")
FASHION_CLASS_NAMES = (
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
FILE_PREFIXES = {"train": "train", "test": "t10k"}
SUBFOLDERS = ("", "raw", "MNIST/raw")
# The codes for types of numbers in the header of an IDX file.
UNSIGNED_BYTE_CODE = 8
TYPES = {
    UNSIGNED_BYTE_CODE: "unsigned bytes",
    9: "signed bytes",
    11: "16-bit integers",
    12: "32-bit integers",
    13: "32-bit floats",
    14: "64-bit floats",
}
DOWNLOAD_AGAIN_HINT = "get the file from its source again"


def read_mnist(path: Path, split: str, class_names: tuple[str, ...] = CLASS_NAMES) -> RawImages:
    """Read one split of MNIST, `(N, 1, H, W)`, from a folder with the IDX files, which may be gzipped.

    There are ten classes, or more if a label of either split is above 9.

    Raises:
        DataError: if a file is missing, is not an IDX file of unsigned bytes or is truncated, if the counts differ, or
            if the labels of more than ten classes count from 1.

    Reference: LeCun, Cortes and Burges, the MNIST database; the format is described with it.
    """
    if not path.is_dir():
        raise DataError(f"{path}: is not a folder; name the folder with {FILE_PREFIXES[split]}-images-idx3-ubyte.gz")
    images_path = _require_file(path, f"{FILE_PREFIXES[split]}-images", 3)
    labels_path = _require_file(path, f"{FILE_PREFIXES[split]}-labels", 1)
    count = read_idx_shape(images_path, 3)[0]
    labels = read_idx(labels_path, 1)
    if count != len(labels):
        raise DataError(f"{images_path}: has {count} images for {len(labels)} labels; get the four files again")
    images = read_idx(images_path, 3)
    if not images.size:
        raise DataError(f"{images_path}: holds no images")
    label_files = [_find_file(path, f"{prefix}-labels", 1) for prefix in FILE_PREFIXES.values()]
    all_labels = {file.name: read_idx(file, 1) for file in label_files if file is not None}
    has_ten_classes = all(values.max(initial=0) < len(class_names) for values in all_labels.values())
    classes = name_classes(all_labels, str(path), class_names if has_ten_classes else ())
    return RawImages(images[:, None], labels.astype(np.int64), classes)


def read_fashion_mnist(path: Path, split: str) -> RawImages:
    """Read one split of Fashion-MNIST, which has the form of MNIST.

    Reference: Xiao, Rasul and Vollgraf 2017, Fashion-MNIST.
    """
    return read_mnist(path, split, FASHION_CLASS_NAMES)


def _require_file(root: Path, name: str, axes: int) -> Path:
    file = _find_file(root, name, axes)
    if file is None:
        folders = (root / folder for folder in SUBFOLDERS)
        others = sorted(path.name for folder in folders for path in folder.glob(f"*[-.]idx{axes}-*"))
        others = [other for other in others if not other.startswith(tuple(FILE_PREFIXES.values()))]
        if others:
            raise DataError(
                f"{root}: holds {format_value(others[0])}, and the names of the files are those of MNIST, such as "
                f"{name}-idx{axes}-ubyte.gz; rename all four, or save npz:FILE with x.transpose(0, 2, 1), as EMNIST "
                "stores its images transposed"
            )
        raise DataError(f"{root}: lacks {name}-idx{axes}-ubyte.gz; name the folder that holds the four files of MNIST")
    return file


def _find_file(root: Path, name: str, axes: int) -> Path | None:
    names = [f"{name}{mark}idx{axes}-ubyte{suffix}" for suffix in ("", ".gz") for mark in "-."]
    candidates = (root / folder / candidate for folder in SUBFOLDERS for candidate in names)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def read_idx(path: Path, axes: int) -> NDArray[Any]:
    """Read the unsigned bytes of an IDX file with the given number of axes.

    The header has two zero bytes, a byte for the type of the numbers, a byte for the number of axes, and the length of
    each axis as a big-endian 32-bit integer.

    Raises:
        DataError: if the file has another format, or its length differs from the header.
    """
    shape = read_idx_shape(path, axes)
    expected = math.prod(shape)
    with _open_idx(path) as file:
        file.read(4 + 4 * axes)
        content = file.read(expected + 1)
    if len(content) != expected:
        found = "more" if len(content) > expected else f"only {len(content)}"
        raise DataError(f"{path}: its header claims {expected} bytes and {found} follow; {DOWNLOAD_AGAIN_HINT}")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def read_idx_shape(path: Path, axes: int) -> tuple[int, ...]:
    """Return the lengths of the axes of an IDX file of unsigned bytes, from its header alone.

    Raises:
        DataError: if the file has another format, or needs more memory than the limit.
    """
    with _open_idx(path) as file:
        header = file.read(4 + 4 * axes)
    if len(header) < 4 + 4 * axes or header[:4] != bytes((0, 0, UNSIGNED_BYTE_CODE, axes)):
        raise _other_format_error(path, header, axes)
    shape = struct.unpack(f">{axes}I", header[4:])
    require_memory(2.0 * math.prod(shape), f"{path}: its header claims {math.prod(shape)} bytes", DataError)
    return shape


@contextlib.contextmanager
def _open_idx(path: Path) -> Iterator[gzip.GzipFile | io.BufferedReader]:
    """Open a file that may be gzipped; an error in it names the file."""
    try:
        with path.open("rb") as raw:
            gzipped = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if gzipped else path.open("rb") as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); {DOWNLOAD_AGAIN_HINT}") from None


def _other_format_error(path: Path, header: bytes, axes: int) -> DataError:
    problem = f"{path}: is not an IDX file of unsigned bytes with {axes} {'axis' if axes == 1 else 'axes'}"
    if (
        len(header) >= 4
        and header[:2] == b"\0\0"
        and header[2] in TYPES
        and header[2:4] != bytes((UNSIGNED_BYTE_CODE, axes))
    ):
        return DataError(f"{problem} but of {TYPES[header[2]]} with {header[3]}; save other arrays as npz:FILE")
    return DataError(f"{problem}; {DOWNLOAD_AGAIN_HINT}")
