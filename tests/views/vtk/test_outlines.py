"""Points a little behind a surface are outlines in the window; points on the far side are not drawn."""

import dataclasses

import numpy as np
import pytest

from dimple.views.content.camera import Camera
from dimple.views.content.frame import PointSet
from dimple.views.style.colors import class_color
from dimple.views.window.animation import RunView
from dimple.views.window.window import Viewer
from tests.views.material import RADIUS, ball_run_view

SIZE = (500, 400)


def inspect_pixels(
    image: np.ndarray, pixel: np.ndarray, color: tuple[int, int, int], radius: int = 12
) -> tuple[int, bool]:
    """Return the number of pixels near a position with almost a given color, and whether the one there is blue."""
    x, y = np.rint(pixel).astype(int)
    similar = np.abs(image.astype(int) - color).max(axis=2) < 30
    red, _, blue = image[y, x].tolist()
    return int(similar[y - radius : y + radius + 1, x - radius : x + radius + 1].sum()), blue > red


@pytest.mark.parametrize(("depth", "outlined"), [(0.06, True), (2 * RADIUS, False)])
def test_a_point_behind_the_boundary_is_an_outline(rendering: None, depth: float, outlined: bool) -> None:
    run = ball_run_view()
    frame = run.frames[2]
    # The boundary, of radius 0.32, hides a point on the line of sight at this depth behind its nearest point.
    position = np.array([[0.0, -0.32 + depth, 0.0]])
    points = PointSet(position, np.array([0]), np.array([0]))
    frames = [dataclasses.replace(frame, drawing=dataclasses.replace(frame.drawing, points=points))]
    viewer = Viewer([RunView(frames, run.path)], off_screen=True, size=SIZE)
    camera = Camera(np.array([0.0, -3.0, 0.0]), np.zeros(3), np.array([0.0, 0.0, 1.0]))
    viewer.multi_view.set_camera(camera)
    # Outlines are moved before every render, and must not move their markers.
    viewer.multi_view.render()
    image = np.asarray(viewer.multi_view.render())
    size = viewer.size
    shift = viewer.multi_view.panels[0].renderer.camera.GetWindowCenter()[0]
    viewer.close()
    pixels, _ = camera.project(position, size)
    # The scene is beside the captions.
    pixels[:, 0] -= shift * size[0] / 2
    count, filled = inspect_pixels(image, pixels[0], class_color(0))
    assert (count > 20) == outlined and not filled
