"""A built-in scene, trained with one seed and measured along its training: what several experiments begin with."""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dimple.claims.experiments.base import Resources
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.experiment.simulation.snapshot_measures import SnapshotMeasurement, SnapshotMeasurer
from dimple.experiment.simulation.summary import stack_snapshots, summarize_snapshots
from dimple.probes import Probe
from dimple.scene import Scene, load_scene
from dimple.training.stacked.fit import can_stack, fit_replicas


@final
@dataclasses.dataclass(frozen=True)
class RecordedTraining:
    """A network along its training: copies of it at the recorded steps.

    Attributes:
        steps: the recorded steps.
        networks: the network at each of them.
        losses: the training loss at each of them.
    """

    steps: tuple[int, ...]
    networks: tuple[nn.Module, ...]
    losses: tuple[float, ...]


def prepare_scene(name: str, changes: Sequence[str], seed: int, resources: Resources) -> PreparedScene:
    """Return a built-in scene with changes such as `training.steps=500`, its seed, and its samples."""
    scene: Scene = load_scene(name, changes, seed)
    location = resources.locate(scene.data.dataset) if scene.data.dataset else None
    return PreparedScene(scene, scene.samples(location), resources.device)


def train(prepared: PreparedScene, network: nn.Module | None = None) -> RecordedTraining:
    """Train a network as the scene says, and return it along its training.

    Args:
        prepared: the scene with its samples.
        network: the network to begin with; None for that of the scene.
    """
    steps: list[int] = []
    networks: list[nn.Module] = []
    losses: list[float] = []

    def record(step: int, trained: nn.Module, loss: float) -> None:
        steps.append(step)
        networks.append(copy.deepcopy(trained))
        losses.append(loss)

    prepared.fit(prepared.initial_network() if network is None else network, record, warn=lambda _sentence: None)
    return RecordedTraining(tuple(steps), tuple(networks), tuple(losses))


def train_together(arms: Sequence[PreparedScene], networks: Sequence[nn.Module]) -> list[RecordedTraining]:
    """Train one network for each scene, each as `train` does up to rounding; at once where their layouts permit.

    Args:
        arms: scenes with the same training and snapshots.
        networks: the network of each before its first update.
    """
    training = arms[0].scene.training
    x = [arm.samples.train.float().to(arm.device) for arm in arms]
    is_same = all(arm.scene.training == training and arm.snapshot_steps == arms[0].snapshot_steps for arm in arms)
    if not is_same or not can_stack(training, networks, x):
        return [train(arm, network) for arm, network in zip(arms, networks, strict=True)]
    steps: list[int] = []
    copies: list[list[nn.Module]] = [[] for _ in arms]
    losses: list[list[float]] = []

    def record(step: int, parameters: dict[str, Tensor], step_losses: Tensor) -> None:
        steps.append(step)
        losses.append(step_losses.tolist())
        for row, network in enumerate(networks):
            copies[row].append(copy.deepcopy(network))
            copies[row][-1].load_state_dict({name: values[row] for name, values in parameters.items()})

    y = torch.stack([arm.samples.train_labels.to(arm.device) for arm in arms])
    seeds = [arm.scene.seed for arm in arms]
    fit_replicas(training, networks, torch.stack(x), y, arms[0].snapshot_steps, record, seeds=seeds)
    return [
        RecordedTraining(tuple(steps), tuple(found), tuple(loss[row] for loss in losses))
        for row, found in enumerate(copies)
    ]


def measure(
    prepared: PreparedScene, trajectory: RecordedTraining, probes: tuple[Probe, ...]
) -> list[SnapshotMeasurement]:
    """Return the measurements of every network of a trajectory by the probes of a scene."""
    scene = dataclasses.replace(prepared.scene, probes=probes)
    measurer = SnapshotMeasurer(dataclasses.replace(prepared, scene=scene))
    return [
        measurer.measure(step, network, loss)
        for step, network, loss in zip(trajectory.steps, trajectory.networks, trajectory.losses, strict=True)
    ]


def summarize(snapshots: Sequence[SnapshotMeasurement]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the metrics of all snapshots by column, and the summary with the phases."""
    return stack_snapshots(snapshots), summarize_snapshots(snapshots)


def weight_path(trajectory: RecordedTraining) -> NDArray[np.float64]:
    """Return the length of the path of all weights up to each recorded step, through the recorded ones."""
    weights = np.stack(
        [
            np.concatenate([tensor.detach().cpu().double().numpy().ravel() for tensor in network.parameters()])
            for network in trajectory.networks
        ]
    )
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(weights, axis=0), axis=1))])
