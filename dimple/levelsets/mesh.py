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
