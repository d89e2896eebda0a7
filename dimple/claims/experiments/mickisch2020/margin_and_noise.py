"""The mean distance from the boundary against the accuracy on corrupted images, over snapshots and regimes."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Literal, final

import numpy as np
import torch
from torch import Tensor, nn

from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.final_network import predict
from dimple.claims.experiments.mickisch2020.defended_margins import objective_change, train_arm
from dimple.claims.experiments.mickisch2020.margins import deepfool_distances, epoch_changes
from dimple.data import DataSplits
from dimple.data.corruptions import CORRUPTIONS, corrupt
from dimple.probes import rank_correlation
from dimple.settings import Count, Positive, settings
from dimple.tensors import Box, generator

NULL_DRAWS = 199
# The middle one of five.
SEVERITY = 3


@final
@dataclasses.dataclass(frozen=True)
class SnapshotPoint:
    """One snapshot of one regime.

    Attributes:
        margin: the mean DeepFool distance of the images.
        corrupted: the mean accuracy under the corruptions.
        noisy: that under the four kinds of noise alone.
        stable: the fraction of the correctly classified images that the corruptions leave correct.
    """

    margin: float
    corrupted: float
    noisy: float
    stable: float


@final
@settings
class MarginAndNoise(Experiment):
    """A scene of images in three regimes, clean and adversarial training in two norms, at the ends of its epochs.

    Columns: `correlation`, Spearman's of the mean DeepFool distance of test images with their mean accuracy under noise
    and corruptions, over all snapshots after the first epoch; `correlation_null` and `correlation_null_high`, the
    median and the upper end of the 95 % interval of permutations; `correlation_noise` with the four kinds of noise
    alone; `correlation_stable` with the fraction of the images that stay correct; `correlation_within`, the median of
    the correlations within the regimes.

    Args:
        scene: a built-in scene.
        epochs: of training.
        eps_l2: radius of the adversarial training in l2.
        eps_linf: radius in the maximum norm.
        steps: of its search.
        set: further changes of the scene.
    """

    scene: str = "digits"
    epochs: Count = 16
    eps_l2: Positive = 0.5
    eps_linf: Positive = 0.1
    steps: Count = 3
    set: tuple[str, ...] = ()

    version: ClassVar[int] = 2

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        arms: tuple[tuple[Literal["standard", "l2", "linf"], float], ...] = (
            ("standard", 1.0),
            ("l2", self.eps_l2),
            ("linf", self.eps_linf),
        )
        regimes = []
        samples: DataSplits | None = None
        for arm, eps in arms:
            changes = [*self.set, objective_change(arm, eps, self.steps), *epoch_changes(self.epochs)]
            epochs, samples = train_arm(self.scene, changes, seed, resources, samples)
            networks = epochs.networks[1:]
            regimes.append(measure_snapshots(networks, samples.test, samples.test_labels, samples.bounds, seed))
        return {"": describe_regimes(regimes, seed)}


def measure_snapshots(
    networks: Sequence[nn.Module], x: Tensor, y: Tensor, bounds: Box | None, seed: int
) -> list[SnapshotPoint]:
    """Return what is compared at each snapshot, over the same images."""
    corrupted = {name: corrupt(x, name, SEVERITY, generator(seed, "corruption", name)) for name in CORRUPTIONS}
    points = []
    for network in networks:
        right = predict(network, x) == y
        still = {name: predict(network, images) == y for name, images in corrupted.items()}
        accuracies = {name: float(values.double().mean()) for name, values in still.items()}
        stable = torch.stack([values[right].double().mean() for values in still.values()]).mean()
        distances = deepfool_distances(network, x, bounds)
        margin = distances[np.isfinite(distances)].mean() if np.isfinite(distances).any() else np.inf
        noisy = [value for name, value in accuracies.items() if CORRUPTIONS[name][0] == "noise"]
        points.append(
            SnapshotPoint(
                float(margin), float(np.mean(list(accuracies.values()))), float(np.mean(noisy)), float(stable)
            )
        )
    return points


def describe_regimes(regimes: Sequence[Sequence[SnapshotPoint]], seed: int) -> Row:
    """Return the columns of the snapshots of all regimes."""
    points = [point for regime in regimes for point in regime]
    found = rank_correlation(_column(points, "margin"), _column(points, "corrupted"), null_draws=NULL_DRAWS, seed=seed)
    within = [_correlate(regime, "corrupted") for regime in regimes]
    return {
        "correlation": found.value,
        "correlation_null": found.null,
        "correlation_null_high": found.high,
        "correlation_noise": _correlate(points, "noisy"),
        "correlation_stable": _correlate(points, "stable"),
        "correlation_within": float(np.median(within)),
    }


def _column(points: Sequence[SnapshotPoint], name: str) -> Tensor:
    return torch.tensor([getattr(point, name) for point in points], dtype=torch.float64)


def _correlate(points: Sequence[SnapshotPoint], name: str) -> float:
    return rank_correlation(_column(points, "margin"), _column(points, name), null_draws=1).value
