"""Cuts of spheres are circles; the plane through most points is the one that they were put in."""

import numpy as np
import pytest
import torch

from dimple.levelsets import Mesh
from dimple.tensors import generator
from dimple.views.content.cross_section import box_outline, choose_plane, cut, section_of
from dimple.views.content.frame import Drawing, Layer, Plane, PointSet
from dimple.views.content.manifold_depth import Feet
from dimple.views.drawing.plane import sides
from tests.views.material import FLOOR, RADIUS, ball_mesh, sphere_points

CUBE = Drawing((), PointSet(np.zeros((0, 3)), np.zeros(0, dtype=np.int64)), (-1.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize("height", [0.0, 0.1, -0.25])
def test_a_sphere_is_cut_in_a_circle(height: float) -> None:
    plane = Plane(np.array([0.0, height, 0.0]), FLOOR.axes)
    circle = cut(ball_mesh(0.4), plane)
    radius = np.sqrt(0.4**2 - height**2)
    assert np.linalg.norm(circle.vertices, axis=1) == pytest.approx(radius, abs=3e-3)
    assert circle.area == pytest.approx(2 * np.pi * radius, rel=1e-2)


@pytest.mark.parametrize("inside", [0, 1])
def test_class_one_lies_on_the_left_of_a_cut(inside: int) -> None:
    circle = cut(ball_mesh(0.4, inside), FLOOR)
    expected = [1, -1] if inside == 1 else [-1, 1]
    assert sides(circle, np.array([[0.02, 0.01], [0.5, -0.4]])).tolist() == expected


def test_a_plane_that_misses_cuts_nothing() -> None:
    assert len(cut(ball_mesh(0.4), Plane(np.array([0.0, 0.5, 0.0]), FLOOR.axes)).faces) == 0


def test_the_normal_looks_at_the_viewer() -> None:
    assert FLOOR.normal.tolist() == [0.0, -1.0, 0.0]


def test_a_diagonal_plane_cuts_a_cube_in_a_hexagon() -> None:
    normal = np.ones(3) / np.sqrt(3)
    right = np.array([1.0, -1.0, 0.0]) / np.sqrt(2)
    outline = box_outline(CUBE, Plane(np.full(3, 0.01), np.stack([right, np.cross(normal, right)])))
    assert len(outline) == 6
    x, y = outline.T
    area = abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2
    # A regular hexagon of side sqrt(2), but for the small offset.
    assert area == pytest.approx(3 * np.sqrt(3), rel=1e-3)


def test_the_chosen_plane_holds_the_circle_that_most_points_lie_on() -> None:
    angle = np.linspace(0, 2 * np.pi, 9, endpoint=False)
    tilted = np.array([np.cos(angle), 0.8 * np.sin(angle), 0.6 * np.sin(angle)]).T
    noise = torch.randn(12, 3, generator=generator(0, "off the circle"), dtype=torch.float64).numpy()
    others = noise / np.linalg.norm(noise, axis=1, keepdims=True)
    points = RADIUS * np.concatenate([others, tilted])
    plane = choose_plane(points, Feet(ball_mesh(RADIUS), 0.01), 0.012)
    assert np.abs((points[12:] - plane.origin) @ plane.normal).max() < 0.012
    assert plane.axes @ plane.axes.T == pytest.approx(np.eye(2), abs=1e-9)
    assert plane.axes[1][2] > 0


def test_a_flat_manifold_is_cut_squarely_along_a_row() -> None:
    grid = np.array([[x, y, 0.5] for x in np.linspace(0, 1, 5) for y in np.linspace(0, 1, 5)])
    flat = Mesh(np.array([[0.0, 0, 0.5], [1, 0, 0.5], [1, 1, 0.5], [0, 1, 0.5]]), np.array([[0, 1, 2], [0, 2, 3]]))
    plane = choose_plane(grid, Feet(flat, 0.05), 0.01)
    assert plane.axes[1] == pytest.approx(np.array([0.0, 0.0, 1.0]))
    assert (np.abs((grid - plane.origin) @ plane.normal) < 0.01).sum() == 5


def test_a_lonely_point_still_gets_a_plane() -> None:
    plane = choose_plane(np.array([[0.0, 0.0, RADIUS]]), Feet(ball_mesh(RADIUS), 0.02), 0.01)
    assert plane.axes @ plane.axes.T == pytest.approx(np.eye(2), abs=1e-9)


def test_a_section_keeps_the_points_in_its_plane() -> None:
    drawing = Drawing((Layer(ball_mesh(RADIUS), "manifold"),), sphere_points(), (-0.5,) * 3, (0.5,) * 3)
    section = section_of(drawing, FLOOR, 0.02)
    assert section.note == "section through 4 of 6 training points"
    assert np.linalg.norm(section.drawing.points.positions, axis=1) == pytest.approx(RADIUS)
    assert section.drawing.points.classes.tolist() == [0, 0, 1, 1]
    assert (section.drawing.low, section.drawing.high) == ((-0.5, -0.5), (0.5, 0.5))
