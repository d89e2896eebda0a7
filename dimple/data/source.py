"""The interface of the data of a scene, and the labeled samples that it gives."""

import dataclasses
from abc import ABC, abstractmethod
from typing import ClassVar, final

import torch
from torch import Tensor

from dimple.errors import SceneError
from dimple.manifolds import Manifold
from dimple.protocols import TangentField
from dimple.tensors import Box


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

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self.train.shape[1:])


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


def choose_balanced_rows(labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return `count` random rows, equally many of each class as far as possible, in ascending order.

    Example:
        >>> labels = torch.tensor([0] * 90 + [1] * 10)
        >>> labels[choose_balanced_rows(labels, 8, torch.Generator())].bincount()
        tensor([4, 4])
    """
    order = torch.randperm(len(labels), generator=generator)
    shuffled = labels[order]
    one_hot = torch.nn.functional.one_hot(shuffled)
    rank = one_hot.cumsum(0)[torch.arange(len(labels)), shuffled]
    return order[torch.argsort(rank, stable=True)[:count]].sort().values
