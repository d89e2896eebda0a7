"""Labeled samples of any kind for measurements: images or vectors, by a short specification such as `points:FILE`."""

import dataclasses
from typing import final

import numpy as np
import torch
from torch import Tensor

from dimple.data.images import Bounds, Images, Split, load_images, read_samples
from dimple.data.readers.npz import check_range
from dimple.errors import printable
from dimple.tensors import Box


@final
@dataclasses.dataclass(frozen=True, eq=False)
class Points:
    """Labeled vectors.

    Attributes:
        x: `(N, d)`, float64.
        y: `(N,)`, int64 class numbers.
        classes: the names of the classes, indexed by class number.
        source: the specification and the split of the points.
        bounds: the bounds of the coordinates; None for the full space.
        is_split: whether the file tells training from test points; else both splits are all points.
    """

    x: Tensor
    y: Tensor
    classes: tuple[str, ...]
    source: str
    bounds: Box | None = None
    is_split: bool = True

    def __len__(self) -> int:
        """Return the number N of points."""
        return len(self.y)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one point, (d,)."""
        return tuple(self.x.shape[1:])

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return the points `(B, d)` in the rows `indices` `(B,)`, and their classes `(B,)`."""
        return self.x[indices], self.y[indices]


def load_samples(spec: str, split: Split, *, bounds: Bounds = "data", label: str | None = None) -> Images | Points:
    """Load one split of a data set of images or vectors.

    Args:
        spec: as for `load_images`; also `points:FILE` (.csv, .tsv or .parquet), `npz:FILE` with vectors `(N, d)`, and
            `hf:OWNER/NAME` of the hub.
        split: `train` or `test`; without a level, a column or arrays for the splits both are all samples.
        bounds: the range of the samples: `data` for [0, 1] of images and the full space of vectors, two numbers, or
            `none`.
        label: the column of a table that has the labels.

    Raises:
        UsageError: if the specification or the split is unknown.
        DataError: if the files are missing, damaged or in another format.

    Example:
        >>> load_samples("digits", "test").shape
        (1, 8, 8)
    """
    raw = read_samples(spec, split, bounds, label)
    if raw is None or raw.values.ndim != 2:
        return load_images(spec, split, bounds=bounds, raw=raw)
    if isinstance(bounds, tuple):
        check_range(raw.values, bounds, f"{spec} {split}")
    box = Box(*bounds) if isinstance(bounds, tuple) else None
    names = tuple(map(printable, raw.classes))
    x = torch.from_numpy(np.ascontiguousarray(raw.values))
    y = torch.from_numpy(raw.labels)
    return Points(x, y, names, f"{spec} {split}", box, raw.is_split)
