"""Pictures of the plane have the right color on each side of the boundary and the right marker at each point."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimple.levelsets import Mesh
from dimple.views.content.frame import Drawing, MeshLayer, PointSet
from dimple.views.drawing.plane import draw_plane, side_of_boundary
from dimple.views.style.colors import BACKGROUND_COLOR, CLASS_COLORS, FOREGROUND_COLOR, tint
from tests.views.material import circle_mesh, plane_frames

NO_POINTS = PointSet(np.zeros((0, 2)), np.zeros(0, dtype=np.int64))


@settings(max_examples=40)
@given(st.floats(0, 1.9), st.floats(-3.1, 3.1))
def test_the_side_of_a_circle_depends_on_the_radius(radius: float, angle: float) -> None:
    if abs(radius - 1) < 2e-3:
        return
    point = radius * np.array([[np.cos(angle), np.sin(angle)]])
    assert side_of_boundary(circle_mesh(), point)[0] == (1 if radius < 1 else -1)


def test_the_side_is_right_near_a_sharp_vertex() -> None:
    # A wedge that opens upwards, with class 1 inside it.
    wedge = Mesh(np.array([[-0.1, 1.0], [0.0, 0.0], [0.1, 1.0]]), np.array([[0, 1], [1, 2]]))
    points = np.array([[0.0, 0.5], [0.0, -0.3], [0.02, -0.05], [-0.02, -0.05], [0.3, 0.2], [-0.3, 0.2]])
    assert side_of_boundary(wedge, points).tolist() == [1, -1, -1, -1, -1, -1]


def test_the_closest_point_of_a_long_segment_determines_the_side() -> None:
    lines = Mesh(
        np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 1.0], [0.0, 1.0], [5.0, -0.4], [4.9, -0.4]]),
        np.array([[0, 1], [2, 3], [4, 5]]),
    )
    points = np.array([[9.5, 0.1], [9.5, 0.9], [9.5, 1.2], [0.5, -0.1]])
    assert side_of_boundary(lines, points).tolist() == [1, 1, -1, -1]


def test_regions_have_the_colors_of_their_classes() -> None:
    frame = plane_frames()[2]
    picture = draw_plane(frame.drawing, (204, 204))
    assert picture.getpixel((30, 30)) == tint(CLASS_COLORS[0], 0.24)
    assert picture.getpixel((180, 30)) == tint(CLASS_COLORS[1], 0.24)
    assert sum(picture.getpixel((round(0.6 * 200) + 2, 30))) < sum(tint(CLASS_COLORS[0], 0.24)) - 100


def test_points_have_the_color_of_their_class() -> None:
    frame = plane_frames()[2]
    picture = draw_plane(frame.drawing, (204, 204))
    for (x, y), label in zip(frame.drawing.points.positions, frame.drawing.points.labels, strict=True):
        assert picture.getpixel((round(2 + 200 * x), round(202 - 200 * y))) == CLASS_COLORS[label]


def test_only_misclassified_points_have_a_ring() -> None:
    def count_dark_pixels(index: int) -> int:
        picture = np.asarray(draw_plane(plane_frames()[index].drawing, (404, 404)).crop((100, 150, 140, 254)))
        return int((np.abs(picture.astype(int) - FOREGROUND_COLOR).max(2) < 12).sum())

    # At step 0 the wall is at 0.2, so the point at 0.3, of class 0, is misclassified.
    assert count_dark_pixels(0) > 15
    assert count_dark_pixels(2) == 0


@pytest.mark.parametrize(("predictions", "color"), [([1, 1], tint(CLASS_COLORS[1], 0.24)), ([0, 1], BACKGROUND_COLOR)])
def test_without_a_boundary_the_color_is_that_of_a_unanimous_prediction(
    predictions: list[int], color: tuple[int, int, int]
) -> None:
    points = PointSet(np.array([[0.4, 0.5], [0.6, 0.5]]), np.array([0, 1]), np.array(predictions))
    empty = MeshLayer(Mesh(np.zeros((0, 2)), np.zeros((0, 2), dtype=np.int64)), "boundary")
    picture = draw_plane(Drawing((empty,), points, (0.0, 0.0), (1.0, 1.0)), (104, 104))
    assert picture.getpixel((50, 20)) == color


def test_nothing_is_colored_outside_the_domain_polygon() -> None:
    triangle = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    wall = Mesh(np.array([[0.5, 1.0], [0.5, 0.0]]), np.array([[0, 1]]))
    drawing = Drawing((MeshLayer(wall, "boundary"),), NO_POINTS, (0.0, 0.0), (1.0, 1.0), triangle)
    picture = draw_plane(drawing, (204, 204))
    assert picture.getpixel((180, 20)) == BACKGROUND_COLOR
    assert picture.getpixel((20, 180)) == tint(CLASS_COLORS[0], 0.24)
