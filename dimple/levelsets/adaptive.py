"""Level sets of any network by following the surface: only the cells that it crosses are evaluated."""

import dataclasses
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.boundary.boundary import Boundary
from dimple.levelsets.base import LevelSet, empty_mesh, level_function, require_drawable
from dimple.levelsets.edge_roots import landed
from dimple.levelsets.mesh import Mesh
from dimple.levelsets.seed_cells import Lattice, bisected, sweep
from dimple.settings import Count, Finite, Flag, settings

# Steps of one vertex at most, and how near to the level set it has to come, in lengths of its edge.
STEPS, WITHIN = 6, 5e-4


@final
@dataclasses.dataclass(frozen=True)
class Followed:
    """A surface or curve that was followed, and what that took.

    Attributes:
        mesh: its vertices lie on the edges of a lattice.
        left: `(V,)` how far each vertex may be from the level set along its edge, as a share of the edge.
        evaluations: points at which the level was asked for.
        cells: lattice cells that the level set crosses.
    """

    mesh: Mesh
    left: NDArray[np.float64]
    evaluations: int
    cells: int

    @property
    def unsnapped(self) -> float:
        """The share of vertices that could not be brought within a two-thousandth of their edge."""
        return float((self.left > WITHIN).mean()) if len(self.left) else 0.0


@final
@settings
class Adaptive(LevelSet):
    """The mesh of a dense grid of `cells`^n, at a few percent of its cost, its vertices brought onto the level set.

    A coarse grid, and ways down from its least values, find a point of every part; from there the surface is followed
    from cell to cell through the edges on which the sign changes, and across where the levels bend enough to hide
    another part. The triangles are those of the dense grid. No part was missed on any of hundreds of trained networks;
    `certify` proves it for one.

    Args:
        cells: along each axis; rounded up to a multiple of a power of two.
        snap: whether every vertex is brought onto the level set, along its own edge, so that the topology stays.

    Example:
        >>> ball = Boundary(lambda x: torch.stack([x.norm(dim=1), torch.ones(len(x))], dim=1))
        >>> mesh = Adaptive(cells=64).extract(ball, 1, (-2, -2, -2), (2, 2, 2), torch.device("cpu"))
        >>> round(mesh.area / (4 * np.pi), 3)
        0.999
    """

    cells: Count = 128
    snap: Flag = True
    low: tuple[Finite, ...] | None = None
    high: tuple[Finite, ...] | None = None

    def extract(
        self,
        boundary: Boundary,
        label: int,
        low: Sequence[float],
        high: Sequence[float],
        device: torch.device,
        previous: Mesh | None = None,
    ) -> Mesh:
        """The mesh alone."""
        return self.followed(boundary, label, low, high, device, previous).mesh

    def followed(
        self,
        boundary: Boundary,
        label: int,
        low: Sequence[float],
        high: Sequence[float],
        device: torch.device,
        previous: Mesh | None = None,
    ) -> Followed:
        """Sweep, follow, triangulate, snap; the mesh with what it took."""
        # Here, because numba takes a second to load.
        from dimple.levelsets.continuation import Following

        dim = require_drawable(low)
        coarse = min(max(32, 1 << (self.cells // 8).bit_length() - 1), 64, self.cells)
        # The least power of two times the coarse cells that has as many cells as asked for.
        cells = coarse << max(0, (-(-self.cells // coarse) - 1).bit_length())
        lattice = Lattice(level_function(boundary, label), low, high, cells, device)
        following = Following(lattice)
        hints = lattice.cells_of(np.zeros((0, dim)) if previous is None else previous.vertices)
        following.follow(bisected(lattice, sweep(lattice, coarse)), hints)
        crossed = len(following.crossed)
        if crossed == 0:
            return Followed(empty_mesh(dim), np.zeros(0), lattice.evaluations, 0)
        faces, start, axis, values = following.triangles()
        near, far = lattice.points(start), lattice.points(start + np.eye(dim, dtype=np.int64)[axis])
        vertices, left = landed(lattice.at, near, far, values, STEPS if self.snap else 0, WITHIN)
        return Followed(Mesh(vertices, faces), left, lattice.evaluations, crossed)
