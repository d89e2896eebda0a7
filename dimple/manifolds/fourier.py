"""Random smooth manifolds: band-limited Fourier sums, checked for self-intersections."""

import itertools
import math
from functools import cached_property
from typing import Annotated, Literal, final

import torch
from annotated_types import Interval
from pydantic import Strict
from torch import Tensor

from dimple.errors import SceneError
from dimple.manifolds.affine import ParameterDomain
from dimple.manifolds.curves import ParametrizedCurve
from dimple.manifolds.geometry.derivatives import chart_jacobian
from dimple.manifolds.geometry.reach import estimate_reach
from dimple.manifolds.parametrized import ParametrizedManifold
from dimple.settings import Dimension, NonNegative, Positive, Repeats, Seed, settings
from dimple.tensors import generator

SmallCount = Annotated[int, Strict(), Interval(ge=1, le=4)]
# A reach below this fraction of the radius means that two sheets cross or touch.
MIN_RELATIVE_REACH = 0.01


@final
@settings
class FourierCurve(ParametrizedCurve):
    """A random closed curve in R^n: a circle of the given radius, perturbed by random harmonics 2 .. `frequency`.

    Args:
        radius: of the unperturbed circle, which lies in a random plane.
        amplitude: root mean square of the perturbation, over all coordinates together, in units of the radius.
        frequency: the highest harmonic; 1 leaves the circle unchanged.
        seed: of the random plane and harmonics.

    Example:
        >>> FourierCurve(amplitude=0.0).reach < 1.000001
        True
    """

    ambient_dim: Dimension = 3
    radius: Positive = 1.0
    amplitude: NonNegative = 0.3
    frequency: Repeats = 3
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.ambient_dim < 2:
            raise SceneError(f"FourierCurve: ambient_dim is {self.ambient_dim}; a closed curve needs at least 2")
        _require_embedded("FourierCurve", self, self.radius)

    def chart(self, z: Tensor) -> Tensor:
        """Return the Fourier sums at the angles `z` `(B, 1)`."""
        phase = z * torch.arange(1, self.frequency + 1).to(z)
        return torch.cat([phase.cos(), phase.sin()], dim=1) @ self._coefficients.to(z)

    @cached_property
    def _coefficients(self) -> Tensor:
        """Coefficients `(2 frequency, n)`: a row for each cosine, then a row for each sine."""
        stream = generator(self.seed, "fourier curve")
        n = self.ambient_dim
        count = self.frequency
        noise = torch.randn(2, count, n, generator=stream, dtype=torch.float64)
        plane = torch.linalg.qr(torch.randn(n, 2, generator=stream, dtype=torch.float64)).Q.T
        noise[:, 0] = 0
        # Division by the squared harmonic bounds the curvature; then the sum is scaled to the amplitude.
        noise = noise / torch.arange(1, count + 1, dtype=torch.float64)[:, None] ** 2
        rms = noise.square().sum().div(2).sqrt().clamp(min=1e-300)
        noise = noise * (self.amplitude / rms)
        noise[:, 0] = plane
        return self.radius * noise.reshape(2 * count, n)


@final
@settings
class RandomSurface(ParametrizedManifold):
    """A random smooth d-surface in R^n over a d-torus or a d-cube, with waves of at least `1 / frequency` of a side.

    Without perturbation it is, over the cube, a flat d-cube of side `size` in a random orientation, and over the torus
    a flat torus whose circles have the circumference `size`. Random waves perturb it in all directions. A cube needs
    n > d, a torus n >= 2 d.

    Args:
        topology: `torus` or `cube`.
        size: length of an unperturbed side.
        amplitude: root mean square of the perturbation in units of `size`.
        frequency: maximum number of waves along a side.
        seed: of the random orientation and waves.

    Example:
        >>> surface = RandomSurface(ambient_dim=10, seed=1)
        >>> surface.sample(3, torch.Generator()).shape
        torch.Size([3, 10])
    """

    dim: SmallCount = 2
    ambient_dim: Dimension = 10
    topology: Literal["torus", "cube"] = "torus"
    size: Positive = 1.0
    amplitude: NonNegative = 0.05
    frequency: SmallCount = 2
    seed: Seed = 0

    def __post_init__(self) -> None:
        min_dim = 2 * self.dim if self.topology == "torus" else self.dim + 1
        if self.ambient_dim < min_dim:
            raise SceneError(
                f"RandomSurface: ambient_dim is {self.ambient_dim}; "
                f"a {self.topology} of dimension {self.dim} needs at least {min_dim}"
            )
        _require_embedded("RandomSurface", self, self.size / (2 * math.pi))

    @cached_property
    def source(self) -> ParameterDomain:
        """Unit cube of parameters."""
        return ParameterDomain((0.0,) * self.dim, (1.0,) * self.dim, (self.topology == "torus",) * self.dim)

    def chart(self, z: Tensor) -> Tensor:
        """Return the sums of the unperturbed surface and the waves, `(B, n)`."""
        return self._features(z) @ self._mixing_matrix.to(z)

    @cached_property
    def _estimated_reach(self) -> float:
        """Estimate in the span of the features: isometric, and of a dimension that does not depend on n."""
        triangular = torch.linalg.qr(self._mixing_matrix.T, mode="r").R.T
        return estimate_reach(self.source, lambda z: self._features(z) @ triangular)

    def _features(self, z: Tensor) -> Tensor:
        """Return the coordinates of the unperturbed surface, then the waves, `(B, F)`."""
        phase = 2 * math.pi * z @ self._wave_vectors.to(z).T
        turn = 2 * math.pi * z
        base = [turn.cos(), turn.sin()] if self.topology == "torus" else [z - 0.5]
        return torch.cat([*base, phase.cos(), phase.sin()], dim=1)

    @cached_property
    def _wave_vectors(self) -> Tensor:
        """Wave vectors `(W, d)`: integer numbers of waves on a torus, also half-integers on a cube."""
        span = range(-self.frequency, self.frequency + 1)
        # A wave and its opposite give the same features.
        vectors = [wave for wave in itertools.product(span, repeat=self.dim) if wave > (0,) * self.dim]
        return torch.tensor(vectors, dtype=torch.float64) / (2 if self.topology == "cube" else 1)

    @cached_property
    def _mixing_matrix(self) -> Tensor:
        """Contribution of each feature to each coordinate, `(F, n)`."""
        stream = generator(self.seed, "random surface")
        columns = 2 * self.dim if self.topology == "torus" else self.dim
        frame = torch.randn(self.ambient_dim, columns, generator=stream, dtype=torch.float64)
        base = torch.linalg.qr(frame).Q.T / (2 * math.pi if self.topology == "torus" else 1)
        lengths = self._wave_vectors.norm(dim=1, keepdim=True).repeat(2, 1)
        noise = torch.randn(len(lengths), self.ambient_dim, generator=stream, dtype=torch.float64) / lengths**2
        noise = noise * (self.amplitude / noise.square().sum().div(2).sqrt())
        return self.size * torch.cat([base, noise])


def _require_embedded(class_name: str, manifold: ParametrizedManifold, radius: float) -> None:
    """Raise a SceneError if the manifold has a fold or nearly meets itself."""
    jacobian = chart_jacobian(manifold.source, manifold.chart, manifold.source.grid_points(400))
    singular_values = torch.linalg.svdvals(jacobian)
    has_fold = float(singular_values.min()) < 1e-3 * float(singular_values.max())
    if has_fold or manifold.reach < MIN_RELATIVE_REACH * radius:
        problem = "folds" if has_fold else "meets or nearly meets itself"
        raise SceneError(
            f"{class_name}: seed and amplitude make a surface that {problem}; "
            "choose a smaller amplitude, more ambient_dim or another seed"
        )
