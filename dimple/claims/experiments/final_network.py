"""Networks of a scene at the end of their training, and their accuracy: what experiments on images begin with."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Resources
from dimple.claims.experiments.trained_scene import prepare_scene, train
from dimple.data import DataSplits
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.networks import freeze
from dimple.scene import load_scene
from dimple.tensors import apply_in_chunks

CHUNK_SIZE = 4096
# Distance of the seeds of second networks from those of the replicas.
OTHER_SEED = 10**6


def prepare(name: str, changes: Sequence[str], seed: int, resources: Resources) -> PreparedScene:
    """Return a built-in scene with changes, of which only the last snapshot is of use."""
    return prepare_scene(name, [*changes, "snapshots.count=2"], seed, resources)


def change_scene(prepared: PreparedScene, name: str, changes: Sequence[str]) -> PreparedScene:
    """Return the same samples with other changes of the same built-in scene, such as another objective."""
    scene = load_scene(name, [*changes, "snapshots.count=2"], prepared.scene.seed)
    return dataclasses.replace(prepared, scene=scene)


def with_other_seed(prepared: PreparedScene) -> PreparedScene:
    """Return the same samples with other random numbers of network and training."""
    scene = dataclasses.replace(prepared.scene, seed=prepared.scene.seed + OTHER_SEED)
    return dataclasses.replace(prepared, scene=scene)


def final_network(prepared: PreparedScene, network: nn.Module | None = None) -> nn.Module:
    """Return the network at the end of its training, in eval mode, with fixed weights."""
    return freeze(train(prepared, network).networks[-1])


def train_network(scene: str, changes: Sequence[str], seed: int, resources: Resources) -> tuple[nn.Module, DataSplits]:
    """Return the network at the end of the training of a scene, and its samples in single precision on the device."""
    prepared = prepare(scene, changes, seed, resources)
    return final_network(prepared), samples_on_device(prepared)


def samples_on_device(prepared: PreparedScene) -> DataSplits:
    """Return the samples of a scene in single precision, on the device of its networks."""
    samples = prepared.samples
    return dataclasses.replace(
        samples,
        train=samples.train.float().to(prepared.device),
        train_labels=samples.train_labels.to(prepared.device),
        test=samples.test.float().to(prepared.device),
        test_labels=samples.test_labels.to(prepared.device),
    )


def predict(network: nn.Module, x: Tensor) -> Tensor:
    """Return the classes that a network gives samples `(B, *shape)` in eval mode, `(B,)`."""
    return apply_in_chunks(Boundary(freeze(network)).predict, x, CHUNK_SIZE)


def predict_confidence(network: nn.Module, x: Tensor) -> Tensor:
    """Return the softmax of the predicted class, `(B,)`."""
    scores = apply_in_chunks(Boundary(freeze(network)).scores, x, CHUNK_SIZE)
    confidence: Tensor = torch.softmax(scores, dim=1).amax(1)
    return confidence


def accuracy(network: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the fraction of samples with the right class; nan without samples."""
    return float((predict(network, x) == y).double().mean())
