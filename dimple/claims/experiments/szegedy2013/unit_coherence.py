"""Coherence of the images that excite single units most, against random directions of the last hidden layer."""

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.final_network import accuracy, train_network
from dimple.networks import freeze
from dimple.settings import settings
from dimple.tensors import apply_in_chunks, flatten, generator

# The images of the largest values along a direction that are compared.
TOP = 8


@final
@settings
class UnitCoherence(Experiment):
    """A convolutional network, and the eight held-out images of the largest values along directions of its last layer.

    The coherence of a direction is the fraction of pairs of its eight images that show the same class; the mean over
    the directions is compared.

    Columns: `units`, for the units that are active for at least eight images; `random`, for as many Gaussian
    directions; `rotation`, for the axes of a random rotation; `excess`, `units` minus `random`; `excess_rotation`;
    `random_over_chance`, `random` minus `chance`, the coherence with permuted labels; `similarity_units` and
    `similarity_random`, the mean correlation of the pixels of these pairs; `active`, the number of units;
    `test_accuracy`.

    Args:
        scene: a built-in scene.
        set: changes of the scene.
    """

    scene: str = "digits"
    set: tuple[str, ...] = ("network={kind: convnet}", "training.epochs=20")

    version: ClassVar[int] = 1

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        network, samples = train_network(self.scene, self.set, seed, resources)
        row = describe_units(network, samples.test, samples.test_labels, seed)
        return {"": row | {"test_accuracy": accuracy(network, samples.test, samples.test_labels)}}


def describe_units(network: nn.Module, x: Tensor, y: Tensor, seed: int) -> Row:
    """Return the columns of a sequential network over held-out images, without its accuracy."""
    below = nn.Sequential(*list(freeze(network).children())[:-1])
    with torch.no_grad():
        features = flatten(apply_in_chunks(below, x, 4096)).double().cpu()
    labels = y.cpu()
    count = features.shape[1]
    active = torch.nonzero((features != 0).sum(0) >= TOP).squeeze(1)
    stream = generator(seed, "directions")
    gaussian = torch.randn(count, max(len(active), 1), generator=stream, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(count, count, generator=stream, dtype=torch.float64)).Q
    permuted = labels[torch.randperm(len(labels), generator=stream)]
    units = features[:, active]
    random = features @ gaussian
    axes = features @ rotation
    coherence = {"units": label_coherence(units, labels), "random": label_coherence(random, labels)}
    chance = label_coherence(random, permuted)
    turned = label_coherence(axes, labels)
    return {
        **coherence,
        "rotation": turned,
        "excess": coherence["units"] - coherence["random"],
        "excess_rotation": coherence["units"] - turned,
        "chance": chance,
        "random_over_chance": coherence["random"] - chance,
        "similarity_units": pixel_similarity(units, x.cpu()),
        "similarity_random": pixel_similarity(random, x.cpu()),
        "active": float(len(active)),
    }


def label_coherence(values: Tensor, labels: Tensor) -> float:
    """Return the fraction of pairs of equal label among the samples of the largest values, over all directions.

    Args:
        values: `(N, D)`, of N samples along D directions.
        labels: `(N,)`.

    Example:
        >>> label_coherence(torch.arange(10.0)[:, None], torch.tensor([1, 1] + [0] * 8))
        1.0
    """
    top = labels[values.topk(TOP, dim=0).indices]
    same = (top[:, None] == top[None]).double().sum((0, 1)) - TOP
    return float((same / (TOP * (TOP - 1))).mean())


def pixel_similarity(values: Tensor, x: Tensor) -> float:
    """Return the mean correlation of the pixels of pairs among the samples of the largest values."""
    rows = flatten(x).double()
    rows = rows - rows.mean(1, keepdim=True)
    rows = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-12)
    sums = rows[values.topk(TOP, dim=0).indices].sum(0).square().sum(1)
    return float(((sums - TOP) / (TOP * (TOP - 1))).mean())
