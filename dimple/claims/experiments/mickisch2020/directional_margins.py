"""Distances from the boundary along kinds of directions, at the end of a training over those of a fitted network."""

import math
from collections.abc import Mapping
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.final_network import samples_on_device
from dimple.claims.experiments.mickisch2020.margins import Epochs, collect_epochs, epoch_changes
from dimple.claims.experiments.trained_scene import prepare_scene, train
from dimple.data import DataSplits
from dimple.networks import freeze
from dimple.probes import SubspaceMargin
from dimple.probes.subspaces import Subspace, principal_axes
from dimple.protocols import TangentField
from dimple.settings import Count, settings
from dimple.stats.aggregate import lower_median
from dimple.tangents import LocalPCA
from dimple.tensors import flatten, generator

# The kinds of directions other than the closest one.
KINDS = ("random", "principal", "tangent")


@final
@settings
class DirectionalMargins(Experiment):
    """A scene of images, measured in subspaces of one dimension: random, principal, tangent to the data, and all.

    Columns: for each kind of direction, `random`, `principal`, `tangent`, and for `free`, the closest point of all, the
    median over training images of the distance to the boundary at the end over that after the first epoch with a
    training accuracy of 0.99; with `_first` over that after the first epoch; `largest` and `largest_first`, the largest
    of those of the three subspaces.

    Args:
        scene: a built-in scene.
        epochs: of training.
        images: training images that are measured.
        dim: of the subspaces.
        set: further changes of the scene.
    """

    scene: str = "digits"
    epochs: Count = 60
    images: Count = 100
    dim: Count = 8
    set: tuple[str, ...] = ("training.lr=0.003",)

    version: ClassVar[int] = 1

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        changes = [*self.set, *epoch_changes(self.epochs), f"data.measured={self.images}"]
        prepared = prepare_scene(self.scene, changes, seed, resources)
        samples = samples_on_device(prepared)
        epochs = collect_epochs(train(prepared), samples)
        return {"": describe_directions(epochs, samples, subspaces(samples, self.dim, seed))}


def subspaces(samples: DataSplits, dim: int, seed: int) -> dict[str, TangentField]:
    """Return the subspaces of each kind: random, principal directions, and those of the neighbors of each image."""
    x = samples.train
    gaussian = torch.randn(flatten(x).shape[1], dim, generator=generator(seed, "random directions"))
    random = torch.linalg.qr(gaussian.to(x)).Q
    principal = principal_axes(x)[:, :dim].to(x)
    tangent = LocalPCA(x, dim=dim, neighbors=min(4 * dim, len(x) - 1))
    return {"random": Subspace(random), "principal": Subspace(principal), "tangent": tangent}


def describe_directions(epochs: Epochs, samples: DataSplits, fields: Mapping[str, TangentField]) -> Row:
    """Return the columns of a training, over the training images that are measured."""
    x = samples.train[samples.train_rows]
    y = samples.train_labels[samples.train_rows]
    last = _distances(epochs.networks[-1], x, y, fields)
    row: Row = {}
    for suffix, epoch in (("", epochs.fitted), ("_first", 1)):
        before = None if epoch is None else _distances(epochs.networks[epoch], x, y, fields)
        ratios = {
            kind: math.nan if before is None else lower_median(values) / lower_median(before[kind])
            for kind, values in last.items()
        }
        row |= {f"{kind}{suffix}": ratio for kind, ratio in ratios.items()}
        row[f"largest{suffix}"] = max(ratios[kind] for kind in KINDS)
    return row


def _distances(network: nn.Module, x: Tensor, y: Tensor, fields: Mapping[str, TangentField]) -> dict[str, np.ndarray]:
    """Return the distances along each kind of direction, `(B,)`, without the range of pixels."""
    probe = SubspaceMargin(fields, null_draws=1, max_passes=25.0)
    columns = probe(Boundary(freeze(network)), x, y).columns
    names = {kind: f"margin_{kind}" for kind in KINDS} | {"free": "margin_unbounded"}
    return {kind: columns[name].abs().double().cpu().numpy() for kind, name in names.items()}
