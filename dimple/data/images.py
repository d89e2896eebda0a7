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
from dimple.data.readers.mnist import read_fashion_mnist, read_mnist
from dimple.data.readers.npz import read_npz
from dimple.data.readers.pixels import RawImages, check_brightness
from dimple.errors import DataError, UsageError, printable
from dimple.locations import dataset_path
from dimple.settings import format_value
from dimple.tensors import Box

Split = Literal["train", "test"]
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
        bounds: the bounds of the floats, [0, 1].
    """

    pixels: Tensor
    y: Tensor
    classes: tuple[str, ...]
    source: str
    max_level: int = 255
    bounds: Box = UNIT_BOX

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


def load_images(spec: str, split: Split) -> Images:
    """Load one split of a data set of images.

    Args:
        spec: one of

            - `digits`: the 1,797 digits of 8 x 8 pixels that are part of scikit-learn; every fifth image of each class
              belongs to the test split;
            - `mnist:DIR` or `fashion_mnist:DIR`: a folder with the IDX files;
            - `cifar10:PATH`: an image folder, the .bin records, a tar archive of either, or a folder with such an
              archive;
            - `folder:PATH`: other images, as train/CLASS/IMAGE.png and test/CLASS/IMAGE.png, or an archive of them,
              turned as their EXIF data ask; ImageFolder of torchvision trains on them as stored;
            - `npz:FILE`: the arrays x_train, y_train, x_test, y_test, and optionally `classes`, the names of all
              classes, and `layout`, NCHW or NHWC.
        split: `train` or `test`.

    Raises:
        UsageError: if the specification or the split is unknown.
        DataError: if the files are missing, damaged or in another format.

    Example:
        >>> images = load_images("digits", "train")
        >>> len(images), images.shape, images.classes[:3]
        (1442, (1, 8, 8), ('0', '1', '2'))
    """
    if split not in ("train", "test"):
        raise UsageError(f"split is {format_value(split)}; choose train or test")
    kind, path = dataset_path(spec)
    if path is None:
        return _make_images(_load_digits(split), f"{spec} {split}", max_level=16)
    try:
        images = READERS[kind](path, split)
    except OSError as error:
        raise DataError(f"{error.filename or path}: cannot be read ({error.strerror or error})") from None
    max_level = 255 if images.values.dtype == np.uint8 else 1
    check_brightness(images.values, max_level, f"{spec} {split}")
    return _make_images(images, f"{spec} {split}", max_level)


def _make_images(images: RawImages, source: str, max_level: int) -> Images:
    pixels = torch.from_numpy(np.require(images.values, requirements=["C", "W"]))
    return Images(pixels, torch.from_numpy(images.labels), tuple(map(printable, images.classes)), source, max_level)


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
    "npz": read_npz,
}
