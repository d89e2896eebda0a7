"""Random smooth manifolds: band-limited Fourier sums, checked to be embedded."""

import itertools
import math
from functools import cached_property
from typing import Annotated, Literal, final

import torch
from annotated_types import Interval
from pydantic import Strict
from torch import Tensor

from dimple.errors import SceneError
from dimple.manifolds.affine import Cell
from dimple.manifolds.curves import Curve
from dimple.manifolds.derivatives import tangents
from dimple.manifolds.parametrized import Mapped
from dimple.manifolds.reach import searched_reach
from dimple.settings import Count, NonNegative, Positive, Seed, settings
from dimple.tensors import generator

Few = Annotated[int, Strict(), Interval(ge=1, le=4)]
# Where the reach is below this share of the radius, two sheets cross or touch.
CROSSING = 0.01


@final
@settings
class FourierCurve(Curve):
    """A random closed curve in R^n: a circle of the given radius, disturbed by random harmonics 2 .. `frequency`.

    Args:
        radius: of the undisturbed circle, in a random plane.
        amplitude: root mean square of the disturbance in units of the radius, the same in every coordinate together.
        frequency: the highest harmonic; 1 leaves the circle as it is.
        seed: which curve.

    Example:
        >>> FourierCurve(amplitude=0.0).reach < 1.000001
        True
    """

    ambient_dim: Count = 3
    radius: Positive = 1.0
    amplitude: NonNegative = 0.3
    frequency: Count = 3
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.ambient_dim < 2:
            raise SceneError(f"FourierCurve: ambient_dim is {self.ambient_dim}; a closed curve needs at least 2")
        _require_embedded("FourierCurve", self, self.radius)

    def chart(self, z: Tensor) -> Tensor:
        """The sum."""
        phase = z * torch.arange(1, self.frequency + 1).to(z)
        return torch.cat([phase.cos(), phase.sin()], dim=1) @ self._coefficients.to(z)

    @cached_property
    def _coefficients(self) -> Tensor:
        """One row for each cosine, then for each sine, `(2 frequency, n)`."""
        stream = generator(self.seed, "fourier curve")
        n, count = self.ambient_dim, self.frequency
        noise = torch.randn(2, count, n, generator=stream, dtype=torch.float64)
        plane = torch.linalg.qr(torch.randn(n, 2, generator=stream, dtype=torch.float64)).Q.T
        noise[:, 0] = 0
        # A power of the harmonic keeps the bends in bounds; the total is scaled to the amplitude.
        noise = noise / torch.arange(1, count + 1, dtype=torch.float64)[:, None] ** 2
        rms = noise.square().sum().div(2).sqrt().clamp(min=1e-300)
        noise = noise * (self.amplitude / rms)
        noise[:, 0] = plane
        return self.radius * noise.reshape(2 * count, n)


@final
@settings
class RandomSurface(Mapped):
    """A random smooth d-surface in R^n over a d-torus or a d-cube, with no wave shorter than `1 / frequency` of a side.

    Over the cube it is a flat d-cube of side `size` in a random direction, over the torus a flat torus whose circles
    have the circumference `size`; both disturbed in all directions by random waves. Needs n > d, n >= 2 d for a torus.

    Args:
        topology: `torus` or `cube`.
        size: length of an undisturbed side.
        amplitude: root mean square of the disturbance in units of `size`.
        frequency: the most waves that fit along a side.
        seed: which surface.

    Example:
        >>> surface = RandomSurface(ambient_dim=10, seed=1)
        >>> surface.sample(3, torch.Generator()).shape
        torch.Size([3, 10])
    """

    dim: Few = 2
    ambient_dim: Count = 10
    topology: Literal["torus", "cube"] = "torus"
    size: Positive = 1.0
    amplitude: NonNegative = 0.05
    frequency: Few = 2
    seed: Seed = 0

    def __post_init__(self) -> None:
        least = 2 * self.dim if self.topology == "torus" else self.dim + 1
        if self.ambient_dim < least:
            raise SceneError(
                f"RandomSurface: ambient_dim is {self.ambient_dim}; "
                f"a {self.topology} of dimension {self.dim} needs at least {least}"
            )
        _require_embedded("RandomSurface", self, self.size / (2 * math.pi))

    @cached_property
    def source(self) -> Cell:
        """Unit parameters."""
        return Cell((0.0,) * self.dim, (1.0,) * self.dim, (self.topology == "torus",) * self.dim)

    def chart(self, z: Tensor) -> Tensor:
        """The undisturbed surface and the waves."""
        return self._features(z) @ self._mixing.to(z)

    @cached_property
    def _searched_reach(self) -> float:
        """In the span of the features, which is isometric and of few dimensions however many the space has."""
        small = torch.linalg.qr(self._mixing.T, mode="r").R.T
        return searched_reach(self.source, lambda z: self._features(z) @ small)

    def _features(self, z: Tensor) -> Tensor:
        """The coordinates of the undisturbed surface, then the waves, `(B, F)`."""
        phase = 2 * math.pi * z @ self._waves.to(z).T
        turn = 2 * math.pi * z
        base = [turn.cos(), turn.sin()] if self.topology == "torus" else [z - 0.5]
        return torch.cat([*base, phase.cos(), phase.sin()], dim=1)

    @cached_property
    def _waves(self) -> Tensor:
        """Wave vectors `(W, d)`: whole numbers of waves on a torus, also halves on a cube."""
        span = range(-self.frequency, self.frequency + 1)
        # Of a wave and its opposite one is enough.
        vectors = [wave for wave in itertools.product(span, repeat=self.dim) if wave > (0,) * self.dim]
        return torch.tensor(vectors, dtype=torch.float64) / (2 if self.topology == "cube" else 1)

    @cached_property
    def _mixing(self) -> Tensor:
        """What each feature adds to each coordinate, `(F, n)`."""
        stream = generator(self.seed, "random surface")
        columns = 2 * self.dim if self.topology == "torus" else self.dim
        frame = torch.randn(self.ambient_dim, columns, generator=stream, dtype=torch.float64)
        base = torch.linalg.qr(frame).Q.T / (2 * math.pi if self.topology == "torus" else 1)
        lengths = self._waves.norm(dim=1, keepdim=True).repeat(2, 1)
        noise = torch.randn(len(lengths), self.ambient_dim, generator=stream, dtype=torch.float64) / lengths**2
        noise = noise * (self.amplitude / noise.square().sum().div(2).sqrt())
        return self.size * torch.cat([base, noise])


def _require_embedded(owner: str, manifold: Mapped, radius: float) -> None:
    """Refuse an amplitude at which the surface folds or crosses itself."""
    jacobian = tangents(manifold.source, manifold.chart, manifold.source.nodes(400))
    stretch = torch.linalg.svdvals(jacobian)
    folded = float(stretch.min()) < 1e-3 * float(stretch.max())
    if folded or manifold.reach < CROSSING * radius:
        raise SceneError(
            f"{owner}: seed and amplitude make a surface that {'folds' if folded else 'meets itself, or nearly'}; "
            "choose a smaller amplitude, more ambient_dim or another seed"
        )
