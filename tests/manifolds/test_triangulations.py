"""Meshes of surfaces: what they close, and where they must be open."""

import numpy as np

from dimple.manifolds import Moebius, Torus
from dimple.manifolds.triangulations import opened


def rims(faces: np.ndarray) -> int:
    """Sides of triangles that no other one shares."""
    sides = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    return int((np.unique(sides, axis=0, return_counts=True)[1] == 1).sum())


def characteristic(vertices: np.ndarray, faces: np.ndarray) -> int:
    """Euler's number V - E + F."""
    return len(vertices) - (3 * len(faces) + rims(faces)) // 2 + len(faces)


def test_a_band_with_one_side_is_drawn_cut_open() -> None:
    closed, mesh = Moebius().triangulation(), Moebius().mesh()
    assert closed is not None and mesh is not None
    assert (characteristic(*closed), characteristic(*mesh)) == (0, 1)
    vertices, faces = mesh
    np.testing.assert_array_equal(vertices[faces], closed[0][closed[1]])
    across = np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    total = np.zeros_like(vertices)
    np.add.at(total, faces.ravel(), np.repeat(across, 3, axis=0))
    assert float((total[faces].mean(1) * across).sum(1).min()) > 0.5


def test_a_surface_with_two_sides_stays_as_it_is() -> None:
    drawn = Torus().triangulation()
    assert drawn is not None
    vertices, faces = opened(*drawn)
    assert vertices is drawn[0] and faces is drawn[1]
