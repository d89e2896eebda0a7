"""Labels as functions on the manifold: patterns in its chart, waves of a frequency, centres, pieces, pictures."""

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, final

import numpy as np
import torch
from annotated_types import Interval, MinLen
from PIL import Image, UnidentifiedImageError
from pydantic import Strict
from scipy.special import eval_gegenbauer
from torch import Tensor

from dimple.data.label_base import Labelling, Rule
from dimple.errors import DataError, SceneError
from dimple.manifolds import Manifold
from dimple.settings import Count, Positive, Seed, settings
from dimple.tensors import generator

Shares = Annotated[tuple[Positive, ...], MinLen(2)]
Classes = Annotated[int, Strict(), Interval(ge=2, le=1000)]
# Points by which a share of the volume becomes a level of a function.
LEVEL_POINTS = 8192
WAVES = 64


@final
@dataclasses.dataclass(frozen=True)
class Seen(Rule):
    """A rule that has seen its manifold.

    Attributes:
        function: classes `(N,)`, int64, for points `(N, n)`.
    """

    function: Callable[[Tensor], Tensor]

    def at(self, x: Tensor) -> Tensor:
        """The function."""
        return self.function(x)


class Field(Labelling):
    """A rule that must see the manifold first: `rule.on(manifold)` labels its points."""

    @abstractmethod
    def on(self, manifold: Manifold) -> Labelling:
        """The rule as a function of the place."""

    def labels(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Refused: without the manifold the rule has no meaning."""
        raise SceneError(f"{type(self).__name__} labels points of a manifold: call .on(manifold) and ask its answer")


@final
@settings
class ChartCheckerboard(Field):
    """`cells` fields along each chart coordinate, coloured like a chessboard: class by the parity of the field."""

    cells: Count = 4

    def on(self, manifold: Manifold) -> Labelling:
        """By the chart coordinates of the nearest point."""
        return Seen(lambda x: _cell(manifold.coordinates(x), self.cells).sum(1) % 2)


@final
@settings
class RandomWaves(Field):
    """Bands of equal phase of a random superposition of plane waves of one `wavelength` in the ambient space.

    The function is smooth and varies with that wavelength in every direction of the manifold. `shares` says which
    share of the volume each class gets, from low to high values: how many classes there are, and how balanced.
    """

    wavelength: Positive = 0.5
    shares: Shares = (0.5, 0.5)
    seed: Seed = 0

    def on(self, manifold: Manifold) -> Labelling:
        """Levels of the sum of 64 cosines."""
        stream = generator(self.seed, "waves")
        direction = torch.randn(WAVES, manifold.ambient_dim, generator=stream, dtype=torch.float64)
        # Seen along the manifold a random wave of n dimensions is longer by sqrt(n/d): count the tangent part only.
        wave = math.sqrt(manifold.ambient_dim / manifold.dim) * 2 * math.pi / self.wavelength
        waves = direction / direction.norm(dim=1, keepdim=True) * wave
        phase = 2 * math.pi * torch.rand(WAVES, generator=stream, dtype=torch.float64)
        return _levels(manifold, lambda x: (x @ waves.to(x).T + phase.to(x)).cos().sum(1), self.shares)


@final
@settings
class Harmonics(Field):
    """Levels of a random spherical harmonic of one `degree`, a function of the direction from the origin.

    On a sphere S^d it is an eigenfunction of the Laplacian with the eigenvalue degree (degree + d - 1) / r^2; on a
    circle a wave that goes round `degree` times. `shares` as for `RandomWaves`.

    Reference: the addition theorem: zonal harmonics around random poles span all of one degree.
    """

    degree: Count = 3
    shares: Shares = (0.5, 0.5)
    seed: Seed = 0

    def on(self, manifold: Manifold) -> Labelling:
        """Levels of the sum of zonal harmonics around random poles, as many as it takes to span the degree."""
        return _levels(manifold, self.function(manifold.ambient_dim), self.shares)

    def function(self, ambient_dim: int) -> Callable[[Tensor], Tensor]:
        """The harmonic itself, from points `(N, n)` to values `(N,)`.

        Raises:
            SceneError: on a line, which has two directions only.
        """
        if ambient_dim < 2:
            raise SceneError(f"data.labels.kind is 'harmonics'; the space has {ambient_dim} dimension and needs 2")
        stream = generator(self.seed, "harmonics")
        poles = torch.randn(4 * self.degree + 4, ambient_dim, generator=stream, dtype=torch.float64)
        poles = poles / poles.norm(dim=1, keepdim=True)
        weight = torch.randn(len(poles), generator=stream, dtype=torch.float64)

        def value(x: Tensor) -> Tensor:
            unit = x / x.norm(dim=1, keepdim=True).clamp(min=1e-300)
            return _zonal(self.degree, ambient_dim, (unit @ poles.to(x).T).clamp(-1, 1)) @ weight.to(x)

        return value


@final
@settings
class Centres(Field):
    """The class of the nearest of `count` random places of the manifold, which take the classes in turn."""

    count: Annotated[int, Strict(), Interval(ge=2, le=100_000)] = 6
    classes: Classes = 2
    seed: Seed = 0

    def on(self, manifold: Manifold) -> Labelling:
        """By the Euclidean distance."""
        places = manifold.sample(self.count, generator(self.seed, "centres"))
        return Seen(lambda x: torch.cdist(x, places.to(x)).argmin(dim=1) % self.classes)


@final
@settings
class Components(Field):
    """A class for each piece of the manifold, such as inner and outer sphere; they take the classes in turn."""

    classes: Classes = 2

    def on(self, manifold: Manifold) -> Labelling:
        """By the nearest piece."""
        if len(manifold.parts) < 2:
            raise SceneError(
                f"data.labels.kind is 'components'; {type(manifold).__name__} is in one piece, so that all points "
                "would have one class: choose another rule"
            )
        return Seen(lambda x: manifold.component(x) % self.classes)


@final
@settings
class Picture(Field):
    """The brightness of a picture laid over the chart: dark is class 0, bright the last, in `classes` equal steps.

    The first chart coordinate runs along the picture from left to right, the second from its bottom to its top.

    Args:
        file: a picture of any format that Pillow reads.
    """

    file: str = ""
    classes: Classes = 2

    def on(self, manifold: Manifold) -> Labelling:
        """By the pixel at the chart coordinates."""
        if manifold.dim > 2:
            raise SceneError(f"data.labels.kind is 'picture'; the manifold has {manifold.dim} dimensions, a picture 2")
        pixels = self._pixels()

        def label(x: Tensor) -> Tensor:
            place = manifold.coordinates(x)
            column = _cell(place[:, 0], pixels.shape[1])
            if manifold.dim == 1:
                row = torch.full_like(column, pixels.shape[0] // 2)
            else:
                row = pixels.shape[0] - 1 - _cell(place[:, 1], pixels.shape[0])
            return pixels.to(x.device)[row, column]

        return Seen(label)

    def _pixels(self) -> Tensor:
        """The class of each pixel, `(height, width)` int64."""
        try:
            with Image.open(self.file) as picture:
                grey = np.asarray(picture.convert("L"), dtype=np.int64)
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            reason = "no such file" if isinstance(error, FileNotFoundError) else "it is no picture that can be read"
            raise DataError(f"data.labels.file is {self.file!r}: {reason}; name a PNG or JPEG file") from None
        return torch.from_numpy(grey * self.classes // 256)


def _cell(unit: Tensor, count: int) -> Tensor:
    """Which of `count` equal parts of [0, 1] each coordinate falls into; 1 itself into the last."""
    return (unit * count).long().clamp(0, count - 1)


def _levels(manifold: Manifold, function: Callable[[Tensor], Tensor], shares: tuple[float, ...]) -> Seen:
    """Classes between the levels at which `function` has passed each class's share of the volume."""
    values = function(manifold.sample(LEVEL_POINTS, generator(0, "levels"))).sort().values
    passed = torch.tensor(shares, dtype=torch.float64).cumsum(0)[:-1] / sum(shares)
    levels = values[(passed * LEVEL_POINTS).long().clamp(max=LEVEL_POINTS - 1)]
    return Seen(lambda x: torch.bucketize(function(x), levels.to(x)))


def _zonal(degree: int, ambient_dim: int, cosine: Tensor) -> Tensor:
    """The zonal harmonic of unit height as a function of the cosine of the angle from its pole."""
    if ambient_dim == 2:
        return (degree * cosine.acos()).cos()
    order = ambient_dim / 2 - 1
    value = eval_gegenbauer(degree, order, cosine.detach().cpu().double().numpy()) / eval_gegenbauer(degree, order, 1.0)
    return torch.from_numpy(np.asarray(value)).to(cosine)
