"""Label rules that need only the points, and the table of all label rules."""

from typing import Annotated, final

import torch
from annotated_types import Interval
from pydantic import Strict
from torch import Tensor

from dimple.data.label_base import LabelRule, PointwiseLabels
from dimple.data.manifold_labels import (
    ChartCheckerboardLabels,
    ComponentLabels,
    HarmonicLabels,
    ImageLabels,
    RandomWaveLabels,
    VoronoiLabels,
)
from dimple.errors import SceneError
from dimple.manifolds import Manifold
from dimple.renamed import missing_attribute
from dimple.settings import Finite, Fraction, Positive, settings
from dimple.tensors import pairwise_distances

BinaryClass = Annotated[int, Strict(), Interval(ge=0, le=1)]


@final
@settings
class RandomLabels(LabelRule):
    """Independent random labels, class 1 with probability `fraction`; other points get the nearest training label."""

    fraction: Fraction = 0.5

    def label_training_points(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return (torch.rand(len(x), generator=generator, dtype=torch.float64) < self.fraction).long()


@final
@settings
class AlternatingLabels(LabelRule):
    """Labels by which each point differs from its neighbors as far as possible, so that only a fine pattern exists.

    The labels minimize the energy sum_ij exp(-(|x_i-x_j| / (width * spacing))^2) s_i s_j over signs s = +-1, as in an
    antiferromagnet: they start random, and single labels are flipped until no flip lowers the energy (a local minimum).
    The spacing is the median distance from a point to the nearest point at another position.
    """

    width: Positive = 1.5

    def label_training_points(self, x: Tensor, generator: torch.Generator) -> Tensor:
        # Each flip lowers the energy, so the loop ends.
        sign = torch.where(torch.rand(len(x), generator=generator, dtype=torch.float64) < 0.5, -1.0, 1.0).double()
        distance = pairwise_distances(x, x)
        nearest = torch.where(distance > 0, distance, torch.inf).amin(1)
        if not bool(nearest.isfinite().any()):
            return (sign > 0).long()
        spacing = nearest[nearest.isfinite()].median()
        coupling = torch.exp(-((distance / (self.width * spacing)) ** 2)).fill_diagonal_(0)
        while True:
            energy = sign * (coupling @ sign)
            worst = int(energy.argmax())
            if energy[worst] <= 1e-12:
                return (sign > 0).long()
            sign[worst] = -sign[worst]


@final
@settings
class CheckerboardLabels(PointwiseLabels):
    """A checkerboard in the ambient space: cubes of side `cell`, with a corner at `origin` on each axis."""

    cell: Positive = 0.25
    origin: Finite = -0.125

    def evaluate(self, x: Tensor) -> Tensor:
        return torch.floor((x - self.origin) / self.cell).long().sum(dim=1) % 2


@final
@settings
class HalfSpaceLabels(PointwiseLabels):
    """Class 1 in the half-space `normal . x > level`, class 0 elsewhere."""

    normal: tuple[Finite, ...] = (1.0,)
    level: Finite = 0.0

    def evaluate(self, x: Tensor) -> Tensor:
        if len(self.normal) != x.shape[1]:
            raise SceneError(f"data.labels.normal has {len(self.normal)} numbers; the space has {x.shape[1]}")
        return (x @ x.new_tensor(self.normal) > self.level).long()


@final
@settings
class ExplicitLabels(LabelRule):
    """Labels listed in the scene, one per training point; other points get the nearest training label."""

    values: tuple[BinaryClass, ...] = ()

    def label_training_points(self, x: Tensor, generator: torch.Generator) -> Tensor:
        if len(self.values) != len(x):
            raise SceneError(f"data.labels.values has {len(self.values)} classes for {len(x)} training points")
        return torch.tensor(self.values)


@final
@settings
class NoisyLabels(LabelRule):
    """The labels of another rule `base`, with a random fraction `flip` of the training labels changed.

    If the class of `base` is a function of the position, other points keep their correct class, so a test error is
    measured against the truth. If `base` uses the nearest training point, other points get the changed labels.
    """

    base: LabelRule = AlternatingLabels()
    flip: Fraction = 0.1

    def label_training_points(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return the labels of `base`, with exactly round(flip * N) of them changed to a random other class."""
        correct = self.base.label_training_points(x, generator)
        classes = max(int(correct.max()) + 1, 2)
        changed = torch.randperm(len(x), generator=generator)[: round(self.flip * len(x))]
        shift = torch.randint(1, classes, (len(changed),), generator=generator)
        noisy = correct.clone()
        noisy[changed] = (correct[changed] + shift) % classes
        return noisy

    def label_new_points(self, x: Tensor, train: Tensor, train_labels: Tensor) -> Tensor:
        return self.base.label_new_points(x, train, train_labels)

    def bind(self, manifold: Manifold) -> LabelRule:
        return NoisyLabels(self.base.bind(manifold), self.flip)


LABEL_RULES: dict[str, type[LabelRule]] = {
    "alternating": AlternatingLabels,
    "chart_checkerboard": ChartCheckerboardLabels,
    "checkerboard": CheckerboardLabels,
    "components": ComponentLabels,
    "explicit": ExplicitLabels,
    "half_space": HalfSpaceLabels,
    "harmonics": HarmonicLabels,
    "image": ImageLabels,
    "noisy": NoisyLabels,
    "random": RandomLabels,
    "voronoi": VoronoiLabels,
    "waves": RandomWaveLabels,
}

__getattr__ = missing_attribute(__name__)
