"""Images as arrays: the result of every reader, and the decoding of one image file."""

import io
import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dimple.errors import DataError
from dimple.settings import format_value

MAX_SIDE_PIXELS = 4096
IMAGE_FORMATS = ("JPEG", "PNG")
SUPPORTED_MODES = {"L": "8-bit gray", "RGB": "8-bit RGB"}


class RawImages(NamedTuple):
    """Labeled images as stored in their file.

    Attributes:
        values: `(N, C, H, W)`, uint8, or float32 if the file holds floats.
        labels: `(N,)`, int64 class numbers.
        classes: the names of the classes, indexed by class number.
    """

    values: NDArray[Any]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


def decode_image(content: bytes, location: str) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG image to `(C, H, W)` uint8, with one channel for gray and three for RGB.

    Palettes, CMYK, transparency and 16-bit images are refused, since each can be converted in more than one way.

    Args:
        content: the bytes of the file.
        location: the name of the file in errors.

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
            if image.mode not in SUPPORTED_MODES:
                raise DataError(
                    f"{location}: its mode is {image.mode}; save it as {' or '.join(SUPPORTED_MODES.values())}"
                )
            values = np.asarray(image)
    except Image.DecompressionBombError:
        raise DataError(f"{location}: has too many pixels; images have at most {MAX_SIDE_PIXELS} per side") from None
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{location}: is not a readable JPEG or PNG image ({_format_cause(error)}); replace it"
        ) from None
    return values[None] if values.ndim == 2 else np.ascontiguousarray(values.transpose(2, 0, 1))


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
                f"{_format_shape(rows[0].shape)}; all images must have one size and one number of channels"
            )
        rows.append(values)
    if not rows:
        raise DataError(f"{location}: holds no images")
    return np.stack(rows)


def check_labels(labels: NDArray[Any], classes: tuple[str, ...], location: str) -> NDArray[np.int64]:
    """Return `labels` as int64 after a check that each is a class number.

    Raises:
        DataError: if one is not; the error gives the first such label and its index.
    """
    invalid = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if len(invalid):
        raise DataError(
            f"{location}: label {invalid[0]} is {labels[invalid[0]]}; "
            f"labels are class numbers from 0 to {len(classes) - 1}"
        )
    return labels.astype(np.int64)


def _format_shape(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape)


def _format_cause(error: Exception) -> str:
    """Return the message of the error, without the address of a buffer that Pillow adds."""
    return "unknown format" if "cannot identify" in str(error) else str(error)
