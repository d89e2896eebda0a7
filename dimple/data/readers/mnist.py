"""Reader of MNIST, and of other data sets in the form of four IDX files."""

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.data.readers.pixels import RawImages, check_labels
from dimple.errors import DataError

CLASS_NAMES = tuple("0123456789")
FILE_PREFIXES = {"train": "train", "test": "t10k"}
SUBFOLDERS = ("", "raw", "MNIST/raw")
# The code for unsigned bytes in the header of an IDX file.
UNSIGNED_BYTE_CODE = 8
MAX_BYTES = 2**32
DOWNLOAD_AGAIN_HINT = "get the file from its source again"


def read_mnist(path: Path, split: str) -> RawImages:
    """Read one split of MNIST, `(N, 1, H, W)`, from a folder with the IDX files, which may be gzipped.

    Raises:
        DataError: if a file is missing, is not an IDX file of unsigned bytes or is truncated, or if the counts differ.

    Reference: LeCun, Cortes and Burges, the MNIST database; the format is described with it.
    """
    if not path.is_dir():
        raise DataError(f"{path}: is not a folder; name the folder with {FILE_PREFIXES[split]}-images-idx3-ubyte.gz")
    images_path = _find_file(path, f"{FILE_PREFIXES[split]}-images", 3)
    labels_path = _find_file(path, f"{FILE_PREFIXES[split]}-labels", 1)
    images = read_idx(images_path, 3)
    labels = read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise DataError(f"{images_path}: has {len(images)} images for {len(labels)} labels; get the four files again")
    if not images.size:
        raise DataError(f"{images_path}: holds no images")
    return RawImages(images[:, None], check_labels(labels, CLASS_NAMES, str(labels_path)), CLASS_NAMES)


def _find_file(root: Path, name: str, axes: int) -> Path:
    names = [f"{name}{mark}idx{axes}-ubyte{suffix}" for suffix in ("", ".gz") for mark in "-."]
    for folder in SUBFOLDERS:
        for candidate in names:
            if (root / folder / candidate).is_file():
                return root / folder / candidate
    raise DataError(f"{root}: lacks {names[0]}.gz; name the folder that holds the four files of MNIST")


def read_idx(path: Path, axes: int) -> NDArray[Any]:
    """Read the unsigned bytes of an IDX file with the given number of axes.

    The header has two zero bytes, a byte for the type of the numbers, a byte for the number of axes, and the length of
    each axis as a big-endian 32-bit integer.

    Raises:
        DataError: if the file has another format, or its length differs from the header.
    """
    try:
        with path.open("rb") as raw:
            gzipped = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if gzipped else path.open("rb") as file:
            header = file.read(4 + 4 * axes)
            if len(header) < 4 + 4 * axes or header[:4] != bytes((0, 0, UNSIGNED_BYTE_CODE, axes)):
                raise DataError(f"{path}: is not an IDX file of unsigned bytes with {axes} axes; {DOWNLOAD_AGAIN_HINT}")
            shape = struct.unpack(f">{axes}I", header[4:])
            expected = int(np.prod(shape, dtype=object))
            if expected > MAX_BYTES:
                raise DataError(f"{path}: its header claims {expected} bytes; the limit is {MAX_BYTES}")
            content = file.read(expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); {DOWNLOAD_AGAIN_HINT}") from None
    if len(content) != expected:
        found = "more" if len(content) > expected else f"only {len(content)}"
        raise DataError(f"{path}: its header claims {expected} bytes and {found} follow; {DOWNLOAD_AGAIN_HINT}")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)
