"""Controls of a simulation: the same network trained with permuted labels, and from a start on the data."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dimple.errors import SceneError
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.experiment.simulation.snapshot_measures import SnapshotMeasurement, SnapshotMeasurer
from dimple.probes import Offset
from dimple.scene.scene import Scene
from dimple.tensors import generator
from dimple.training.objectives.base import evaluation_mode
from dimple.workers import Advance

# What each control changes, and what is to be said of the fall of the run if there is one in the control or none.
CONTROLS = {
    "permuted_labels": ("With permuted labels", "does not need these labels", "needs these labels"),
    "start_on_data": (
        "Started on the data",
        "is more than its way back from the start",
        "is therefore its way back from the start",
    ),
}


def require_offset(scene: Scene) -> None:
    """Raise a SceneError if the scene does not measure the distance that controls judge."""
    if scene.manifold is None:
        raise SceneError("controls compare distances along the normals of a manifold; leave them out for images")
    if not any(isinstance(probe, Offset) for probe in scene.probes):
        raise SceneError("controls compare the distance that the probe offset measures; add {kind: offset} to probes")


def measure_controls(prepared: PreparedScene, advance: Advance) -> dict[str, list[SnapshotMeasurement]]:
    """Train each control as the scene says, and measure the offset at its snapshots.

    Args:
        prepared: the scene with its samples.
        advance: called after each snapshot.
    """
    samples = prepared.samples
    labels = permute_labels(samples.train_labels, prepared.scene.seed)
    permuted = dataclasses.replace(prepared, samples=dataclasses.replace(samples, train_labels=labels))
    on_data = prepared.initial_network()
    shift_onto_data(on_data, samples.train.float().to(prepared.device))
    controls = {"permuted_labels": (permuted, prepared.initial_network()), "start_on_data": (prepared, on_data)}
    probes = tuple(probe for probe in prepared.scene.probes if isinstance(probe, Offset))
    result: dict[str, list[SnapshotMeasurement]] = {}
    for name, (control, network) in controls.items():
        scene = dataclasses.replace(control.scene, probes=probes)
        measurer = SnapshotMeasurer(dataclasses.replace(control, scene=scene))
        snapshots: list[SnapshotMeasurement] = []

        def record(step: int, trained: nn.Module, loss: float, measurer: Any = measurer, into: Any = snapshots) -> None:
            into.append(measurer.measure(step, trained, loss))
            advance()

        control.fit(network, record)
        result[name] = snapshots
    return result


def permute_labels(labels: Tensor, seed: int) -> Tensor:
    """Return the labels in a random order that differs from theirs."""
    random = generator(seed, "permuted labels")
    while True:
        permuted = labels[torch.randperm(len(labels), generator=random)]
        if not torch.equal(permuted, labels):
            return permuted


@torch.no_grad()
def shift_onto_data(network: nn.Module, x: Tensor) -> None:
    """Shift the last bias of a network so that its scores have the same mean over the samples.

    The boundary keeps its direction. With two classes the logit margin has both signs at the samples (or is zero), so
    the boundary passes through the data.

    Raises:
        SceneError: if the last linear layer has no bias.
    """
    last = next((layer for layer in reversed(list(network.modules())) if isinstance(layer, nn.Linear)), None)
    if last is None or last.bias is None:
        raise SceneError("controls shift the bias of the last layer of the network, which has none")
    with evaluation_mode(network):
        mean = network(x).mean(dim=0)
    # A network of one logit has the scores 0 and this logit.
    last.bias.sub_(mean if len(last.bias) == len(mean) else mean.diff())


def judge_controls(summary: Mapping[str, Any], controls: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the summary of each control, with `has_fallen` and a sentence that compares its fall with that of the run.

    Args:
        summary: the summary of the run.
        controls: the summary of each control.
    """
    result = {}
    for name, control in controls.items():
        change, *conclusions = CONTROLS[name]
        fallen, finding = _find_fall(control)
        conclusion = ""
        if _find_fall(summary)[0] and fallen is not None:
            conclusion = f"; the fall of the run {conclusions[0 if fallen else 1]}"
        result[name] = {**control, "has_fallen": fallen, "finding": f"{change}, {finding}{conclusion}."}
    return result


def _find_fall(summary: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Return whether the distance fell before the dimpling, None where it is not decided, and the finding."""
    for condition in summary["conditions"]:
        if condition["name"] == "distance_fall":
            return condition["met"], condition["finding"]
    return None, summary["verdict_reason"]
