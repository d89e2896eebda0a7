"""Level sets of any network, by following the surface and evaluating only the cells that it crosses."""

import dataclasses
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.boundary.boundary import Boundary
from dimple.levelsets.base import LevelSet, empty_mesh, level_function, require_drawable
from dimple.levelsets.edge_roots import find_edge_roots
from dimple.levelsets.mesh import Mesh
from dimple.levelsets.seed_cells import EvaluationGrid, bisect_edges, find_seed_edges
from dimple.settings import Cells, Finite, Flag, settings

# Evaluations of the level for one vertex, at most.
MAX_REFINEMENT_STEPS = 6
# Distance from the level set at which a vertex counts as refined, as a fraction of its edge.
VERTEX_TOLERANCE = 5e-4


@final
@dataclasses.dataclass(frozen=True)
class AdaptiveResult:
    """Mesh of a surface or curve, with statistics of its extraction.

    Attributes:
        mesh: the mesh; its vertices lie on the edges of a grid.
        vertex_errors: `(V,)` bound of the distance from each vertex to the level set along its edge, as a fraction of
            the edge.
        evaluations: the number of points at which the level was evaluated.
        num_crossed_cells: the number of grid cells that the level set crosses.
    """

    mesh: Mesh
    vertex_errors: NDArray[np.float64]
    evaluations: int
    num_crossed_cells: int

    @property
    def unrefined_fraction(self) -> float:
        """The fraction of vertices whose error exceeds `VERTEX_TOLERANCE`, a two-thousandth of their edge."""
        return float((self.vertex_errors > VERTEX_TOLERANCE).mean()) if len(self.vertex_errors) else 0.0


@final
@settings
class Adaptive(LevelSet):
    """Mesh of a dense grid of `resolution ** n` cells at a few percent of its cost, with refined vertices.

    A coarse grid, and descents from its smallest absolute levels, find a point of every component. From there the
    surface is followed from cell to cell through the edges on which the sign changes, and to neighboring points where
    the levels bend enough to hide another sheet. The triangles are those of the dense grid. No component was missed on
    any of hundreds of trained networks; `check_completeness` proves it for one.

    Args:
        resolution: cells along each axis; rounded up to a power of two times the coarse resolution.
        refine_vertices: whether every vertex is moved along its edge onto the level set, which keeps the topology.

    Example:
        >>> ball = Boundary(lambda x: torch.stack([x.norm(dim=1), torch.ones(len(x))], dim=1))
        >>> mesh = Adaptive(resolution=64).extract(ball, 1, (-2, -2, -2), (2, 2, 2), torch.device("cpu"))
        >>> round(mesh.area / (4 * np.pi), 3)
        0.999
    """

    resolution: Cells = 128
    refine_vertices: Flag = True
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
        """Return the mesh of `extract_with_statistics`."""
        return self.extract_with_statistics(boundary, label, low, high, device, previous).mesh

    def extract_with_statistics(
        self,
        boundary: Boundary,
        label: int,
        low: Sequence[float],
        high: Sequence[float],
        device: torch.device,
        previous: Mesh | None = None,
    ) -> AdaptiveResult:
        """Extract the mesh as `extract` does, and return it with statistics of the extraction."""
        # Imported here because numba takes a second to load.
        from dimple.levelsets.continuation import SurfaceContinuation

        dim = require_drawable(low)
        eighth = max(1, self.resolution // 8)
        coarse = min(max(32, 1 << eighth.bit_length() - 1), 64, self.resolution)
        # The smallest power of two times the coarse resolution that is not below the given resolution.
        resolution = coarse << max(0, (-(-self.resolution // coarse) - 1).bit_length())
        level = level_function(boundary, label)
        grid = EvaluationGrid(level, low, high, resolution, device)
        surface = SurfaceContinuation(grid)
        hints = grid.cells_containing(np.zeros((0, dim)) if previous is None else previous.vertices)
        surface.follow(bisect_edges(grid, find_seed_edges(grid, coarse)), hints)
        level.warn(low, high, resolution)
        num_crossed = len(surface.crossed_cells)
        if num_crossed == 0:
            return AdaptiveResult(empty_mesh(dim), np.zeros(0), grid.evaluations, 0)
        faces, start, axis, values = surface.triangulate()
        near = grid.to_points(start)
        far = grid.to_points(start + np.eye(dim, dtype=np.int64)[axis])
        vertices, errors = find_edge_roots(
            grid.evaluate, near, far, values, MAX_REFINEMENT_STEPS if self.refine_vertices else 0, VERTEX_TOLERANCE
        )
        return AdaptiveResult(Mesh(vertices, faces), errors, grid.evaluations, num_crossed)
