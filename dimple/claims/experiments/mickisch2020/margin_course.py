"""The distance of images from the boundary, at the end of a training over that at named earlier snapshots."""

import math
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.final_network import accuracy, predict, samples_on_device
from dimple.claims.experiments.mickisch2020.margins import (
    Distances,
    Epochs,
    closest_distances,
    collect_epochs,
    deepfool_distances,
    epoch_changes,
    mean_ratio,
    right_at_all,
)
from dimple.claims.experiments.trained_scene import prepare_scene, train
from dimple.data import DataSplits
from dimple.networks import freeze
from dimple.probes.certified import CertifiedRadius
from dimple.settings import Count, Natural, settings
from dimple.tensors import Box


@final
@settings
class MarginCourse(Experiment):
    """A scene of images trained on clean images, with the mean DeepFool distance of the same images along it.

    Columns: `ratio_first`, `ratio_fitted` and `ratio_initial`, the mean distance at the end over that after the first
    epoch, after the first epoch with a training accuracy of 0.99, and before training, over training images; with
    `_test` over test images, with `_linf` in the maximum norm, with `_closest` by a search that is refined to the
    closest point; `ratio_fitted_right`, over the `right_count` images that are right at all snapshots compared;
    `certified_fitted`, with certified radii; `wrong_first` and `wrong_fitted`, over the `wrong_count` test images that
    are wrong at the end, nan for fewer than `min_wrong`; `fitted_epoch`, `train_accuracy`, `test_accuracy`.

    Args:
        scene: a built-in scene.
        epochs: of training, with a snapshot after each.
        images: of each split, measured at each snapshot that is compared.
        min_wrong: fewest wrong images that are compared.
        certified: images whose radius is certified, which takes a network of linear layers.
        set: further changes of the scene.
    """

    scene: str = "digits"
    epochs: Count = 60
    images: Count = 200
    min_wrong: Count = 100
    certified: Natural = 0
    set: tuple[str, ...] = ("training.lr=0.003",)

    version: ClassVar[int] = 1

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        changes = [*self.set, *epoch_changes(self.epochs), f"data.measured={self.images}"]
        prepared = prepare_scene(self.scene, changes, seed, resources)
        samples = samples_on_device(prepared)
        epochs = collect_epochs(train(prepared), samples)
        return {"": describe_course(epochs, samples, self.min_wrong, self.certified)}


def describe_course(epochs: Epochs, samples: DataSplits, min_wrong: int, certified: int = 0) -> Row:
    """Return the columns of a training whose images to be measured are those of the splits."""
    references = {"initial": 0, "first": 1, "fitted": epochs.fitted}
    last = epochs.networks[-1]
    bounds = samples.bounds
    x = samples.train[samples.train_rows]
    x_test = samples.test[samples.test_rows]
    is_wrong = predict(last, samples.test) != samples.test_labels
    wrong = samples.test[is_wrong]
    row: Row = {
        "fitted_epoch": math.nan if epochs.fitted is None else float(epochs.fitted),
        "train_accuracy": epochs.train_accuracy[-1],
        "test_accuracy": accuracy(last, samples.test, samples.test_labels),
        "wrong_count": float(len(wrong)),
    }
    for name, epoch in references.items():
        network = None if epoch is None else epochs.networks[epoch]
        row[f"ratio_{name}"] = _compare(last, network, x, bounds)
        row[f"ratio_{name}_test"] = _compare(last, network, x_test, bounds)
        row[f"ratio_{name}_linf"] = _compare(last, network, x, bounds, "linf")
        row[f"ratio_{name}_closest"] = _compare(last, network, x, bounds, "closest")
        row[f"wrong_{name}"] = _compare(last, network, wrong, bounds) if len(wrong) >= min_wrong else math.nan
    return row | _describe_right(epochs, samples) | _describe_certified(epochs, samples, certified)


def _compare(last: nn.Module, network: nn.Module | None, x: Tensor, bounds: Box | None, kind: str = "l2") -> float:
    """Return the mean distance of the last network over that of an earlier one; nan without one."""
    if network is None:
        return math.nan
    return mean_ratio(_measure(last, x, bounds, kind), _measure(network, x, bounds, kind))


def _measure(network: nn.Module, x: Tensor, bounds: Box | None, kind: str) -> Distances:
    if kind == "closest":
        return closest_distances(network, x, bounds)
    return deepfool_distances(network, x, bounds, "linf" if kind == "linf" else "l2")


def _describe_right(epochs: Epochs, samples: DataSplits) -> Row:
    """Return the comparison with the fitted network over the images that both classify correctly."""
    if epochs.fitted is None:
        return {"ratio_fitted_right": math.nan, "right_count": math.nan}
    x = samples.train[samples.train_rows]
    compared = (epochs.networks[epochs.fitted], epochs.networks[-1])
    right = right_at_all(compared, x, samples.train_labels[samples.train_rows])
    before, after = (deepfool_distances(network, x, samples.bounds) for network in compared)
    return {"ratio_fitted_right": mean_ratio(after, before, right), "right_count": float(right.sum())}


def _describe_certified(epochs: Epochs, samples: DataSplits, count: int) -> Row:
    """Return the mean certified radius at the end over that of the fitted network."""
    if epochs.fitted is None or count == 0:
        return {"certified_fitted": math.nan}
    rows = samples.train_rows[:count]
    x = samples.train[rows]
    radii = []
    for network in (epochs.networks[epochs.fitted], epochs.networks[-1]):
        boundary = Boundary(freeze(network), samples.bounds)
        found = CertifiedRadius()(boundary, x, boundary.predict(x)).columns["certified_radius"]
        radii.append(np.asarray(torch.as_tensor(found).double().cpu().numpy()))
    return {"certified_fitted": mean_ratio(radii[1], radii[0])}
