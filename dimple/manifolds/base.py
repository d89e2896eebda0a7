"""Base class of all manifolds: exact geometry, without training or statistical estimates."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from dimple.errors import SceneError
from dimple.manifolds.graph_geodesics import shortest_path_lengths
from dimple.manifolds.medial_axis import POSITION_TOLERANCE, medial_ball_radius
from dimple.manifolds.triangulations import VerticesAndFaces, cut_orientation_seams
from dimple.tensors import bounding_box_diagonal
from dimple.tensors import generator as make_generator

ChartMap = Callable[[Tensor], Tensor]


class Manifold(ABC):
    """A d-dimensional surface in R^n with known closest points, tangents, curvature and uniform measure.

    A member of the family is a frozen `@settings` class whose fields are the keys of the scene file. It implements the
    abstract methods below; most members only define a parametrization (`ParametrizedManifold`). Points are rows
    `(B, n)` of any floating dtype on any device, and results keep both. For a point off the manifold, tangents,
    curvature and coordinates are those of its closest point on the manifold.
    """

    @property
    @abstractmethod
    def dim(self) -> int:
        """Intrinsic dimension d."""

    @property
    @abstractmethod
    def ambient_dim(self) -> int:
        """Dimension n of the space that contains the manifold."""

    @property
    @abstractmethod
    def reach(self) -> float:
        """Largest r such that every point at a distance below r has one closest point; `inf` for a convex manifold."""

    @property
    def reach_is_exact(self) -> bool:
        """Return whether `reach` comes from a formula; if not, it is an upper bound, the least value of a search."""
        return True

    @property
    @abstractmethod
    def volume(self) -> float:
        """d-dimensional volume: the length of a curve, the area of a surface."""

    @property
    def volume_error(self) -> float:
        """Estimate of the error of `volume`: zero where it comes from a formula, up to rounding."""
        return 0.0

    @abstractmethod
    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return `(count, n)` float64 points, independent and uniform in d-volume."""

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """Return the closest point of the manifold for each row of `(B, n)`."""

    @abstractmethod
    def tangent_basis(self, x: Tensor) -> Tensor:
        """Return orthonormal tangent columns `(B, n, d)` at the closest points of `(B, n)`."""

    @abstractmethod
    def second_fundamental_form(self, x: Tensor) -> Tensor:
        """Return the second fundamental form `(B, n, d, d)`: a normal vector for each pair of tangent columns.

        A unit-speed curve in the manifold along column i of `tangent_basis(x)` has the normal acceleration
        `second_fundamental_form(x)[:, :, i, i]`.
        """

    @abstractmethod
    def coordinates(self, x: Tensor) -> Tensor:
        """Return chart coordinates in [0, 1]^d of the closest points, `(B, d)`; a periodic axis restarts at 1."""

    def distance(self, x: Tensor) -> Tensor:
        """Return the Euclidean distance from each row of `(B, n)` to the manifold, `(B,)`."""
        return scaled_norm(x - self.project(x))

    def medial_axis_distance(self, x: Tensor) -> Tensor:
        """Return how far each point can move directly away from the manifold and keep its closest point, `(B,)`.

        This is the distance to the medial axis in that direction; where it is positive, the projection of the row of
        `(B, n)` is valid. On the manifold, where every normal direction leads away, it is the reach. Members that have
        a formula are exact; this general method is accurate to 1e-9.
        """
        double = to_double(x)
        closest = self.project(double)
        offset = double - closest
        length = torch.linalg.vector_norm(offset, dim=1)
        off = length > POSITION_TOLERANCE * self._extent
        remaining = torch.full_like(length, self.reach)
        direction = offset[off] / length[off, None]
        remaining[off] = medial_ball_radius(self, closest[off], direction, self._extent) - length[off]
        return remaining.to(x.device, x.dtype)

    @cached_property
    def _extent(self) -> float:
        return bounding_box_diagonal(self.grid_points(256))

    def normal_basis(self, x: Tensor) -> Tensor:
        """Return orthonormal columns `(B, n, n - d)` that complete `tangent_basis(x)`; their signs are arbitrary."""
        full_basis: Tensor = torch.linalg.qr(self.tangent_basis(x), mode="complete").Q
        return full_basis[:, :, self.dim :]

    def shape_operator(self, x: Tensor, normal: Tensor) -> Tensor:
        """Return the second fundamental form along unit normals `(B, n)`: `(B, d, d)`, in the tangent basis."""
        return torch.einsum("bnij,bn->bij", self.second_fundamental_form(x), normal)

    def principal_curvatures(self, x: Tensor, normal: Tensor | None = None) -> Tensor:
        """Return the eigenvalues `(B, d)` of the shape operator, ascending; positive where it bends towards the normal.

        Args:
            x: `(B, n)`.
            normal: unit normals `(B, n)`; at codimension 1 the default is the column of `normal_basis`.

        Raises:
            SceneError: if no normal is given and the codimension is above 1.
        """
        if normal is None:
            if self.codim != 1:
                raise SceneError(
                    f"principal_curvatures needs normal=: a manifold of codimension {self.codim} has no single normal"
                )
            normal = self.normal_basis(x)[:, :, 0]
        curvatures: Tensor = torch.linalg.eigvalsh(self.shape_operator(x, normal))
        return curvatures

    def scalar_curvature(self, x: Tensor) -> Tensor:
        """Return the intrinsic scalar curvature `(B,)`, twice the Gaussian one of a surface, by the Gauss equation."""
        form = self.second_fundamental_form(x)
        trace = form.diagonal(dim1=2, dim2=3).sum(-1)
        return (trace * trace).sum(1) - (form * form).sum((1, 2, 3))

    def geodesic_distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the lengths `(A, B)` of shortest paths within the manifold from each of `(A, n)` to each of `(B, n)`.

        Members that have a formula are exact. This general method follows short paths on the manifold between the
        nodes of a graph that include the points of both: its lengths are some per cent too long. Within one call they
        satisfy the axioms of a metric to rounding error.

        Raises:
            SceneError: in the general method, if the manifold bends too often for 20,000 nodes.
        """
        return shortest_path_lengths(self, a, b)

    @property
    def components(self) -> tuple["Manifold", ...]:
        """Connected components; only the manifold itself if it is connected."""
        return (self,)

    def component_index(self, x: Tensor) -> Tensor:
        """Return the index in `components` of the component closest to each point, `(B,)` int64."""
        return torch.zeros(len(x), dtype=torch.int64, device=x.device)

    def regular_grid(self, per_side: int) -> Tensor | None:
        """Return `per_side`^d points `(N, n)`, regular in chart coordinates; None without a chart of all points."""
        return None

    def parametrization(self) -> tuple["Manifold", ChartMap]:
        """Return a simpler manifold and the smooth map from it to this one, with which a warp composes its own map."""
        return self, lambda x: x

    def source_points(self, x: Tensor) -> Tensor:
        """Return the points of the source of `parametrization`, `(B, m)`, that are mapped to the closest points."""
        return self.project(x)

    def shortest_step(self, start: Tensor, end: Tensor) -> Tensor:
        """Return the step `(B, n)` from each start to the same point as the end, across a periodic axis if shorter."""
        return end - start

    def source_step(self, start: Tensor, end: Tensor) -> Tensor:
        """Return the shortest steps `(B, m)` in the source of `parametrization` to the images of the ends."""
        return self.parametrization()[0].shortest_step(start, end)

    def triangulation(self) -> VerticesAndFaces | None:
        """Return vertices `(V, n)` and triangles `(F, 3)` of a surface, or segments `(F, 2)` of a curve; else None."""
        return None

    def display_mesh(self) -> VerticesAndFaces | None:
        """Return the triangulation of a curve or surface in 2 or 3 dimensions, ready to be drawn; else None.

        A one-sided surface is cut open, so that it can be shaded.
        """
        mesh = self.triangulation() if self.dim <= 2 and self.ambient_dim in (2, 3) else None
        return cut_orientation_seams(*mesh) if mesh is not None and self.dim == 2 else mesh

    @property
    def codim(self) -> int:
        """Codimension n - d: the number of normal directions."""
        return self.ambient_dim - self.dim

    def grid_points(self, count: int) -> Tensor:
        """Return about `count` points `(N, n)` all over the manifold, the same in every call: searches start there."""
        return self.sample(count, make_generator(0, "nodes"))

    def quadrature(self, count: int) -> tuple[Tensor, Tensor]:
        """Return points `(N, n)` and weights `(N,)` for integrals over the manifold; by default random and uniform."""
        x = self.sample(count, make_generator(0, "quadrature"))
        return x, torch.full((count,), self.volume / count, dtype=torch.float64)


def scaled_norm(x: Tensor) -> Tensor:
    """Return the Euclidean norm along the last axis, `(...)`, without squares of numbers that are too large or small.

    Example:
        >>> scaled_norm(torch.tensor([[3e30, 4e30], [3e-30, 4e-30]]))
        tensor([5.0000e+30, 5.0000e-30])
    """
    if x.shape[-1] == 0:
        return x.new_zeros(x.shape[:-1])
    size = power_of_two(x.abs().amax(-1, keepdim=True))
    length: Tensor = torch.linalg.vector_norm(x / size, dim=-1) * size[..., 0]
    return length


def power_of_two(x: Tensor) -> Tensor:
    """Return the largest powers of two that are not above positive numbers: dividing by them rounds nothing."""
    return torch.ldexp(torch.ones_like(x), torch.frexp(x).exponent - 1)


def to_double(x: Tensor) -> Tensor:
    """Return `x` in double precision, for geometry; on the CPU if the device has no double precision."""
    return x.detach().to("cpu" if x.device.type == "mps" else x.device, torch.float64)
