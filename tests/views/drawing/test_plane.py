"""Drawings of the plane: the right hue on the right side, the right marker in the right place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimple.levelsets import Mesh
from dimple.views.content.frame import Drawing, Layer, PointSet
from dimple.views.drawing.plane import draw_plane, sides
from dimple.views.style.colors import CLASSES, INK, PAPER, tint
from tests.views.material import circle_mesh, plane_frames

NOBODY = PointSet(np.zeros((0, 2)), np.zeros(0, dtype=np.int64))


@settings(max_examples=40)
@given(st.floats(0, 1.9), st.floats(-3.1, 3.1))
def test_the_side_of_a_circle_is_whether_the_radius_is_smaller(radius: float, angle: float) -> None:
    if abs(radius - 1) < 2e-3:
        return
    point = radius * np.array([[np.cos(angle), np.sin(angle)]])
    assert sides(circle_mesh(), point)[0] == (1 if radius < 1 else -1)


def test_a_sharp_corner_is_told_from_both_its_sides() -> None:
    # A wedge that opens upwards, class 1 within it: down one flank, up the other.
    wedge = Mesh(np.array([[-0.1, 1.0], [0.0, 0.0], [0.1, 1.0]]), np.array([[0, 1], [1, 2]]))
    points = np.array([[0.0, 0.5], [0.0, -0.3], [0.02, -0.05], [-0.02, -0.05], [0.3, 0.2], [-0.3, 0.2]])
    assert sides(wedge, points).tolist() == [1, -1, -1, -1, -1, -1]


def test_long_segments_are_judged_by_their_nearest_place() -> None:
    lines = Mesh(
        np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 1.0], [0.0, 1.0], [5.0, -0.4], [4.9, -0.4]]),
        np.array([[0, 1], [2, 3], [4, 5]]),
    )
    assert sides(lines, np.array([[9.5, 0.1], [9.5, 0.9], [9.5, 1.2], [0.5, -0.1]])).tolist() == [1, 1, -1, -1]


def test_regions_have_the_hues_of_their_classes() -> None:
    frame = plane_frames()[2]
    picture = draw_plane(frame.drawing, (204, 204))
    assert picture.getpixel((30, 30)) == tint(CLASSES[0], 0.24)
    assert picture.getpixel((180, 30)) == tint(CLASSES[1], 0.24)
    assert sum(picture.getpixel((round(0.6 * 200) + 2, 30))) < sum(tint(CLASSES[0], 0.24)) - 100


def test_points_have_the_colour_of_their_class_where_they_are() -> None:
    frame = plane_frames()[2]
    picture = draw_plane(frame.drawing, (204, 204))
    for (x, y), label in zip(frame.drawing.points.positions, frame.drawing.points.classes, strict=True):
        assert picture.getpixel((round(2 + 200 * x), round(202 - 200 * y))) == CLASSES[label]


def test_only_wrong_points_have_a_ring() -> None:
    def dark(index: int) -> int:
        picture = np.asarray(draw_plane(plane_frames()[index].drawing, (404, 404)).crop((100, 150, 140, 254)))
        return int((np.abs(picture.astype(int) - INK).max(2) < 12).sum())

    # At step 0 the wall stands at 0.2 and the point at 0.3, of class 0, is on its wrong side.
    assert dark(0) > 15
    assert dark(2) == 0


@pytest.mark.parametrize(("predicted", "ground"), [([1, 1], tint(CLASSES[1], 0.24)), ([0, 1], PAPER)])
def test_without_a_boundary_the_ground_is_what_all_points_are_predicted_as(
    predicted: list[int], ground: tuple[int, int, int]
) -> None:
    points = PointSet(np.array([[0.4, 0.5], [0.6, 0.5]]), np.array([0, 1]), np.array(predicted))
    none = Layer(Mesh(np.zeros((0, 2)), np.zeros((0, 2), dtype=np.int64)), "boundary")
    picture = draw_plane(Drawing((none,), points, (0.0, 0.0), (1.0, 1.0)), (104, 104))
    assert picture.getpixel((50, 20)) == ground


def test_nothing_is_coloured_outside_the_outline() -> None:
    triangle = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    wall = Mesh(np.array([[0.5, 1.0], [0.5, 0.0]]), np.array([[0, 1]]))
    drawing = Drawing((Layer(wall, "boundary"),), NOBODY, (0.0, 0.0), (1.0, 1.0), triangle)
    picture = draw_plane(drawing, (204, 204))
    assert picture.getpixel((180, 20)) == PAPER
    assert picture.getpixel((20, 180)) == tint(CLASSES[0], 0.24)
