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

from dimple.data.readers.pixels import RawImages, name_classes, to_channels_first
from dimple.errors import DataError

MAX_BYTES = 2**34
SPLITS = ("train", "test")
# An optional array with the names of all classes.
CLASSES = "classes"
# An optional array that says which axis is that of the channels.
LAYOUT = "layout"
LAYOUTS = ("NCHW", "NHWC")
# How far beyond 0 and 1 the rounding of a computation reaches.
ROUNDING = 1e-3
HEADER_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npz(path: Path, split: str) -> RawImages:
    """Read one split of an .npz file: images and labels.

    The images are `(N, C, H, W)`, `(N, H, W, C)` or, in gray, `(N, H, W)`: uint8, bool, or floats in [0, 1]. The labels
    `(N,)` or `(N, 1)` are class numbers. The optional array `classes` has the names of all classes; without it class k
    has the name `k`, and the largest label of both splits is the last class. The optional array `layout`, `NCHW` or
    `NHWC`, says which axis has the channels, where the shape leaves it in doubt.

    Raises:
        DataError: if an array is missing, holds objects, differs from its header in size, or has values out of range.
    """
    if path.is_dir():
        raise DataError(f"{path}: is a folder, not an .npz file; name the file, or read images as folder:PATH")
    with path.open("rb") as file:
        if file.read(6) == npy.MAGIC_PREFIX:
            raise DataError(f"{path}: is one array; save x_{split} and y_{split} together with numpy.savez")
    try:
        with zipfile.ZipFile(path) as archive:
            values = _read_array(archive, f"x_{split}", str(path))
            names = [f"y_{name}" for name in SPLITS if name == split or f"y_{name}.npy" in archive.namelist()]
            labels = {name: _read_labels(archive, name, str(path)) for name in names}
            has_classes = f"{CLASSES}.npy" in archive.namelist()
            classes = _read_classes(archive, str(path)) if has_classes else ()
            layout = _read_layout(archive, str(path)) if f"{LAYOUT}.npy" in archive.namelist() else None
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as error:
        raise DataError(f"{path}: is not a readable .npz file ({error}); write it again with numpy.savez") from None
    y = labels[f"y_{split}"]
    if values.ndim not in (3, 4) or not values.size:
        hint = f": save x_{split}.reshape(N, C, H, W)" if values.ndim == 2 else ""
        raise DataError(
            f"{path}: x_{split} has shape {values.shape}; images are (N, C, H, W), (N, H, W, C) or (N, H, W), N >= 1"
            f"{hint}"
        )
    if len(values) != len(y):
        hint = ": move the last axis to the front" if values.shape[-1] == len(y) else ""
        raise DataError(
            f"{path}: x_{split} has {len(values)} images and y_{split} {len(y)} labels; give one each{hint}"
        )
    class_names = name_classes({name: array for name, array in labels.items() if len(array)}, str(path), classes)
    location = f"{path}: x_{split}"
    levels = _to_levels(values, location)
    if layout is None or levels.ndim == 3:
        levels = to_channels_first(levels, location)
    elif layout == "NHWC":
        levels = np.moveaxis(levels, 3, 1)
    return RawImages(levels, y.astype(np.int64), class_names)


def _read_labels(archive: zipfile.ZipFile, name: str, path: str) -> NDArray[Any]:
    labels = _read_array(archive, name, path)
    if labels.ndim == 2 and labels.shape[1] == 1:
        return labels[:, 0]
    if labels.ndim != 1:
        hint = f": save {name}.argmax(1)" if labels.ndim == 2 and len(labels) > 1 else ""
        raise DataError(f"{path}: {name} has shape {labels.shape}; labels are (N,){hint}")
    return labels


def _read_classes(archive: zipfile.ZipFile, path: str) -> tuple[str, ...]:
    names = _read_array(archive, CLASSES, path)
    if names.ndim != 1 or len(names) < 2 or names.dtype.kind not in "SUiu":
        raise DataError(
            f"{path}: {CLASSES} has shape {names.shape} and dtype {names.dtype}; it is a list of names, one a class"
        )
    return tuple(map(str, names.astype(str)))


def _read_layout(archive: zipfile.ZipFile, path: str) -> str:
    layout = _read_array(archive, LAYOUT, path)
    text = str(layout.reshape(-1)[0]) if layout.size == 1 and layout.dtype.kind == "U" else ""
    if text not in LAYOUTS:
        raise DataError(f"{path}: {LAYOUT} is not 'NCHW' or 'NHWC'; save one of these words, or leave it out")
    return text


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
            raise DataError(f"{location} holds Python objects; save numbers, or names as numpy strings")
        expected = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if any(side < 0 for side in shape) or file.tell() + expected != info.file_size:
            raise DataError(
                f"{location} has a header for shape {shape} of {dtype} but {info.file_size} bytes; write it again"
            )
        content = io.BytesIO(file.read())
    return np.frombuffer(content.getbuffer(), dtype=dtype).reshape(shape, order="F" if fortran else "C")


def _to_levels(values: NDArray[Any], location: str) -> NDArray[Any]:
    """Return uint8 images as they are, and bool or floating-point images as float32 in [0, 1]."""
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return values.astype(np.float32)
    if values.dtype.kind not in "iuf":
        raise DataError(f"{location} has dtype {values.dtype}; images are uint8, or floats in [0, 1]")
    if values.dtype.kind != "f":
        advice = _advise_on_integers(int(values.min()), int(values.max()))
        raise DataError(f"{location} has dtype {values.dtype}; images are uint8, or floats in [0, 1]: {advice}")
    is_finite = bool(np.isfinite(values).all())
    invalid = (values < 0) | (values > 1) if is_finite else ~np.isfinite(values)
    if invalid.any():
        first = np.unravel_index(int(invalid.argmax()), values.shape)
        advice = (
            _advise_on_floats(float(values.min()), float(values.max()))
            if is_finite
            else "repair such images, or leave them out"
        )
        raise DataError(
            f"{location}[{', '.join(str(index) for index in first)}] is {values[first]}; values must lie in [0, 1]: "
            f"{advice}"
        )
    return values.astype(np.float32)


def _advise_on_integers(low: int, high: int) -> str:
    if low < 0:
        return f"they lie in [{low}, {high}]; add what makes the smallest level 0"
    if high <= 1:
        return "save images of 0 and 1 as float32"
    return "save them as uint8" if high <= 255 else "divide them by the largest level that the format allows"


def _advise_on_floats(low: float, high: float) -> str:
    found = f"they lie in [{low:.4g}, {high:.4g}]"
    if low > -ROUNDING and high < 1 + ROUNDING:
        return f"{found}, by rounding; save x.clip(0, 1)"
    if low >= 0:
        return f"{found}; divide them by {'255' if 128 < high <= 255 else 'the largest level that the format allows'}"
    if low >= -1 and high <= 1:
        return f"{found}; save {'x + 0.5' if low >= -0.5 and high <= 0.5 else '(x + 1) / 2'}"
    if -128 <= low < -16 and high <= 127:
        return f"{found}; save (x + 128) / 255"
    return (
        f"{found}, so they are normalized; save x * std + mean, and put the normalization into the network with "
        "dimple.networks.NormalizedModel"
    )
