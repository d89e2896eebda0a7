"""Distances of fixed images from the boundary of a network, and the snapshots between which they are compared."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal, TypeAlias, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.claims.experiments.final_network import accuracy, predict
from dimple.claims.experiments.trained_scene import RecordedTraining
from dimple.data import DataSplits
from dimple.networks import freeze
from dimple.probes import Margin
from dimple.tensors import Box

Norm: TypeAlias = Literal["l2", "linf"]
Distances: TypeAlias = NDArray[np.float64]
# The training accuracy at which the data are called fitted.
FITTED_ACCURACY = 0.99
# The passes of one search.
MAX_PASSES = 40.0


@final
@dataclasses.dataclass(frozen=True)
class Epochs:
    """A network after each epoch of its training, which begins with the network before it.

    Attributes:
        networks: the initial network, and that after each epoch.
        train_accuracy: of each of them, on all training images.
    """

    networks: tuple[nn.Module, ...]
    train_accuracy: tuple[float, ...]

    @property
    def fitted(self) -> int | None:
        """The first epoch with a training accuracy of at least 0.99; None where there is none before the last one."""
        accuracies = self.train_accuracy[:-1]
        return next((epoch for epoch, accuracy in enumerate(accuracies) if accuracy >= FITTED_ACCURACY), None)


def epoch_changes(epochs: int) -> list[str]:
    """Return the changes of a scene that train for some epochs, with a snapshot after each."""
    return [f"training.epochs={epochs}", f"snapshots.count={epochs + 1}", "snapshots.spacing=linear"]


def collect_epochs(trajectory: RecordedTraining, samples: DataSplits) -> Epochs:
    """Return the snapshots of a training with their training accuracy."""
    networks = tuple(network.eval() for network in trajectory.networks)
    accuracies = tuple(accuracy(network, samples.train, samples.train_labels) for network in networks)
    return Epochs(networks, accuracies)


def deepfool_distances(network: nn.Module, x: Tensor, bounds: Box | None, norm: Norm = "l2") -> Distances:
    """Return the distances at which DeepFool changes the class, `(B,)`; inf where it does not."""
    return _search(network, x, bounds, Margin(norm=norm, method="deepfool", max_passes=MAX_PASSES))[0]


def closest_distances(network: nn.Module, x: Tensor, bounds: Box | None, norm: Norm = "l2") -> Distances:
    """Return the distances of the closest boundary points that are found, `(B,)`; inf where there is none."""
    return _search(network, x, bounds, Margin(norm=norm, max_passes=MAX_PASSES))[1]


def _search(network: nn.Module, x: Tensor, bounds: Box | None, margin: Margin) -> tuple[Distances, Distances]:
    """Return the distances before and after the refinement of the points to the boundary."""
    boundary = Boundary(freeze(network), bounds)
    states = [margin.search(boundary, part, boundary.predict(part)) for part in x.split(256)]
    unrefined, refined = (
        torch.cat([getattr(state, name) for state in states]).double().cpu().numpy()
        for name in ("unrefined_distance", "distance")
    )
    return unrefined, refined


def mean_ratio(after: Distances, before: Distances, chosen: NDArray[np.bool_] | None = None) -> float:
    """Return the mean distance after over that before, over the same images; nan where half of them have none.

    Args:
        after: `(B,)` distances.
        before: those of the same images in an earlier network.
        chosen: `(B,)`, the images to compare; None for all.

    Example:
        >>> mean_ratio(np.array([1.0, 2.0, np.inf]), np.array([2.0, 4.0, 1.0]))
        0.5
    """
    compared = np.ones(len(after), dtype=bool) if chosen is None else chosen
    found = compared & np.isfinite(after) & np.isfinite(before)
    if not compared.any() or found.sum() < compared.sum() / 2 or before[found].mean() == 0:
        return math.nan
    return float(after[found].mean() / before[found].mean())


def right_at_all(networks: Sequence[nn.Module], x: Tensor, y: Tensor) -> NDArray[np.bool_]:
    """Return which images all networks classify correctly, `(B,)`."""
    right = torch.stack([predict(network, x) == y for network in networks])
    return np.asarray(right.all(0).cpu().numpy())
