"""Labeled images of a data set, which is named by a short specification such as `mnist:DIR`."""

import dataclasses
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor

from dimple.data.readers.cifar import read_cifar10
from dimple.data.readers.folder import read_folder
from dimple.data.readers.hub import read_hub_dataset
from dimple.data.readers.mnist import read_fashion_mnist, read_mnist
from dimple.data.readers.npz import read_npz
from dimple.data.readers.pixels import RawImages, check_brightness
from dimple.data.readers.table import read_points
from dimple.errors import DataError, UsageError, printable
from dimple.locations import dataset_path
from dimple.names import HUB
from dimple.settings import format_value
from dimple.tensors import Box

Split = Literal["train", "test"]
# The range of samples: that of the data, the full space, or two numbers.
Bounds = Literal["data", "none"] | tuple[float, float]
UNIT_BOX = Box(0.0, 1.0)


@final
@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """Labeled images, stored as bytes and converted to floats in [0, 1] on access.

    Attributes:
        pixels: `(N, C, H, W)`, uint8 from 0 to `max_level`, or float32 in [0, 1] with `max_level` 1.
        y: `(N,)`, int64 class numbers.
        classes: the names of the classes, indexed by class number.
        source: the specification and the split of the images.
        max_level: the value in `pixels` that corresponds to 1.
        bounds: the bounds of the floats; None for the full space.
        is_split: whether the data tell training from test images; else both splits are all images.
    """

    pixels: Tensor
    y: Tensor
    classes: tuple[str, ...]
    source: str
    max_level: int = 255
    bounds: Box | None = UNIT_BOX
    is_split: bool = True

    def __len__(self) -> int:
        """Return the number N of images."""
        return len(self.y)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image, (C, H, W)."""
        return tuple(self.pixels.shape[1:])

    @property
    def x(self) -> Tensor:
        """All images as float32 in [0, 1], `(N, C, H, W)`, which take four times the memory of the bytes."""
        return self._to_float(self.pixels)

    def batch(self, indices: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return the images with these indices, `(B, C, H, W)` float32 in [0, 1], and their classes `(B,)`.

        Raises:
            UsageError: if `indices` is empty or an index is out of range.

        Example:
            >>> x, y = load_images("digits", "test").batch([0, 1])
            >>> x.shape, y.shape
            (torch.Size([2, 1, 8, 8]), torch.Size([2]))
        """
        chosen = torch.as_tensor(indices, dtype=torch.long)
        if chosen.numel() == 0:
            raise UsageError(f"{self.source}: the list of images is empty; give at least one index")
        if int(chosen.min()) < 0 or int(chosen.max()) >= len(self):
            invalid = chosen[(chosen < 0) | (chosen >= len(self))][0]
            raise UsageError(
                f"{self.source}: image {int(invalid)} does not exist; use indices from 0 to {len(self) - 1}"
            )
        return self._to_float(self.pixels[chosen]), self.y[chosen]

    def _to_float(self, pixels: Tensor) -> Tensor:
        return pixels.to(torch.float32) / self.max_level


def load_images(spec: str, split: Split, *, bounds: Bounds = "data", raw: RawImages | None = None) -> Images:
    """Load one split of a data set of images.

    Args:
        spec: one of

            - `digits`: the 1,797 digits of 8 x 8 pixels that are part of scikit-learn; every fifth image of each class
              belongs to the test split;
            - `mnist:DIR` or `fashion_mnist:DIR`: a folder with the IDX files; `mnist`, `fashion_mnist` and `cifar10`
              alone are looked for in `$DIMPLE_DATA` and where `dimple fetch` puts them;
            - `cifar10:PATH`: an image folder, the .bin records, a tar archive of either, or a folder with such an
              archive;
            - `folder:PATH`: other images, as train/CLASS/IMAGE.png and test/CLASS/IMAGE.png (or val), or without a
              level for the split, or an archive of them, turned as their EXIF data ask; ImageFolder of torchvision
              trains on them as stored;
            - `npz:FILE`: the arrays x_train, y_train, x_test, y_test, or x and y, and optionally `classes`, the names
              of all classes, and `layout`, NCHW or NHWC;
            - `hf:OWNER/NAME`: a data set of the hub.
        split: `train` or `test`.
        bounds: `data` for images in [0, 1]. Two numbers are the range of floats, which are taken as they are, and so
            are bytes where the upper one is above 1, as in `(0, 255)`. `none` takes floats of any range.
        raw: the images, where they have been read.

    Raises:
        UsageError: if the specification or the split is unknown.
        DataError: if the files are missing, damaged or in another format.

    Example:
        >>> images = load_images("digits", "train")
        >>> len(images), images.shape, images.classes[:3]
        (1442, (1, 8, 8), ('0', '1', '2'))
    """
    found = read_samples(spec, split, bounds) if raw is None else raw
    if found is None:
        return _make_images(_load_digits(split), f"{spec} {split}", 16, bounds)
    if found.values.ndim != 4:
        raise DataError(f"{spec}: holds vectors, and images are needed; save x_{split}.reshape(N, C, H, W)")
    is_levels = found.values.dtype == np.uint8 and not (isinstance(bounds, tuple) and bounds[1] > 1)
    max_level = 255 if is_levels else 1
    if bounds == "data":
        check_brightness(found.values, max_level, f"{spec} {split}")
    return _make_images(found, f"{spec} {split}", max_level, bounds)


def read_samples(spec: str, split: str, bounds: Bounds = "data", label: str | None = None) -> RawImages | None:
    """Read one split of a data set from its files; None for the digits, which have none.

    Raises:
        UsageError: if the specification, the split or the bounds are unusable.
        DataError: if the files are missing, damaged or in another format.
    """
    if split not in ("train", "test"):
        raise UsageError(f"split is {format_value(split)}; choose train or test")
    if isinstance(bounds, tuple) and not bounds[0] < bounds[1]:
        raise UsageError(f"bounds are {bounds[0]:g} to {bounds[1]:g}; give the lower one first")
    kind, path = dataset_path(spec)
    if label is not None and kind not in ("points", HUB):
        raise UsageError(f"label names a column of a table, and {format_value(spec)} is none; leave it out")
    if kind == HUB:
        return read_hub_dataset(spec.partition(":")[2], split, label)
    if path is None:
        return None
    try:
        if kind == "points":
            return read_points(path, split, label)
        if kind == "npz":
            limits = (0.0, 1.0) if bounds == "data" else None if bounds == "none" else bounds
            return read_npz(path, split, limits)
        return READERS[kind](path, split)
    except OSError as error:
        raise DataError(f"{error.filename or path}: cannot be read ({error.strerror or error})") from None


def _make_images(images: RawImages, source: str, max_level: int, bounds: Bounds) -> Images:
    pixels = torch.from_numpy(np.require(images.values, requirements=["C", "W"]))
    box = UNIT_BOX if bounds == "data" else None if bounds == "none" else Box(*bounds)
    if box is not None and (images.values.min() / max_level < box.low or images.values.max() / max_level > box.high):
        raise DataError(
            f"{source}: values are from {images.values.min() / max_level:g} to {images.values.max() / max_level:g}, "
            f"outside the bounds {box}; give wider ones"
        )
    names = tuple(map(printable, images.classes))
    return Images(pixels, torch.from_numpy(images.labels), names, source, max_level, box, images.is_split)


def _load_digits(split: str) -> RawImages:
    """Return a split of the digits: every fifth image of each class, in the order of the data set, is a test image."""
    # A row has 64 pixels and the class. The import of scikit-learn for its own reader takes as long as that of torch.
    package = importlib.util.find_spec("sklearn")
    assert package is not None and package.origin is not None
    table = np.loadtxt(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", np.int64, delimiter=",")
    labels = table[:, -1]
    rank = np.zeros(len(labels), dtype=np.int64)
    for number in range(10):
        rank[labels == number] = np.arange(int((labels == number).sum()))
    selected = (rank % 5 == 4) == (split == "test")
    values = table[selected, :-1].astype(np.uint8).reshape(-1, 1, 8, 8)
    return RawImages(values, labels[selected], tuple("0123456789"))


READERS: dict[str, Callable[[Path, str], RawImages]] = {
    "cifar10": read_cifar10,
    "fashion_mnist": read_fashion_mnist,
    "folder": read_folder,
    "mnist": read_mnist,
}
