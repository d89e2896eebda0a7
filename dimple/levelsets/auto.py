"""Choice of the level set by the network: exact for piecewise linear networks, adaptive for all others."""

from collections.abc import Sequence
from typing import Annotated, final

import numpy as np
import torch
from annotated_types import Interval
from numpy.typing import NDArray
from pydantic import Strict

from dimple.boundary.boundary import Boundary
from dimple.errors import SceneError
from dimple.levelsets.adaptive import Adaptive
from dimple.levelsets.base import LevelSet, level_function
from dimple.levelsets.completeness import check_completeness, is_power_of_two_resolution
from dimple.levelsets.edge_roots import find_edge_roots
from dimple.levelsets.exact import Exact
from dimple.levelsets.mesh import Mesh, components
from dimple.levelsets.seed_cells import EvaluationGrid, empty_edges
from dimple.settings import Cells, Finite, settings
from dimple.tracing.piecewise_linear import is_piecewise_linear


@final
@settings
class Auto(LevelSet):
    """`exact` for a piecewise linear network without convolutions, else `adaptive`, with an optional proof.

    Args:
        resolution: cells along each axis of the adaptive level set.
        completeness_resolution: cells along each axis, a power of two, in which bounds of the network are to exclude
            components that the mesh lacks; components found where the bounds do not exclude them are added to the
            mesh. The proof takes some seconds a mesh; 0 leaves it out.

    Example:
        >>> network = torch.nn.Sequential(torch.nn.Linear(3, 2))
        >>> plane = Auto().extract(Boundary(network), 1, (-1, -1, -1), (1, 1, 1), torch.device("cpu"))
        >>> plane.faces.shape[1]
        3
    """

    resolution: Cells = 128
    completeness_resolution: Annotated[int, Strict(), Interval(ge=0, le=1024)] = 0
    low: tuple[Finite, ...] | None = None
    high: tuple[Finite, ...] | None = None

    def __post_init__(self) -> None:
        if self.completeness_resolution and not is_power_of_two_resolution(self.completeness_resolution):
            raise SceneError(
                f"levelset.completeness_resolution is {self.completeness_resolution}; "
                "give a power of two from 4 on, or 0 for no proof"
            )

    def extract(
        self,
        boundary: Boundary,
        label: int,
        low: Sequence[float],
        high: Sequence[float],
        device: torch.device,
        previous: Mesh | None = None,
    ) -> Mesh:
        """Extract by the chosen level set; with a proof, add the components that it missed."""
        # The level set of a network with convolutions has too many polygons.
        is_exact = is_piecewise_linear(boundary.model, torch.zeros(len(low)), convolutions=False)
        chosen = Exact() if is_exact else Adaptive(resolution=self.resolution)
        mesh = chosen.extract(boundary, label, low, high, device, previous)
        if self.completeness_resolution:
            missed = find_missed_components(mesh, boundary, label, low, high, self.completeness_resolution)
            if len(missed.faces):
                hints = np.concatenate([missed.vertices, component_seed_points(mesh)])
                mesh = chosen.extract(boundary, label, low, high, device, Mesh(hints, missed.faces[:0]))
        return mesh


# Grid cells along each bounded cell, so that a component of the size of a bounded cell contains grid points.
REFINEMENT_FACTOR = 4


def find_missed_components(
    mesh: Mesh, boundary: Boundary, label: int, low: Sequence[float], high: Sequence[float], resolution: int
) -> Mesh:
    """Return the components of the boundary that a mesh lacks, outside the cells that it meets and their neighbors.

    Args:
        mesh: a mesh of the boundary of the class `label` in the box from `low` to `high`.
        boundary: the boundary.
        label: the class.
        low: smallest coordinates of the box.
        high: largest coordinates of the box.
        resolution: cells along each axis, a power of two from 4 on; cells in which bounds exclude the boundary are not
            searched.

    Returns:
        The missed components, from a grid of 4 `resolution` cells along each axis; empty if there are none.

    Raises:
        ModelError: if the network has no bounds.
    """
    # Imported here because numba takes a second to load.
    from dimple.levelsets.continuation import SurfaceContinuation

    proof = check_completeness(boundary, label, low, high, resolution)
    grid = EvaluationGrid(
        level_function(boundary, label), low, high, REFINEMENT_FACTOR * resolution, torch.device("cpu")
    )
    surface = SurfaceContinuation(grid)
    surface.follow(empty_edges(grid.dim), proof.cells_at_resolution(proof.missed_cells(mesh), grid.resolution))
    faces, start, axis, values = surface.triangulate()
    end = start + np.eye(grid.dim, dtype=np.int64)[axis]
    vertices, _ = find_edge_roots(grid.evaluate, grid.to_points(start), grid.to_points(end), values)
    return Mesh(vertices, faces)


def component_seed_points(mesh: Mesh) -> NDArray[np.float64]:
    """Return the center of the largest face of every component, `(components, n)`.

    As hints they suffice to find the components again.
    """
    corners = mesh.vertices[mesh.faces]
    sizes = np.linalg.norm(corners - corners.mean(1, keepdims=True), axis=2).min(1, initial=np.inf)
    _, component = components(mesh)
    order = np.lexsort((-sizes, component))
    centers: NDArray[np.float64] = corners.mean(1)[order[np.unique(component[order], return_index=True)[1]]]
    return centers
