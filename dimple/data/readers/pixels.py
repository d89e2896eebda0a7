"""Pictures as arrays of bytes: what every reader of image files hands over, and the decoding of one file."""

import io
import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dimple.errors import DataError
from dimple.settings import shown

LONGEST_SIDE = 4096
FORMATS = ("JPEG", "PNG")
BITS = {"L": "8-bit grey", "RGB": "8-bit RGB"}


class Pixels(NamedTuple):
    """Labelled images as they lie in their file.

    Attributes:
        values: `(N, C, H, W)`, uint8 grey levels, or float32 where the file holds numbers.
        labels: `(N,)`, int64 class numbers.
        classes: the classes' names, by number.
    """

    values: NDArray[Any]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


def decoded(content: bytes, place: str) -> NDArray[np.uint8]:
    """The picture in a JPEG or PNG file, `(C, H, W)` uint8, with one channel for grey and three for RGB.

    Nothing is converted: palettes, CMYK, transparency and 16 bits are refused, since each has more than one reading.

    Args:
        content: the bytes of the file.
        place: what errors call it.

    Raises:
        DataError: if it is no such picture, is damaged, or has a side longer than 4096 pixels.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if max(image.size) > LONGEST_SIDE:
                raise DataError(f"{place}: is {_size(image)} pixels; images have at most {LONGEST_SIDE} a side")
            if image.mode not in BITS:
                raise DataError(
                    f"{place}: its pixels are of kind {image.mode}; save it as {' or '.join(BITS.values())}"
                )
            values = np.asarray(image)
    except Image.DecompressionBombError:
        raise DataError(f"{place}: has too many pixels; images have at most {LONGEST_SIDE} a side") from None
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{place}: is no readable JPEG or PNG image ({_cause(error)}); replace it") from None
    return values[None] if values.ndim == 2 else np.ascontiguousarray(values.transpose(2, 0, 1))


def stacked(pictures: Iterable[tuple[str, NDArray[np.uint8]]], place: str) -> NDArray[np.uint8]:
    """Named pictures of one shape as one array `(N, C, H, W)`.

    Raises:
        DataError: if there is none, or at the first whose shape differs from that of the one before it.
    """
    rows: list[NDArray[np.uint8]] = []
    for name, values in pictures:
        if rows and values.shape != rows[0].shape:
            raise DataError(
                f"{place}: {shown(name)} is {_times(values.shape)}, the images before it {_times(rows[0].shape)}; "
                "all images must have one size and one kind"
            )
        rows.append(values)
    if not rows:
        raise DataError(f"{place}: holds no images")
    return np.stack(rows)


def checked_labels(labels: NDArray[Any], classes: tuple[str, ...], place: str) -> NDArray[np.int64]:
    """`labels` as int64, each of them the number of a class.

    Raises:
        DataError: naming the first that is not, and its position.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if len(wrong):
        raise DataError(
            f"{place}: label {wrong[0]} is {labels[wrong[0]]}; labels are class numbers from 0 to {len(classes) - 1}"
        )
    return labels.astype(np.int64)


def _size(image: Image.Image) -> str:
    return f"{image.width} x {image.height}"


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape)


def _cause(error: Exception) -> str:
    """The error's own words, without the address of the buffer that Pillow puts there."""
    return "unknown format" if "cannot identify" in str(error) else str(error)
