"""Depths of spherical manifolds are differences of radii."""

import numpy as np
import pytest

from dimple.levelsets import Mesh
from dimple.views.content.manifold_depth import ManifoldProximity, subdivide_mesh, vertex_normals
from tests.views.material import RADIUS, ball_mesh

SQUARE = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]), np.array([[0, 1, 2], [0, 2, 3]]))


def test_normals_of_a_sphere_are_radial() -> None:
    mesh = ball_mesh(0.5, inside=0)
    radial = mesh.vertices / np.linalg.norm(mesh.vertices, axis=1, keepdims=True)
    assert ((vertex_normals(mesh) * radial).sum(1) > 0.99).all()


@pytest.mark.parametrize(("radius", "inside"), [(0.5, 1), (0.5, 0), (0.32, 1), (0.2, 1), (0.2, 0)])
def test_depth_is_the_difference_of_the_radii_with_the_sign_of_the_inner_class(radius: float, inside: int) -> None:
    boundary = ball_mesh(radius, inside)
    depth = ManifoldProximity(ball_mesh(RADIUS), 0.01).compute_depth(boundary)
    # If the boundary is outside the manifold, the manifold is in the inner class.
    sign = 1 if inside == 1 else -1
    assert depth == pytest.approx(np.full(len(depth), sign * (radius - RADIUS)), abs=4e-3)


def test_a_wall_across_a_plane_has_depth_zero() -> None:
    wall = Mesh(np.array([[0.5, 0.1, -0.4], [0.5, 0.9, -0.4], [0.5, 0.5, 0.6]]), np.array([[0, 1, 2]]))
    assert ManifoldProximity(SQUARE, 0.05).compute_depth(wall) == pytest.approx(np.zeros(3), abs=1e-12)


def test_an_empty_boundary_has_no_depths() -> None:
    assert ManifoldProximity(SQUARE, 0.1).compute_depth(ball_mesh(None)).shape == (0,)


def test_offsets_to_a_plane_are_exact_even_beyond_its_border() -> None:
    points = np.array([[0.21, 0.37, 0.4], [0.5, 0.5, -0.2], [1.3, 0.5, 0.1]])
    assert ManifoldProximity(SQUARE, 0.1).compute_offsets(points)[:, 2] == pytest.approx(-points[:, 2])


def test_subdivision_keeps_the_surface_and_bounds_its_edges() -> None:
    fine = subdivide_mesh(SQUARE, 0.11)
    corners = fine.vertices[fine.faces]
    assert np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max() <= 0.11
    assert fine.area == pytest.approx(SQUARE.area)
    assert len(np.unique(fine.vertices.round(9), axis=0)) == len(fine.vertices)


def test_a_fine_mesh_is_not_changed() -> None:
    assert subdivide_mesh(SQUARE, 2.0) == SQUARE
