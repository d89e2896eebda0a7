"""MNIST, and whatever else comes as its four IDX files."""

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.data.readers.pixels import Pixels, checked_labels
from dimple.errors import DataError

CLASSES = tuple("0123456789")
PREFIXES = {"train": "train", "test": "t10k"}
FOLDERS = ("", "raw", "MNIST/raw")
UNSIGNED_BYTES = 8
LARGEST = 2**32
AGAIN = "get the file from its source again"


def read_mnist(path: Path, split: str) -> Pixels:
    """One split of MNIST, `(N, 1, H, W)`, from a folder with the IDX files, gzipped or not.

    Raises:
        DataError: if a file is missing, is no IDX file of unsigned bytes, is cut short, or the counts differ.

    Reference: LeCun, Cortes and Burges, the MNIST database; the format is described with it.
    """
    if not path.is_dir():
        raise DataError(f"{path}: is no folder; name the folder that holds {PREFIXES[split]}-images-idx3-ubyte.gz")
    images_path = _find(path, f"{PREFIXES[split]}-images", 3)
    labels_path = _find(path, f"{PREFIXES[split]}-labels", 1)
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise DataError(f"{images_path}: has {len(images)} images for {len(labels)} labels; get the four files again")
    if not images.size:
        raise DataError(f"{images_path}: holds no images")
    return Pixels(images[:, None], checked_labels(labels, CLASSES, str(labels_path)), CLASSES)


def _find(root: Path, name: str, axes: int) -> Path:
    names = [f"{name}{mark}idx{axes}-ubyte{suffix}" for suffix in ("", ".gz") for mark in "-."]
    for folder in FOLDERS:
        for candidate in names:
            if (root / folder / candidate).is_file():
                return root / folder / candidate
    raise DataError(f"{root}: lacks {names[0]}.gz; name the folder that holds the four files of MNIST")


def read_idx(path: Path, axes: int) -> NDArray[Any]:
    """The unsigned bytes of an IDX file with the given number of axes.

    A header is two zero bytes, a byte for the kind of number, one for the count of axes, and big-endian lengths.

    Raises:
        DataError: if the file is anything else, or its length is not what the header says.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as file:
            header = file.read(4 + 4 * axes)
            if len(header) < 4 + 4 * axes or header[:4] != bytes((0, 0, UNSIGNED_BYTES, axes)):
                raise DataError(f"{path}: is no IDX file of unsigned bytes with {axes} axes; {AGAIN}")
            shape = struct.unpack(f">{axes}I", header[4:])
            expected = int(np.prod(shape, dtype=object))
            if expected > LARGEST:
                raise DataError(f"{path}: its header claims {expected} bytes; the limit is {LARGEST}")
            content = file.read(expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); {AGAIN}") from None
    if len(content) != expected:
        found = "more" if len(content) > expected else f"only {len(content)}"
        raise DataError(f"{path}: its header claims {expected} bytes and {found} follow; {AGAIN}")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)
