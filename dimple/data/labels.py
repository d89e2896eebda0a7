"""Which class a point of the manifold has. Two classes, 0 and 1."""

from abc import ABC, abstractmethod
from typing import Annotated, final

import torch
from annotated_types import Interval
from pydantic import Strict
from torch import Tensor

from dimple.errors import SceneError
from dimple.settings import Finite, Fraction, Positive, settings

Class = Annotated[int, Strict(), Interval(ge=0, le=1)]


class Labelling(ABC):
    """A rule that labels the training points."""

    @abstractmethod
    def labels(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The classes `(N,)`, int64, of training points `(N, n)`."""

    def extend(self, x: Tensor, train: Tensor, labels: Tensor) -> Tensor:
        """The classes of other points `(M, n)` of the manifold: that of the nearest training point.

        Rules that are functions of the place override this with the function itself.
        """
        return labels[torch.cdist(x, train).argmin(dim=1)]


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
    antiferromagnet, found by descent.
    """

    width: Positive = 1.5

    def labels(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Single flips until none helps; the energy falls at each, so it ends."""
        sign = torch.where(torch.rand(len(x), generator=generator, dtype=torch.float64) < 0.5, -1.0, 1.0).double()
        if len(x) == 1:
            return (sign > 0).long()
        distance = torch.cdist(x, x)
        spacing = distance.topk(2, largest=False).values[:, 1].median()
        coupling = torch.exp(-((distance / (self.width * spacing)) ** 2)).fill_diagonal_(0)
        while True:
            frustration = sign * (coupling @ sign)
            worst = int(frustration.argmax())
            if frustration[worst] <= 1e-12:
                return (sign > 0).long()
            sign[worst] = -sign[worst]


@final
@settings
class Checkerboard(Labelling):
    """Squares of side `cell` in the coordinates of the ambient space, from a corner at `origin` on each axis."""

    cell: Positive = 0.25
    origin: Finite = -0.125

    def labels(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The parity of the square."""
        return self.extend(x, x, x)

    def extend(self, x: Tensor, train: Tensor, labels: Tensor) -> Tensor:
        """The same function anywhere."""
        return torch.floor((x - self.origin) / self.cell).long().sum(dim=1) % 2


@final
@settings
class HalfSpace(Labelling):
    """Class 1 where `normal . x > level`."""

    normal: tuple[Finite, ...] = (1.0,)
    level: Finite = 0.0

    def labels(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The side."""
        return self.extend(x, x, x)

    def extend(self, x: Tensor, train: Tensor, labels: Tensor) -> Tensor:
        """The same function anywhere."""
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


LABELLINGS: dict[str, type[Labelling]] = {
    "alternating": Alternating,
    "checkerboard": Checkerboard,
    "given": Given,
    "half_space": HalfSpace,
    "random": Random,
}
