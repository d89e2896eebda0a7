"""Meshes of level sets, as plain arrays that every view and file format can read."""

import dataclasses
from typing import final

import numpy as np
from numpy.typing import NDArray


@final
@dataclasses.dataclass(frozen=True)
class Mesh:
    """Triangles in space, or line segments in the plane.

    Attributes:
        vertices: `(V, 3)` or `(V, 2)` float64.
        faces: `(F, 3)` triangles or `(F, 2)` segments, int64 indices into the vertices. The normals of triangles point
            to where the level function grows; segments have that side on their left.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]

    @property
    def ambient_dim(self) -> int:
        """2 for a curve in the plane, 3 for a surface in space."""
        return int(self.vertices.shape[1])

    @property
    def area(self) -> float:
        """The total area of the triangles, or the total length of the segments."""
        if len(self.faces) == 0:
            return 0.0
        corners = self.vertices[self.faces]
        if self.ambient_dim == 2:
            return float(np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1).sum())
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        return float(np.linalg.norm(cross, axis=1).sum() / 2)


def components(mesh: Mesh) -> tuple[int, NDArray[np.int64]]:
    """Return the number of components of the mesh, and the component of every face, `(F,)`.

    Faces belong to one component if a chain of faces with common vertices connects them.

    Example:
        >>> square = np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0], [6.0, 0.0]])
        >>> components(Mesh(square, np.array([[0, 1], [2, 3]])))
        (2, array([0, 1]))
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if len(mesh.faces) == 0:
        return 0, np.zeros(0, dtype=np.int64)
    used, flat = np.unique(mesh.faces, return_inverse=True)
    faces: NDArray[np.int64] = flat.reshape(len(mesh.faces), -1)
    first = np.repeat(faces[:, 0], mesh.faces.shape[1] - 1)
    other = faces[:, 1:].reshape(-1)
    links = coo_array((np.ones(len(first)), (first, other)), shape=(len(used), len(used)))
    count, component = connected_components(links, directed=False)
    return int(count), component[faces[:, 0]].astype(np.int64)
