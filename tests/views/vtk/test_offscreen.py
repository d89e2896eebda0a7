"""Drawings of space, checked against VTK's own coordinates and the geometry of a sphere."""

import dataclasses
import itertools

import numpy as np
import pytest

from dimple.views.content.camera import Camera, look
from dimple.views.content.frame import Frame, Layer
from dimple.views.content.ribbons import in_space
from dimple.views.film.layout import SIZE, Stage
from dimple.views.style.colors import CLASSES
from dimple.views.vtk.offscreen import Space, stamp_points
from dimple.views.vtk.polydata import boundary_of, box_edges, polydata, polydatas
from tests.views.material import ball_mesh, plane_frames, space_frames, sphere_points

pytestmark = pytest.mark.usefixtures("rendering")
WINDOW = (400, 300)


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return space_frames()


def test_points_land_where_vtk_puts_them(frames: list[Frame]) -> None:
    camera = look(frames[0].drawing, frames[0].section.plane, turn=17.0)
    space = Space(frames[0], WINDOW)
    space.look_through(camera, frames[0].drawing)
    space.picture()
    points = sphere_points().positions
    pixels, depth = camera.project(points, WINDOW)
    renderer = space.plotter.renderer
    for point, pixel, away in zip(points, pixels, depth, strict=True):
        renderer.SetWorldPoint(*point, 1.0)
        renderer.WorldToDisplay()
        x, y, _ = renderer.GetDisplayPoint()
        assert (x, WINDOW[1] - y) == pytest.approx(tuple(pixel), abs=1e-3)
        assert away == pytest.approx((point - camera.position) @ camera.forward)
    space.close()


def test_a_swapped_boundary_is_seen_at_its_distance_in_its_colour(frames: list[Frame]) -> None:
    space = Space(frames[0], WINDOW)
    camera = look(frames[0].drawing, None)
    space.look_through(camera, frames[0].drawing)
    away = np.linalg.norm(camera.position)
    middle = (WINDOW[0] // 2, WINDOW[1] // 2)
    # Class 1 within: seen from outside, a sphere around the manifold shows class 1 beneath it, one inside it class 0.
    for place, radius, hue in ((1, 0.5, CLASSES[1]), (3, 0.28, CLASSES[0])):
        space.show(polydatas(frames)[place])
        picture, depth = space.picture()
        assert depth[middle[1], middle[0]] == pytest.approx(away - radius, abs=5e-3)
        red, _, blue = picture.getpixel(middle)
        assert (red > blue) == (hue == CLASSES[1])
    space.show(polydatas(frames)[0])
    assert space.picture()[1][middle[1], middle[0]] > away
    space.close()


def test_without_a_relief_a_boundary_has_the_hue_of_the_class_that_sees_it(frames: list[Frame]) -> None:
    bare = dataclasses.replace(frames[1].drawing, layers=(Layer(ball_mesh(0.5), "boundary"),))
    frame = dataclasses.replace(frames[1], drawing=bare, section=None)
    space = Space(frame, WINDOW)
    space.show(boundary_of(frame))
    afar = look(bare, None)
    within = Camera(np.array([0.0, -0.2, 0.0]), np.zeros(3), np.array([0.0, 0.0, 1.0]))
    # Class 1 lies within.
    for camera, label in ((afar, 0), (within, 1)):
        space.look_through(camera, bare)
        red, _, blue = space.picture()[0].getpixel((WINDOW[0] // 2, WINDOW[1] // 2))
        assert (red > blue) == (label == 1)
    space.close()


def test_points_under_a_bump_are_outlines_and_those_behind_are_left_out(frames: list[Frame]) -> None:
    def solid(place: int, label: int) -> int:
        camera = look(frames[place].drawing, None)
        space = Space(frames[place], WINDOW)
        space.look_through(camera, frames[place].drawing)
        space.show(polydata(frames[place].drawing.layer("boundary"), 0.05))
        picture, depth = space.picture()
        stamp_points(picture, depth, frames[place].drawing, camera, 15)
        space.close()
        return int((np.abs(np.asarray(picture, dtype=int) - CLASSES[label]).max(2) < 40).sum())

    # The three points of class 0 face the camera, those of class 1 lie behind: the manifold alone hides none of them.
    assert solid(0, 0) > 2 * solid(2, 0) > 0
    assert solid(0, 1) > solid(2, 1) == 0


def test_the_frame_of_the_camera_ignores_what_is_shown(frames: list[Frame]) -> None:
    first, last = (look(frame.drawing, frame.section.plane) for frame in (frames[0], frames[-1]))
    assert np.array_equal(first.position, last.position)


def test_a_full_turn_comes_back(frames: list[Frame]) -> None:
    start, end = (look(frames[0].drawing, frames[0].section.plane, turn) for turn in (0.0, 360.0))
    assert start.position == pytest.approx(end.position)


def test_edges_in_front_of_the_box_are_left_out(frames: list[Frame]) -> None:
    camera = look(frames[0].drawing, None)
    assert box_edges(frames[0].drawing, None).n_lines == 12
    assert box_edges(frames[0].drawing, camera).n_lines == 9


def test_an_empty_boundary_is_a_surface_without_area(frames: list[Frame]) -> None:
    assert polydatas(frames)[0].area == 0
    assert polydatas(frames)[1].area == pytest.approx(4 * np.pi * 0.25, rel=2e-2)


def test_walls_show_each_class_on_its_own_side() -> None:
    frame = in_space(plane_frames()[1])
    layer = frame.drawing.layer("boundary")
    depth, x = layer.relief, layer.mesh.vertices[:, 0]
    assert (x[depth > 0] > 0.4).all()
    assert (x[depth < 0] < 0.4).all()
    assert frame.drawing.points.positions.shape == (5, 3)
    assert in_space(frame) is frame


def test_a_whole_frame_says_step_phase_and_section(frames: list[Frame]) -> None:
    with Stage(frames[0]) as stage:
        pictures = [stage.draw(frame) for frame in frames]
    assert {picture.size for picture in pictures} == {SIZE}
    arrays = [np.asarray(picture, dtype=int) for picture in pictures]
    changes = [np.abs(a - b).mean() for a, b in itertools.pairwise(arrays)]
    assert min(changes) > 0.5
    assert frames[1].phase == ""
    assert frames[2].phase == "clung"
    assert frames[3].phase == "clung, then dimpled"
