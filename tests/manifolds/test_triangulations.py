"""Meshes of surfaces: their topology, and the cut of one-sided ones."""

import numpy as np

from dimple.manifolds import Moebius, Torus
from dimple.manifolds.triangulations import cut_orientation_seams


def count_border_edges(faces: np.ndarray) -> int:
    """Return the number of edges of one triangle only."""
    sides = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    return int((np.unique(sides, axis=0, return_counts=True)[1] == 1).sum())


def euler_characteristic(vertices: np.ndarray, faces: np.ndarray) -> int:
    """Return V - E + F."""
    return len(vertices) - (3 * len(faces) + count_border_edges(faces)) // 2 + len(faces)


def test_the_display_mesh_of_a_one_sided_surface_is_cut_open() -> None:
    closed = Moebius().triangulation()
    mesh = Moebius().display_mesh()
    assert closed is not None and mesh is not None
    assert euler_characteristic(*closed) == 0
    assert euler_characteristic(*mesh) == 1
    vertices, faces = mesh
    np.testing.assert_array_equal(vertices[faces], closed[0][closed[1]])
    normals = np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    total = np.zeros_like(vertices)
    np.add.at(total, faces.ravel(), np.repeat(normals, 3, axis=0))
    assert float((total[faces].mean(1) * normals).sum(1).min()) > 0.5


def test_a_two_sided_surface_is_unchanged() -> None:
    mesh = Torus().triangulation()
    assert mesh is not None
    vertices, faces = cut_orientation_seams(*mesh)
    assert vertices is mesh[0] and faces is mesh[1]
