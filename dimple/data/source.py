"""The interface of the data of a scene, and the labeled samples that it gives."""

import dataclasses
from abc import ABC, abstractmethod
from typing import ClassVar, final

import torch
from torch import Tensor

from dimple.errors import SceneError
from dimple.manifolds import Manifold
from dimple.protocols import TangentField
from dimple.tensors import Box, generator


@final
@dataclasses.dataclass(frozen=True, eq=False)
class DataSplits:
    """The samples of one experiment, `(N, *shape)`: float64 points, or float32 images.

    Attributes:
        train, train_labels: the training samples and their classes `(N,)`.
        test, test_labels: the test samples and their classes.
        heldout: unlabeled points of a manifold, at which the boundary is measured between the training points; no rows
            for other data.
        train_rows, test_rows: the rows of the two splits that are measured at every snapshot.
        classes: the names of the classes.
        bounds: the bounds of the samples; None where they are unbounded.
        tangents: the exact tangent spaces at the samples; None where they are unknown.
        validation, validation_labels: samples that are not trained on, by which a snapshot is chosen.
        source: the files that the samples come from; empty for samples that are made from a seed.
    """

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    heldout: Tensor
    train_rows: Tensor
    test_rows: Tensor
    classes: tuple[str, ...]
    bounds: Box | None = None
    tangents: TangentField | None = None
    source: str = ""
    validation: Tensor = dataclasses.field(default_factory=lambda: torch.empty(0))
    validation_labels: Tensor = dataclasses.field(default_factory=lambda: torch.empty(0, dtype=torch.long))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self.train.shape[1:])

    def labeled(self, measured_only: bool) -> dict[str, tuple[Tensor, Tensor]]:
        """Return the samples and the classes of each split that has classes: all, or those that are measured."""
        splits: dict[str, tuple[Tensor, Tensor, Tensor | slice]] = {
            "train": (self.train, self.train_labels, self.train_rows),
            "test": (self.test, self.test_labels, self.test_rows),
        }
        if len(self.validation):
            splits["validation"] = (self.validation, self.validation_labels, slice(None))
        return {split: (x[rows], y[rows]) if measured_only else (x, y) for split, (x, y, rows) in splits.items()}


class DataSource(ABC):
    """The data of a scene: a rule that gives training and test samples."""

    # The name under which the data are found, for data that are not part of a package.
    dataset: ClassVar[str] = ""
    has_manifold: ClassVar[bool] = False

    @abstractmethod
    def sample(self, manifold: Manifold | None, seed: int, location: str | None = None) -> DataSplits:
        """Return all samples of the experiment; they depend on the seed and on the files alone.

        Args:
            manifold: the manifold of the scene, for data with `has_manifold`.
            seed: the seed of the scene.
            location: the data set as `NAME:PATH`; None to look for it.

        Raises:
            SceneError: if there are too few samples, or training samples of one class only.
            MissingDataError: if the data set is not on this machine.
        """


def require_several_classes(labels: Tensor, key: str = "data.labels") -> None:
    """Raise a SceneError if all training samples have the same class."""
    if int(labels.min()) == int(labels.max()):
        raise SceneError(
            f"{key} gives all {len(labels)} training points class {int(labels[0])}; "
            "a boundary needs two classes: change the rule or the seed"
        )


def choose_balanced_rows(labels: Tensor, count: int, stream: torch.Generator) -> Tensor:
    """Return `count` random rows, equally many of each class as far as possible, in ascending order.

    Example:
        >>> labels = torch.tensor([0] * 90 + [1] * 10)
        >>> labels[choose_balanced_rows(labels, 8, torch.Generator())].bincount()
        tensor([4, 4])
    """
    order = torch.randperm(len(labels), generator=stream)
    shuffled = labels[order]
    one_hot = torch.nn.functional.one_hot(shuffled)
    rank = one_hot.cumsum(0)[torch.arange(len(labels)), shuffled]
    return order[torch.argsort(rank, stable=True)[:count]].sort().values


def hold_out_validation(samples: DataSplits, seed: int) -> DataSplits:
    """Return the samples without as many training samples as are measured, which become the validation samples.

    Raises:
        SceneError: if there are too few training samples.
    """
    count = len(samples.train_rows)
    free = torch.ones(len(samples.train), dtype=torch.bool)
    free[samples.train_rows] = False
    rows = torch.nonzero(free).squeeze(1)
    if count >= len(rows):
        raise SceneError(
            f"training.evaluate.keep_best holds out as many training samples as are measured, {count}, and of "
            f"{len(free)} only {len(rows)} are not measured; lower data.measured of images, or leave keep_best out"
        )
    stream = generator(seed, "validation samples")
    rows = rows[choose_balanced_rows(samples.train_labels[rows], count, stream)]
    kept = torch.ones_like(free)
    kept[rows] = False
    return dataclasses.replace(
        samples,
        train=samples.train[kept],
        train_labels=samples.train_labels[kept],
        train_rows=kept.cumsum(0)[samples.train_rows] - 1,
        validation=samples.train[rows],
        validation_labels=samples.train_labels[rows],
    )
