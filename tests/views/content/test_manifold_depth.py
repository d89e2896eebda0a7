"""Relief against spheres, whose distances are differences of radii."""

import numpy as np
import pytest

from dimple.levelsets import Mesh
from dimple.views.content.manifold_depth import Feet, refined, vertex_normals
from tests.views.material import RADIUS, ball_mesh

SQUARE = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]), np.array([[0, 1, 2], [0, 2, 3]]))


def test_normals_of_a_sphere_are_radial() -> None:
    mesh = ball_mesh(0.5, inside=0)
    radial = mesh.vertices / np.linalg.norm(mesh.vertices, axis=1, keepdims=True)
    assert ((vertex_normals(mesh) * radial).sum(1) > 0.99).all()


@pytest.mark.parametrize(("radius", "inside"), [(0.5, 1), (0.5, 0), (0.32, 1), (0.2, 1), (0.2, 0)])
def test_relief_is_the_difference_of_the_radii_on_the_side_of_the_inner_class(radius: float, inside: int) -> None:
    boundary = ball_mesh(radius, inside)
    relief = Feet(ball_mesh(RADIUS), 0.01).relief(boundary)
    # Where the boundary lies outside, the manifold is on its inner side, and so of the inner class.
    sign = 1 if inside == 1 else -1
    assert relief == pytest.approx(np.full(len(relief), sign * (radius - RADIUS)), abs=4e-3)


def test_a_wall_across_a_plane_has_no_relief() -> None:
    wall = Mesh(np.array([[0.5, 0.1, -0.4], [0.5, 0.9, -0.4], [0.5, 0.5, 0.6]]), np.array([[0, 1, 2]]))
    assert Feet(SQUARE, 0.05).relief(wall) == pytest.approx(np.zeros(3), abs=1e-12)


def test_an_empty_boundary_has_an_empty_relief() -> None:
    assert Feet(SQUARE, 0.1).relief(ball_mesh(None)).shape == (0,)


def test_offsets_to_a_plane_are_exact_even_past_its_rim() -> None:
    points = np.array([[0.21, 0.37, 0.4], [0.5, 0.5, -0.2], [1.3, 0.5, 0.1]])
    assert Feet(SQUARE, 0.1).offsets(points)[:, 2] == pytest.approx(-points[:, 2])


def test_refining_keeps_the_surface_and_bounds_its_edges() -> None:
    fine = refined(SQUARE, 0.11)
    corners = fine.vertices[fine.faces]
    assert np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max() <= 0.11
    assert fine.area == pytest.approx(SQUARE.area)
    assert len(np.unique(fine.vertices.round(9), axis=0)) == len(fine.vertices)


def test_what_is_fine_already_is_left_alone() -> None:
    assert refined(SQUARE, 2.0) == SQUARE
