"""How deep the manifold lies on either side of the boundary, as a number at each vertex of the boundary."""

import numpy as np
from scipy.spatial import cKDTree

from dimple.levelsets.mesh import Mesh
from dimple.views.content.frame import Reals, Whole


def vertex_normals(mesh: Mesh) -> Reals:
    """Unit normals `(V, 3)` of a surface, the area-weighted mean of the triangles around each vertex."""
    corners = mesh.vertices[mesh.faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(mesh.vertices)
    for axis in range(3):
        weights = np.repeat(across[:, axis], 3)
        total[:, axis] = np.bincount(mesh.faces.ravel(), weights, minlength=len(total))
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.asarray(total / np.where(length > 0, length, 1.0), dtype=np.float64)


class Feet:
    """Finds the nearest place of a meshed manifold, to second order in the spacing of the mesh.

    Args:
        manifold: triangles in R^3; long ones are halved until no edge is longer than `spacing`, so that the nearest
            vertex is near the nearest place, and the tangent plane there does the rest.

    Example:
        >>> corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
        >>> Feet(Mesh(corners, np.array([[0, 1, 2]])), 0.1).offsets(np.array([[0.3, 0.3, 0.25]]))[:, 2]
        array([-0.25])
    """

    def __init__(self, manifold: Mesh, spacing: float) -> None:
        fine = refined(manifold, spacing)
        self._vertices = fine.vertices
        self._normals = vertex_normals(fine)
        # Twice as fast as with its defaults: most queries come from far away.
        self._tree = cKDTree(fine.vertices, leafsize=32, compact_nodes=False, balanced_tree=False)

    def offsets(self, points: Reals) -> Reals:
        """The vectors `(N, 3)` from each point to its foot: along the normal of the manifold."""
        _, nearest = self._tree.query(points, workers=-1)
        normals = self._normals[nearest]
        heights = ((points - self._vertices[nearest]) * normals).sum(1, keepdims=True)
        return np.asarray(-heights * normals, dtype=np.float64)

    def normal_at(self, point: Reals) -> Reals:
        """The unit normal of the manifold at the place nearest to one point `(3,)`."""
        _, nearest = self._tree.query(point)
        return np.asarray(self._normals[nearest], dtype=np.float64)

    def relief(self, boundary: Mesh) -> Reals:
        """How deep the foot of each vertex lies within class 1 (negative: class 0), `(V,)`, in units of length.

        It is the offset to the foot measured along the boundary's own normal, which points into class 1. Where the
        boundary runs along the manifold this is the depth of a dimple with the class that it gives; where the
        boundary crosses the manifold like a wall it is zero, for a wall gives neither class any depth.
        """
        if len(boundary.faces) == 0:
            return np.zeros(len(boundary.vertices))
        return np.asarray((self.offsets(boundary.vertices) * vertex_normals(boundary)).sum(1), dtype=np.float64)


def refined(mesh: Mesh, spacing: float) -> Mesh:
    """The same surface with every edge at most `spacing` long: each round quarters the triangles too large."""
    vertices, faces = mesh.vertices, mesh.faces
    for _ in range(10):
        corners = vertices[faces]
        longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(1, initial=0.0)
        large = longest > spacing
        if not large.any():
            break
        vertices, quarters = _halved(vertices, faces[large])
        faces = np.concatenate([faces[~large], quarters])
    return Mesh(vertices, faces)


def _halved(vertices: Reals, faces: Whole) -> tuple[Reals, Whole]:
    """Vertices with the midpoints of all edges added, and four triangles for each one."""
    a, b, c = faces.T
    edges = np.sort(np.concatenate([np.stack(pair, 1) for pair in ((a, b), (b, c), (c, a))]), axis=1)
    unique, index = np.unique(edges, axis=0, return_inverse=True)
    middle = vertices[unique].mean(1)
    ab, bc, ca = len(vertices) + index.reshape(3, -1)
    quarters = np.concatenate([np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    return np.concatenate([vertices, middle]), quarters
