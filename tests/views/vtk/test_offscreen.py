"""Off-screen rendering of 3-D scenes, compared with VTK's coordinates and the geometry of a sphere."""

import dataclasses
import itertools

import numpy as np
import pytest

from dimple.views.content.camera import Camera, default_camera
from dimple.views.content.frame import Frame, MeshLayer
from dimple.views.content.ribbons import embed_frame_in_3d
from dimple.views.film.layout import FRAME_SIZE, FrameRenderer
from dimple.views.style.colors import CLASS_COLORS
from dimple.views.vtk.offscreen import OffscreenRenderer, draw_points
from dimple.views.vtk.polydata import boundary_polydata, boundary_polydata_list, box_edges, layer_polydata
from tests.views.material import ball_mesh, plane_frames, space_frames, sphere_points

pytestmark = pytest.mark.usefixtures("rendering")
WINDOW = (400, 300)


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return space_frames()


def test_points_are_projected_as_by_vtk(frames: list[Frame]) -> None:
    camera = default_camera(frames[0].drawing, frames[0].cross_section.plane, azimuth=17.0)
    offscreen = OffscreenRenderer(frames[0], WINDOW)
    offscreen.set_camera(camera, frames[0].drawing)
    offscreen.render()
    points = sphere_points().positions
    pixels, depth = camera.project(points, WINDOW)
    renderer = offscreen.plotter.renderer
    for point, pixel, point_depth in zip(points, pixels, depth, strict=True):
        renderer.SetWorldPoint(*point, 1.0)
        renderer.WorldToDisplay()
        x, y, _ = renderer.GetDisplayPoint()
        assert (x, WINDOW[1] - y) == pytest.approx(tuple(pixel), abs=1e-3)
        assert point_depth == pytest.approx((point - camera.position) @ camera.forward)
    offscreen.close()


def test_another_boundary_is_seen_at_its_distance_in_its_color(frames: list[Frame]) -> None:
    offscreen = OffscreenRenderer(frames[0], WINDOW)
    camera = default_camera(frames[0].drawing, None)
    offscreen.set_camera(camera, frames[0].drawing)
    distance = np.linalg.norm(camera.position)
    center = (WINDOW[0] // 2, WINDOW[1] // 2)
    # Class 1 is inside, so the manifold lies in class 1 below a larger sphere, and in class 0 around a smaller one.
    for index, radius, color in ((1, 0.5, CLASS_COLORS[1]), (3, 0.28, CLASS_COLORS[0])):
        offscreen.show(boundary_polydata_list(frames)[index])
        image, depth = offscreen.render()
        assert depth[center[1], center[0]] == pytest.approx(distance - radius, abs=5e-3)
        red, _, blue = image.getpixel(center)
        assert (red > blue) == (color == CLASS_COLORS[1])
    offscreen.show(boundary_polydata_list(frames)[0])
    assert offscreen.render()[1][center[1], center[0]] > distance
    offscreen.close()


def test_without_manifold_depth_each_side_of_a_boundary_has_the_color_of_its_class(frames: list[Frame]) -> None:
    bare = dataclasses.replace(frames[1].drawing, layers=(MeshLayer(ball_mesh(0.5), "boundary"),))
    frame = dataclasses.replace(frames[1], drawing=bare, cross_section=None)
    offscreen = OffscreenRenderer(frame, WINDOW)
    offscreen.show(boundary_polydata(frame))
    outside = default_camera(bare, None)
    inside = Camera(np.array([0.0, -0.2, 0.0]), np.zeros(3), np.array([0.0, 0.0, 1.0]))
    for camera, label in ((outside, 0), (inside, 1)):
        offscreen.set_camera(camera, bare)
        red, _, blue = offscreen.render()[0].getpixel((WINDOW[0] // 2, WINDOW[1] // 2))
        assert (red > blue) == (label == 1)
    offscreen.close()


def test_points_a_little_behind_the_boundary_are_outlines_and_those_far_behind_are_left_out(
    frames: list[Frame],
) -> None:
    def count_filled(index: int, label: int) -> int:
        camera = default_camera(frames[index].drawing, None)
        offscreen = OffscreenRenderer(frames[index], WINDOW)
        offscreen.set_camera(camera, frames[index].drawing)
        offscreen.show(layer_polydata(frames[index].drawing.layer("boundary"), 0.05))
        image, depth = offscreen.render()
        draw_points(image, depth, frames[index].drawing, camera, 15)
        offscreen.close()
        return int((np.abs(np.asarray(image, dtype=int) - CLASS_COLORS[label]).max(2) < 40).sum())

    # The three points of class 0 face the camera, those of class 1 are on the far side. The translucent manifold alone
    # hides none of them.
    assert count_filled(0, 0) > 2 * count_filled(2, 0) > 0
    assert count_filled(0, 1) > count_filled(2, 1) == 0


def test_the_camera_does_not_depend_on_the_snapshot(frames: list[Frame]) -> None:
    first, last = (default_camera(frame.drawing, frame.cross_section.plane) for frame in (frames[0], frames[-1]))
    assert np.array_equal(first.position, last.position)


def test_an_azimuth_of_360_degrees_gives_the_same_camera(frames: list[Frame]) -> None:
    start, end = (default_camera(frames[0].drawing, frames[0].cross_section.plane, azimuth) for azimuth in (0.0, 360.0))
    assert start.position == pytest.approx(end.position)


def test_edges_in_front_of_the_box_are_left_out(frames: list[Frame]) -> None:
    camera = default_camera(frames[0].drawing, None)
    assert box_edges(frames[0].drawing, None).n_lines == 12
    assert box_edges(frames[0].drawing, camera).n_lines == 9


def test_an_empty_boundary_is_a_surface_without_area(frames: list[Frame]) -> None:
    assert boundary_polydata_list(frames)[0].area == 0
    assert boundary_polydata_list(frames)[1].area == pytest.approx(4 * np.pi * 0.25, rel=2e-2)


def test_ribbons_show_each_class_on_its_own_side() -> None:
    frame = embed_frame_in_3d(plane_frames()[1])
    layer = frame.drawing.layer("boundary")
    depth = layer.manifold_depth
    x = layer.mesh.vertices[:, 0]
    assert (x[depth > 0] > 0.4).all()
    assert (x[depth < 0] < 0.4).all()
    assert frame.drawing.points.positions.shape == (5, 3)
    assert embed_frame_in_3d(frame) is frame


def test_a_complete_frame_shows_step_phase_and_cross_section(frames: list[Frame]) -> None:
    with FrameRenderer(frames[0]) as renderer:
        images = [renderer.draw(frame) for frame in frames]
    assert {image.size for image in images} == {FRAME_SIZE}
    arrays = [np.asarray(image, dtype=int) for image in images]
    changes = [np.abs(a - b).mean() for a, b in itertools.pairwise(arrays)]
    assert min(changes) > 0.5
    assert frames[1].phase_text == ""
    assert frames[2].phase_text == "near the manifold, steps 10 to 100"
    assert frames[3].phase_text == "near the manifold, steps 10 to 100; training points right, step 100"
