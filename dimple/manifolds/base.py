"""What every manifold knows: exact geometry that needs no training and no estimate."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from dimple.errors import SceneError
from dimple.manifolds.graph_geodesics import shortest_paths
from dimple.manifolds.medial_axis import PLACE, medial_distance
from dimple.manifolds.triangulations import Drawn, opened
from dimple.tensors import extent, norm
from dimple.tensors import generator as stream

Chart = Callable[[Tensor], Tensor]


class Manifold(ABC):
    """A d-dimensional surface in R^n whose nearest points, tangents, curvature and uniform measure are known.

    A member is a frozen `@settings` class: its fields are the keys of the scene file, and it answers the abstract
    questions below, most by one formula of its own (`Mapped`). Points are rows `(B, n)` of any floating dtype on any
    device, and both are kept. A point off the manifold is answered for its nearest point on it.
    """

    @property
    @abstractmethod
    def dim(self) -> int:
        """The intrinsic dimension d."""

    @property
    @abstractmethod
    def ambient_dim(self) -> int:
        """The dimension n of the space around it."""

    @property
    @abstractmethod
    def reach(self) -> float:
        """The largest r such that every point nearer than r has one nearest point; `inf` for a flat."""

    @property
    def reach_is_exact(self) -> bool:
        """Whether `reach` is a formula; otherwise it is an upper bound, the least that a search has found."""
        return True

    @property
    @abstractmethod
    def volume(self) -> float:
        """The d-volume: a length, an area."""

    @abstractmethod
    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """`(count, n)` float64 points, independent and uniform in d-volume."""

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """The nearest point of the manifold for each of `(B, n)`."""

    @abstractmethod
    def tangent_basis(self, x: Tensor) -> Tensor:
        """Orthonormal tangent columns `(B, n, d)` at the nearest point of each of `(B, n)`."""

    @abstractmethod
    def second_form(self, x: Tensor) -> Tensor:
        """The second fundamental form `(B, n, d, d)`: normal vectors, for pairs of columns of `tangent_basis(x)`.

        A curve of unit speed in the manifold with the tangent T a accelerates normally by `second_form[:, :, a, a]`.
        """

    @abstractmethod
    def coordinates(self, x: Tensor) -> Tensor:
        """Chart coordinates in [0, 1]^d of the nearest points, `(B, d)`; a closed axis begins again at 1."""

    def distance(self, x: Tensor) -> Tensor:
        """The Euclidean distance from each of `(B, n)` to the manifold, `(B,)`."""
        return norm(x - self.project(x))

    def room(self, x: Tensor) -> Tensor:
        """How much farther each point may move straight away from the manifold and still have the same nearest point.

        The distance to the medial axis in that direction: the projection of `(B, n)` is valid where it is positive. On
        the manifold, where every direction leads away, it is the reach. By formula where one exists, here to 1e-9.
        """
        exact = working(x)
        foot = self.project(exact)
        away = exact - foot
        length = torch.linalg.vector_norm(away, dim=1)
        off = length > PLACE * self._extent
        room = torch.full_like(length, self.reach)
        direction = away[off] / length[off, None]
        room[off] = medial_distance(self, foot[off], direction, self._extent) - length[off]
        return room.to(x.device, x.dtype)

    @cached_property
    def _extent(self) -> float:
        return extent(self.nodes(256))

    def normal_basis(self, x: Tensor) -> Tensor:
        """Orthonormal columns `(B, n, n - d)` that complete `tangent_basis(x)`; their signs are arbitrary."""
        whole: Tensor = torch.linalg.qr(self.tangent_basis(x), mode="complete").Q
        return whole[:, :, self.dim :]

    def shape_operator(self, x: Tensor, normal: Tensor) -> Tensor:
        """The second form along unit normals `(B, n)`: symmetric `(B, d, d)` in the tangent basis."""
        return torch.einsum("bnij,bn->bij", self.second_form(x), normal)

    def principal_curvatures(self, x: Tensor, normal: Tensor | None = None) -> Tensor:
        """The eigenvalues `(B, d)` of the shape operator, ascending; positive where it bends towards the normal.

        Args:
            x: `(B, n)`.
            normal: unit normals `(B, n)`; at codimension 1 the one column of `normal_basis` where not given.

        Raises:
            SceneError: without a normal where there are several to choose from.
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
        """The intrinsic scalar curvature `(B,)`, twice the Gaussian one of a surface, by the equation of Gauss."""
        form = self.second_form(x)
        trace = form.diagonal(dim1=2, dim2=3).sum(-1)
        return (trace * trace).sum(1) - (form * form).sum((1, 2, 3))

    def geodesic(self, a: Tensor, b: Tensor) -> Tensor:
        """The lengths `(A, B)` of the shortest paths within the manifold from each of `(A, n)` to each of `(B, n)`.

        Exact where a formula exists. Here along a neighbour graph with the points of both as nodes, some per cent too
        long; within one call that is a metric to the last digit.
        """
        return shortest_paths(self, a, b)

    @property
    def parts(self) -> tuple["Manifold", ...]:
        """The connected pieces; itself alone where there is one."""
        return (self,)

    def component(self, x: Tensor) -> Tensor:
        """Which of `parts` is nearest to each point, `(B,)` int64."""
        return torch.zeros(len(x), dtype=torch.int64, device=x.device)

    def grid(self, per_side: int) -> Tensor | None:
        """A regular grid of `per_side`^d points `(N, n)` in chart coordinates; None where no single chart serves."""
        return None

    def unfold(self) -> tuple["Manifold", Chart]:
        """A simpler manifold and the smooth map that takes it to this one: what a warp composes with."""
        return self, lambda x: x

    def triangulation(self) -> Drawn | None:
        """Vertices `(V, n)` and triangles `(F, 3)` of a surface, or segments `(F, 2)` of a curve, in any R^n."""
        return None

    def mesh(self) -> Drawn | None:
        """The triangulation, where it can be drawn as it is: of a curve or surface in 2 or 3 dimensions.

        A surface with one side only is cut open, so that it can be shaded. None where there is nothing to draw.
        """
        drawn = self.triangulation() if self.dim <= 2 and self.ambient_dim in (2, 3) else None
        return opened(*drawn) if drawn is not None and self.dim == 2 else drawn

    @property
    def codim(self) -> int:
        """How many directions leave the manifold: n - d."""
        return self.ambient_dim - self.dim

    def nodes(self, count: int) -> Tensor:
        """About `count` points `(N, n)` all over the manifold, always the same: where searches begin."""
        return self.sample(count, stream(0, "nodes"))

    def quadrature(self, count: int) -> tuple[Tensor, Tensor]:
        """Points `(N, n)` and weights `(N,)` for integrals over the manifold; uniform points where no rule is known."""
        x = self.sample(count, stream(0, "quadrature"))
        return x, torch.full((count,), self.volume / count, dtype=torch.float64)


def working(x: Tensor) -> Tensor:
    """`x` in double precision, in which all geometry is computed; on the CPU where the device has no doubles."""
    return x.detach().to("cpu" if x.device.type == "mps" else x.device, torch.float64)
