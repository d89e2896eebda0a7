"""The level set that suits the network: exact where it is made of flat pieces, adaptive elsewhere."""

from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.boundary.boundary import Boundary
from dimple.errors import SceneError
from dimple.levelsets.adaptive import Adaptive
from dimple.levelsets.base import LevelSet, level_function
from dimple.levelsets.completeness import certify, is_halved
from dimple.levelsets.edge_roots import landed
from dimple.levelsets.exact import Exact
from dimple.levelsets.mesh import Mesh
from dimple.levelsets.mesh_measures import components
from dimple.levelsets.seed_cells import Lattice, no_edges
from dimple.settings import Count, Finite, Natural, settings
from dimple.tracing.piecewise_linear import is_folded


@final
@settings
class Automatic(LevelSet):
    """`exact` for a network of ReLU type, `adaptive` for every other; with a proof that nothing is missing on request.

    Args:
        cells: the resolution where the level set is adaptive.
        certified: cells along each axis, a power of two, in which bounds of the network have to exclude what the mesh
            lacks; what is found where they do not is added. 0 asks for no proof; it takes some seconds a mesh.

    Example:
        >>> network = torch.nn.Sequential(torch.nn.Linear(3, 2))
        >>> plane = Automatic().extract(Boundary(network), 1, (-1, -1, -1), (1, 1, 1), torch.device("cpu"))
        >>> plane.faces.shape[1]
        3
    """

    cells: Count = 128
    certified: Natural = 0
    low: tuple[Finite, ...] | None = None
    high: tuple[Finite, ...] | None = None

    def __post_init__(self) -> None:
        if self.certified and not is_halved(self.certified):
            raise SceneError(
                f"levelset.certified is {self.certified}; give a power of two from 4 on, or 0 for no proof"
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
        """By whichever of the two can read the network."""
        chosen = Exact() if is_folded(boundary.classifier) else Adaptive(cells=self.cells)
        mesh = chosen.extract(boundary, label, low, high, device, previous)
        if self.certified:
            lost = parts_passed_by(mesh, boundary, label, low, high, self.certified)
            if len(lost.faces):
                hints = np.concatenate([lost.vertices, a_place_of_each_part(mesh)])
                mesh = chosen.extract(boundary, label, low, high, device, Mesh(hints, lost.faces[:0]))
        return mesh


# Lattice cells along each cell that was bounded: a part of its size shows at their corners.
FINER = 4


def parts_passed_by(
    mesh: Mesh, boundary: Boundary, label: int, low: Sequence[float], high: Sequence[float], cells: int
) -> Mesh:
    """What a mesh of the boundary lacks outside the cells that it meets and their neighbours, to a quarter of a cell.

    Args:
        mesh: of the boundary of the class `label` in the box `low` to `high`.
        cells: along each axis, a power of two from 4 on; all but the undecided ones are proven to hold nothing.

    Returns:
        The missing parts as a lattice of `4 cells` shows them; empty where there are none.

    Raises:
        ModelError: if the network has no bounds.
    """
    # Here, because numba takes a second to load.
    from dimple.levelsets.continuation import Following

    proof = certify(boundary, label, low, high, cells)
    lattice = Lattice(level_function(boundary, label), low, high, FINER * cells, torch.device("cpu"))
    following = Following(lattice)
    following.follow(no_edges(lattice.dim), proof.within(proof.missed(mesh), lattice.cells))
    faces, start, axis, values = following.triangles()
    ends = lattice.points(start), lattice.points(start + np.eye(lattice.dim, dtype=np.int64)[axis])
    vertices, _ = landed(lattice.at, *ends, values)
    return Mesh(vertices, faces)


def a_place_of_each_part(mesh: Mesh) -> NDArray[np.float64]:
    """The middle of the largest face of every part, `(parts, n)`: enough to find the parts again."""
    corners = mesh.vertices[mesh.faces]
    sizes = np.linalg.norm(corners - corners.mean(1, keepdims=True), axis=2).min(1, initial=np.inf)
    _, part = components(mesh)
    order = np.lexsort((-sizes, part))
    middles: NDArray[np.float64] = corners.mean(1)[order[np.unique(part[order], return_index=True)[1]]]
    return middles
