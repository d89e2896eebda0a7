"""Labeled points on a manifold for training and testing, and unlabeled points for measuring."""

from typing import ClassVar, final

import torch
from torch import Tensor

from dimple.data.label_base import LabelRule
from dimple.data.labels import AlternatingLabels
from dimple.data.sampling import FarthestPointSampling, Sampling
from dimple.data.source import DataSource, DataSplits, require_several_classes
from dimple.errors import SceneError
from dimple.limits import require_memory
from dimple.manifolds import Manifold
from dimple.settings import Count, NonNegative, settings
from dimple.tensors import generator


@final
@settings
class SyntheticData(DataSource):
    """Labeled points on the manifold of the scene: their number, their positions and their classes.

    Attributes:
        sampling: the rule for the positions of the training points.
        labels: the rule for the classes.
        test_points: the number of test points.
        heldout_points: the number of held-out points.
        noise: standard deviation of isotropic Gaussian noise in all n coordinates of the training and test points,
            added after labeling; the held-out points stay on the manifold.
    """

    has_manifold: ClassVar[bool] = True

    sampling: Sampling = FarthestPointSampling()
    labels: LabelRule = AlternatingLabels()
    test_points: Count = 500
    heldout_points: Count = 300
    noise: NonNegative = 0.0

    def sample(self, manifold: Manifold | None, seed: int, location: str | None = None) -> DataSplits:
        """Return all points of the experiment; each kind of points has its own random generator.

        Raises:
            SceneError: if there is no manifold, or all training points have the same class.
        """
        if manifold is None:
            raise SceneError("manifold is missing; synthetic data lie on one")
        self._require_affordable(manifold)
        train = self.sampling.sample(manifold, generator(seed, "train points"))
        rule = self.labels.bind(manifold)
        labels = rule.label_training_points(train, generator(seed, "train labels"))
        require_several_classes(labels)
        test = manifold.sample(self.test_points, generator(seed, "test points"))
        heldout = manifold.sample(self.heldout_points, generator(seed, "probe points"))
        test_labels = rule.label_new_points(test, train, labels)
        noisy = [x + self.noise * _gaussian(x, seed, name) for x, name in ((train, "train"), (test, "test"))]
        count = 1 + int(max(labels.max(), test_labels.max()))
        return DataSplits(
            noisy[0],
            labels,
            noisy[1],
            test_labels,
            heldout,
            torch.arange(len(labels)),
            torch.arange(min(len(labels), len(test_labels))),
            tuple(str(number) for number in range(count)),
            tangents=manifold,
        )

    def _require_affordable(self, manifold: Manifold) -> None:
        """Refuse so many points, or so large a space, that the memory or the time of a computer does not suffice."""
        n = manifold.ambient_dim
        drawn = self.sampling.draw_count(manifold)
        for key, count in (
            ("data.sampling draws", drawn),
            ("data.test_points is", self.test_points),
            ("data.heldout_points is", self.heldout_points),
        ):
            # The coordinates, and two intermediate results of this size.
            require_memory(24.0 * n * count, f"{key} {count} in R^{n}", SceneError)
        # A basis of the tangent space, and the intermediate results of its computation.
        require_memory(32.0 * n * manifold.dim, f"manifold has dimension {manifold.dim} in R^{n}", SceneError)


def _gaussian(x: Tensor, seed: int, name: str) -> Tensor:
    return torch.randn(x.shape, generator=generator(seed, name, "noise"), dtype=x.dtype)
