"""A run as layers: names, axes and numbers at known places, without any viewer."""

from typing import Any

import numpy as np
import pytest

from dimple.levelsets import Mesh
from dimple.views.content.frame import Classes, Drawing, Fact, Frame, Layer, PointSet
from dimple.views.napari.layout import LayerData
from dimple.views.napari.run_layers import Score, run_layers
from dimple.views.style.colors import class_colour
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
    """Two splits, in another order than that of the points."""
    rows = COUNT * count
    table = {
        "step": np.repeat(STEPS, count),
        "index": np.tile(np.arange(count)[::-1], COUNT),
        "split": np.full(rows, "train"),
        "margin": np.tile(np.arange(count)[::-1] / 10, COUNT) + np.repeat(STEPS, count),
    }
    test = {"step": np.array([0]), "index": np.array([0]), "split": np.array(["test"]), "margin": np.array([-1.0])}
    return {name: np.concatenate([values, test[name]]) for name, values in table.items()}


def score(asked: list[int]) -> Score:
    """At (x, y, z) in snapshot k: k + x + 10 y + 100 z, on a lattice of 3 x 4 x 5 corners."""
    pytest.importorskip("dask.array", reason="dask, which comes with dimple[napari], is not installed")
    axes = [np.linspace(0, 1, 3), np.linspace(0, 1.5, 4), np.linspace(0, 2, 5)]

    def values(place: int) -> np.ndarray:
        asked.append(place)
        z, y, x = np.meshgrid(*reversed(axes), indexing="ij")
        return (place + x + 10 * y + 100 * z).astype(np.float32)

    return Score(axes, values, 2.5)


def layers_of(*arguments: Any) -> dict[str, LayerData]:
    return {about["name"]: (data, about, kind) for data, about, kind in run_layers(*arguments).layers}


def test_space_has_all_layers_on_one_axis_of_snapshots() -> None:
    found = layers_of(space_frames(), points_table(), score([]))
    kinds = {name: (kind, about["axis_labels"]) for name, (_, about, kind) in found.items()}
    axes = ("snapshot", "z", "y", "x")
    assert kinds == {
        "score": ("image", axes),
        "box": ("vectors", axes[1:]),
        "manifold": ("surface", axes[1:]),
        "boundary": ("surface", axes),
        "perturbations": ("vectors", axes),
        "points": ("points", axes),
    }


def test_the_plane_has_lines_in_the_place_of_surfaces() -> None:
    found = layers_of(plane_frames(), points_table(5))
    assert {name: kind for name, (_, _, kind) in found.items()} == {
        "manifold": "vectors",
        "boundary": "vectors",
        "perturbations": "vectors",
        "points": "points",
    }
    lines, about, _ = found["boundary"]
    assert about["axis_labels"] == ("snapshot", "y", "x")
    # The wall of the second snapshot runs from (0.4, 1) to (0.4, 0).
    assert lines[1].tolist() == [[1.0, 1.0, 0.4], [0.0, -1.0, 0.0]]


def test_the_score_is_evaluated_where_it_is_looked_at_and_nowhere_else() -> None:
    asked: list[int] = []
    data, about, _ = layers_of(space_frames(), points_table(), score(asked))["score"]
    assert data.shape == (COUNT, 5, 4, 3) and data.dtype == np.float32 and asked == []
    place = (2, 3, 1, 2)
    value = float(data[place].compute())
    z, y, x = (about["translate"][k] + about["scale"][k] * place[k] for k in (1, 2, 3))
    assert (x, y, z) == (1.0, 0.5, 1.5)
    assert value == 2 + 1.0 + 10 * 0.5 + 100 * 1.5
    assert asked == [2]
    assert about["contrast_limits"] == (-2.5, 2.5)


def test_the_boundary_of_every_snapshot_lies_at_its_own_place_of_the_axis() -> None:
    (vertices, faces, relief), about, _ = layers_of(space_frames(), points_table())["boundary"]
    # The first snapshot has no boundary; the others are spheres.
    assert sorted(set(vertices[:, 0].tolist())) == [1.0, 2.0, 3.0]
    for place in (1, 2, 3):
        radius = np.linalg.norm(vertices[vertices[:, 0] == place, 1:], axis=1)
        assert np.allclose(radius, RADII[place], atol=2e-3)
    assert (np.ptp(vertices[faces][:, :, 0], axis=1) == 0).all()
    # A boundary inside the manifold has it at the depth of the gap on the side of class 0, which is outside.
    inside = vertices[:, 0] == 3
    assert np.allclose(relief[inside], -(RADIUS - 0.28), atol=2e-3)
    assert about["contrast_limits"] == (-0.05, 0.05)


def test_colours_are_blue_for_class_0_pale_at_zero_and_orange_for_class_1() -> None:
    _, about, _ = layers_of(space_frames(), points_table())["boundary"]
    colours = np.rint(255 * about["colormap"]["colors"]).astype(int)
    assert colours[[0, 64, 128]].tolist() == [[0, 114, 178], [247, 244, 237], [213, 94, 0]]


def test_perturbations_end_on_the_boundary() -> None:
    vectors, about, _ = layers_of(space_frames(), points_table())["perturbations"]
    assert len(vectors) == 3 * 6
    ends = vectors.sum(1)
    assert np.array_equal(vectors[:, 1, 0], np.zeros(18))
    radii = np.array([RADII[int(place)] for place in ends[:, 0]], dtype=float)
    assert np.allclose(np.linalg.norm(ends[:, 1:], axis=1), radii, atol=2e-3)
    assert np.allclose(about["features"]["length"], np.abs(radii - RADIUS), atol=2e-3)
    assert about["features"]["step"].tolist() == [1] * 6 + [10] * 6 + [100] * 6


def test_points_carry_what_was_measured_at_them() -> None:
    data, about, _ = layers_of(space_frames(), points_table())["points"]
    positions = sphere_points().positions
    assert np.array_equal(data[6:12], np.insert(positions[:, ::-1], 0, 1, axis=1))
    features = about["features"]
    assert features["index"].tolist() == list(range(6)) * COUNT
    assert np.allclose(features["margin"], features["step"] + features["index"] / 10)
    assert about["face_color"][:2] == ["#0072b2", "#d55e00"]
    assert about["symbol"][:2] == ["disc", "diamond"]
    # The network is wrong about the first point.
    assert [about["border_color"][k] == about["border_color"][0] for k in range(6)] == [True] + [False] * 5


def test_a_table_with_gaps_leaves_the_classes() -> None:
    table = {name: values[:-3] for name, values in points_table().items()}
    features = layers_of(space_frames(), table)["points"][1]["features"]
    assert sorted(features) == ["index", "label", "step"]


def test_without_any_boundary_there_are_the_points() -> None:
    found = layers_of(space_frames()[:1], {name: values[:6] for name, values in points_table().items()})
    assert sorted(found) == ["box", "manifold", "points"]


def test_captions_have_the_figures_beside_their_nulls_and_say_what_the_colours_mean() -> None:
    shown = run_layers(space_frames(), points_table())
    assert shown.captions[2].splitlines()[:3] == ["ball", "step 10   clung", "train accuracy 0.833  [null 0.500]"]
    assert "blue in class 0, orange in class 1" in shown.captions[2]
    assert (len(shown.captions), shown.start, shown.camera is not None) == (COUNT, COUNT - 1, True)
    flat = run_layers(plane_frames(), points_table(5))
    assert flat.camera is None and "blue" not in flat.captions[0]


def test_the_box_has_its_twelve_edges() -> None:
    edges, _, _ = layers_of(space_frames(), points_table())["box"]
    assert edges.shape == (12, 2, 3)
    assert np.allclose(np.abs(edges[:, 1]).sum(1), 1.1) and np.allclose(np.abs(edges[:, 0]).max(1), 0.55)


def section_frame() -> Frame:
    """Three classes in a plane: one above, two below, and two images with their names."""
    regions = np.array([[0, 0, 2, 2], [1, 1, 1, 1]])
    classes = Classes(("cat", "dog", "owl"), regions, None, "l2")
    mesh = Mesh(np.array([[-1.0, 0.0], [1.0, 0.0]]), np.array([[0, 1]]))
    layer = Layer(mesh, "boundary", pairs=np.array([[1, 0]]))
    points = PointSet(
        np.array([[-0.5, -0.5], [0.5, 0.5]]), np.array([0, 1]), np.array([0, 1]), (), ("7: cat", "8: dog")
    )
    drawing = Drawing((layer,), points, (-1.0, -1.0), (1.0, 1.0), classes=classes)
    return Frame("a net", 0, 0, drawing, (Fact("classes in the box", "3", "2"),), timeline())


def test_a_section_tells_the_classes_of_its_regions() -> None:
    shown = run_layers([section_frame()], {"step": np.zeros(2), "index": np.array([7, 8])})
    found = {about["name"]: (data, about, kind) for data, about, kind in shown.layers}
    assert list(found) == ["classes", "boundary", "perturbations", "names", "points"]
    data, about, kind = found["classes"]
    assert kind == "labels" and data.tolist() == [[[1, 1, 3, 3], [2, 2, 2, 2]]]
    assert about["features"]["class"] == ["", "cat", "dog", "owl"]
    # A square of the upper row is 0.5 wide and 1 high, and its middle lies at (-0.75, 0.5).
    place = np.array(about["translate"]) + np.array(about["scale"]) * (0, 1, 0)
    assert place.tolist() == [0.0, 0.5, -0.75]
    assert about["colormap"][2] != about["colormap"][3]
    places, named, _ = found["names"]
    # Each name stands within the region of its class: below left, above, below right.
    by_name = dict(zip(named["features"]["class"], places.tolist(), strict=True))
    (_, y, x), (_, high, _), (_, low, right) = (by_name[name] for name in ("cat", "dog", "owl"))
    assert x < 0 < right and max(y, low) < 0 < high
    assert found["points"][1]["features"]["name"].tolist() == ["7: cat", "8: dog"]
    assert (shown.active, shown.legend, shown.camera) == ("classes", "", None)


def test_rooms_in_space_are_painted_on_both_sides() -> None:
    mesh = ball_mesh(0.3)
    layer = Layer(mesh, "boundary", pairs=np.tile([2, 1], (len(mesh.faces), 1)))
    classes = Classes(("cat", "dog", "owl"), np.zeros((2, 2, 2), dtype=np.int64), None, "l2")
    drawing = Drawing((layer,), sphere_points(), (-0.55,) * 3, (0.55,) * 3, classes=classes)
    shown = run_layers([Frame("a net", 0, 0, drawing, (), timeline())], {})
    ((data, about, _),) = (layer for layer in shown.layers if layer[1]["name"] == "boundary")
    vertices, faces = data
    count = len(mesh.vertices)
    assert (len(vertices), len(faces)) == (2 * count, 2 * len(mesh.faces))
    outer = np.linalg.norm(vertices[:, 1:], axis=1)
    # The normals look at the first class of the pair, which is the one inside: its face lies a little further in.
    assert (outer[:count] < outer[count:]).all()
    colours = np.rint(255 * about["vertex_colors"]).astype(int)
    assert len(np.unique(colours[:count], axis=0)) == len(np.unique(colours[count:], axis=0)) == 1
    assert np.abs(colours[0] - class_colour(2)).max() < 30 and np.abs(colours[-1] - class_colour(1)).max() < 30


@pytest.mark.parametrize("frames", [space_frames, plane_frames])
def test_names_are_unique(frames: Any) -> None:
    names = [about["name"] for _, about, _ in run_layers(frames(), points_table(6)).layers]
    assert len(set(names)) == len(names)
