"""Isometric embeddings: a manifold placed in another space without bending it."""

from abc import abstractmethod
from functools import cached_property
from typing import Literal, final

import torch
from torch import Tensor

from dimple.errors import SceneError
from dimple.manifolds.base import ChartMap, Manifold
from dimple.manifolds.medial_axis import rescale_medial_axis_distance
from dimple.manifolds.sphere import Sphere
from dimple.manifolds.triangulations import VerticesAndFaces
from dimple.settings import Dimension, Finite, Seed, settings
from dimple.tensors import generator


class IsometricEmbedding(Manifold):
    """The points F y + s for the points y of a base manifold in R^m, where F has orthonormal columns."""

    base: Manifold

    @property
    @abstractmethod
    def axes(self) -> Tensor:
        """Matrix F, `(n, m)` float64."""

    @property
    @abstractmethod
    def shift(self) -> Tensor:
        """Vector s, `(n,)` float64."""

    @property
    def dim(self) -> int:
        return self.base.dim

    @property
    def reach(self) -> float:
        """Reach of the base: the additional directions are flat."""
        return self.base.reach

    @property
    def reach_is_exact(self) -> bool:
        return self.base.reach_is_exact

    @property
    def volume(self) -> float:
        return self.base.volume

    @property
    def volume_error(self) -> float:
        return self.base.volume_error

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        return self.embed(self.base.sample(count, generator))

    def project(self, x: Tensor) -> Tensor:
        """Return the closest points, found within the base space: the offset perpendicular to it has no influence."""
        return self.embed(self.base.project(self.to_base_space(x)))

    def tangent_basis(self, x: Tensor) -> Tensor:
        return self.axes.to(x) @ self.base.tangent_basis(self.to_base_space(x))

    def second_fundamental_form(self, x: Tensor) -> Tensor:
        return torch.einsum("nm,bmij->bnij", self.axes.to(x), self.base.second_fundamental_form(self.to_base_space(x)))

    def coordinates(self, x: Tensor) -> Tensor:
        return self.base.coordinates(self.to_base_space(x))

    def geodesic_distance(self, a: Tensor, b: Tensor) -> Tensor:
        return self.base.geodesic_distance(self.to_base_space(a), self.to_base_space(b))

    def component_index(self, x: Tensor) -> Tensor:
        return self.base.component_index(self.to_base_space(x))

    def medial_axis_distance(self, x: Tensor) -> Tensor:
        """Return the base's medial axis distance, scaled up where the direction is only partly in the base space."""
        inside = self.to_base_space(x)
        return rescale_medial_axis_distance(
            self.base.medial_axis_distance(inside), self.base.distance(inside), self.distance(x), self._extent
        )

    @property
    def components(self) -> tuple[Manifold, ...]:
        """Embedded components of the base."""
        if len(self.base.components) == 1:
            return (self,)
        axes = tuple(map(tuple, self.axes.tolist()))
        shift = tuple(self.shift.tolist())
        return tuple(FramedEmbedding(component, axes, shift) for component in self.base.components)

    def regular_grid(self, per_side: int) -> Tensor | None:
        points = self.base.regular_grid(per_side)
        return None if points is None else self.embed(points)

    def parametrization(self) -> tuple[Manifold, ChartMap]:
        source, chart = self.base.parametrization()
        return source, lambda z: self.embed(chart(z))

    def triangulation(self) -> VerticesAndFaces | None:
        mesh = self.base.triangulation()
        return None if mesh is None else (self.embed(torch.from_numpy(mesh[0])).numpy(), mesh[1])

    def embed(self, y: Tensor) -> Tensor:
        """Map points of the base space, `(B, m)`, to the embedding space, `(B, n)`."""
        return y @ self.axes.to(y).T + self.shift.to(y)

    def to_base_space(self, x: Tensor) -> Tensor:
        """Return the coordinates `(B, m)` of `(B, n)` in the base space, after orthogonal projection onto it."""
        return (x - self.shift.to(x)) @ self.axes.to(x)


@final
@settings
class Embedding(IsometricEmbedding):
    """A manifold embedded isometrically in a space of more dimensions, to vary the codimension.

    Args:
        base: the manifold.
        ambient_dim: dimension of the embedding space.
        frame: `random` turns the manifold by a random rotation, `axes` leaves it in the first coordinates.
        offset: position of its origin; one number is used for all coordinates, no number means zero.
        seed: of the random frame.

    Example:
        >>> Embedding(Sphere(dim=1), ambient_dim=100).distance(torch.zeros(1, 100))
        tensor([1.])
    """

    base: Manifold = Sphere()
    ambient_dim: Dimension = 10
    frame: Literal["random", "axes"] = "random"
    offset: tuple[Finite, ...] = ()
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.ambient_dim < self.base.ambient_dim:
            raise SceneError(
                f"Embedding: ambient_dim is {self.ambient_dim}; "
                f"the manifold itself needs {self.base.ambient_dim} dimensions"
            )
        if len(self.offset) not in (0, 1, self.ambient_dim):
            raise SceneError(f"Embedding: offset has {len(self.offset)} numbers; give none, one or {self.ambient_dim}")

    @cached_property
    def axes(self) -> Tensor:
        """Matrix F `(n, m)`: orthonormalized random columns, or the first columns of the identity."""
        size = (self.ambient_dim, self.base.ambient_dim)
        if self.frame == "axes":
            return torch.eye(*size, dtype=torch.float64)
        random = torch.randn(size, generator=generator(self.seed, "lift"), dtype=torch.float64)
        q: Tensor = torch.linalg.qr(random).Q
        # With these signs the frame is uniform among all frames, and the same on every machine.
        return q * torch.where((q * random).sum(0) < 0, -1.0, 1.0)

    @cached_property
    def shift(self) -> Tensor:
        return torch.tensor(self.offset or (0.0,), dtype=torch.float64).expand(self.ambient_dim).contiguous()


@final
@settings
class FramedEmbedding(IsometricEmbedding):
    """A manifold rotated by a given frame and moved by a given offset.

    Args:
        base: the manifold, in R^m.
        frame: n rows of m numbers, with orthonormal columns.
        offset: n numbers, the position of its origin.

    Example:
        >>> upright = FramedEmbedding(Sphere(dim=1), frame=((1.0, 0.0), (0.0, 0.0), (0.0, 1.0)), offset=(1.0, 0.0, 0.0))
        >>> upright.distance(torch.tensor([[1.0, 0.0, 3.0]]))
        tensor([2.])
    """

    base: Manifold
    frame: tuple[tuple[Finite, ...], ...]
    offset: tuple[Finite, ...]

    def __post_init__(self) -> None:
        if any(len(row) != self.base.ambient_dim for row in self.frame) or len(self.frame) != len(self.offset):
            raise SceneError(
                f"FramedEmbedding: frame must have {len(self.offset)} rows, as many as offset has numbers, "
                f"of {self.base.ambient_dim} numbers each"
            )
        if not torch.allclose(
            self.axes.T @ self.axes, torch.eye(self.base.ambient_dim, dtype=torch.float64), atol=1e-9
        ):
            raise SceneError("FramedEmbedding: the columns of frame are not orthonormal; give orthogonal unit columns")

    @property
    def ambient_dim(self) -> int:
        return len(self.frame)

    @property
    def axes(self) -> Tensor:
        return torch.tensor(self.frame, dtype=torch.float64)

    @property
    def shift(self) -> Tensor:
        return torch.tensor(self.offset, dtype=torch.float64)
