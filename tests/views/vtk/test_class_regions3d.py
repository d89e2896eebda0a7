"""Rooms: every wall is painted, on each side, in the colour of the class that lies there, and names are where seen."""

import numpy as np
import pytest

from dimple.views.content.camera import look
from dimple.views.content.frame import control_of
from dimple.views.content.ribbons import in_space
from dimple.views.film.canvas import Canvas
from dimple.views.style.colors import CLASSES, INK, tint
from dimple.views.vtk.class_regions3d import BOUNDARY, LINE, PALE, SIDE, named_parts, painted, rooms, seen_from
from tests.views.sections import NAMES, drawing, frame


def classes_at(places: np.ndarray) -> np.ndarray:
    return np.stack([3 * places[:, 0], places[:, 1], -places[:, 1]], axis=1).argmax(1)


def corners_of(whole: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Middles, unit normals by winding, and classes of the triangles."""
    corners = whole.places[whole.faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(across, axis=1)
    solid = length > 1e-9
    return corners.mean(1)[solid], across[solid] / length[solid, None], whole.classes[whole.faces[solid, 0]]


def test_a_face_shows_the_class_of_the_room_that_it_looks_into() -> None:
    middles, normals, classes = corners_of(painted(drawing(3)))
    ahead = middles + 0.02 * normals
    # Near an edge of three rooms a step ahead may lead into the third.
    scores = np.sort(np.stack([3 * ahead[:, 0], ahead[:, 1], -ahead[:, 1]], axis=1), axis=1)
    clear = scores[:, 2] - scores[:, 1] > 0.005
    assert clear.mean() > 0.95
    assert (classes_at(ahead)[clear] == classes[clear]).all()


def test_the_sides_of_the_box_are_whole_and_look_inwards() -> None:
    whole = painted(drawing(3))
    middles, normals, _ = corners_of(whole)
    area = 0.0
    for axis in range(3):
        for end in (-1.0, 1.0):
            on = np.abs(middles[:, axis] - end) < 1e-9
            assert (normals[on, axis] * end < -0.999).all()
            corners = whole.places[whole.faces]
            mine = (np.abs(corners[:, :, axis] - end) < 1e-9).all(1)
            across = np.cross(corners[mine, 1] - corners[mine, 0], corners[mine, 2] - corners[mine, 0])
            area += np.linalg.norm(across, axis=1).sum() / 2
    # Stripes overlap by a twelfth at most.
    assert 24 <= area < 24 * (1 + 1 / 12)


def test_normals_point_the_way_that_faces_are_wound() -> None:
    whole = painted(drawing(3))
    corners = whole.places[whole.faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    size = np.linalg.norm(across, axis=1)
    along = (across * whole.normals[whole.faces[:, 0]]).sum(1)
    assert (along[size > 1e-9] > 0).all()


def test_what_is_no_input_is_pale() -> None:
    whole = painted(drawing(3))
    within = (np.abs(whole.places) < 0.49).all(1)
    beyond = (np.abs(whole.places) > 0.51).any(1)
    assert set(np.unique(whole.strength[within])) == {BOUNDARY}
    assert set(np.unique(whole.strength[beyond]).round(6)) == {round(BOUNDARY * PALE, 6), round(SIDE * PALE, 6)}


def test_a_plane_on_the_floor_keeps_its_regions_and_its_lines() -> None:
    laid = in_space(frame(2)).drawing
    whole = painted(laid)
    floor = whole.classes != LINE
    middles, normals, classes = corners_of(whole)
    ground = (classes != LINE) & (normals[:, 2] > 0)
    assert floor.any() and (classes_at(middles[ground]) == classes[ground]).mean() > 0.97
    line = middles[classes == LINE]
    assert len(line) and (np.abs(3 * line[:, 0] - np.abs(line[:, 1])) < 0.05).any()
    shape = rooms(laid)
    assert tuple(shape.point_data["colour"][~floor][0]) == INK


def test_names_belong_to_the_sides_and_are_seen_from_the_viewer() -> None:
    shown = drawing(3)
    viewer = look(shown, None).position
    parts = named_parts(shown, viewer)
    assert {part.name for part in parts} == set(NAMES)
    for part in parts:
        assert (np.abs(part.places[:, part.axis] - (-1.0, 1.0)[part.end]) < 1e-9).all()
        assert (np.array(NAMES)[classes_at(part.places)] == part.name).all()
        # Sides that face the viewer are open.
        assert (viewer[part.axis] - part.places[0, part.axis]) * (1 - 2 * part.end) > 0
        seen = seen_from(shown, part.places, viewer)
        for place, is_seen in zip(part.places[:: 1 + len(seen) // 20], seen[:: 1 + len(seen) // 20], strict=True):
            way = place + np.linspace(0, 1, 400)[1:, None] * (viewer - place)
            way = way[(np.abs(way) <= 1).all(1)]
            scores = np.sort(np.stack([3 * way[:, 0], way[:, 1], -way[:, 1]], axis=1), axis=1)
            alone = classes_at(way) == classes_at(place[None])
            if (scores[:, 2] - scores[:, 1]).min() > 0.2:
                assert is_seen == alone.all()


@pytest.mark.parametrize("dim", [2, 3])
def test_a_canvas_shows_all_classes_and_the_control_does_without_images(dim: int, rendering: None) -> None:
    shown = frame(dim)
    canvas = Canvas(shown, (500, 400), 1.0)
    both = [np.asarray(canvas.draw(one)).astype(int) for one in (shown, control_of(shown))]
    canvas.close()
    for pixels in both:
        for label in range(3):
            hue = np.array(tint(CLASSES[label], SIDE * PALE if dim == 3 else 0.3))
            # Light and shade change how bright a wall is, hardly its hue.
            ratio = pixels / np.maximum(pixels.sum(2, keepdims=True), 1)
            assert (np.abs(ratio - hue / hue.sum()).max(2) < 0.012).sum() > 300
    assert (both[0] == shown.drawing.points.pictures[0][0, 0]).all(2).sum() > 20**2
    assert not (both[1] == shown.drawing.points.pictures[0][0, 0]).all(2).sum() > 20**2
