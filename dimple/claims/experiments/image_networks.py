"""Networks that classify images: their training by a scene, and their predictions."""

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
from dimple.tensors import apply_in_chunks

PREDICTION_CHUNK_SIZE = 4096


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


def train_network(scene: str, changes: Sequence[str], seed: int, resources: Resources) -> tuple[nn.Module, DataSplits]:
    """Return the network at the end of the training of a scene, in eval mode, and the samples."""
    prepared = prepare_scene(scene, [*changes, "snapshots.count=2"], seed, resources)
    return freeze(train(prepared).networks[-1]), samples_on_device(prepared)


def predict(network: nn.Module, x: Tensor) -> Tensor:
    """Return the predicted classes `(B,)`."""
    return apply_in_chunks(Boundary(freeze(network)).predict, x, PREDICTION_CHUNK_SIZE)


def accuracy(network: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the fraction of samples that are classified correctly."""
    return float((predict(network, x) == y).double().mean())


def predict_confidence(network: nn.Module, x: Tensor) -> Tensor:
    """Return the softmax of the predicted class, `(B,)`."""
    scores = apply_in_chunks(Boundary(freeze(network)).scores, x, PREDICTION_CHUNK_SIZE)
    confidence: Tensor = torch.softmax(scores, dim=1).amax(1)
    return confidence
