"""Distortion and test error under a penalty on the norms of the layers, against weight decay."""

import math
from typing import ClassVar, final

from torch import nn

from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.final_network import accuracy, train_network
from dimple.claims.experiments.szegedy2013.distortions import mean_found, measure_distortions
from dimple.data import DataSplits
from dimple.settings import Count, Fraction, Positive, settings


@final
@settings
class LipschitzPenalty(Experiment):
    """A network of two hidden layers, trained to one training error with a penalty on its norms, or with weight decay.

    Each is as strong as the training accuracy permits: the largest of the weights with which it is reached.

    Columns: `distortion_ratio`, the mean distortion of test images under the penalty over that under weight decay;
    `distortion_over_plain`, over that without either; `error_excess`, the test error under the penalty minus that under
    weight decay; `weight` and `decay`, those that are taken. All but the last two are nan where no weight reaches the
    training accuracy.

    Args:
        set: changes of the scene `digits` that give the data.
        width: units of each hidden layer.
        max_epochs: of training.
        train_accuracy: at which training ends.
        weights: of the penalty, and of the decay of each layer as in the objective `standard`; they descend.
        images: test images that are distorted.
    """

    set: tuple[str, ...] = ()
    width: Count = 50
    max_epochs: Count = 40
    train_accuracy: Fraction = 0.99
    weights: tuple[Positive, ...] = (0.03, 0.01, 0.003, 0.001)
    images: Count = 50

    version: ClassVar[int] = 1

    @property
    def scenes(self) -> tuple[str, ...]:
        return ("digits",)

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        arms = {
            "penalty": [(weight, f"{{kind: lipschitz, weight: {weight}}}") for weight in self.weights],
            "decay": [(weight, f"{{kind: standard, layer_decay: {weight}}}") for weight in self.weights],
            "plain": [(0.0, "{kind: standard}")],
        }
        networks: dict[str, nn.Module] = {}
        taken: Row = {}
        for name, objectives in arms.items():
            for weight, objective in objectives:
                network, samples = train_network("digits", self._changes(objective), seed, resources)
                networks[name] = network
                taken[name] = weight
                if accuracy(network, samples.train, samples.train_labels) >= self.train_accuracy:
                    break
        row = describe_penalty(networks, samples, self.train_accuracy, seed)
        return {"": {**row, "weight": taken["penalty"], "decay": taken["decay"]}}

    def _changes(self, objective: str) -> list[str]:
        return [
            *self.set,
            f"data.measured={self.images}",
            f"network={{kind: mlp, widths: [{self.width}, {self.width}]}}",
            f"training.objective={objective}",
            f"training.stop={{epochs: {self.max_epochs}, accuracy: {self.train_accuracy}}}",
        ]


def describe_penalty(networks: dict[str, nn.Module], samples: DataSplits, train_accuracy: float, seed: int) -> Row:
    """Return the columns of the three networks, over the test images that are measured."""
    x = samples.test[samples.test_rows]
    y = samples.test_labels[samples.test_rows]
    missing = dict.fromkeys(("distortion_ratio", "distortion_over_plain", "error_excess"), math.nan)
    if min(accuracy(network, samples.train, samples.train_labels) for network in networks.values()) < train_accuracy:
        return missing
    distortion = {
        name: mean_found(measure_distortions(network, x, y, samples.bounds, seed, "closest"))
        for name, network in networks.items()
    }
    right = {name: accuracy(network, samples.test, samples.test_labels) for name, network in networks.items()}
    return {
        "distortion_ratio": distortion["penalty"] / distortion["decay"],
        "distortion_over_plain": distortion["penalty"] / distortion["plain"],
        "error_excess": right["decay"] - right["penalty"],
    }
