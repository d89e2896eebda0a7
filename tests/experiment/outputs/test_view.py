"""Tests of the window on simulated runs: it shows the values that the run measured."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from dimple.errors import RunError, UsageError
from dimple.experiment import simulate, view
from dimple.experiment.outputs.view import load_run_view
from dimple.experiment.run import Run
from dimple.levelsets.closest_points import closest_points_on_mesh
from dimple.scene import load_scene
from dimple.views.window.window import Viewer

SHORT = [
    "training.steps=150",
    "snapshots.count=4",
    "data.test_points=20",
    "data.heldout_points=20",
    "probes=[{kind: margin}, {kind: onoff, null_draws: 3}]",
    "levelset={kind: dense, resolution: 24}",
]


@pytest.fixture(scope="module", params=["sphere_in_3d", "line_in_2d"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / request.param
    return simulate(load_scene(request.param, SHORT), folder, device="cpu", film=False)


@pytest.fixture
def viewer(run: Run, rendering: None) -> Iterator[Viewer]:
    viewer = Viewer([load_run_view(run)], off_screen=True, size=(700, 600))
    yield viewer
    viewer.close()


def test_a_picked_point_has_the_values_of_the_table_and_an_arrow_to_the_boundary(run: Run, viewer: Viewer) -> None:
    table = run.columns("points")
    load_scene(str(run.path / "scene.yaml"))
    (panel,) = viewer.multi_view.panels
    dim = len(run.display_bounds[0])
    found = 0
    for index, step in enumerate(run.steps):
        viewer.show_index(index)
        network = run.network(step)
        test = (table["step"] == step) & (table["split"] == "test")
        for point in (0, 3, 4):
            panel.pick(point)
            row = (table["step"] == step) & (table["split"] == "train") & (table["index"] == point)
            values = panel.picked_point.statistics
            for column in ("margin", "margin_on", "margin_on_null", "margin_off", "gradient_off_manifold_fraction"):
                assert values[column] == table[column][row][0]
            assert values["margin_test"] == np.sort(table["margin"][test])[(test.sum() - 1) // 2]
            if not np.isfinite(values["margin"]):
                assert panel.arrows.tips == []
                continue
            total, _, off = panel.arrows.tips
            length = np.linalg.norm(total - panel.picked_point.position)
            assert length == pytest.approx(abs(values["margin"]), rel=1e-9)
            assert off == pytest.approx(total, abs=1e-12)
            scores = network(torch.from_numpy(total[None, :dim]))
            assert float(scores.diff().abs()) < 1e-3
            found += 1
    assert found >= 6


def test_gradients_and_distances_agree_with_network_and_manifold(run: Run, viewer: Viewer) -> None:
    animation = viewer.multi_view.animations[0]
    evaluator = animation.run.evaluator
    points = animation.vertices(3)[:50]
    step = run.steps[3]
    h = 1e-5
    network = run.network(step)

    def score(x: np.ndarray) -> np.ndarray:
        scores = network(torch.from_numpy(x))
        return (scores[:, 1] - scores[:, 0]).numpy()

    # Central differences; where the network is not smooth they are the mean of both sides.
    axes = np.eye(points.shape[1]) * h
    slopes = np.stack([(score(points + axis) - score(points - axis)) / (2 * h) for axis in axes], axis=1)
    norms = evaluator.gradient_norms(step, points)
    assert np.median(np.abs(norms / np.linalg.norm(slopes, axis=1) - 1)) < 1e-6
    distances = evaluator.distances(points)
    expected = np.linalg.norm(closest_points_on_mesh(run.manifold_mesh, points) - points, axis=1)
    assert distances == pytest.approx(expected, abs=2e-3)


def test_the_boundary_is_colored_by_every_quantity(viewer: Viewer) -> None:
    viewer.show_index(3)
    screenshots = []
    for _ in range(4):
        viewer.plotter.render_window.Render()
        screenshots.append(viewer.plotter.screenshot(return_img=True).astype(int))
        viewer.next_quantity()
        while viewer.background_task.is_busy:
            viewer.on_timer()
    for index, screenshot in enumerate(screenshots[1:]):
        assert np.abs(screenshot - screenshots[index]).mean() > 0.3


def test_runs_of_different_dimensions_and_a_rate_of_zero_are_refused(run: Run, tmp_path: Path) -> None:
    overrides = ["training.steps=2", "snapshots.count=2", "probes=[{kind: margin}]", "levelset={kind: none}"]
    high = simulate(load_scene("circle_in_100d", overrides), tmp_path / "high", device="cpu", film=False)
    with pytest.raises(UsageError, match=r"lies in R\^\d and .*high in R\^100; name two runs in the same space"):
        view(run.path, high.path)
    with pytest.raises(RunError, match=r"lies in R\^100, where there is nothing to draw; .*report\.html"):
        view(high.path)
    with pytest.raises(UsageError, match="fps is 0"):
        view(run.path, fps=0)
