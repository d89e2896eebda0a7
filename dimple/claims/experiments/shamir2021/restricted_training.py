"""Adversarial training against perturbations along a manifold, off it, and in random directions."""

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar, final

import torch

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.trained_scene import RecordedTraining, prepare_scene, train
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.networks.wrappers import freeze
from dimple.settings import Count, Positive, settings
from dimple.stats.replica_curves import find_correct
from dimple.tangents.random_subspace import RandomSubspace

# By arm, where perturbations lie: against the exact tangent spaces, or against one random subspace of their dimension.
ARMS = {"on": ("on", False), "off": ("off", False), "on_random": ("on", True), "off_random": ("off", True)}


@final
@settings
class RestrictedTraining(Experiment):
    """One scene, trained adversarially with perturbations of one length in different directions.

    Columns: those of `compare_costs`.

    Args:
        name: a built-in scene.
        eps: largest l2 norm of a perturbation.
        steps: gradient steps of its search.
        training_steps: updates.
        lr: the learning rate.
        snapshots: how many there are.
    """

    version: ClassVar[int] = 1

    name: str
    eps: Positive
    steps: Count = 1
    training_steps: Count = 1200
    lr: Positive = 0.002
    snapshots: Count = 40

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        base = [f"snapshots.count={self.snapshots}", f"training.steps={self.training_steps}", f"training.lr={self.lr}"]
        search = f"kind: adversarial, norm: l2, eps: {self.eps}, steps: {self.steps}, random_start: false"
        clean = prepare_scene(self.name, [*base, "training.objective={kind: standard}"], seed, resources)
        random = RandomSubspace(clean.scene.require_manifold().dim, seed, 0)
        trained = {"clean": train(clean)}
        for arm, (restrict, is_random) in ARMS.items():
            objective = f"training.objective={{{search}, restrict: {restrict}}}"
            prepared = prepare_scene(self.name, [*base, objective], seed, resources)
            if is_random:
                samples = dataclasses.replace(prepared.samples, tangents=random)
                prepared = dataclasses.replace(prepared, samples=samples)
            trained[arm] = train(prepared)
        return {self.name: compare_costs(clean, trained)}


def compare_costs(prepared: PreparedScene, trained: Mapping[str, RecordedTraining]) -> Row:
    """Return the cost of each arm.

    Returns:
        `steps_<arm>`, the step from which the training points are right and stay right, inf where they do not;
        `accuracy_<arm>`, the mean accuracy on the training points over all snapshots; `steps_off_over_on` and
        `steps_off_over_random`, that of the arm off the manifold over those of the arm along it, and of the
        arm in as many random directions; nan where both are infinite.
    """
    x = prepared.samples.train.float().to(prepared.device)
    y = prepared.samples.train_labels
    row: Row = {}
    for arm, trajectory in trained.items():
        predicted = [Boundary(freeze(network)).predict(x).cpu() for network in trajectory.networks]
        accuracy = torch.stack([(labels == y).double().mean() for labels in predicted]).numpy()
        index = find_correct(accuracy)[0]
        row[f"steps_{arm}"] = math.inf if index is None else float(max(trajectory.steps[index], 1))
        row[f"accuracy_{arm}"] = float(accuracy.mean())
    for name, other in (("on", "on"), ("random", "off_random")):
        both = row["steps_off"], row[f"steps_{other}"]
        row[f"steps_off_over_{name}"] = math.nan if both == (math.inf, math.inf) else both[0] / both[1]
    return row
