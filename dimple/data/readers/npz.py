"""Reader of NumPy archives with samples and labels: x_train, y_train, x_test and y_test, or x and y."""

import io
import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dimple.data.readers.pixels import MAX_CLASSES, SPLIT_NAMES, RawImages, name_classes, to_channels_first
from dimple.errors import DataError
from dimple.limits import require_memory
from dimple.settings import format_value
from dimple.zip_files import open_zip

# Of the header of an array, and of the name of a class.
MAX_HEADER_BYTES = 10_000
MAX_NAME_BYTES = 1000
# Of one axis.
MAX_SIDE = 2**31
SUPPORTED_KINDS = "buifcSU"
# An optional array with the names of all classes.
CLASSES = "classes"
# An optional array that says which axis is that of the channels.
LAYOUT = "layout"
LAYOUTS = ("NCHW", "NHWC")
# How far beyond 0 and 1 the rounding of a computation reaches.
ROUNDING = 1e-3
HEADER_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


# The names of the arrays of a split, and of those of a file without splits, in the order in which they are looked for.
SPLIT_ARRAYS = (("x_{}", "y_{}"), ("X_{}", "y_{}"), ("X_{}", "Y_{}"), ("{}_images", "{}_labels"), ("{}_x", "{}_y"))
ARRAYS = (("x", "y"), ("X", "y"), ("X", "Y"), ("images", "labels"), ("data", "labels"), ("arr_0", "arr_1"))


def read_npz(path: Path, split: str, limits: tuple[float, float] | None = (0.0, 1.0)) -> RawImages:
    """Read one split of an .npz file: samples and labels.

    The arrays are `x_train`, `y_train`, `x_test` and `y_test`, or their usual other names (`X_train`, `train_images`;
    `val` for `test`), or `x` and `y` without splits, which are then both splits. Images are `(N, C, H, W)`,
    `(N, H, W, C)` or, in gray, `(N, H, W)`: uint8, bool, or floats; `(N, d)` are vectors of any numbers. The labels
    `(N,)` or `(N, 1)` are class numbers. The optional array `classes` has the names of all classes; without it class k
    has the name `k`, and the largest label of both splits is the last class. The optional array `layout`, `NCHW` or
    `NHWC`, says which axis has the channels, where the shape leaves it in doubt.

    Args:
        path: the file.
        split: `train` or `test`.
        limits: the range of floats in images; None for any.

    Raises:
        DataError: if an array is missing, holds objects, differs from its header in size, or has values out of range.
    """
    if path.is_dir():
        raise DataError(f"{path}: is a folder, not an .npz file; name the file, or read images as folder:PATH")
    with path.open("rb") as file:
        if file.read(6) == npy.MAGIC_PREFIX:
            raise DataError(f"{path}: is one array; save x_{split} and y_{split} together with numpy.savez")
    try:
        with path.open("rb") as file, open_zip(file) as archive:
            names = _find_arrays(archive, split)
            header = _read_header(archive, names.x, str(path))
            _check_samples(header, str(path), names.x)
            labels = {name: _read_labels(archive, name, str(path)) for name in dict.fromkeys((names.y, *names.others))}
            _check_counts(header.shape, labels[names.y], str(path), names)
            has_classes = f"{CLASSES}.npy" in archive.namelist()
            classes = _read_classes(archive, str(path)) if has_classes else ()
            layout = _read_layout(archive, str(path)) if f"{LAYOUT}.npy" in archive.namelist() else None
            values = _read_values(archive, header)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: is not a readable .npz file ({error}); write it again with numpy.savez") from None
    class_names = name_classes({name: array for name, array in labels.items() if len(array)}, str(path), classes)
    y = labels[names.y].astype(np.int64)
    location = f"{path}: {names.x}"
    if values.ndim == 2:
        vectors = values.astype(np.float64)
        check_range(vectors, None, location)
        return RawImages(vectors, y, class_names, names.is_split)
    levels = _to_levels(values, limits, location)
    if layout is None or levels.ndim == 3:
        levels = to_channels_first(levels, location)
    elif layout == "NHWC":
        levels = np.moveaxis(levels, 3, 1)
    return RawImages(levels, y, class_names, names.is_split)


class _Names(NamedTuple):
    """The names of the samples and labels of a split, and of the labels of the other one.

    Attributes:
        is_split: whether the file tells the splits apart.
    """

    x: str
    y: str
    others: tuple[str, ...] = ()
    is_split: bool = True


def _find_arrays(archive: zipfile.ZipFile, split: str) -> _Names:
    known = {name.removesuffix(".npy") for name in archive.namelist()}
    pairs = {name: [pair for word in words for pair in _pairs(word)] for name, words in SPLIT_NAMES.items()}
    # The labels of the other split count classes, also where its samples are not in the file.
    others = [y for name in pairs if name != split for _, y in pairs[name] if y in known][:1]
    for x, y in pairs[split]:
        if x in known and y in known:
            return _Names(x, y, tuple(others))
    if not others:
        for x, y in ARRAYS:
            if x in known and y in known:
                return _Names(x, y, is_split=False)
    # The name that the error gives for what is missing.
    return _Names(f"x_{split}", f"y_{split}", tuple(others))


def _pairs(word: str) -> list[tuple[str, str]]:
    return [(x.format(word), y.format(word)) for x, y in SPLIT_ARRAYS]


class _Header(NamedTuple):
    """The header of an array in an archive, whose size agrees with that of the file.

    Attributes:
        location: the archive and the array in errors.
        member: the file in the archive.
        offset: the number of bytes before the values.
        shape, is_fortran, dtype: those of the array.
    """

    location: str
    member: zipfile.ZipInfo
    offset: int
    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]


def _read_header(archive: zipfile.ZipFile, name: str, path: str) -> _Header:
    """Read the header of an array, and compare it with the size of the archive member."""
    location = f"{path}: {name}"
    if f"{name}.npy" not in archive.namelist():
        raise DataError(f"{location} is missing; the file holds {_list_names(archive) or 'nothing'}")
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as file:
        # The mark of the format, its version, the length of the header, and the header.
        start = file.read(MAX_HEADER_BYTES + 12)
    try:
        stream = io.BytesIO(start)
        version = npy.read_magic(stream)
        length = int.from_bytes(start[8 : 10 if version == (1, 0) else 12], "little")
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"its header claims {length} bytes")
        shape, is_fortran, dtype = HEADER_READERS[version](stream)
    except (ValueError, KeyError, SyntaxError, TypeError, RecursionError, MemoryError, tokenize.TokenError) as error:
        cause = f"{error}".partition("\n")[0][:200]
        raise DataError(f"{location} is not an .npy array ({cause}); write it with numpy.savez") from None
    if dtype.hasobject:
        raise DataError(f"{location} holds Python objects; save numbers, or names as numpy strings")
    if dtype.kind not in SUPPORTED_KINDS or not dtype.itemsize:
        raise DataError(f"{location} has dtype {format_value(str(dtype))}; save numbers, or names as numpy strings")
    expected = math.prod(shape) * dtype.itemsize
    is_shape = all(type(side) is int and 0 <= side < MAX_SIDE for side in shape)
    if not is_shape or stream.tell() + expected != info.file_size:
        raise DataError(
            f"{location} has a header for shape {format_value(shape)} of {dtype} but {info.file_size} bytes; "
            "write it again"
        )
    return _Header(location, info, stream.tell(), shape, is_fortran, dtype)


def _list_names(archive: zipfile.ZipFile) -> str:
    return ", ".join(format_value(name)[1:-1] for name in archive.namelist()[:10])


def _check_samples(header: _Header, path: str, name: str) -> None:
    """Refuse what are no images and no vectors, before their values are read."""
    shape = header.shape
    if len(shape) not in (2, 3, 4) or 0 in shape:
        raise DataError(
            f"{path}: {name} has shape {shape}; images are (N, C, H, W), (N, H, W, C) or (N, H, W), and vectors (N, "
            "d), N >= 1"
        )
    if header.dtype.kind not in "buif":
        raise DataError(f"{header.location} has dtype {header.dtype}; images are uint8, or floats in [0, 1]")
    # Floats are compared with both bounds, and converted.
    size = math.prod(shape) * (header.dtype.itemsize if header.dtype == np.uint8 else header.dtype.itemsize + 7)
    require_memory(size, f"{header.location} has shape {shape} of {header.dtype}", DataError)


def _check_counts(shape: tuple[int, ...], labels: NDArray[Any], path: str, names: _Names) -> None:
    if shape[0] != len(labels):
        hint = ": move the last axis to the front" if shape[-1] == len(labels) else ""
        raise DataError(
            f"{path}: {names.x} has {shape[0]} images and {names.y} {len(labels)} labels; give one each{hint}"
        )


def _read_labels(archive: zipfile.ZipFile, name: str, path: str) -> NDArray[Any]:
    header = _read_header(archive, name, path)
    if len(header.shape) == 2 and header.shape[1] == 1:
        return _read_values(archive, header)[:, 0]
    if len(header.shape) != 1:
        hint = f": save {name}.argmax(1)" if len(header.shape) == 2 and header.shape[0] > 1 else ""
        raise DataError(f"{path}: {name} has shape {header.shape}; labels are (N,){hint}")
    return _read_values(archive, header)


def _read_classes(archive: zipfile.ZipFile, path: str) -> tuple[str, ...]:
    header = _read_header(archive, CLASSES, path)
    shape = header.shape
    dtype = header.dtype
    if len(shape) != 1 or not 2 <= shape[0] <= MAX_CLASSES or dtype.kind not in "SUiu":
        raise DataError(f"{path}: {CLASSES} has shape {shape} and dtype {dtype}; it is a list of names, one a class")
    if dtype.itemsize > MAX_NAME_BYTES:
        raise DataError(f"{path}: {CLASSES} has dtype {dtype}; names have at most {MAX_NAME_BYTES} bytes")
    try:
        return tuple(map(str, _read_values(archive, header).astype(str)))
    except (UnicodeError, ValueError):
        raise DataError(f"{path}: {CLASSES} has names that are no text; save them as numpy strings") from None


def _read_layout(archive: zipfile.ZipFile, path: str) -> str:
    header = _read_header(archive, LAYOUT, path)
    is_word = math.prod(header.shape) == 1 and header.dtype.kind == "U" and header.dtype.itemsize <= MAX_NAME_BYTES
    text = str(_read_values(archive, header).reshape(-1)[0]) if is_word else ""
    if text not in LAYOUTS:
        raise DataError(f"{path}: {LAYOUT} is not 'NCHW' or 'NHWC'; save one of these words, or leave it out")
    return text


def _read_values(archive: zipfile.ZipFile, header: _Header) -> NDArray[Any]:
    """Read the values of an array."""
    size = header.member.file_size - header.offset
    require_memory(size, f"{header.location} has {size} bytes", DataError)
    values = np.empty(size, dtype=np.uint8)
    end = 0
    with archive.open(header.member) as file:
        file.read(header.offset)
        while part := file.read(2**20):
            values[end : end + len(part)] = np.frombuffer(part, dtype=np.uint8)
            end += len(part)
    if end != size:
        raise DataError(f"{header.location} is cut short; write it again")
    return values.view(header.dtype).reshape(header.shape, order="F" if header.is_fortran else "C")


def _to_levels(values: NDArray[Any], limits: tuple[float, float] | None, location: str) -> NDArray[Any]:
    """Return uint8 images as they are, and bool or floating-point images as float32 within the limits."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind in "iu" and limits == (0.0, 1.0):
        advice = _advise_on_integers(int(values.min()), int(values.max()))
        raise DataError(f"{location} has dtype {values.dtype}; images are uint8, or floats in [0, 1]: {advice}")
    if values.dtype != np.bool_:
        check_range(values, limits, location)
    return values.astype(np.float32)


def check_range(values: NDArray[Any], limits: tuple[float, float] | None, location: str) -> None:
    """Refuse numbers that are not finite, or outside of the limits where there are some.

    Raises:
        DataError: naming the first of them.
    """
    is_finite = bool(np.isfinite(values).all())
    low, high = (-np.inf, np.inf) if limits is None else limits
    invalid = (values < low) | (values > high) if is_finite else ~np.isfinite(values)
    if not invalid.any():
        return
    first = np.unravel_index(int(invalid.argmax()), values.shape)
    place = f"{location}[{', '.join(str(index) for index in first)}] is {values[first]}"
    if not is_finite:
        raise DataError(f"{place}; repair such samples, or leave them out")
    smallest = float(values.min())
    largest = float(values.max())
    if limits == (0.0, 1.0):
        raise DataError(
            f"{place}; values must lie in [0, 1]: {_advise_on_floats(smallest, largest)}; or give their range, as "
            f"--bounds {smallest:.4g},{largest:.4g}, or --bounds none"
        )
    raise DataError(
        f"{place}; values must lie in the bounds {low:g} to {high:g}, and they are from {smallest:.4g} to {largest:.4g}"
    )


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
    return f"{found}, so they are normalized; save x * std + mean, and give the normalization by --mean and --std"
