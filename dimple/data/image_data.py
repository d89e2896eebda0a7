"""Images as the data of a scene: a part of a data set, with the images that are measured."""

import dataclasses
from abc import ABC
from typing import ClassVar, Literal, Self, final

import torch
from torch import Tensor

from dimple.data.images import Images, load_images
from dimple.data.source import DataSource, DataSplits, choose_balanced_rows, require_several_classes
from dimple.data.transforms import Transform, transform_images
from dimple.errors import SceneError
from dimple.locations import locate_dataset
from dimple.manifolds import Manifold
from dimple.settings import Count, Natural, settings
from dimple.tensors import generator

# The fraction of the largest variance below which a direction has none.
RANK_TOLERANCE = 1e-10


@settings
class ImageData(DataSource, ABC):
    """Labeled images in [0, 1], float32 `(N, C, H, W)`.

    Args:
        subset: number of training images, a random choice; null for all.
        test: number of test images, a random choice; null for all.
        classes: the classes to keep, which become classes 0, 1, ... in this order; empty for all.
        half: one half of the training images; the two halves of a data set are disjoint, and the same for every seed.
        transform: what the images are made into: `silhouettes`, `contours`, `stylized`, the outline of each with the
            texture of another class (`cue_conflict`), or a corruption such as `gaussian_noise`; null for the images
            themselves.
        transformed: the images that are transformed, `train`, `test` or `both`.
        severity: of a corruption, from 1 to 5.
        pca: project all images onto this many widest directions of the training images, which are then the exact
            tangent space; the result is unbounded. Null for the images themselves.
        measured: number of training and of test images that are measured at each snapshot, balanced over the classes.
    """

    subset: Count | None = None
    test: Count | None = None
    classes: tuple[Natural, ...] = ()
    half: Literal["first", "second"] | None = None
    transform: Transform | None = None
    transformed: Literal["both", "train", "test"] = "both"
    severity: Literal[1, 2, 3, 4, 5] = 3
    pca: Count | None = None
    measured: Count = 100

    def sample(self, manifold: Manifold | None, seed: int, location: str | None = None) -> DataSplits:
        spec = self._specification(location)
        train, test = (load_images(spec, split) for split in ("train", "test"))
        if not (train.is_split and test.is_split):
            raise SceneError(f"{spec} has no training and test images of their own; give it a level train and test")
        names, classes = self._keep_classes(train)
        x, y = self._choose("subset", train, classes, generator(seed, "train images"), self.half)
        x_test, y_test = self._choose("test", test, classes, generator(seed, "test images"))
        require_several_classes(y, "data.classes")
        x, x_test = self._transform(x, y, "train", seed), self._transform(x_test, y_test, "test", seed)
        splits = DataSplits(
            x,
            y,
            x_test,
            y_test,
            x[:0],
            choose_balanced_rows(y, self.measured, generator(seed, "measured train images")),
            choose_balanced_rows(y_test, self.measured, generator(seed, "measured test images")),
            names,
            train.bounds,
            source=spec,
        )
        return splits if self.pca is None else _project(splits, self.pca)

    def _specification(self, location: str | None) -> str:
        return locate_dataset(self.dataset, location)

    def _keep_classes(self, images: Images) -> tuple[tuple[str, ...], Tensor]:
        """Return the names of the classes that are kept, and the new number of each class, -1 for the others."""
        count = len(images.classes)
        kept = self.classes or tuple(range(count))
        if len(set(kept)) < len(kept) or max(kept) >= count or len(kept) < 2:
            raise SceneError(f"data.classes is {list(kept)}; give at least two different classes from 0 to {count - 1}")
        numbers = torch.full((count,), -1)
        numbers[list(kept)] = torch.arange(len(kept))
        return tuple(images.classes[number] for number in kept), numbers

    def _transform(self, x: Tensor, y: Tensor, split: str, seed: int) -> Tensor:
        """Return the images of a split as the scene shows them."""
        if self.transform is None or self.transformed not in ("both", split):
            return x
        return transform_images(x, y, self.transform, self.severity, generator(seed, f"transformed {split} images"))

    def _choose(
        self, key: str, images: Images, numbers: Tensor, stream: torch.Generator, half: str | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return as many images of the kept classes as a key says, and their new classes, in the order of the data."""
        count = getattr(self, key)
        rows = torch.arange(len(images))
        if half is not None:
            # Of all classes, so that halves with different classes are disjoint too.
            shuffled = torch.randperm(len(images), generator=generator(0, "halves"))
            middle = len(images) // 2
            rows = (shuffled[:middle] if half == "first" else shuffled[middle:]).sort().values
        rows = rows[numbers[images.y[rows]] >= 0]
        if count is not None and count > len(rows):
            raise SceneError(
                f"data.{key} is {count} and {images.source} has {len(rows)} such images; give a smaller number"
            )
        if count is not None:
            rows = rows[torch.randperm(len(rows), generator=stream)[:count]].sort().values
        x, y = images.batch(rows)
        return x, numbers[y]


@final
@dataclasses.dataclass(frozen=True, eq=False)
class LinearSpan:
    """An affine subspace that contains all samples, as their tangent space.

    Attributes:
        mean: `(n,)`, a point of it.
        basis: `(n, d)` orthonormal columns.
    """

    mean: Tensor
    basis: Tensor

    @classmethod
    def of_widest_directions(cls, x: Tensor, dim: int) -> Self:
        """Return the span of the `dim` widest directions of samples `(N, *shape)`, in their precision.

        Raises:
            SceneError: if the samples span fewer dimensions.
        """
        rows = x.flatten(1).double()
        mean = rows.mean(0)
        # The eigenvalues ascend.
        variances, vectors = torch.linalg.eigh((rows - mean).T @ (rows - mean))
        rank = int((variances > RANK_TOLERANCE * variances[-1]).sum())
        if dim > rank:
            raise SceneError(f"data.pca is {dim}, and the training images span {rank} dimensions; give at most {rank}")
        directions = vectors[:, -dim:].flip(1)
        return cls(mean.to(x), directions.to(x))

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Return the basis for each sample, `(B, n, d)`."""
        return self.basis.to(x).expand(len(x), -1, -1)

    def project(self, x: Tensor) -> Tensor:
        """Return the nearest points of the subspace to samples `(B, *shape)`."""
        rows = x.flatten(1) - self.mean
        return (self.mean + rows @ self.basis @ self.basis.T).reshape(x.shape)


def _project(splits: DataSplits, dim: int) -> DataSplits:
    """Return the images projected onto the `dim` widest directions of the training images."""
    span = LinearSpan.of_widest_directions(splits.train, dim)
    return dataclasses.replace(
        splits, train=span.project(splits.train), test=span.project(splits.test), bounds=None, tangents=span
    )


@final
@settings
class Digits(ImageData):
    """The 1,797 digits of 8 x 8 pixels of scikit-learn, a fifth of them for testing."""

    dataset: ClassVar[str] = "digits"


@final
@settings
class MNIST(ImageData):
    """Handwritten digits of 28 x 28 pixels, from the four IDX files."""

    dataset: ClassVar[str] = "mnist"


@final
@settings
class FashionMNIST(ImageData):
    """Pieces of clothing of 28 x 28 pixels, from the four IDX files."""

    dataset: ClassVar[str] = "fashion_mnist"


@final
@settings
class CIFAR10(ImageData):
    """Color images of 32 x 32 pixels."""

    dataset: ClassVar[str] = "cifar10"


@settings
class _ImagesAtPath(ImageData, ABC):
    """Images from a path.

    Args:
        path: relative to the working folder; empty for a place that is named as that of other data sets is.
    """

    path: str = ""

    def _specification(self, location: str | None) -> str:
        if location is None and self.path:
            return f"{self.dataset}:{self.path}"
        return locate_dataset(self.dataset, location)


@final
@settings
class ImageFolder(_ImagesAtPath):
    """Images as train/CLASS/IMAGE.png and test/CLASS/IMAGE.png, or an archive of them."""

    dataset: ClassVar[str] = "folder"


@final
@settings
class ImageArrays(_ImagesAtPath):
    """Images of an npz file with the arrays x_train, y_train, x_test and y_test."""

    dataset: ClassVar[str] = "npz"
