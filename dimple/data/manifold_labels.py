"""Label rules that depend on the manifold: patterns in its chart, waves, Voronoi cells, components, images."""

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, final

import numpy as np
import torch
from annotated_types import Interval, MinLen
from pydantic import Strict
from scipy.special import eval_gegenbauer
from torch import Tensor

from dimple.data.label_base import LabelRule, PointwiseLabels
from dimple.data.readers.pixels import decode_image, read_image_file
from dimple.errors import DataError, SceneError
from dimple.manifolds import Manifold
from dimple.manifolds.base import to_double
from dimple.manifolds.embedding import IsometricEmbedding
from dimple.settings import Cells, Positive, Repeats, Seed, settings
from dimple.tensors import generator, pairwise_distances

Fractions = Annotated[tuple[Positive, ...], MinLen(2)]
ClassCount = Annotated[int, Strict(), Interval(ge=2, le=1000)]
# Sample points that turn a fraction of the volume into a quantile of a function.
QUANTILE_SAMPLES = 8192
# Plane waves in a random superposition.
WAVE_COUNT = 64


@final
@dataclasses.dataclass(frozen=True)
class FunctionLabels(PointwiseLabels):
    """A rule that is bound to its manifold.

    Attributes:
        function: a map from float64 points `(N, n)` to classes `(N,)`, int64.
    """

    function: Callable[[Tensor], Tensor]

    def evaluate(self, x: Tensor) -> Tensor:
        return self.function(to_double(x)).to(x.device)


class ManifoldLabels(LabelRule):
    """A rule that depends on the manifold: `rule.bind(manifold)` is the rule that labels its points."""

    @abstractmethod
    def bind(self, manifold: Manifold) -> LabelRule:
        """Return the rule for the points of `manifold`, a function of the position."""

    def label_training_points(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Raise a `SceneError`, since the rule has no meaning without the manifold."""
        raise SceneError(f"{type(self).__name__} needs its manifold; call .bind(manifold) first")


@final
@settings
class ChartCheckerboardLabels(ManifoldLabels):
    """A checkerboard in the chart of the manifold, with `cells` cells along each coordinate."""

    cells: Cells = 4

    def bind(self, manifold: Manifold) -> LabelRule:
        return FunctionLabels(lambda x: _cell_index(manifold.coordinates(x), self.cells).sum(1) % 2)


@final
@settings
class RandomWaveLabels(ManifoldLabels):
    """Classes between the quantiles of a random superposition of plane waves of one `wavelength`.

    The function is smooth and varies with that wavelength in every direction of the manifold. `fractions` has one
    number per class, in the order from low to high values: the fraction of the volume that the class gets, up to a
    common factor.
    """

    wavelength: Positive = 0.5
    fractions: Fractions = (0.5, 0.5)
    seed: Seed = 0

    def bind(self, manifold: Manifold) -> LabelRule:
        stream = generator(self.seed, "waves")
        direction = torch.randn(WAVE_COUNT, manifold.ambient_dim, generator=stream, dtype=torch.float64)
        # Along the manifold a random wave in n dimensions is longer by sqrt(n / d), since only its tangent part counts.
        wave_number = math.sqrt(manifold.ambient_dim / manifold.dim) * 2 * math.pi / self.wavelength
        waves = direction / direction.norm(dim=1, keepdim=True) * wave_number
        phase = 2 * math.pi * torch.rand(WAVE_COUNT, generator=stream, dtype=torch.float64)
        return _label_by_quantiles(manifold, lambda x: (x @ waves.to(x).T + phase.to(x)).cos().sum(1), self.fractions)


@final
@settings
class HarmonicLabels(ManifoldLabels):
    """Classes between the quantiles of a random spherical harmonic of one `degree`.

    The harmonic is a function of the direction from the origin, of an embedded manifold within its own space. On a
    sphere S^d of radius r it is an eigenfunction of the Laplacian with the eigenvalue -degree (degree + d - 1) / r^2;
    on a circle it is a wave with `degree` periods.
    `fractions` has the same meaning as in `RandomWaveLabels`.

    Reference: the addition theorem, by which zonal harmonics around random poles span all harmonics of one degree.
    """

    degree: Repeats = 3
    fractions: Fractions = (0.5, 0.5)
    seed: Seed = 0

    def bind(self, manifold: Manifold) -> LabelRule:
        return _label_by_quantiles(manifold, self.harmonic_function(manifold), self.fractions)

    def harmonic_function(self, manifold: Manifold) -> Callable[[Tensor], Tensor]:
        """Return the harmonic of a manifold in R^n, a map from points `(N, n)` to values `(N,)`.

        It is a random sum of zonal harmonics around 4 degree + 4 random poles.

        Raises:
            SceneError: if the ambient space is a line, which has only two directions.
        """
        if isinstance(manifold, IsometricEmbedding):
            inner = self.harmonic_function(manifold.base)
            return lambda x: inner(manifold.to_base_space(x))
        ambient_dim = manifold.ambient_dim
        if ambient_dim < 2:
            raise SceneError(f"data.labels.kind is 'harmonics'; the space has {ambient_dim} dimension and needs 2")
        stream = generator(self.seed, "harmonics")
        poles = torch.randn(4 * self.degree + 4, ambient_dim, generator=stream, dtype=torch.float64)
        poles = poles / poles.norm(dim=1, keepdim=True)
        weight = torch.randn(len(poles), generator=stream, dtype=torch.float64)

        def harmonic(x: Tensor) -> Tensor:
            unit = x / x.norm(dim=1, keepdim=True).clamp(min=1e-300)
            return _zonal_harmonic(self.degree, ambient_dim, (unit @ poles.to(x).T).clamp(-1, 1)) @ weight.to(x)

        return harmonic


@final
@settings
class VoronoiLabels(ManifoldLabels):
    """The class of the nearest of `count` random points of the manifold; point i has class i modulo `classes`."""

    count: Annotated[int, Strict(), Interval(ge=2, le=100_000)] = 6
    classes: ClassCount = 2
    seed: Seed = 0

    def bind(self, manifold: Manifold) -> LabelRule:
        centers = manifold.sample(self.count, generator(self.seed, "centres"))

        def label(x: Tensor) -> Tensor:
            distance = pairwise_distances(x, centers.to(x))
            return distance.argmin(dim=1) % self.classes

        return FunctionLabels(label)


@final
@settings
class ComponentLabels(ManifoldLabels):
    """The component of the manifold, such as one of several spheres; component i has class i modulo `classes`."""

    classes: ClassCount = 2

    def bind(self, manifold: Manifold) -> LabelRule:
        if len(manifold.components) < 2:
            raise SceneError(
                f"data.labels.kind is 'components'; {type(manifold).__name__} has one component, so that all points "
                "would have one class: choose another rule"
            )
        return FunctionLabels(lambda x: manifold.component_index(x) % self.classes)


@final
@settings
class ImageLabels(ManifoldLabels):
    """The gray level of an image over the chart: black is class 0, white the last of `classes` equal steps.

    The first chart coordinate runs from the left to the right of the image, the second from the bottom to the top.

    Args:
        file: a PNG or JPEG file.
    """

    file: str = ""
    classes: ClassCount = 2

    def bind(self, manifold: Manifold) -> LabelRule:
        if manifold.dim > 2:
            raise SceneError(f"data.labels.kind is 'image'; the manifold has {manifold.dim} dimensions, an image has 2")
        pixels = self._pixel_classes()

        def label(x: Tensor) -> Tensor:
            coordinates = manifold.coordinates(x)
            column = _cell_index(coordinates[:, 0], pixels.shape[1])
            if manifold.dim == 1:
                row = torch.full_like(column, pixels.shape[0] // 2)
            else:
                row = pixels.shape[0] - 1 - _cell_index(coordinates[:, 1], pixels.shape[0])
            return pixels.to(x.device)[row, column]

        return FunctionLabels(label)

    def _pixel_classes(self) -> Tensor:
        """Return the class of each pixel, `(height, width)` int64."""
        name = f"data.labels.file is {self.file!r}"
        try:
            gray = decode_image(read_image_file(Path(self.file)), name, convert=True)
        except OSError as error:
            raise DataError(f"{name}: cannot be read ({error.strerror}); name a PNG or JPEG file") from None
        return torch.from_numpy(gray[0].astype(np.int64) * self.classes // 256)


def _cell_index(unit: Tensor, count: int) -> Tensor:
    """Return the index of the cell of each coordinate among `count` equal parts of [0, 1]; 1 belongs to the last."""
    return (unit * count).long().clamp(0, count - 1)


def _label_by_quantiles(
    manifold: Manifold, function: Callable[[Tensor], Tensor], fractions: tuple[float, ...]
) -> FunctionLabels:
    """Return labels by the quantiles of `function`: class k gets the k-th fraction of the volume, from low to high."""
    values = function(manifold.sample(QUANTILE_SAMPLES, generator(0, "levels"))).sort().values
    cumulative = torch.tensor(fractions, dtype=torch.float64).cumsum(0)[:-1] / sum(fractions)
    levels = values[(cumulative * QUANTILE_SAMPLES).long().clamp(max=QUANTILE_SAMPLES - 1)]
    return FunctionLabels(lambda x: torch.bucketize(function(x), levels.to(x)))


def _zonal_harmonic(degree: int, ambient_dim: int, cosine: Tensor) -> Tensor:
    """Return the zonal harmonic, scaled to 1 at its pole, at the cosine of the angle from the pole."""
    if ambient_dim == 2:
        return (degree * cosine.acos()).cos()
    order = ambient_dim / 2 - 1
    value = eval_gegenbauer(degree, order, cosine.detach().cpu().double().numpy()) / eval_gegenbauer(degree, order, 1.0)
    return torch.from_numpy(np.asarray(value)).to(cosine)
