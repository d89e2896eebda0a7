"""Tests of films of two runs side by side."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dimple.errors import UsageError
from dimple.experiment import export_run, simulate
from dimple.experiment.outputs import export
from dimple.scene import load_scene
from dimple.views.content.frame import Chart, ChartCurve, Drawing, Frame, PointSet, Timeline
from dimple.views.film import pair as pair_module
from dimple.views.film.film import key_frames, repeat_count
from dimple.views.film.pair import PairRenderer, pair_frames
from dimple.views.film.settings import Film


def frames(steps: list[int], low: float, depth_scale: float, dim: int = 2) -> list[Frame]:
    points = PointSet(np.zeros((1, dim)), np.zeros(1, dtype=np.int64))
    values = np.array(steps, dtype=float)
    charts = (Chart("depth", (ChartCurve("dimple depth", values),)),)
    timeline = Timeline(np.array(steps), charts)
    drawing = Drawing((), points, (low,) * dim, (1.0,) * dim)
    return [
        Frame(f"run from {low}", step, index, drawing, (), timeline, depth_scale) for index, step in enumerate(steps)
    ]


def test_each_step_has_the_last_snapshot_of_both_runs_up_to_it() -> None:
    pairs = pair_frames(frames([0, 10, 100], -1.0, 0.1), frames([0, 30], -2.0, 0.3))
    assert [pair.step for pair in pairs] == [0, 10, 30, 100]
    assert [(pair.left.step, pair.right.step) for pair in pairs] == [(0, 0), (10, 0), (10, 30), (100, 30)]
    (chart,) = pairs[0].timeline.charts
    assert [curve.values.tolist() for curve in chart.curves] == [[0, 10, 10, 100], [0, 0, 30, 30]]


def test_both_runs_have_one_box_and_one_scale_of_colors() -> None:
    for pair in pair_frames(frames([0], -1.0, 0.1), frames([0], -2.0, 0.3)):
        for frame in (pair.left, pair.right):
            assert frame.drawing.low == (-2.0, -2.0) and frame.depth_scale == 0.3


def test_pairs_have_key_frames_and_are_drawn_in_any_size() -> None:
    pairs = pair_frames(frames([0, 1, 2, 3], -1.0, 0.1), frames([0, 3], -1.0, 0.1))
    assert key_frames(pairs) == [0, 1, 2, 3] and repeat_count(pairs, 0, Film(fps=4, hold=1.0)) == 4
    with PairRenderer(pairs[0], (640, 400)) as renderer:
        images = [np.asarray(renderer.draw(pair)) for pair in pairs]
    assert images[0].shape == (400, 640, 3) and not np.array_equal(images[0], images[-1])


def test_runs_in_other_spaces_are_refused() -> None:
    flat, space = frames([0], -1.0, 0.1), frames([0], -1.0, 0.1, dim=3)
    with pytest.raises(UsageError, match="must be simulations in the same space"):
        pair_frames(flat, space)


def test_two_simulations_become_one_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = ["training.steps=4", "snapshots.count=3", "probes=[]", "levelset={kind: dense, resolution: 12}"]
    scene = load_scene("circle_in_2d", changes)
    runs = [
        simulate(dataclasses.replace(scene, seed=seed), tmp_path / str(seed), device="cpu", film=False)
        for seed in (0, 1)
    ]
    sheet, film = tmp_path / "both.png", tmp_path / "both.mp4"
    titles: list[str] = []
    original = pair_module.pair_frames

    def keep_titles(left: list[Frame], right: list[Frame]) -> list[pair_module.PairFrame]:
        titles.extend([left[0].title, right[0].title])
        return original(left, right)

    monkeypatch.setattr(export, "pair_frames", keep_titles)
    assert export_run(runs[0].path, [sheet, film], other=runs[1].path) == [sheet, film]
    assert titles == ["circle_in_2d, seed 0", "circle_in_2d, seed 1"]
    assert film.stat().st_size > 1000
    with pytest.raises(UsageError, match="side by side are drawn as"):
        export_run(runs[0].path, [tmp_path / "both.html"], other=runs[1].path)


def test_curves_keep_their_baselines_and_one_known_at_a_single_step_is_left_out() -> None:
    def with_curves(depth: list[float]) -> list[Frame]:
        known = ChartCurve("training accuracy", np.array([0.5, 1.0]), np.array([0.4, 0.4]))
        charts = (Chart("a", (ChartCurve("dimple depth", np.array(depth)), known)),)
        return [
            dataclasses.replace(frame, timeline=Timeline(np.array([0, 1]), charts))
            for frame in frames([0, 1], -1.0, 0.1)
        ]

    pairs = pair_frames(with_curves([np.nan, 0.1]), with_curves([0.2, 0.1]))
    (chart,) = pairs[0].timeline.charts
    assert chart.title == "training accuracy"
    for curve in chart.curves:
        assert curve.baseline is not None and curve.baseline.tolist() == [0.4, 0.4]
