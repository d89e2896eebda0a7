"""Which class a point of the manifold has: the rules that need no more than the points, and the table of all."""

from typing import Annotated, final

import torch
from annotated_types import Interval
from pydantic import Strict
from torch import Tensor

from dimple.data.label_base import Labelling, Rule
from dimple.data.manifold_labels import Centres, ChartCheckerboard, Components, Harmonics, Picture, RandomWaves
from dimple.errors import SceneError
from dimple.manifolds import Manifold
from dimple.settings import Finite, Fraction, Positive, settings

Class = Annotated[int, Strict(), Interval(ge=0, le=1)]


@final
@settings
class Random(Labelling):
    """Independent coin tosses with probability `share` of class 1; elsewhere the nearest training point's class."""

    share: Fraction = 0.5

    def labels(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The tosses."""
        return (torch.rand(len(x), generator=generator, dtype=torch.float64) < self.share).long()


@final
@settings
class Alternating(Labelling):
    """Each point unlike its neighbours, as far as the places allow: nothing coarse to learn, only the fine pattern.

    Labels start as coin tosses and flip one by one while that lowers sum_ij exp(-(|x_i-x_j| / (width * spacing))^2)
    s_i s_j over signs s, with the median nearest-neighbour distance as the spacing: the ground state of an
    antiferromagnet, found by descent. A point that another one equals has its distance to the next place.
    """

    width: Positive = 1.5

    def labels(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Single flips until none helps; the energy falls at each, so it ends."""
        sign = torch.where(torch.rand(len(x), generator=generator, dtype=torch.float64) < 0.5, -1.0, 1.0).double()
        # By differences: the product form of a distance loses half the digits of near points.
        distance = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = torch.where(distance > 0, distance, torch.inf).amin(1)
        if not bool(nearest.isfinite().any()):
            return (sign > 0).long()
        spacing = nearest[nearest.isfinite()].median()
        coupling = torch.exp(-((distance / (self.width * spacing)) ** 2)).fill_diagonal_(0)
        while True:
            frustration = sign * (coupling @ sign)
            worst = int(frustration.argmax())
            if frustration[worst] <= 1e-12:
                return (sign > 0).long()
            sign[worst] = -sign[worst]


@final
@settings
class Checkerboard(Rule):
    """Squares of side `cell` in the coordinates of the ambient space, from a corner at `origin` on each axis."""

    cell: Positive = 0.25
    origin: Finite = -0.125

    def at(self, x: Tensor) -> Tensor:
        """The parity of the square."""
        return torch.floor((x - self.origin) / self.cell).long().sum(dim=1) % 2


@final
@settings
class HalfSpace(Rule):
    """Class 1 where `normal . x > level`."""

    normal: tuple[Finite, ...] = (1.0,)
    level: Finite = 0.0

    def at(self, x: Tensor) -> Tensor:
        """The side."""
        if len(self.normal) != x.shape[1]:
            raise SceneError(f"data.labels.normal has {len(self.normal)} numbers; the space has {x.shape[1]}")
        return (x @ x.new_tensor(self.normal) > self.level).long()


@final
@settings
class Given(Labelling):
    """The classes that the scene lists, one a training point; elsewhere the nearest training point's class."""

    values: tuple[Class, ...] = ()

    def labels(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The list, of the right length."""
        if len(self.values) != len(x):
            raise SceneError(f"data.labels.values has {len(self.values)} classes for {len(x)} training points")
        return torch.tensor(self.values)


@final
@settings
class Noisy(Labelling):
    """Another rule whose training labels are partly wrong: a share `flip` of them, drawn at random, is another class.

    Points that are not trained on keep the class of a rule that is a function of the place, so that a test error is
    one against the truth; under a rule that asks the nearest training point they inherit the flips.
    """

    of: Labelling = Alternating()
    flip: Fraction = 0.1

    def labels(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The rule's, with exactly round(flip * N) of them moved on to another class, each equally likely."""
        right = self.of.labels(x, generator)
        classes = max(int(right.max()) + 1, 2)
        wrong = torch.randperm(len(x), generator=generator)[: round(self.flip * len(x))]
        moved = torch.randint(1, classes, (len(wrong),), generator=generator)
        noisy = right.clone()
        noisy[wrong] = (right[wrong] + moved) % classes
        return noisy

    def extend(self, x: Tensor, train: Tensor, labels: Tensor) -> Tensor:
        """The rule's own, as far as it does not ask the training points."""
        return self.of.extend(x, train, labels)

    def on(self, manifold: Manifold) -> Labelling:
        """The noise over the rule that has seen it."""
        return Noisy(self.of.on(manifold), self.flip)


LABELLINGS: dict[str, type[Labelling]] = {
    "alternating": Alternating,
    "centres": Centres,
    "chart_checkerboard": ChartCheckerboard,
    "checkerboard": Checkerboard,
    "components": Components,
    "given": Given,
    "half_space": HalfSpace,
    "harmonics": Harmonics,
    "noisy": Noisy,
    "picture": Picture,
    "random": Random,
    "waves": RandomWaves,
}
