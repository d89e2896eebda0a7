"""Distances from the boundary along adversarial training, against the clean training of the same network."""

import math
from typing import ClassVar, Literal, final

from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.final_network import accuracy, samples_on_device
from dimple.claims.experiments.mickisch2020.margins import (
    Epochs,
    Norm,
    collect_epochs,
    deepfool_distances,
    epoch_changes,
    mean_ratio,
)
from dimple.claims.experiments.trained_scene import prepare_scene, train
from dimple.data import DataSplits
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.scene import load_scene
from dimple.settings import Count, Positive, settings

OTHER_NORM: dict[Norm, Norm] = {"l2": "linf", "linf": "l2"}


@final
@settings
class DefendedMargins(Experiment):
    """A scene of images, trained on clean images and, with the same seed, by PGD in two norms, which are the parts.

    Columns: `ratio_fitted`, the mean DeepFool distance of training images at the end over that after the epoch at which
    the clean training has an accuracy of 0.99, in the trained norm; `ratio_fitted_clean`, the same of the clean
    training; `relative`, the first over the second; `ratio_first` and `ratio_first_clean` from the first epoch on;
    `gain` and `gain_other`, the mean distance at the end over that of the clean training, in the trained and in the
    other norm; `gain_fraction`, the logarithm of the second over that of the first; `test_accuracy` and
    `test_accuracy_clean`.

    Args:
        scene: a built-in scene.
        epochs: of training.
        images: training images that are measured.
        eps_l2: radius of the adversarial training in l2.
        eps_linf: radius in the maximum norm.
        steps: of its search.
        set: further changes of the scene.
    """

    scene: str = "digits"
    epochs: Count = 40
    images: Count = 200
    eps_l2: Positive = 0.5
    eps_linf: Positive = 0.1
    steps: Count = 3
    set: tuple[str, ...] = ("training.lr=0.003",)

    version: ClassVar[int] = 1

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        clean, samples = train_arm(self.scene, self._changes("standard"), seed, resources)
        rows: dict[str, Row] = {}
        for norm in OTHER_NORM:
            defended, _ = train_arm(self.scene, self._changes(norm), seed, resources, samples)
            rows[norm] = describe_defense(clean, defended, samples, norm)
        return rows

    def _changes(self, arm: Literal["standard", "l2", "linf"]) -> list[str]:
        eps = self.eps_l2 if arm == "l2" else self.eps_linf
        objective = objective_change(arm, eps, self.steps)
        return [*self.set, objective, *epoch_changes(self.epochs), f"data.measured={self.images}"]


def objective_change(arm: Literal["standard", "l2", "linf"], eps: float, steps: int) -> str:
    """Return the change of a scene to clean training, or to adversarial training in a norm."""
    if arm == "standard":
        return "training.objective={kind: standard}"
    return f"training.objective={{kind: adversarial, norm: {arm}, eps: {eps}, steps: {steps}}}"


def train_arm(
    scene: str, changes: list[str], seed: int, resources: Resources, samples: DataSplits | None = None
) -> tuple[Epochs, DataSplits]:
    """Return a scene with some changes along its training, and its samples.

    Args:
        scene: a built-in scene.
        changes: of its training and network.
        seed: of the scene.
        resources: the data and the device.
        samples: those of an arm with the same data; None to read them.
    """
    if samples is None:
        prepared = prepare_scene(scene, changes, seed, resources)
        samples = samples_on_device(prepared)
    else:
        prepared = PreparedScene(load_scene(scene, changes, seed), samples, resources.device)
    return collect_epochs(train(prepared), samples), samples


def describe_defense(clean: Epochs, defended: Epochs, samples: DataSplits, norm: Norm) -> Row:
    """Return the columns of adversarial training in a norm, over the training images that are measured."""
    x = samples.train[samples.train_rows]

    def ratio(epochs: Epochs, epoch: int | None) -> float:
        if epoch is None:
            return math.nan
        networks = (epochs.networks[epoch], epochs.networks[-1])
        before, after = (deepfool_distances(network, x, samples.bounds, norm) for network in networks)
        return mean_ratio(after, before)

    def gain(measured: Norm) -> float:
        networks = (clean.networks[-1], defended.networks[-1])
        before, after = (deepfool_distances(network, x, samples.bounds, measured) for network in networks)
        return mean_ratio(after, before)

    fitted, fitted_clean = (ratio(epochs, clean.fitted) for epochs in (defended, clean))
    own = gain(norm)
    other = gain(OTHER_NORM[norm])
    return {
        "ratio_fitted": fitted,
        "ratio_fitted_clean": fitted_clean,
        "relative": fitted / fitted_clean,
        "ratio_first": ratio(defended, 1),
        "ratio_first_clean": ratio(clean, 1),
        "gain": own,
        "gain_other": other,
        "gain_fraction": math.log(other) / math.log(own) if own > 0 and other > 0 and own != 1 else math.nan,
        "test_accuracy": accuracy(defended.networks[-1], samples.test, samples.test_labels),
        "test_accuracy_clean": accuracy(clean.networks[-1], samples.test, samples.test_labels),
    }
