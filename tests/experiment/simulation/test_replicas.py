"""Simulation of several seeds at once: each replica is the single simulation of its seed, and all give intervals."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dimple.experiment import simulate
from dimple.experiment.run import Run
from dimple.experiment.simulation.replicas import Replicas, choose_shown, summarize_median, summarize_replicas
from dimple.scene import Scene, load_scene
from dimple.training import loop
from dimple.views.content.run_header import describe_replicas

SHORT = [
    "training.steps=12",
    "snapshots.count=4",
    "data.test_points=20",
    "data.heldout_points=20",
    "probes=[{kind: margin, restarts: 4}, {kind: onoff, null_draws: 3}, {kind: offset, limit: 0.5, null_draws: 2}]",
    "levelset={kind: none}",
]
# Weights after the same number of updates, up to rounding in single precision.
ROUNDING = {"rtol": 1e-3, "atol": 1e-5}


def scene(*changes: str, seed: int = 3) -> Scene:
    return load_scene("circle_in_2d", [*SHORT, *changes], seed)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return simulate(scene("replicas=3"), tmp_path_factory.mktemp("replicas") / "run", device="cpu")


def weights(run: Run, step: int, replica: int | None = None) -> list[torch.Tensor]:
    return list(run.network(step, replica).state_dict().values())


def test_each_replica_is_the_single_simulation_of_its_seed(run: Run, tmp_path: Path) -> None:
    for replica in range(3):
        single = simulate(scene(seed=3 + replica), tmp_path / str(replica), device="cpu", film=False)
        assert "replicas" not in single.info
        for step in run.steps:
            for found, expected in zip(weights(run, step, replica), weights(single, step), strict=True):
                torch.testing.assert_close(found, expected, **ROUNDING)
        rows = run.replicas[run.replicas["replica"] == replica]
        assert rows["seed"].unique().tolist() == [3 + replica]
        assert list(rows.columns[2:]) == list(single.metrics.columns)
        # Searches along a subspace may end at another boundary point after a change of one rounding.
        for name in ("step", "loss", "train_accuracy", "margin", "boundary_distance", "dimple_depth"):
            np.testing.assert_allclose(rows[name], single.metrics[name], rtol=0.01, atol=1e-3, err_msg=name)


def test_the_run_shows_one_replica_and_says_which(run: Run) -> None:
    shown = run.shown_replica
    rows = run.replicas[run.replicas["replica"] == shown].reset_index(drop=True)
    for name in run.metrics.columns:
        np.testing.assert_array_equal(rows[name], run.metrics[name])
    assert run.scene.seed == 3 + shown and run.scene.replicas == 1
    for found, expected in zip(weights(run, 12), weights(run, 12, shown), strict=True):
        assert torch.equal(found, expected)
    assert f"the one with seed {3 + shown}" in describe_replicas(run)[0]
    report = (run.path / "report.html").read_text(encoding="utf-8")
    assert "3 replicas with the seeds 3 to 5" in report and f"seed {3 + shown} (the median one of 3 replicas)" in report
    # Three replicas are too few for an interval of their median.
    loss = run.info["replicas"]["statistics"]["loss"]
    assert loss.keys() == {"median", "low", "high", "median_low", "median_high"}
    assert loss["median_low"] is None and "95 % interval of the median" in report and "too few samples" in report


def test_replicas_that_cannot_be_stacked_are_single_simulations_to_the_last_bit(tmp_path: Path) -> None:
    change = "training.objective={kind: adversarial, eps: 0.1, steps: 2}"
    run = simulate(scene(change, "replicas=2", "probes=[]"), tmp_path / "run", device="cpu", film=False)
    for replica in range(2):
        single = simulate(
            scene(change, "probes=[]", seed=3 + replica), tmp_path / str(replica), device="cpu", film=False
        )
        for step in run.steps:
            assert all(
                torch.equal(a, b) for a, b in zip(weights(run, step, replica), weights(single, step), strict=True)
            )


def test_replicas_that_are_trained_alone_continue_where_they_were_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = scene("training.objective={kind: adversarial, eps: 0.1, steps: 2}", "replicas=2", "probes=[]")
    expected = simulate(settings, tmp_path / "expected", device="cpu", film=False)
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_STATES", 0.0)
    write = Run.write_cache
    writes: list[str] = []

    def write_some(run: Run, name: str, arrays: dict[str, np.ndarray]) -> None:
        writes.append(name)
        if len(writes) == 8:
            raise KeyboardInterrupt
        write(run, name, arrays)

    monkeypatch.setattr(Run, "write_cache", write_some)
    with pytest.raises(KeyboardInterrupt):
        simulate(settings, tmp_path / "run", device="cpu", film=False)
    assert "training-0-training" in writes and "replica-0-1" in writes
    run = simulate(settings, tmp_path / "run", device="cpu", film=False)
    assert run.steps == expected.steps
    for step, replica in itertools.product(run.steps, range(2)):
        pairs = zip(weights(run, step, replica), weights(expected, step, replica), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_replicas_that_stop_early_keep_their_last_network(tmp_path: Path) -> None:
    changes = ["training.stop.accuracy=0.6", "training.steps=300", "training.lr=0.01", "probes=[]"]
    for kind in ("standard", "gradient_penalty"):
        run = simulate(
            scene(*changes, f"training.kind={kind}", "replicas=3"), tmp_path / kind, device="cpu", film=False
        )
        assert run.steps[-1] < 300
        accuracy = run.replicas[run.replicas["step"] == run.steps[-1]]["train_accuracy"]
        assert (accuracy >= 0.6).all()


def test_an_interrupted_simulation_continues_to_the_same_numbers(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = Replicas.measure

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Replicas, "measure", interrupt)
    with pytest.raises(KeyboardInterrupt):
        simulate(scene("replicas=3"), tmp_path / "run", device="cpu", film=False)
    assert set(Run.open(tmp_path / "run").info["seconds"]) == {"train"}
    monkeypatch.setattr(Replicas, "measure", measure)
    again = simulate(scene("replicas=3"), tmp_path / "run", device="cpu", film=False)
    for name, values in run.columns("replicas").items():
        np.testing.assert_array_equal(again.columns("replicas")[name], values)
    assert json.dumps(again.info["replicas"]) == json.dumps(run.info["replicas"])


def test_the_share_of_supported_seeds_has_the_exact_interval() -> None:
    def summary(verdict: str, step: int | None) -> dict[str, Any]:
        return {
            "verdict": verdict, "verdict_reason": "", "cling_step": step, "dimple_step": 9, "distance_fall": 6.0,
            "phases": [], "final": {"loss": 0.1},
        }  # fmt: skip

    summaries = [summary("supported", 10 + index) for index in range(6)] + [summary("contradicted", None)] * 4
    found = summarize_replicas(summaries, range(10), 2)
    assert found["verdicts"] == {"supported": 6, "contradicted": 4, "undecided": 0}
    np.testing.assert_allclose(found["supported_interval"], (0.2624, 0.8784), atol=1e-4)
    assert found["cling_step"] == {"median": 14.0, "low": 10.0, "high": None, "median_low": 11.0, "median_high": None}


def test_the_phases_of_the_median_have_intervals_over_points_and_replicas() -> None:
    steps = np.arange(20)
    metrics, distances = [], []
    for late in range(5):
        curve = np.where(steps < 6 + late, 0.5, 0.05)
        distances.append(curve[:, None] * np.linspace(0.9, 1.1, 30))
        metrics.append(
            {
                "step": steps, "train_accuracy": np.where(steps < 16, 0.5, 1.0), "boundary_distance_found": np.ones(20),
                "gradient_off_manifold_fraction": np.full(20, 0.9),
                "gradient_off_manifold_fraction_null": np.full(20, 0.3),
            }
        )  # fmt: skip
    median = summarize_median(metrics, distances)["median"]
    assert (median["verdict"], median["cling_step"], median["dimple_step"]) == ("supported", 8, 16)
    near = next(phase for phase in median["phases"] if phase["name"] == "near")
    assert near["interval"][0] < 7 and near["interval"][1] > 8
    assert summarize_median(metrics, [None] * 5) == {}


def test_the_shown_replica_is_the_one_nearest_to_the_median() -> None:
    curves = [[9.0, np.inf, 1.0], [5.0, np.inf, 3.0], [4.0, np.inf, 7.0], [6.0, np.inf, 3.5], [np.inf, 2.0, np.nan]]
    assert choose_shown([{"boundary_distance": np.array(curve), "loss": np.zeros(3)} for curve in curves]) in (1, 3)
