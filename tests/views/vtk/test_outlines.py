"""Points that a surface hides by little show as outlines in the window; those on the far side do not."""

import dataclasses

import numpy as np
import pytest

from dimple.views.content.camera import Camera
from dimple.views.content.frame import PointSet
from dimple.views.style.colors import class_colour
from dimple.views.window.animation import Show
from dimple.views.window.window import Viewer
from tests.views.material import RADIUS, ball_show

SIZE = (500, 400)


def near(picture: np.ndarray, pixel: np.ndarray, colour: tuple[int, int, int], reach: int = 12) -> tuple[int, bool]:
    """How many pixels around a place have nearly a colour, and whether that at the place is blue."""
    x, y = np.rint(pixel).astype(int)
    alike = np.abs(picture.astype(int) - colour).max(axis=2) < 30
    red, _, blue = picture[y, x].tolist()
    return int(alike[y - reach : y + reach + 1, x - reach : x + reach + 1].sum()), blue > red


@pytest.mark.parametrize(("away", "outlined"), [(0.06, True), (2 * RADIUS, False)])
def test_a_point_behind_the_boundary_is_hollow(rendering: None, away: float, outlined: bool) -> None:
    show = ball_show()
    frame = show.frames[2]
    eye = np.array([0.0, -3.0, 0.0])
    # The boundary, of radius 0.32, hides a point on the axis of sight so far beneath its nearest place.
    place = np.array([[0.0, -0.32 + away, 0.0]])
    points = PointSet(place, np.array([0]), np.array([0]))
    frames = [dataclasses.replace(frame, drawing=dataclasses.replace(frame.drawing, points=points))]
    viewer = Viewer([Show(frames, show.path)], off_screen=True, size=SIZE)
    camera = Camera(eye, np.zeros(3), np.array([0.0, 0.0, 1.0]))
    viewer.exhibit.look_through(camera)
    # Outlines are moved before every picture, and must not take their markers along.
    viewer.exhibit.picture()
    picture = np.asarray(viewer.exhibit.picture())
    size = viewer.size
    viewer.close()
    pixels, _ = camera.project(place, size)
    count, filled = near(picture, pixels[0], class_colour(0))
    assert (count > 20) == outlined and not filled
