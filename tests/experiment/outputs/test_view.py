"""The window on runs that were really made: what it says of a point is what the run measured there."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from dimple.errors import RunError, UsageError
from dimple.experiment import simulate, view
from dimple.experiment.outputs.view import show_of
from dimple.experiment.probing.sources import Snapshots
from dimple.levelsets.closest_points import nearest_places
from dimple.runs import Run
from dimple.scene import load_scene
from dimple.views.window.window import Viewer

SHORT = [
    "training.steps=150",
    "snapshots.count=4",
    "data.test_points=20",
    "data.probe_points=20",
    "probes=[{kind: margin}, {kind: onoff, draws: 3}]",
    "levelset={kind: grid, cells: 24}",
]


@pytest.fixture(scope="module", params=["sphere_in_3d", "line_in_2d"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / request.param
    return simulate(load_scene(request.param, SHORT), folder, device="cpu", film=False)


@pytest.fixture
def viewer(run: Run, rendering: None) -> Iterator[Viewer]:
    viewer = Viewer([show_of(run)], off_screen=True, size=(700, 600))
    yield viewer
    viewer.close()


def test_a_picked_point_has_the_figures_of_the_table_and_an_arrow_to_the_boundary(run: Run, viewer: Viewer) -> None:
    table, scene = run.points(), load_scene(str(run.path / "scene.yaml"))
    (panel,) = viewer.exhibit.panels
    dim, found = len(run.box[0]), 0
    for index, step in enumerate(run.steps):
        viewer.show(index)
        network = Snapshots(run, scene).at(step)
        test = (table["step"] == step) & (table["split"] == "test")
        for point in (0, 3, 4):
            panel.pick(point)
            row = (table["step"] == step) & (table["split"] == "train") & (table["index"] == point)
            figures = panel.picked.figures
            for column in ("margin", "margin_on", "margin_on_null", "margin_off", "gradient_off_share"):
                assert figures[column] == table[column][row][0]
            assert figures["margin_null"] == np.sort(table["margin"][test])[(test.sum() - 1) // 2]
            if not np.isfinite(figures["margin"]):
                assert panel.arrows.tips == []
                continue
            whole, _, off = panel.arrows.tips
            assert np.linalg.norm(whole - panel.picked.place) == pytest.approx(abs(figures["margin"]), rel=1e-9)
            assert off == pytest.approx(whole, abs=1e-12)
            scores = network(torch.from_numpy(whole[None, :dim]))
            assert float(scores.diff().abs()) < 1e-8
            found += 1
    assert found >= 6


def test_gradients_and_distances_are_those_of_network_and_manifold(run: Run, viewer: Viewer) -> None:
    reel, asked = viewer.exhibit.reels[0], viewer.exhibit.reels[0].show.asked
    places = reel.vertices(3)[:50]
    step, h = run.steps[3], 1e-5
    network = Snapshots(run, load_scene(str(run.path / "scene.yaml"))).at(step)

    def score(x: np.ndarray) -> np.ndarray:
        scores = network(torch.from_numpy(x))
        return (scores[:, 1] - scores[:, 0]).numpy()

    # By central differences; at a fold of the network these are the mean of both sides.
    axes = np.eye(places.shape[1]) * h
    slopes = np.stack([(score(places + axis) - score(places - axis)) / (2 * h) for axis in axes], axis=1)
    found = asked.gradient_norms(step, places)
    assert np.median(np.abs(found / np.linalg.norm(slopes, axis=1) - 1)) < 1e-6
    away = asked.distances(places)
    expected = np.linalg.norm(nearest_places(run.manifold_mesh, places) - places, axis=1)
    assert away == pytest.approx(expected, abs=2e-3)


def test_the_boundary_is_coloured_by_every_quantity(viewer: Viewer) -> None:
    viewer.show(3)
    pictures = []
    for _ in range(4):
        viewer.plotter.render_window.Render()
        pictures.append(viewer.plotter.screenshot(return_img=True).astype(int))
        viewer.next_quantity()
        while viewer.errand.busy:
            viewer.beat()
    for index, picture in enumerate(pictures[1:]):
        assert np.abs(picture - pictures[index]).mean() > 0.3


def test_runs_of_different_spaces_and_no_rate_are_refused(run: Run, tmp_path: Path) -> None:
    short = ["training.steps=2", "snapshots.count=2", "probes=[{kind: margin}]", "levelset={kind: none}"]
    high = simulate(load_scene("circle_in_100d", short), tmp_path / "high", device="cpu", film=False)
    with pytest.raises(UsageError, match=r"lies in R\^\d and .*high in R\^100; name two runs in the same space"):
        view(run.path, high.path)
    with pytest.raises(RunError, match=r"lies in R\^100, where there is nothing to draw; .*report\.html"):
        view(high.path)
    with pytest.raises(UsageError, match="--fps is 0"):
        view(run.path, fps=0)
