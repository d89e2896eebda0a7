"""Labelled images of a known data set, named by one short specification such as `mnist:DIR`."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor

from dimple.data.readers.cifar import read_cifar10
from dimple.data.readers.folder import read_archive_folder, read_folder
from dimple.data.readers.mnist import read_mnist
from dimple.data.readers.npz import read_npz
from dimple.data.readers.pixels import Pixels
from dimple.errors import DataError, UsageError
from dimple.settings import nearest, shown
from dimple.tensors import Box

Split = Literal["train", "test"]
UNIT = Box(0.0, 1.0)


@final
@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """Images in [0, 1] with their classes, kept as bytes and turned into numbers where they are asked for.

    Attributes:
        pixels: `(N, C, H, W)`, uint8 levels from 0 to `levels`, or float32 numbers with `levels` 1.
        y: `(N,)`, int64 class numbers.
        classes: the names of the classes, by number.
        source: the specification and the split that they were read from.
        levels: the level that stands for 1.
        box: the bounds of the numbers, [0, 1].
    """

    pixels: Tensor
    y: Tensor
    classes: tuple[str, ...]
    source: str
    levels: int = 255
    box: Box = UNIT

    def __len__(self) -> int:
        """How many images there are, N."""
        return len(self.y)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image, (C, H, W)."""
        return tuple(self.pixels.shape[1:])

    @property
    def x(self) -> Tensor:
        """All images as float32 in [0, 1], `(N, C, H, W)`: four times the memory of the bytes."""
        return self._numbers(self.pixels)

    def batch(self, indices: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
        """Some images `(B, C, H, W)`, float32 in [0, 1], and their classes `(B,)`.

        Raises:
            UsageError: if there is no index, or one that no image has.

        Example:
            >>> x, y = load_images("digits", "test").batch([0, 1])
            >>> x.shape, y.shape
            (torch.Size([2, 1, 8, 8]), torch.Size([2]))
        """
        chosen = torch.as_tensor(indices, dtype=torch.long)
        if chosen.numel() == 0:
            raise UsageError(f"{self.source}: no images were asked for; give at least one index")
        if int(chosen.min()) < 0 or int(chosen.max()) >= len(self):
            wrong = chosen[(chosen < 0) | (chosen >= len(self))][0]
            raise UsageError(f"{self.source}: image {int(wrong)} does not exist; indices go from 0 to {len(self) - 1}")
        return self._numbers(self.pixels[chosen]), self.y[chosen]

    def _numbers(self, pixels: Tensor) -> Tensor:
        return pixels.to(torch.float32) / self.levels


def load_images(spec: str, split: Split) -> Images:
    """The images of one split of a data set.

    Args:
        spec: `digits`, the 1,797 digits of 8 x 8 pixels that come with scikit-learn, every fifth of each class for the
            test; `mnist:DIR`, a folder with the IDX files; `cifar10:PATH`, an image folder, the .bin records, a tar
            archive of either, or a folder that holds one; `folder:PATH`, other images as train/CLASS/IMAGE.png and
            test/CLASS/IMAGE.png, or an archive of them; `npz:FILE`, the arrays x_train, y_train, x_test, y_test.
        split: `train` or `test`.

    Raises:
        UsageError: if the specification names no data set.
        DataError: if the files are missing, damaged or of another kind.

    Example:
        >>> images = load_images("digits", "train")
        >>> len(images), images.shape, images.classes[:3]
        (1442, (1, 8, 8), ('0', '1', '2'))
    """
    kind, _, name = spec.partition(":")
    if split not in ("train", "test"):
        raise UsageError(f"split is {shown(split)}; choose train or test")
    if kind == "digits" and not name:
        return _images(_digits(split), f"{spec} {split}", levels=16)
    if kind not in READERS:
        near = nearest(kind, ["digits", *READERS])
        hint = f"did you mean {near!r}?" if near else f"choose digits, {':PATH, '.join(READERS)}:PATH"
        raise UsageError(f"data {shown(spec)} names no data set; {hint}")
    if not name:
        raise UsageError(f"data {shown(spec)} names no path; write {kind}:PATH")
    path = Path(name).expanduser()
    try:
        if not path.exists():
            raise DataError(f"{path}: no such file or folder; check the path in {spec!r}")
        if not (path.is_file() or path.is_dir()):
            raise DataError(f"{path}: is no regular file and no folder; check the path in {spec!r}")
        pixels = READERS[kind](path, split)
    except OSError as error:
        raise DataError(f"{error.filename or path}: cannot be read ({error.strerror or error})") from None
    return _images(pixels, f"{spec} {split}", levels=255 if pixels.values.dtype == np.uint8 else 1)


def _images(pixels: Pixels, source: str, levels: int) -> Images:
    values = torch.from_numpy(np.require(pixels.values, requirements=["C", "W"]))
    return Images(values, torch.from_numpy(pixels.labels), pixels.classes, source, levels)


def _digits(split: str) -> Pixels:
    """Every fifth image of each class, in the data set's order, is for the test: fixed for ever, and stratified."""
    from sklearn.datasets import load_digits  # 2 s, and only this one data set needs it

    bunch = load_digits()
    labels = bunch.target.astype(np.int64)
    rank = np.zeros(len(labels), dtype=np.int64)
    for number in range(10):
        rank[labels == number] = np.arange(int((labels == number).sum()))
    chosen = (rank % 5 == 4) == (split == "test")
    values = bunch.images[chosen].astype(np.uint8)[:, None]
    return Pixels(values, labels[chosen], tuple("0123456789"))


def _folder(path: Path, split: str) -> Pixels:
    return read_folder(path, split) if path.is_dir() else read_archive_folder(path, split)


READERS: dict[str, Callable[[Path, str], Pixels]] = {
    "cifar10": read_cifar10,
    "folder": _folder,
    "mnist": read_mnist,
    "npz": read_npz,
}
