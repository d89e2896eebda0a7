"""Robust accuracy of networks that are trained by several objectives from the same weights."""

import dataclasses
import time
from collections.abc import Mapping
from typing import ClassVar, Literal, TypeAlias, final

import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.trained_scene import prepare_scene, train
from dimple.experiment.probing.speed_along import objectives_along
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.networks import freeze
from dimple.probes import CertifiedRadius, Robust
from dimple.probes.robust import AttackName
from dimple.settings import Count, Flag, Positive, settings
from dimple.tensors import Box
from dimple.training.objectives import Adversarial, BoundaryAware, Mart, Objective, Standard, Trades
from dimple.training.schedules import Stop

Arm: TypeAlias = Literal[
    "standard", "adversarial", "trades", "mart", "boundary_aware",
    "equal_weights", "steep_weights", "no_cutoff", "no_division", "logit_margin",
]  # fmt: skip
BASELINES: tuple[Arm, ...] = ("adversarial", "trades", "mart")
VARIANTS: tuple[Arm, ...] = ("equal_weights", "steep_weights", "no_cutoff", "no_division", "logit_margin")
# The radii at which the robust accuracy is measured, in units of the training radius.
RADII = (0.25, 0.5, 1.0, 1.5, 2.0)


@final
@settings
class RobustTraining(Experiment):
    """Networks trained in l-infinity by several objectives, from the same weights and for the same number of epochs.

    `boundary_aware` is the objective of the paper with the settings of its authors in units of the radius; it trains on
    clean images first, which is part of its epochs. Its variants have `equal_weights` (alpha 0), `steep_weights` (ten
    times alpha), `no_cutoff`, `no_division` by the gradient, or the `logit_margin` of the samples in place of their
    margin; the weight of the last two is smaller by the radius, which is about the margin of a logit of one.

    Columns: for each arm `robust_ARM`, the robust accuracy on test images, mean over 1/4, 1/2, 1, 3/2 and 2 times the
    radius; `robust_at_eps_ARM`; `accuracy_ARM`; `seconds_ARM` of training; with `certify`, `certified_ARM`, the
    certified accuracy, mean over the same radii. With `equal_seconds`, `robust_long_ARM` for the baselines trained for
    as many more epochs as fit the time of `boundary_aware`. Then

    - `gain`: `robust_boundary_aware` less the best of adversarial training, TRADES and MART; `gain_equal_seconds`, less
      the best of their longer trainings;
    - `gain_adversarial`: that of adversarial training over standard training;
    - `loss_VARIANT`: `robust_boundary_aware` less that of a variant.

    Args:
        scene: a built-in scene of images.
        arms: the objectives.
        eps: the radius.
        epochs: of every training.
        first_epochs: of these, the clean ones of `boundary_aware` and its variants.
        max_passes: of one search in a step of boundary-aware training.
        images: how many test images are measured.
        attacks: the attacks of the robust accuracy.
        attack_steps: of each run of Auto-PGD.
        equal_seconds: whether the baselines are also trained for equal seconds.
        certify: whether the certified accuracy is measured.
        set: changes of the scene.
    """

    version: ClassVar[int] = 1

    scene: str = "digits"
    arms: tuple[Arm, ...] = ("standard", *BASELINES, "boundary_aware")
    eps: Positive = 0.1
    epochs: Count = 15
    first_epochs: Count = 2
    max_passes: Positive = 20.0
    images: Count = 100
    attacks: tuple[AttackName, ...] = ("margin", "apgd_ce", "apgd_targeted")
    attack_steps: Count = 100
    equal_seconds: Flag = False
    certify: Flag = False
    set: tuple[str, ...] = ()

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        changes = [f"data.measured={self.images}", "snapshots.count=2", *self.set]
        prepared = prepare_scene(self.scene, changes, seed, resources)
        row: Row = {}
        networks = {}
        for arm in self.arms:
            networks[arm], row[f"seconds_{arm}"] = self._train(prepared, arm, self.epochs)
        long = {}
        if self.equal_seconds:
            for arm in BASELINES:
                epochs = max(1, round(self.epochs * row["seconds_boundary_aware"] / row[f"seconds_{arm}"]))
                long[arm], _ = self._train(prepared, arm, epochs)
        return {"": row | self.describe(prepared, networks, long)}

    def describe(
        self, prepared: PreparedScene, networks: Mapping[Arm, nn.Module], long: Mapping[Arm, nn.Module]
    ) -> Row:
        """Return all columns but the seconds.

        Args:
            prepared: the scene with the test images.
            networks: the trained networks by arm.
            long: the baselines after equal seconds, if there are any.
        """
        samples = prepared.samples
        x = samples.test[samples.test_rows].float().to(prepared.device)
        y = samples.test_labels[samples.test_rows].to(prepared.device)
        row: Row = {}
        for arm, network in networks.items():
            found = self.measure(network, x, y, samples.bounds)
            row |= {f"{column}_{arm}": value for column, value in found.items()}
        for arm, network in long.items():
            row[f"robust_long_{arm}"] = self.measure(network, x, y, samples.bounds)["robust"]
        return row | describe_gains(row)

    def measure(self, network: nn.Module, x: Tensor, y: Tensor, bounds: Box | None) -> Row:
        """Return the accuracies of one network."""
        radii = tuple(self.eps * radius for radius in RADII)
        probe = Robust(norm="linf", eps=radii, attacks=self.attacks, steps=self.attack_steps, max_passes=100.0)
        boundary = Boundary(freeze(network), bounds)
        columns = probe(boundary, x, y).columns
        robust = {radius: float(columns[f"robust_at_{radius:g}"].double().mean()) for radius in radii}
        row = {
            "robust": sum(robust.values()) / len(robust),
            "robust_at_eps": robust[self.eps],
            "accuracy": float((boundary.predict(x) == y).double().mean()),
        }
        if self.certify:
            certified = CertifiedRadius(norm="linf")(boundary, x, y).columns["certified_radius"]
            row["certified"] = float((certified[:, None] >= certified.new_tensor(radii)).double().mean())
        return row

    def objective(self, arm: Arm) -> Objective:
        """Return the objective of an arm."""
        eps = self.eps
        plain: dict[str, Objective] = {
            "standard": Standard(),
            "adversarial": Adversarial(norm="linf", eps=eps, steps=10),
            "trades": Trades(norm="linf", eps=eps, steps=10),
            "mart": Mart(norm="linf", eps=eps, steps=10),
        }
        if arm in plain:
            return plain[arm]
        paper = objectives_along("linf", eps)["boundary_aware"]
        assert isinstance(paper, BoundaryAware)
        paper = dataclasses.replace(paper, max_passes=self.max_passes, burn_in=Stop(epochs=self.first_epochs))
        in_logits = dataclasses.replace(paper, weight=paper.weight * eps)
        variants: dict[str, Objective] = {
            "boundary_aware": paper,
            "equal_weights": dataclasses.replace(paper, alpha=0.0),
            "steep_weights": dataclasses.replace(paper, alpha=10 * paper.alpha),
            "no_cutoff": dataclasses.replace(paper, cutoff=None),
            "no_division": dataclasses.replace(in_logits, divide_by_gradient=False),
            "logit_margin": dataclasses.replace(in_logits, margin="logit", alpha=paper.alpha * eps, cutoff=2.0),
        }
        return variants[arm]

    def _train(self, prepared: PreparedScene, arm: Arm, epochs: int) -> tuple[nn.Module, float]:
        """Return a trained network and the seconds of its training."""
        objective = self.objective(arm)
        if isinstance(objective, BoundaryAware):
            epochs -= self.first_epochs
        training = dataclasses.replace(prepared.scene.training, objective=objective, stop=Stop(epochs=epochs))
        scene = dataclasses.replace(prepared.scene, training=training)
        start = time.perf_counter()
        network = train(dataclasses.replace(prepared, scene=scene)).networks[-1]
        if prepared.device.type == "cuda":
            torch.cuda.synchronize()
        return network, time.perf_counter() - start


def describe_gains(row: Row) -> Row:
    """Return the differences of the robust accuracies that there are."""
    own = row["robust_boundary_aware"]
    gains = {f"loss_{arm}": own - row[f"robust_{arm}"] for arm in VARIANTS if f"robust_{arm}" in row}
    for name, prefix in (("gain", "robust"), ("gain_equal_seconds", "robust_long")):
        baselines = [row[f"{prefix}_{arm}"] for arm in BASELINES if f"{prefix}_{arm}" in row]
        if baselines:
            gains[name] = own - max(baselines)
    if "robust_standard" in row and "robust_adversarial" in row:
        gains["gain_adversarial"] = row["robust_adversarial"] - row["robust_standard"]
    return gains
