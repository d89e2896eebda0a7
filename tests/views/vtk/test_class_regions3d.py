"""Class regions in 3-D: each face has the color of the class that it faces, and names are placed where visible."""

import numpy as np
import pytest

from dimple.views.content.camera import default_camera
from dimple.views.content.frame import control_frame
from dimple.views.content.ribbons import embed_frame_in_3d
from dimple.views.film.canvas import DrawingRenderer
from dimple.views.style.colors import CLASS_COLORS, FOREGROUND_COLOR, tint
from dimple.views.vtk.class_regions3d import (
    BOUNDARY_STRENGTH,
    LINE_LABEL,
    OUT_OF_RANGE_FACTOR,
    SIDE_STRENGTH,
    ClassColoredMesh,
    class_regions_mesh,
    class_regions_polydata,
    find_side_regions,
    is_visible_from,
)
from tests.views.slices import NAMES, drawing, frame


def classes_at(positions: np.ndarray) -> np.ndarray:
    return np.stack([3 * positions[:, 0], positions[:, 1], -positions[:, 1]], axis=1).argmax(1)


def measure_triangles(mesh: ClassColoredMesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the centers, unit normals by orientation, and classes of the triangles with positive area."""
    corners = mesh.positions[mesh.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(cross, axis=1)
    valid = length > 1e-9
    return corners.mean(1)[valid], cross[valid] / length[valid, None], mesh.labels[mesh.faces[valid, 0]]


def test_a_face_shows_the_class_that_it_faces() -> None:
    centers, normals, classes = measure_triangles(class_regions_mesh(drawing(3)))
    ahead = centers + 0.02 * normals
    # Near an edge of three regions a step along the normal may lead into the third.
    scores = np.sort(np.stack([3 * ahead[:, 0], ahead[:, 1], -ahead[:, 1]], axis=1), axis=1)
    clear = scores[:, 2] - scores[:, 1] > 0.005
    assert clear.mean() > 0.95
    assert (classes_at(ahead)[clear] == classes[clear]).all()


def test_the_sides_of_the_box_are_complete_and_face_inwards() -> None:
    mesh = class_regions_mesh(drawing(3))
    centers, normals, _ = measure_triangles(mesh)
    area = 0.0
    for axis in range(3):
        for end in (-1.0, 1.0):
            on_side = np.abs(centers[:, axis] - end) < 1e-9
            assert (normals[on_side, axis] * end < -0.999).all()
            corners = mesh.positions[mesh.faces]
            side = corners[(np.abs(corners[:, :, axis] - end) < 1e-9).all(1)]
            cross = np.cross(side[:, 1] - side[:, 0], side[:, 2] - side[:, 0])
            area += np.linalg.norm(cross, axis=1).sum() / 2
    # Rows overlap by a twelfth at most.
    assert 24 <= area < 24 * (1 + 1 / 12)


def test_normals_agree_with_the_orientation_of_the_faces() -> None:
    mesh = class_regions_mesh(drawing(3))
    corners = mesh.positions[mesh.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(cross, axis=1)
    products = (cross * mesh.normals[mesh.faces[:, 0]]).sum(1)
    assert (products[length > 1e-9] > 0).all()


def test_positions_outside_the_input_range_are_pale() -> None:
    mesh = class_regions_mesh(drawing(3))
    inside = (np.abs(mesh.positions) < 0.49).all(1)
    outside = (np.abs(mesh.positions) > 0.51).any(1)
    assert set(np.unique(mesh.strength[inside])) == {BOUNDARY_STRENGTH}
    assert set(np.unique(mesh.strength[outside]).round(6)) == {
        round(BOUNDARY_STRENGTH * OUT_OF_RANGE_FACTOR, 6),
        round(SIDE_STRENGTH * OUT_OF_RANGE_FACTOR, 6),
    }


def test_a_plane_on_the_floor_keeps_its_regions_and_its_lines() -> None:
    embedded = embed_frame_in_3d(frame(2)).drawing
    mesh = class_regions_mesh(embedded)
    floor = mesh.labels != LINE_LABEL
    centers, normals, classes = measure_triangles(mesh)
    upward = (classes != LINE_LABEL) & (normals[:, 2] > 0)
    assert floor.any() and (classes_at(centers[upward]) == classes[upward]).mean() > 0.97
    line = centers[classes == LINE_LABEL]
    assert len(line) and (np.abs(3 * line[:, 0] - np.abs(line[:, 1])) < 0.05).any()
    polydata = class_regions_polydata(embedded)
    assert tuple(polydata.point_data["color"][~floor][0]) == FOREGROUND_COLOR


def test_names_belong_to_the_sides_and_are_visible_from_the_viewer() -> None:
    scene = drawing(3)
    viewer = default_camera(scene, None).position
    regions = find_side_regions(scene, viewer)
    assert {region.name for region in regions} == set(NAMES)
    for region in regions:
        assert (np.abs(region.positions[:, region.axis] - (-1.0, 1.0)[region.end]) < 1e-9).all()
        assert (np.array(NAMES)[classes_at(region.positions)] == region.name).all()
        # Sides between the viewer and the box are open.
        assert (viewer[region.axis] - region.positions[0, region.axis]) * (1 - 2 * region.end) > 0
        visible = is_visible_from(scene, region.positions, viewer)
        every = slice(None, None, 1 + len(visible) // 20)
        for position, is_visible in zip(region.positions[every], visible[every], strict=True):
            line = position + np.linspace(0, 1, 400)[1:, None] * (viewer - position)
            line = line[(np.abs(line) <= 1).all(1)]
            scores = np.sort(np.stack([3 * line[:, 0], line[:, 1], -line[:, 1]], axis=1), axis=1)
            same_class = classes_at(line) == classes_at(position[None])
            if (scores[:, 2] - scores[:, 1]).min() > 0.2:
                assert is_visible == same_class.all()


@pytest.mark.parametrize("dim", [2, 3])
def test_a_renderer_shows_all_classes_and_the_control_has_no_images(dim: int, rendering: None) -> None:
    scene = frame(dim)
    renderer = DrawingRenderer(scene, (500, 400), 1.0)
    both = [np.asarray(renderer.draw(one)).astype(int) for one in (scene, control_frame(scene))]
    renderer.close()
    for pixels in both:
        for label in range(3):
            color = np.array(tint(CLASS_COLORS[label], SIDE_STRENGTH * OUT_OF_RANGE_FACTOR if dim == 3 else 0.3))
            # Light and shade change the brightness of a face much more than its hue.
            ratio = pixels / np.maximum(pixels.sum(2, keepdims=True), 1)
            assert (np.abs(ratio - color / color.sum()).max(2) < 0.012).sum() > 300
    assert (both[0] == scene.drawing.points.images[0][0, 0]).all(2).sum() > 20**2
    assert not (both[1] == scene.drawing.points.images[0][0, 0]).all(2).sum() > 20**2
