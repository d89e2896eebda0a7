"""The regions of many classes have the colors and names of their classes, and hatching outside the valid inputs."""

import numpy as np
import pytest

from dimple.views.content.viewport import Viewport
from dimple.views.drawing.class_regions import (
    INVALID_TINT_STRENGTH,
    VALID_TINT_STRENGTH,
    draw_class_regions,
    draw_scale_bar,
    name_pixels,
    round_length,
)
from dimple.views.drawing.plane import draw_plane
from dimple.views.style.colors import BACKGROUND_COLOR, CLASS_COLORS, tint
from tests.views.slices import NAMES, drawing, images

SIZE = (404, 404)
# A point of each region with valid inputs around it, and one with invalid inputs, in units of the plane.
VALID_POINTS = {0: (0.3, 0.0), 1: (-0.3, 0.3), 2: (-0.3, -0.3)}
INVALID_POINTS = {0: (0.8, 0.0), 1: (-0.8, 0.8), 2: (-0.8, -0.8)}


def test_regions_have_the_colors_of_their_classes_paler_and_hatched_for_invalid_inputs() -> None:
    plane = drawing(2)
    viewport = Viewport.from_drawing(plane, SIZE)
    pixels = np.asarray(draw_class_regions(plane, plane.class_regions, viewport, 1))

    def colors_around(point: tuple[float, float]) -> set[tuple[int, int, int]]:
        column, row = viewport.to_pixels(np.array([point]))[0].round().astype(int)
        return set(map(tuple, pixels[row - 8 : row + 9, column - 8 : column + 9].reshape(-1, 3).tolist()))

    for label, color in enumerate(CLASS_COLORS[:3]):
        assert colors_around(VALID_POINTS[label]) == {tint(color, VALID_TINT_STRENGTH)}
        assert colors_around(INVALID_POINTS[label]) == {tint(color, INVALID_TINT_STRENGTH), BACKGROUND_COLOR}


def test_without_bounds_nothing_is_hatched() -> None:
    plane = drawing(2, valid=False)
    picture = draw_class_regions(plane, plane.class_regions, Viewport.from_drawing(plane, SIZE), 1)
    pixels = np.asarray(picture)[4:-4, 4:-4]
    assert set(map(tuple, pixels.reshape(-1, 3).tolist())) == {
        tint(CLASS_COLORS[k], VALID_TINT_STRENGTH) for k in range(3)
    }


def test_names_are_in_their_own_regions_and_outside_occupied_rectangles() -> None:
    plane = drawing(2)
    viewport = Viewport.from_drawing(plane, SIZE)
    for occupied in ([], [(0.0, 0.0, 130.0, 130.0)]):
        placed_names = name_pixels(plane, plane.class_regions, viewport, 13, occupied)
        assert sorted(name for *_, name in placed_names) == sorted(NAMES)
        for x, y, name in placed_names:
            u = np.array([x, SIZE[1] - y]) / viewport.pixels_per_unit + viewport.lower_left
            assert NAMES[int(np.argmax([3 * u[0], u[1], -u[1]]))] == name
            assert all(not (left <= x <= right and top <= y <= bottom) for left, top, right, bottom in occupied)


def test_a_region_that_is_too_small_gets_no_name() -> None:
    plane = drawing(2)
    viewport = Viewport.from_drawing(plane, SIZE)
    right, _ = viewport.to_pixels(np.array([[0.34, 0.0]]))[0]
    placed_names = name_pixels(plane, plane.class_regions, viewport, 13, [(0.0, 0.0, right, 404.0)])
    assert [name for *_, name in placed_names] == ["airplane"]


def test_the_scale_bar_has_the_length_of_its_label() -> None:
    plane = drawing(2)
    viewport = Viewport.from_drawing(plane, SIZE)
    picture = draw_plane(plane, SIZE)
    left, _, right, bottom = draw_scale_bar(picture, plane, viewport, "l2", 10)
    row = np.asarray(picture)[round(bottom) - 6]
    dark = np.flatnonzero((row.sum(1) < 250)[round(left) + 3 : round(right) - 1])
    assert np.ptp(dark) + 1 == pytest.approx(round_length(0.28 * 2) * viewport.pixels_per_unit, abs=2)
    assert left >= viewport.to_pixels(np.array([plane.low]))[0, 0]
    assert bottom <= viewport.to_pixels(np.array([plane.low]))[0, 1]


def test_a_picture_contains_the_images_with_frames() -> None:
    picture = np.asarray(draw_plane(drawing(2, images(2)), (604, 604)))
    for k, pixels in enumerate(images(2).images):
        assert (picture == pixels[0, 0]).all(2).sum() > 40**2
        # The frame has the color of the class.
        assert (picture == CLASS_COLORS[k]).all(2).sum() > 4 * 40
