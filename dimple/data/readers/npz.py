"""Reader of NumPy archives with the arrays x_train, y_train, x_test and y_test."""

import io
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dimple.data.readers.pixels import RawImages, check_labels
from dimple.errors import DataError

MAX_BYTES = 2**34
MAX_CLASSES = 10_000
HEADER_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npz(path: Path, split: str) -> RawImages:
    """Read one split of an .npz file: images `(N, C, H, W)` or, in gray, `(N, H, W)`, and labels `(N,)`.

    The pixels are uint8, or floats in [0, 1]; class k has the name `k`.

    Raises:
        DataError: if an array is missing, holds objects, differs from its header in size, or has values out of range.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            values = _read_array(archive, f"x_{split}", str(path))
            labels = _read_array(archive, f"y_{split}", str(path))
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as error:
        raise DataError(f"{path}: is not a readable .npz file ({error}); write it again with numpy.savez") from None
    if values.ndim not in (3, 4) or labels.ndim != 1 or not values.size:
        raise DataError(
            f"{path}: x_{split} has shape {values.shape} and y_{split} {labels.shape}; images are (N, C, H, W) or "
            "(N, H, W), labels (N,), N >= 1"
        )
    if len(values) != len(labels):
        raise DataError(f"{path}: x_{split} has {len(values)} images and y_{split} {len(labels)} labels; give one each")
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{path}: y_{split} has dtype {labels.dtype}; labels are integers")
    if int(labels.max()) >= MAX_CLASSES:
        raise DataError(f"{path}: y_{split} has label {labels.max()}; class numbers are below {MAX_CLASSES}")
    classes = tuple(str(number) for number in range(max(2, int(labels.max()) + 1)))
    values = _check_range(values, f"{path}: x_{split}")
    return RawImages(
        values if values.ndim == 4 else values[:, None], check_labels(labels, classes, f"{path}: y_{split}"), classes
    )


def _read_array(archive: zipfile.ZipFile, name: str, path: str) -> NDArray[Any]:
    """Read one array, after a comparison of its header with the size of the archive member."""
    location = f"{path}: {name}"
    if f"{name}.npy" not in archive.namelist():
        raise DataError(f"{location} is missing; the file holds {', '.join(archive.namelist()[:10]) or 'nothing'}")
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > MAX_BYTES:
        raise DataError(f"{location} has {info.file_size} bytes; the limit is {MAX_BYTES}")
    with archive.open(info) as file:
        try:
            shape, fortran, dtype = HEADER_READERS[npy.read_magic(file)](file)
        except (ValueError, KeyError, SyntaxError, tokenize.TokenError) as error:
            raise DataError(f"{location} is not an .npy array ({error}); write it with numpy.savez") from None
        if dtype.hasobject:
            raise DataError(f"{location} holds Python objects; save numbers, as uint8 or float32")
        expected = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if any(side < 0 for side in shape) or file.tell() + expected != info.file_size:
            raise DataError(
                f"{location} has a header for shape {shape} of {dtype} but {info.file_size} bytes; write it again"
            )
        content = io.BytesIO(file.read())
    return np.frombuffer(content.getbuffer(), dtype=dtype).reshape(shape, order="F" if fortran else "C")


def _check_range(values: NDArray[Any], location: str) -> NDArray[Any]:
    if values.dtype == np.uint8:
        return values
    if not np.issubdtype(values.dtype, np.floating):
        raise DataError(f"{location} has dtype {values.dtype}; images are uint8, or floats in [0, 1]")
    # A nan fails both comparisons, so this marks valid values and not invalid ones.
    valid = (values >= 0) & (values <= 1)
    if not valid.all():
        first = np.unravel_index(int((~valid).argmax()), values.shape)
        raise DataError(
            f"{location}[{', '.join(str(index) for index in first)}] is {values[first]}; values must lie in [0, 1]: "
            "divide them by their maximum"
        )
    return values.astype(np.float32)
