"""Labeled points on a manifold for training and testing, and unlabeled points for measuring."""

import dataclasses
from typing import final

import torch
from torch import Tensor

from dimple.data.label_base import LabelRule
from dimple.data.labels import AlternatingLabels
from dimple.data.sampling import FarthestPointSampling, Sampling
from dimple.errors import SceneError
from dimple.manifolds import Manifold
from dimple.settings import Count, NonNegative, settings
from dimple.tensors import generator


@final
@dataclasses.dataclass(frozen=True)
class ManifoldSamples:
    """The points of one experiment, float64 rows `(N, n)`.

    Attributes:
        train, train_labels: the training points and their classes `(N,)`.
        test, test_labels: independent uniform points and the classes that the label rule gives them.
        heldout: unlabeled uniform points, at which the boundary is measured between the training points.
    """

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    heldout: Tensor


@final
@settings
class SyntheticData:
    """The entry `data` of a scene: the number of points, their positions and their classes.

    Attributes:
        sampling: the rule for the positions of the training points.
        labels: the rule for the classes.
        test_points: the number of test points.
        heldout_points: the number of held-out points.
        noise: standard deviation of isotropic Gaussian noise in all n coordinates of the training and test points,
            added after labeling; the held-out points stay on the manifold.
    """

    sampling: Sampling = FarthestPointSampling()
    labels: LabelRule = AlternatingLabels()
    test_points: Count = 500
    heldout_points: Count = 300
    noise: NonNegative = 0.0

    def sample(self, manifold: Manifold, seed: int) -> ManifoldSamples:
        """Return all points of the experiment; each kind of points has its own random generator.

        Raises:
            SceneError: if all training points have the same class.
        """
        train = self.sampling.sample(manifold, generator(seed, "train points"))
        rule = self.labels.bind(manifold)
        labels = rule.label_training_points(train, generator(seed, "train labels"))
        if int(labels.min()) == int(labels.max()):
            raise SceneError(
                f"data.labels gives all {len(labels)} training points class {int(labels[0])}; "
                "a boundary needs two classes: change the rule or the seed"
            )
        test = manifold.sample(self.test_points, generator(seed, "test points"))
        heldout = manifold.sample(self.heldout_points, generator(seed, "probe points"))
        test_labels = rule.label_new_points(test, train, labels)
        noisy = [x + self.noise * _gaussian(x, seed, name) for x, name in ((train, "train"), (test, "test"))]
        return ManifoldSamples(noisy[0], labels, noisy[1], test_labels, heldout)


def _gaussian(x: Tensor, seed: int, name: str) -> Tensor:
    return torch.randn(x.shape, generator=generator(seed, name, "noise"), dtype=x.dtype)
