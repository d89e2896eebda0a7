"""The regions of many classes: each in its hue, named where it is, hatched where there is no input."""

import numpy as np
import pytest

from dimple.views.content.viewport import Fit
from dimple.views.drawing.class_regions import INPUT, NO_INPUT, ground, name_places, round_length, scale_bar
from dimple.views.drawing.plane import draw_plane
from dimple.views.style.colors import CLASSES, PAPER, tint
from tests.views.sections import NAMES, drawing, images

SIZE = (404, 404)
# The middle of each region's part with inputs, and of its part without, in units of the plane.
WITHIN = {0: (0.3, 0.0), 1: (-0.3, 0.3), 2: (-0.3, -0.3)}
BEYOND = {0: (0.8, 0.0), 1: (-0.8, 0.8), 2: (-0.8, -0.8)}


def test_regions_have_the_hues_of_their_classes_paler_and_hatched_beyond_the_inputs() -> None:
    shown = drawing(2)
    fit = Fit.of(shown, SIZE)
    pixels = np.asarray(ground(shown, shown.classes, fit, 1))

    def around(place: tuple[float, float]) -> set[tuple[int, int, int]]:
        column, row = fit.pixels(np.array([place]))[0].round().astype(int)
        return set(map(tuple, pixels[row - 8 : row + 9, column - 8 : column + 9].reshape(-1, 3).tolist()))

    for label in range(3):
        assert around(WITHIN[label]) == {tint(CLASSES[label], INPUT)}
        assert around(BEYOND[label]) == {tint(CLASSES[label], NO_INPUT), PAPER}


def test_without_bounds_nothing_is_hatched() -> None:
    shown = drawing(2, valid=False)
    pixels = np.asarray(ground(shown, shown.classes, Fit.of(shown, SIZE), 1))[4:-4, 4:-4]
    assert set(map(tuple, pixels.reshape(-1, 3).tolist())) == {tint(CLASSES[k], INPUT) for k in range(3)}


def test_names_stand_in_their_own_regions_and_away_from_what_is_taken() -> None:
    shown = drawing(2)
    fit = Fit.of(shown, SIZE)
    for taken in ([], [(0.0, 0.0, 130.0, 130.0)]):
        found = name_places(shown, shown.classes, fit, 13, taken)
        assert sorted(name for *_, name in found) == sorted(NAMES)
        for x, y, name in found:
            u = np.array([x, SIZE[1] - y]) / fit.scale + fit.corner
            assert NAMES[int(np.argmax([3 * u[0], u[1], -u[1]]))] == name
            assert all(not (left <= x <= right and top <= y <= bottom) for left, top, right, bottom in taken)


def test_a_region_without_room_gets_no_name() -> None:
    shown = drawing(2)
    fit = Fit.of(shown, SIZE)
    right, _ = fit.pixels(np.array([[0.34, 0.0]]))[0]
    found = name_places(shown, shown.classes, fit, 13, [(0.0, 0.0, right, 404.0)])
    assert [name for *_, name in found] == ["airplane"]


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    shown = drawing(2)
    fit = Fit.of(shown, SIZE)
    picture = draw_plane(shown, SIZE)
    blank = picture.copy()
    left, _, right, bottom = scale_bar(blank, shown, fit, "l2", 10)
    row = np.asarray(blank)[round(bottom) - 6]
    dark = np.flatnonzero((row.sum(1) < 250)[round(left) + 3 : round(right) - 1])
    assert np.ptp(dark) + 1 == pytest.approx(round_length(0.28 * 2) * fit.scale, abs=2)
    assert left >= fit.pixels(np.array([shown.low]))[0, 0]
    assert bottom <= fit.pixels(np.array([shown.low]))[0, 1]


def test_images_stand_beside_their_places_in_the_picture() -> None:
    picture = np.asarray(draw_plane(drawing(2, images(2)), (604, 604)))
    for k, pixels in enumerate(images(2).pictures):
        assert (picture == pixels[0, 0]).all(2).sum() > 40**2
        # The frame has the colour of the class.
        assert (picture == CLASSES[k]).all(2).sum() > 4 * 40
