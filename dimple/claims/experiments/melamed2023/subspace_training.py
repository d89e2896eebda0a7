"""The gradient orthogonal to a subspace under a smaller start, weight decay, and longer training."""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, final

import torch
from torch import nn

from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.melamed2023.subspace import (
    SCENE,
    SubspaceGradients,
    fit_slope,
    measure_directions,
    prepare_subspace,
)
from dimple.claims.experiments.trained_scene import RecordedTraining, train
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.networks import freeze
from dimple.settings import Count, Positive, settings
from dimple.stats.aggregate import lower_median


@final
@settings
class SubspaceTraining(Experiment):
    """The scene `random_subspace` with smaller initial weights, with weight decay, and trained for longer.

    "Gradient" is the mean length of the gradient of the logit orthogonal to the subspace.

    Columns:

    - `scale_slope`: of the log of the gradient over that of the initial scale; `scale_slope_along`, of the gradient
      along the subspace; `scale_off`, `scale_on`, the median distances off and along the subspace at the smallest scale
      over those at the largest one;
    - `decay_exponent`: p of gradient ~ (1 - lr decay)^(p T) over the steps T; `decay_exponent_without`, the same p
      without decay; `decay_exponent_per_unit`, of the gradient over the root of the number of active units;
      `decay_accuracy`, the accuracy on the training points with decay;
    - `length_off`: the median distance off the subspace after `longer` times the training, over that at its end;
      `length_off_per_logit`, the same for the distance over the size of the logit; `length_on`, along the subspace;
      `length_logit`, the growth of the median logit.

    Args:
        scales: of the initial weights.
        weight_decay: the decay.
        decay_steps: the number of steps with decay.
        longer: how many times longer the training is.
    """

    version: ClassVar[int] = 1

    scales: tuple[Positive, ...] = (1.0, 1 / 3, 0.1)
    weight_decay: Positive = 0.05
    decay_steps: Count = 1000
    longer: Count = 20

    @property
    def scenes(self) -> tuple[str, ...]:
        return (SCENE,)

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        def prepare(*changes: str) -> PreparedScene:
            return prepare_subspace(20, 180, changes, seed, resources)

        plain = prepare()
        ordinary = train(plain)
        networks = {
            scale: (train(prepare(f"network.init_scale={scale}")) if scale != 1.0 else ordinary).networks[-1]
            for scale in self.scales
        }
        steps = [f"training.stop={{steps: {self.decay_steps}}}", "snapshots={count: 6, spacing: linear}"]
        decayed = prepare(*steps, f"training.optimizer.weight_decay={self.weight_decay}")
        rate = self.weight_decay * plain.scene.training.optimizer.lr
        length = self.longer * ordinary.steps[-1]
        longer = train(prepare(f"training.stop={{steps: {length}}}", "snapshots.count=2"))
        return {
            "": describe_scales(plain, networks)
            | describe_decay(plain, train(decayed), train(prepare(*steps)), rate)
            | describe_length(plain, ordinary.networks[-1], longer.networks[-1])
        }


def gradients(prepared: PreparedScene, network: nn.Module) -> SubspaceGradients:
    """Return the gradients at the training points."""
    assert prepared.tangents is not None
    return SubspaceGradients.of(network, prepared.samples.train, prepared.tangents)


def describe_scales(prepared: PreparedScene, networks: Mapping[float, nn.Module]) -> Row:
    """Return the columns of trained networks by the scale of their initial weights."""
    scales = list(networks)
    found = [gradients(prepared, network) for network in networks.values()]
    largest, smallest = (measure_directions(prepared, networks[end(scales)]) for end in (max, min))
    return {
        "scale_slope": fit_slope(scales, [float(one.off().mean()) for one in found]),
        "scale_slope_along": fit_slope(scales, [float(one.along().mean()) for one in found]),
        "scale_off": smallest["margin_off"] / largest["margin_off"],
        "scale_on": smallest["margin_on"] / largest["margin_on"],
    }


def describe_decay(prepared: PreparedScene, decayed: RecordedTraining, without: RecordedTraining, rate: float) -> Row:
    """Return the columns of a training with weight decay and of one without.

    Args:
        prepared: the scene.
        decayed: the training with decay.
        without: the training without.
        rate: the learning rate times the decay.
    """

    def exponent(trajectory: RecordedTraining, per_unit: bool) -> float:
        lengths = []
        for network in trajectory.networks:
            found = gradients(prepared, network)
            lengths.append(float((found.off() / (found.active.clamp(min=1).sqrt() if per_unit else 1)).mean()))
        factors = [math.exp(step * math.log1p(-rate)) for step in trajectory.steps]
        return fit_slope(factors, lengths)

    x = prepared.samples.train.double()
    predicted = freeze(decayed.networks[-1]).double()(x).argmax(1)
    return {
        "decay_exponent": exponent(decayed, per_unit=False),
        "decay_exponent_per_unit": exponent(decayed, per_unit=True),
        "decay_exponent_without": exponent(without, per_unit=False),
        "decay_accuracy": float((predicted == prepared.samples.train_labels).double().mean()),
    }


def describe_length(prepared: PreparedScene, early: nn.Module, late: nn.Module) -> Row:
    """Return the columns of a network early and late in its training."""
    x = prepared.samples.train.double()
    margins = [measure_directions(prepared, network) for network in (early, late)]
    with torch.no_grad():
        logits = [lower_median(freeze(one).double()(x).diff(dim=1).abs().squeeze(1).numpy()) for one in (early, late)]
    off = _growth([row["margin_off"] for row in margins])
    logit = _growth(logits)
    return {
        "length_off": off,
        "length_off_per_logit": off / logit,
        "length_on": _growth([row["margin_on"] for row in margins]),
        "length_logit": logit,
    }


def _growth(values: Sequence[float]) -> float:
    return values[1] / values[0] if math.isfinite(values[0]) and values[0] > 0 else math.nan
