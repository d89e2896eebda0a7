"""NumPy archives with the arrays x_train, y_train, x_test and y_test."""

import io
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dimple.data.readers.pixels import Pixels, checked_labels
from dimple.errors import DataError

LARGEST = 2**34
MOST_CLASSES = 10_000
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npz(path: Path, split: str) -> Pixels:
    """One split of an .npz file: images `(N, C, H, W)`, or `(N, H, W)` for grey ones, and labels `(N,)`.

    Images are uint8 grey levels or floats within [0, 1]; class k is named `k`.

    Raises:
        DataError: if an array is missing, holds objects, does not fit its header, or has values out of range.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            values = _array(archive, f"x_{split}", str(path))
            labels = _array(archive, f"y_{split}", str(path))
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as error:
        raise DataError(f"{path}: is no readable .npz file ({error}); write it again with numpy.savez") from None
    if values.ndim not in (3, 4) or labels.ndim != 1 or not values.size:
        raise DataError(
            f"{path}: x_{split} has shape {values.shape} and y_{split} {labels.shape}; images are (N, C, H, W) or "
            "(N, H, W), labels (N,), N >= 1"
        )
    if len(values) != len(labels):
        raise DataError(f"{path}: x_{split} has {len(values)} images and y_{split} {len(labels)} labels; give one each")
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{path}: y_{split} has dtype {labels.dtype}; labels are integers")
    if int(labels.max()) >= MOST_CLASSES:
        raise DataError(f"{path}: y_{split} has label {labels.max()}; class numbers are below {MOST_CLASSES}")
    classes = tuple(str(number) for number in range(max(2, int(labels.max()) + 1)))
    values = _in_range(values, f"{path}: x_{split}")
    return Pixels(
        values if values.ndim == 4 else values[:, None], checked_labels(labels, classes, f"{path}: y_{split}"), classes
    )


def _array(archive: zipfile.ZipFile, name: str, path: str) -> NDArray[Any]:
    """One array, its header compared with the member's size before anything is allocated for it."""
    place = f"{path}: {name}"
    if f"{name}.npy" not in archive.namelist():
        raise DataError(f"{place} is missing; the file holds {', '.join(archive.namelist()[:10]) or 'nothing'}")
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > LARGEST:
        raise DataError(f"{place} has {info.file_size} bytes; the limit is {LARGEST}")
    with archive.open(info) as file:
        try:
            shape, fortran, dtype = HEADERS[npy.read_magic(file)](file)
        except (ValueError, KeyError, SyntaxError, tokenize.TokenError) as error:
            raise DataError(f"{place} is no .npy array ({error}); write it with numpy.savez") from None
        if dtype.hasobject:
            raise DataError(f"{place} holds Python objects; save numbers, as uint8 or float32")
        expected = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if any(side < 0 for side in shape) or file.tell() + expected != info.file_size:
            raise DataError(f"{place} claims shape {shape} of {dtype} and has {info.file_size} bytes; write it again")
        content = io.BytesIO(file.read())
    return np.frombuffer(content.getbuffer(), dtype=dtype).reshape(shape, order="F" if fortran else "C")


def _in_range(values: NDArray[Any], place: str) -> NDArray[Any]:
    if values.dtype == np.uint8:
        return values
    if not np.issubdtype(values.dtype, np.floating):
        raise DataError(f"{place} has dtype {values.dtype}; images are uint8, or floats within [0, 1]")
    # A nan fails both comparisons, so the question is asked for what is right, not for what is wrong.
    good = (values >= 0) & (values <= 1)
    if not good.all():
        first = np.unravel_index(int((~good).argmax()), values.shape)
        raise DataError(
            f"{place}[{', '.join(str(index) for index in first)}] is {values[first]}; floats lie within [0, 1]: "
            "divide them by their largest level"
        )
    return values.astype(np.float32)
