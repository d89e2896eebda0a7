"""Images in the span of their widest directions, and networks whose first layer starts from smaller weights."""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal, final

import numpy as np
from scipy.stats import spearmanr
from torch import nn

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.trained_scene import prepare_scene, train
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.networks import freeze
from dimple.probes import OnOff
from dimple.settings import Count, Positive, settings
from dimple.stats.aggregate import lower_median

SCENES = {"digits": "digits", "mnist": "mnist_standard"}


@final
@settings
class PrincipalSubspace(Experiment):
    """Networks without biases, trained on images projected onto their widest directions, over the initial divisor.

    Only the weights of the first layer are divided. The distances are those of the test images that are measured, in
    the units of pixels from 0 to 1, the medians over the images.

    Columns, where "growth" is the value at the largest divisor over that at the smallest one:

    - `any_D`, `on_D`, `off_D` for each divisor D: the distance in all directions, along the subspace and off it;
      `on_ratio_D`, `off_ratio_D`, over the first of them, and `on_ratio_random_D`, `off_ratio_random_D` along and off
      random subspaces;
    - `off_growth`, `on_growth`; `off_rank`, Spearman's coefficient of the divisor and the distance off the subspace;
    - `accuracy`, the lowest test accuracy of all networks.

    Args:
        dataset: `digits` or `mnist`.
        dim: the dimension of the subspace.
        width: of both hidden layers.
        divisors: of the first layer's weights.
        lr: the learning rate of gradient descent.
        batch_size: the size of its batches.
        epochs: the largest number of epochs.
        loss: the training loss that ends the training.
        images: how many test images are measured.
        set: further changes of the scene.
    """

    version: ClassVar[int] = 1

    dataset: Literal["digits", "mnist"] = "digits"
    dim: Count = 8
    width: Count = 64
    divisors: tuple[Positive, ...] = (0.2, 1.0, 5.0)
    lr: Positive = 0.1
    batch_size: Count = 200
    epochs: Count = 300
    loss: Positive = 0.2
    images: Count = 50
    set: tuple[str, ...] = ()

    @property
    def datasets(self) -> tuple[str, ...]:
        return ("mnist",) if self.dataset == "mnist" else ()

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        networks = {}
        for divisor in self.divisors:
            prepared = prepare_scene(SCENES[self.dataset], self._changes(divisor), seed, resources)
            networks[divisor] = train(prepared).networks[-1]
        return {"": describe_divisors(prepared, networks)}

    def _changes(self, divisor: float) -> list[str]:
        network = f"widths: [{self.width}, {self.width}], bias: false, first_layer_weight_scale: {1 / divisor}"
        stop = f"batch_size: {self.batch_size}, stop: {{epochs: {self.epochs}, loss: {self.loss}}}"
        return [
            f"data.pca={self.dim}",
            f"data.measured={self.images}",
            "data.subset=null",
            "data.test=null",
            f"network={{kind: mlp, {network}}}",
            f"training={{optimizer: {{kind: sgd, lr: {self.lr}}}, {stop}}}",
            "snapshots.count=2",
            *self.set,
        ]


def describe_divisors(prepared: PreparedScene, networks: Mapping[float, nn.Module]) -> Row:
    """Return the columns of the trained networks by their divisor."""
    samples = prepared.samples
    x = samples.test[samples.test_rows].to(prepared.device)
    y = samples.test_labels[samples.test_rows].to(prepared.device)
    row: Row = {}
    accuracies = []
    for divisor, network in networks.items():
        frozen = freeze(network)
        columns = OnOff(null_draws=1)(Boundary(frozen), x, y, prepared.tangents).columns
        margins = {name: lower_median(values.abs().cpu().numpy()) for name, values in columns.items()}
        row |= {
            f"any_{divisor:g}": margins["margin_unbounded"],
            f"on_{divisor:g}": margins["margin_on"],
            f"off_{divisor:g}": margins["margin_off"],
            f"on_ratio_{divisor:g}": margins["margin_on_ratio"],
            f"off_ratio_{divisor:g}": margins["margin_off_ratio"],
            f"on_ratio_random_{divisor:g}": margins["margin_on_ratio_null"],
            f"off_ratio_random_{divisor:g}": margins["margin_off_ratio_null"],
        }
        correct = frozen(samples.test.to(prepared.device)).argmax(1) == samples.test_labels.to(prepared.device)
        accuracies.append(float(correct.double().mean()))
    first = min(networks)
    last = max(networks)
    off = [row[f"off_{divisor:g}"] for divisor in networks]
    return row | {
        "off_growth": _growth(row[f"off_{first:g}"], row[f"off_{last:g}"]),
        "on_growth": _growth(row[f"on_{first:g}"], row[f"on_{last:g}"]),
        "off_rank": float(spearmanr(list(networks), off).statistic) if np.ptp(off) > 0 else 0.0,
        "accuracy": min(accuracies),
    }


def _growth(before: float, after: float) -> float:
    return after / before if math.isfinite(before) else math.nan
