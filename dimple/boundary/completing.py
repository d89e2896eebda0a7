"""Parts of a boundary that an extraction has passed by, looked for where bounds of the network do not exclude them."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.boundary.boundary import Boundary
from dimple.boundary.certify import certify
from dimple.boundary.landing import landed
from dimple.boundary.levelset import level_function
from dimple.boundary.measures import components
from dimple.boundary.mesh import Mesh
from dimple.boundary.sweep import Lattice, no_edges

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
    from dimple.boundary.following import Following

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
