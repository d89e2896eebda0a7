"""Images as arrays: the result of every reader, and the decoding of one image file."""

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from dimple.errors import DataError
from dimple.settings import format_value

MAX_SIDE_PIXELS = 4096
MAX_FILE_BYTES = 64 * 2**20
IMAGE_FORMATS = ("JPEG", "PNG")
SUPPORTED_MODES = {"L": "8-bit gray", "RGB": "8-bit RGB"}
MAX_CLASSES = 10_000
# Of a progressive JPEG image, which usually has ten; each may take as long as a whole image.
MAX_SCANS = 100
# The last bytes of a complete PNG image.
PNG_END = b"IEND\xaeB`\x82"
# The names of the splits in files and folders, in the order in which they are looked for.
SPLIT_NAMES = {"train": ("train", "training"), "test": ("test", "testing", "val", "valid", "validation")}
# The longest side of an image that may also be its channels, in doubt.
MAX_UNCLEAR_SIDE = 4
# The label -1 as an unsigned byte.
NO_CLASS = 255
# The brightest value of a set of images, of 1, up to which they are taken for images of other levels, and refused; and
# up to which there is a warning.
MAX_BLACK = 1 / 255
MAX_DARK = 0.25


class RawImages(NamedTuple):
    """Labeled samples as stored in their file.

    Attributes:
        values: images `(N, C, H, W)`, uint8, or float32 if the file holds floats; or vectors `(N, d)`, float64.
        labels: `(N,)`, int64 class numbers.
        classes: the names of the classes, indexed by class number.
        is_split: whether the file tells training from test samples; else both splits are all of its samples.
        columns: the names of the coordinates of vectors, where they have some.
    """

    values: NDArray[Any]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    is_split: bool = True
    columns: tuple[str, ...] = ()


def read_image_file(path: Path) -> bytes:
    """Return the content of an image file.

    Raises:
        DataError: if it is not a regular file, or too large for an image.
    """
    if not path.is_file():
        raise DataError(f"{path}: is not a regular file; name a JPEG or PNG file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise DataError(f"{path}: has {path.stat().st_size} bytes; images have at most {MAX_FILE_BYTES}")
    return path.read_bytes()


def decode_image(content: bytes, location: str, *, convert: bool = False) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG image to `(C, H, W)` uint8, upright as its EXIF data say, in gray or RGB.

    Palettes, CMYK, transparency and 16-bit images are refused, since each can be converted in more than one way.

    Args:
        content: the bytes of the file.
        location: the name of the file in errors.
        convert: convert an image of any kind to gray.

    Raises:
        DataError: if the image has another format, is damaged, or has a side longer than 4096 pixels.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content), formats=IMAGE_FORMATS) as image:
            if max(image.size) > MAX_SIDE_PIXELS:
                raise DataError(
                    f"{location}: is {image.width} x {image.height} pixels; "
                    f"images have at most {MAX_SIDE_PIXELS} per side"
                )
            if content.count(b"\xff\xda") > MAX_SCANS and image.format == "JPEG":
                raise DataError(f"{location}: has more than {MAX_SCANS} scans; save it as a JPEG image of one")
            if image.format == "PNG" and PNG_END not in content:
                raise ValueError("it is cut short")
            if convert:
                return np.asarray(_turn_upright(image.convert("L")))[None]
            if image.mode not in SUPPORTED_MODES:
                raise DataError(
                    f"{location}: its mode is {image.mode}; save it as {' or '.join(SUPPORTED_MODES.values())}"
                )
            values = np.asarray(_turn_upright(image))
    except Image.DecompressionBombError:
        raise DataError(f"{location}: has too many pixels; images have at most {MAX_SIDE_PIXELS} per side") from None
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error, zlib.error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{location}: is not a readable JPEG or PNG image ({_format_cause(error)}); replace it"
        ) from None
    return values[None] if values.ndim == 2 else np.ascontiguousarray(values.transpose(2, 0, 1))


def _turn_upright(image: Image.Image) -> Image.Image:
    """Return an image as its EXIF data ask for it to be shown; damaged data ask for nothing."""
    image.load()
    with contextlib.suppress(Exception):
        return ImageOps.exif_transpose(image)
    return image


def is_turned(content: bytes) -> bool:
    """Return whether the EXIF data of a readable image ask for it to be shown turned or mirrored."""
    # Damaged data ask for nothing.
    with (
        contextlib.suppress(Exception),
        warnings.catch_warnings(action="ignore"),
        Image.open(io.BytesIO(content), formats=IMAGE_FORMATS) as image,
    ):
        return bool(image.getexif().get(ExifTags.Base.Orientation, 1) != 1)
    return False


def stack_images(images: Iterable[tuple[str, NDArray[np.uint8]]], location: str) -> NDArray[np.uint8]:
    """Stack images of one shape, given as pairs of name and pixels, to one array `(N, C, H, W)`.

    Raises:
        DataError: if there are none, or if the shape of an image differs from that of the first.
    """
    rows: list[NDArray[np.uint8]] = []
    for name, values in images:
        if rows and values.shape != rows[0].shape:
            raise DataError(
                f"{location}: {format_value(name)} is {_format_shape(values.shape)}, the images before it "
                f"{_format_shape(rows[0].shape)}; save all images in one size, all in gray or all in RGB"
            )
        rows.append(values)
    if not rows:
        raise DataError(f"{location}: holds no images")
    return np.stack(rows)


def to_channels_first(values: NDArray[Any], location: str) -> NDArray[Any]:
    """Return images `(N, C, H, W)` of images in this form, in gray `(N, H, W)`, or with channels last `(N, H, W, C)`.

    Channels are last where only the last axis can be that of the channels: it has length 1 or 3, or the other two are
    equal. This gives a warning.

    Raises:
        DataError: if these axes may be those of an image with channels first too, since its sides would be that short.

    Example:
        >>> to_channels_first(np.zeros((5, 28, 28)), "x.npz").shape
        (5, 1, 28, 28)
    """
    if values.ndim == 3:
        return values[:, None]
    _, first, second, last = values.shape
    can_be_first = first in (1, 3) or second == last
    can_be_last = last in (1, 3) or first == second
    if can_be_first or not can_be_last:
        return values
    if last in (1, 3) and min(first, second) <= MAX_UNCLEAR_SIDE:
        raise DataError(
            f"{location}: images of shape {values.shape[1:]} may have their channels first or last; save an array "
            "layout, 'NCHW' or 'NHWC', with them"
        )
    warnings.warn(
        f"{location}: images of shape {values.shape[1:]} are read with channels last, as "
        f"{_format_shape((first, second))} pixels with {last} channel{'s' if last > 1 else ''}",
        stacklevel=1,
    )
    return np.moveaxis(values, 3, 1)


def check_brightness(values: NDArray[Any], max_level: int, location: str) -> None:
    """Refuse images that are all but black, and warn of dark ones, since their levels may have another maximum.

    Args:
        values: the pixels.
        max_level: the value that corresponds to 1.
        location: the name of the images in the message.

    Raises:
        DataError: if no value exceeds 1 / 255, except in images of zeros.
    """
    largest = values.max()
    if largest == 0 or largest > MAX_DARK * max_level:
        return
    found = f"{location}: the largest value of all images is {largest:.4g}, where {max_level} is white"
    if largest > MAX_BLACK * max_level:
        warnings.warn(f"{found}; if {largest:.4g} is white, save x / {largest:.4g} as float32", stacklevel=1)
    elif max_level == 1:
        raise DataError(f"{found}; they seem to be divided by 255 twice: multiply them by 255")
    else:
        raise DataError(f"{found}; save images of 0 and 1 as float32, or multiply them by 255")


def name_classes(labels: Mapping[str, NDArray[Any]], location: str, names: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the names of the classes of a data set by their numbers, after a check of the labels of all its splits.

    Args:
        labels: labels `(N,)` by name.
        location: the name of the file in errors.
        names: of all classes; without them class k has the name `k`, and the largest label is the last class.

    Raises:
        DataError: if the labels are not integers, or one is no class number, or if they are 1, ..., K without names.

    Example:
        >>> name_classes({"y_train": np.array([0, 1, 3]), "y_test": np.array([2, 0])}, "x.npz")
        ('0', '1', '2', '3')
    """
    for name, values in labels.items():
        if not np.issubdtype(values.dtype, np.integer):
            is_text = values.dtype.kind in "US"
            advice = f"np.unique({name}, return_inverse=True)[1]" if is_text else f"{name}.astype(np.int64)"
            raise DataError(f"{location}: {name} has dtype {values.dtype}; labels are integers: save {advice}")
    used = np.unique(np.concatenate([values.astype(np.int64) for values in labels.values()]))
    if used.tolist() == [-1, 1]:
        raise DataError(f"{location}: labels are -1 and 1; class numbers count from 0: save (y + 1) // 2")
    if len(used) > 1 and used[-1] == NO_CLASS and used[-2] < NO_CLASS - 1 and not names:
        raise DataError(f"{location}: labels are up to {used[-2]}, and {NO_CLASS}, which means no class; leave it out")
    limit = len(names) or MAX_CLASSES
    for name, values in labels.items():
        invalid = np.flatnonzero((values < 0) | (values >= limit))
        if len(invalid):
            raise DataError(
                f"{location}: {name}[{invalid[0]}] is {values[invalid[0]]}; labels are class numbers from 0 to "
                f"{limit - 1}: leave other images out, or save all labels as class numbers"
            )
    if names:
        return names
    if len(used) > 1 and used[0] == 1 and used[-1] == len(used):
        raise DataError(f"{location}: labels count from 1 to {used[-1]}, class numbers from 0: save y - 1")
    return tuple(map(str, range(max(2, int(used[-1]) + 1))))


def _format_shape(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape)


def _format_cause(error: Exception) -> str:
    """Return the message of the error, without the address of a buffer that Pillow adds."""
    return "unknown format" if "cannot identify" in str(error) else str(error)
