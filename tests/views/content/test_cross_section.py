"""Cross-sections of spheres are circles, and the chosen plane is the one on which the most points were placed."""

import numpy as np
import pytest
import torch

from dimple.levelsets import Mesh
from dimple.tensors import generator
from dimple.views.content.cross_section import (
    build_cross_section,
    choose_plane,
    intersect_box_with_plane,
    intersect_mesh_with_plane,
)
from dimple.views.content.frame import CrossSectionPlane, Drawing, MeshLayer, PointSet
from dimple.views.content.manifold_depth import ManifoldProximity
from dimple.views.drawing.plane import side_of_boundary
from tests.views.material import FLOOR, RADIUS, ball_mesh, sphere_points

CUBE = Drawing((), PointSet(np.zeros((0, 3)), np.zeros(0, dtype=np.int64)), (-1.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize("height", [0.0, 0.1, -0.25])
def test_a_sphere_is_cut_in_a_circle(height: float) -> None:
    plane = CrossSectionPlane(np.array([0.0, height, 0.0]), FLOOR.axes)
    circle = intersect_mesh_with_plane(ball_mesh(0.4), plane)
    radius = np.sqrt(0.4**2 - height**2)
    assert np.linalg.norm(circle.vertices, axis=1) == pytest.approx(radius, abs=3e-3)
    assert circle.area == pytest.approx(2 * np.pi * radius, rel=1e-2)


@pytest.mark.parametrize("inside", [0, 1])
def test_class_one_lies_on_the_left_of_a_cut(inside: int) -> None:
    circle = intersect_mesh_with_plane(ball_mesh(0.4, inside), FLOOR)
    expected = [1, -1] if inside == 1 else [-1, 1]
    assert side_of_boundary(circle, np.array([[0.02, 0.01], [0.5, -0.4]])).tolist() == expected


def test_a_plane_that_misses_cuts_nothing() -> None:
    plane = CrossSectionPlane(np.array([0.0, 0.5, 0.0]), FLOOR.axes)
    assert len(intersect_mesh_with_plane(ball_mesh(0.4), plane).faces) == 0


def test_the_normal_points_to_the_viewer() -> None:
    assert FLOOR.normal.tolist() == [0.0, -1.0, 0.0]


def test_a_diagonal_plane_cuts_a_cube_in_a_hexagon() -> None:
    normal = np.ones(3) / np.sqrt(3)
    right = np.array([1.0, -1.0, 0.0]) / np.sqrt(2)
    plane = CrossSectionPlane(np.full(3, 0.01), np.stack([right, np.cross(normal, right)]))
    polygon = intersect_box_with_plane(CUBE, plane)
    assert len(polygon) == 6
    x, y = polygon.T
    area = abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2
    # A regular hexagon of side sqrt(2), apart from the small offset.
    assert area == pytest.approx(3 * np.sqrt(3), rel=1e-3)


def test_the_chosen_plane_contains_the_circle_with_the_most_points() -> None:
    angle = np.linspace(0, 2 * np.pi, 9, endpoint=False)
    tilted = np.array([np.cos(angle), 0.8 * np.sin(angle), 0.6 * np.sin(angle)]).T
    noise = torch.randn(12, 3, generator=generator(0, "off the circle"), dtype=torch.float64).numpy()
    others = noise / np.linalg.norm(noise, axis=1, keepdims=True)
    points = RADIUS * np.concatenate([others, tilted])
    plane = choose_plane(points, ManifoldProximity(ball_mesh(RADIUS), 0.01), 0.012)
    assert np.abs((points[12:] - plane.origin) @ plane.normal).max() < 0.012
    assert plane.axes @ plane.axes.T == pytest.approx(np.eye(2), abs=1e-9)
    assert plane.axes[1][2] > 0


def test_a_flat_manifold_is_cut_orthogonally_along_a_row() -> None:
    grid = np.array([[x, y, 0.5] for x in np.linspace(0, 1, 5) for y in np.linspace(0, 1, 5)])
    flat = Mesh(np.array([[0.0, 0, 0.5], [1, 0, 0.5], [1, 1, 0.5], [0, 1, 0.5]]), np.array([[0, 1, 2], [0, 2, 3]]))
    plane = choose_plane(grid, ManifoldProximity(flat, 0.05), 0.01)
    assert plane.axes[1] == pytest.approx(np.array([0.0, 0.0, 1.0]))
    assert (np.abs((grid - plane.origin) @ plane.normal) < 0.01).sum() == 5


def test_a_single_point_still_gets_a_plane() -> None:
    plane = choose_plane(np.array([[0.0, 0.0, RADIUS]]), ManifoldProximity(ball_mesh(RADIUS), 0.02), 0.01)
    assert plane.axes @ plane.axes.T == pytest.approx(np.eye(2), abs=1e-9)


def test_a_cross_section_contains_the_points_near_its_plane() -> None:
    drawing = Drawing((MeshLayer(ball_mesh(RADIUS), "manifold"),), sphere_points(), (-0.5,) * 3, (0.5,) * 3)
    cross_section = build_cross_section(drawing, FLOOR, 0.02)
    assert cross_section.note == "cross-section through 4 of 6 training points"
    assert np.linalg.norm(cross_section.drawing.points.positions, axis=1) == pytest.approx(RADIUS)
    assert cross_section.drawing.points.labels.tolist() == [0, 0, 1, 1]
    assert (cross_section.drawing.low, cross_section.drawing.high) == ((-0.5, -0.5), (0.5, 0.5))
