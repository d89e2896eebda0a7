"""The variance of the margin over snapshots of many trainings, by what differs between them."""

import itertools
import math
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.mickisch2020.defended_margins import train_arm
from dimple.claims.experiments.mickisch2020.margins import deepfool_distances, epoch_changes
from dimple.data import DataSplits
from dimple.scene import load_scene
from dimple.settings import Count, Positive, settings

FACTORS = ("data", "architecture", "initial_scale", "epoch")


@final
@settings
class MarginVariance(Experiment):
    """Trainings of every architecture from every initial scale on every data set, measured after each epoch.

    Columns: for each of `data`, `architecture`, `initial_scale` and `epoch` the fraction of the variance of the
    logarithm of the mean DeepFool distance that its main effect explains, less what as many values explain by chance,
    so that its mean is zero without an effect; `rest`, the others; `epoch_excess`, the fraction of the epoch minus
    those of architecture and initial scale together.

    Args:
        scenes_by_data: a built-in scene and changes of its data, for each data set.
        architectures: changes of the network.
        initial_scales: factors of the initial weights.
        epochs: of training.
        images: training images that are measured.
        set: further changes of all scenes.
    """

    scenes_by_data: tuple[tuple[str, ...], ...] = (("digits",), ("digits", "data.classes=[0, 1, 2, 3, 4]"))
    architectures: tuple[str, ...] = (
        "network={kind: mlp, widths: [128]}",
        "network={kind: mlp, widths: [64, 64]}",
        "network={kind: convnet}",
    )
    initial_scales: tuple[Positive, ...] = (0.5, 1.5)
    epochs: Count = 12
    images: Count = 100
    set: tuple[str, ...] = ()

    version: ClassVar[int] = 2

    @property
    def datasets(self) -> tuple[str, ...]:
        found = (load_scene(scene, changes).data.dataset for scene, *changes in self.scenes_by_data)
        return tuple(dict.fromkeys(dataset for dataset in found if dataset))

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        sizes = (len(self.scenes_by_data), len(self.architectures), len(self.initial_scales), self.epochs)
        margins = np.empty(sizes)
        samples: dict[int, DataSplits] = {}
        for index in itertools.product(*map(range, sizes[:-1])):
            scene, *data = self.scenes_by_data[index[0]]
            network = [self.architectures[index[1]], f"network.init_scale={self.initial_scales[index[2]]}"]
            changes = [*self.set, *data, *network, *epoch_changes(self.epochs), f"data.measured={self.images}"]
            epochs, splits = train_arm(scene, changes, seed, resources, samples.get(index[0]))
            samples[index[0]] = splits
            x = splits.train[splits.train_rows]
            for epoch, trained in enumerate(epochs.networks[1:]):
                margins[(*index, epoch)] = mean_margin(trained, x)
        return {"": explain_variance(margins)}


def mean_margin(network: nn.Module, x: Tensor) -> float:
    """Return the mean DeepFool distance of images; nan where none is found.

    The search may leave the range of pixels, in which a network may have no boundary at all in its first epochs.
    """
    distances = deepfool_distances(network, x, None)
    found = distances[np.isfinite(distances)]
    return float(found.mean()) if len(found) else math.nan


def explain_variance(margins: NDArray[Any]) -> Row:
    """Return the columns of margins over data, architecture, initial scale and epoch, one axis for each.

    Example:
        >>> row = explain_variance(np.exp(np.arange(3.0)) * np.ones((2, 2, 2, 1)))
        >>> round(row["epoch"], 9), round(row["architecture"], 9)
        (1.0, 0.0)
    """
    values = np.log(margins)
    total = values.var()
    if not (np.isfinite(total) and total > 0):
        return dict.fromkeys((*FACTORS, "rest", "epoch_excess"), math.nan)
    axes = range(len(FACTORS))
    explained = {
        name: float(values.mean(axis=tuple(axis for axis in axes if axis != own)).var() / total)
        for own, name in enumerate(FACTORS)
    }
    freedom = {name: values.shape[own] - 1 for own, name in enumerate(FACTORS)}
    left = values.size - 1 - sum(freedom.values())
    chance = max(0.0, 1 - sum(explained.values())) / left if left else 0.0
    row = {name: value - freedom[name] * chance for name, value in explained.items()}
    excess = row["epoch"] - row["architecture"] - row["initial_scale"]
    return {**row, "rest": 1 - sum(row.values()), "epoch_excess": excess}
