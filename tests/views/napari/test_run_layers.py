"""A run as layers: names, axes and numbers at known positions, without a viewer."""

from typing import Any

import numpy as np
import pytest

from dimple.levelsets import Mesh
from dimple.views.content.frame import ClassRegions, Drawing, Fact, Frame, MeshLayer, PointSet
from dimple.views.napari.layout import LayerData
from dimple.views.napari.run_layers import ScoreGrid, make_run_layout
from dimple.views.style.colors import class_color
from tests.views.material import (
    RADII,
    RADIUS,
    STEPS,
    ball_mesh,
    plane_frames,
    space_frames,
    sphere_points,
    timeline,
)  # fmt: skip

COUNT = len(STEPS)


def points_table(count: int = 6) -> dict[str, np.ndarray]:
    """Return a table with two splits, in another order than that of the points."""
    rows = COUNT * count
    table = {
        "step": np.repeat(STEPS, count),
        "index": np.tile(np.arange(count)[::-1], COUNT),
        "split": np.full(rows, "train"),
        "margin": np.tile(np.arange(count)[::-1] / 10, COUNT) + np.repeat(STEPS, count),
    }
    test = {"step": np.array([0]), "index": np.array([0]), "split": np.array(["test"]), "margin": np.array([-1.0])}
    return {name: np.concatenate([values, test[name]]) for name, values in table.items()}


def make_score_grid(evaluated: list[int]) -> ScoreGrid:
    """Return the score k + x + 10 y + 100 z for snapshot k on a grid of 3 x 4 x 5 points, and list each evaluation."""
    pytest.importorskip("dask.array", reason="dask, which comes with dimple-lab[napari], is not installed")
    axes = [np.linspace(0, 1, 3), np.linspace(0, 1.5, 4), np.linspace(0, 2, 5)]

    def evaluate(index: int) -> np.ndarray:
        evaluated.append(index)
        z, y, x = np.meshgrid(*reversed(axes), indexing="ij")
        return (index + x + 10 * y + 100 * z).astype(np.float32)

    return ScoreGrid(axes, evaluate, 2.5)


def layers_by_name(*arguments: Any) -> dict[str, LayerData]:
    return {options["name"]: (data, options, kind) for data, options, kind in make_run_layout(*arguments).layers}


def test_space_has_all_layers_on_one_axis_of_snapshots() -> None:
    found = layers_by_name(space_frames(), points_table(), make_score_grid([]))
    kinds = {name: (kind, options["axis_labels"]) for name, (_, options, kind) in found.items()}
    axes = ("snapshot", "z", "y", "x")
    assert kinds == {
        "score": ("image", axes),
        "box": ("vectors", axes[1:]),
        "manifold": ("surface", axes[1:]),
        "boundary": ("surface", axes),
        "perturbations": ("vectors", axes),
        "points": ("points", axes),
    }


def test_the_plane_has_lines_instead_of_surfaces() -> None:
    found = layers_by_name(plane_frames(), points_table(5))
    assert {name: kind for name, (_, _, kind) in found.items()} == {
        "manifold": "vectors",
        "boundary": "vectors",
        "perturbations": "vectors",
        "points": "points",
    }
    lines, options, _ = found["boundary"]
    assert options["axis_labels"] == ("snapshot", "y", "x")
    # The wall of the second snapshot runs from (0.4, 1) to (0.4, 0).
    assert lines[1].tolist() == [[1.0, 1.0, 0.4], [0.0, -1.0, 0.0]]


def test_the_score_is_evaluated_only_for_the_snapshot_that_is_read() -> None:
    evaluated: list[int] = []
    data, options, _ = layers_by_name(space_frames(), points_table(), make_score_grid(evaluated))["score"]
    assert data.shape == (COUNT, 5, 4, 3) and data.dtype == np.float32 and evaluated == []
    index = (2, 3, 1, 2)
    value = float(data[index].compute())
    z, y, x = (options["translate"][k] + options["scale"][k] * index[k] for k in (1, 2, 3))
    assert (x, y, z) == (1.0, 0.5, 1.5)
    assert value == 2 + 1.0 + 10 * 0.5 + 100 * 1.5
    assert evaluated == [2]
    assert options["contrast_limits"] == (-2.5, 2.5)


def test_the_boundary_of_every_snapshot_has_its_own_position_on_the_axis() -> None:
    (vertices, faces, depths), options, _ = layers_by_name(space_frames(), points_table())["boundary"]
    # The first snapshot has no boundary; the others are spheres.
    assert sorted(set(vertices[:, 0].tolist())) == [1.0, 2.0, 3.0]
    for index in (1, 2, 3):
        radius = np.linalg.norm(vertices[vertices[:, 0] == index, 1:], axis=1)
        assert np.allclose(radius, RADII[index], atol=2e-3)
    assert (np.ptp(vertices[faces][:, :, 0], axis=1) == 0).all()
    # The manifold around a smaller boundary lies in class 0, which is outside. Its depth is the distance of the two.
    inside = vertices[:, 0] == 3
    assert np.allclose(depths[inside], -(RADIUS - 0.28), atol=2e-3)
    assert options["contrast_limits"] == (-0.05, 0.05)


def test_colors_are_blue_for_class_0_pale_at_zero_and_orange_for_class_1() -> None:
    _, options, _ = layers_by_name(space_frames(), points_table())["boundary"]
    colors = np.rint(255 * options["colormap"]["colors"]).astype(int)
    assert colors[[0, 64, 128]].tolist() == [[0, 114, 178], [247, 244, 237], [213, 94, 0]]


def test_perturbations_end_on_the_boundary() -> None:
    vectors, options, _ = layers_by_name(space_frames(), points_table())["perturbations"]
    assert len(vectors) == 3 * 6
    ends = vectors.sum(1)
    assert np.array_equal(vectors[:, 1, 0], np.zeros(18))
    radii = np.array([RADII[int(index)] for index in ends[:, 0]], dtype=float)
    assert np.allclose(np.linalg.norm(ends[:, 1:], axis=1), radii, atol=2e-3)
    assert np.allclose(options["features"]["length"], np.abs(radii - RADIUS), atol=2e-3)
    assert options["features"]["step"].tolist() == [1] * 6 + [10] * 6 + [100] * 6


def test_points_have_their_measurements_as_features() -> None:
    data, options, _ = layers_by_name(space_frames(), points_table())["points"]
    positions = sphere_points().positions
    assert np.array_equal(data[6:12], np.insert(positions[:, ::-1], 0, 1, axis=1))
    features = options["features"]
    assert features["index"].tolist() == list(range(6)) * COUNT
    assert np.allclose(features["margin"], features["step"] + features["index"] / 10)
    assert options["face_color"][:2] == ["#0072b2", "#d55e00"]
    assert options["symbol"][:2] == ["disc", "diamond"]
    # Only the first point is misclassified.
    assert [options["border_color"][k] == options["border_color"][0] for k in range(6)] == [True] + [False] * 5


def test_an_incomplete_table_leaves_only_the_classes() -> None:
    table = {name: values[:-3] for name, values in points_table().items()}
    features = layers_by_name(space_frames(), table)["points"][1]["features"]
    assert sorted(features) == ["index", "label", "step"]


def test_without_any_boundary_the_other_layers_remain() -> None:
    found = layers_by_name(space_frames()[:1], {name: values[:6] for name, values in points_table().items()})
    assert sorted(found) == ["box", "manifold", "points"]


def test_captions_have_the_facts_with_their_baselines_and_explain_the_colors() -> None:
    layout = make_run_layout(space_frames(), points_table())
    assert layout.captions[2].splitlines()[:3] == [
        "ball",
        "step 10   near the manifold, steps 10 to 100",
        "train accuracy 0.833  [comparison 0.500]",
    ]
    assert "in class 0 (blue) or class 1 (orange)" in layout.captions[2]
    assert (len(layout.captions), layout.start_index, layout.camera is not None) == (COUNT, COUNT - 1, True)
    planar = make_run_layout(plane_frames(), points_table(5))
    assert planar.camera is None and "blue" not in planar.captions[0]


def test_the_box_has_its_twelve_edges() -> None:
    edges, _, _ = layers_by_name(space_frames(), points_table())["box"]
    assert edges.shape == (12, 2, 3)
    assert np.allclose(np.abs(edges[:, 1]).sum(1), 1.1) and np.allclose(np.abs(edges[:, 0]).max(1), 0.55)


def slice_frame() -> Frame:
    """Return a frame with one class in the upper half of a plane, two in the lower half, and two captioned points."""
    regions = np.array([[0, 0, 2, 2], [1, 1, 1, 1]])
    classes = ClassRegions(("cat", "dog", "owl"), regions, None, "l2")
    mesh = Mesh(np.array([[-1.0, 0.0], [1.0, 0.0]]), np.array([[0, 1]]))
    layer = MeshLayer(mesh, "boundary", class_pairs=np.array([[1, 0]]))
    points = PointSet(
        np.array([[-0.5, -0.5], [0.5, 0.5]]), np.array([0, 1]), np.array([0, 1]), (), ("7: cat", "8: dog")
    )
    drawing = Drawing((layer,), points, (-1.0, -1.0), (1.0, 1.0), class_regions=classes)
    return Frame("a net", 0, 0, drawing, (Fact("classes in the box", "3", "2"),), timeline())


def test_a_slice_has_its_class_regions_with_names() -> None:
    layout = make_run_layout([slice_frame()], {"step": np.zeros(2), "index": np.array([7, 8])})
    found = {options["name"]: (data, options, kind) for data, options, kind in layout.layers}
    assert list(found) == ["classes", "boundary", "perturbations", "names", "points"]
    data, options, kind = found["classes"]
    assert kind == "labels" and data.tolist() == [[[1, 1, 3, 3], [2, 2, 2, 2]]]
    assert options["features"]["class"] == ["", "cat", "dog", "owl"]
    # A grid cell of the upper row is 0.5 wide and 1 high, and the center of the first one is at (-0.75, 0.5).
    center = np.array(options["translate"]) + np.array(options["scale"]) * (0, 1, 0)
    assert center.tolist() == [0.0, 0.5, -0.75]
    assert options["colormap"][2] != options["colormap"][3]
    positions, name_options, _ = found["names"]
    # Each name is in the region of its class: lower left, upper half, lower right.
    by_name = dict(zip(name_options["features"]["class"], positions.tolist(), strict=True))
    (_, y, x), (_, high, _), (_, low, right) = (by_name[name] for name in ("cat", "dog", "owl"))
    assert x < 0 < right and max(y, low) < 0 < high
    assert found["points"][1]["features"]["name"].tolist() == ["7: cat", "8: dog"]
    assert (layout.active_layer, layout.color_bar_layer, layout.camera) == ("classes", "", None)


def test_class_boundaries_in_space_are_colored_on_both_sides() -> None:
    mesh = ball_mesh(0.3)
    layer = MeshLayer(mesh, "boundary", class_pairs=np.tile([2, 1], (len(mesh.faces), 1)))
    classes = ClassRegions(("cat", "dog", "owl"), np.zeros((2, 2, 2), dtype=np.int64), None, "l2")
    drawing = Drawing((layer,), sphere_points(), (-0.55,) * 3, (0.55,) * 3, class_regions=classes)
    layout = make_run_layout([Frame("a net", 0, 0, drawing, (), timeline())], {})
    ((data, options, _),) = (layer for layer in layout.layers if layer[1]["name"] == "boundary")
    vertices, faces = data
    count = len(mesh.vertices)
    assert (len(vertices), len(faces)) == (2 * count, 2 * len(mesh.faces))
    radius = np.linalg.norm(vertices[:, 1:], axis=1)
    # The normals point to the first class of the pair, which is inside, so its face has the smaller radius.
    assert (radius[:count] < radius[count:]).all()
    colors = np.rint(255 * options["vertex_colors"]).astype(int)
    assert len(np.unique(colors[:count], axis=0)) == len(np.unique(colors[count:], axis=0)) == 1
    assert np.abs(colors[0] - class_color(2)).max() < 30 and np.abs(colors[-1] - class_color(1)).max() < 30


@pytest.mark.parametrize("frames", [space_frames, plane_frames])
def test_names_are_unique(frames: Any) -> None:
    names = [options["name"] for _, options, _ in make_run_layout(frames(), points_table(6)).layers]
    assert len(set(names)) == len(names)
