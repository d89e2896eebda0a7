"""Labelled points of a manifold: what to train on, what to test on, and where to look in between."""

import dataclasses
from typing import final

import torch
from torch import Tensor

from dimple.data.label_base import Labelling
from dimple.data.labels import Alternating
from dimple.data.sampling import Sampling, Spread
from dimple.errors import SceneError
from dimple.manifolds import Manifold
from dimple.settings import Count, NonNegative, settings
from dimple.tensors import generator


@final
@dataclasses.dataclass(frozen=True)
class ManifoldSamples:
    """Points of one manifold, float64 rows `(N, n)`.

    Attributes:
        train, train_labels: what the network is trained on.
        test, test_labels: independent uniform points with the classes that the rule gives them.
        probe: unlabelled uniform points at which the boundary is measured between the training points.
    """

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    probe: Tensor


@final
@settings
class Synthetic:
    """The `data` section of a scene: how many points, where, and of which class.

    Attributes:
        noise: standard deviation of isotropic Gaussian noise in all n coordinates of the training and test points,
            added after they have been labelled; the probe points stay on the manifold.
    """

    sampling: Sampling = Spread()
    labels: Labelling = Alternating()
    test_points: Count = 500
    probe_points: Count = 300
    noise: NonNegative = 0.0

    def draw(self, manifold: Manifold, seed: int) -> ManifoldSamples:
        """All points of the experiment; each part has its own random stream.

        Raises:
            SceneError: if the training points are of one class only.
        """
        train = self.sampling.points(manifold, generator(seed, "train points"))
        rule = self.labels.on(manifold)
        labels = rule.labels(train, generator(seed, "train labels"))
        if int(labels.min()) == int(labels.max()):
            raise SceneError(
                f"data.labels gives all {len(labels)} training points class {int(labels[0])}; "
                "a boundary needs two classes: change the rule or the seed"
            )
        test = manifold.sample(self.test_points, generator(seed, "test points"))
        probe = manifold.sample(self.probe_points, generator(seed, "probe points"))
        test_labels = rule.extend(test, train, labels)
        noisy = [x + self.noise * _gaussian(x, seed, name) for x, name in ((train, "train"), (test, "test"))]
        return ManifoldSamples(noisy[0], labels, noisy[1], test_labels, probe)


def _gaussian(x: Tensor, seed: int, name: str) -> Tensor:
    return torch.randn(x.shape, generator=generator(seed, name, "noise"), dtype=x.dtype)
