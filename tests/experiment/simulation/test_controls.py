"""Controls of a simulation: their labels, their start, and what their falls say about that of the run."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dimple.errors import SceneError
from dimple.experiment import simulate
from dimple.experiment.simulation.controls import judge_controls, permute_labels, shift_onto_data
from dimple.networks import MLP, TwoLayer
from dimple.scene import load_scene
from dimple.tensors import generator
from dimple.views.content.run_header import describe_controls, simulate_command

SHORT = [
    "training.steps=12",
    "snapshots.count=4",
    "data.test_points=20",
    "data.heldout_points=20",
    "probes=[{kind: offset, null_draws: 1}]",
    "levelset={kind: none}",
]


def test_permuted_labels_are_as_many_of_each_and_never_the_same() -> None:
    labels = torch.tensor([1, 0, 1])
    for seed in range(20):
        permuted = permute_labels(labels, seed)
        assert permuted.sort().values.tolist() == [0, 1, 1] and permuted.tolist() != labels.tolist()
    assert torch.equal(permute_labels(labels, 3), permute_labels(labels, 3))


@pytest.mark.parametrize("classes", [2, 4])
def test_a_network_that_starts_on_the_data_has_the_same_mean_score_of_each_class(classes: int) -> None:
    x = torch.randn(50, 3, generator=generator(0, "x"))
    network = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, classes))
    with torch.no_grad():
        network[2].bias[0] += 9.0
    before = network(x)
    assert bool((before.argmax(1) == 0).all())
    shift_onto_data(network, x)
    after = network(x)
    torch.testing.assert_close(after.mean(0), torch.zeros(classes), rtol=0, atol=1e-5)
    # Each score moved by a constant.
    torch.testing.assert_close((after - before).std(0), torch.zeros(classes), rtol=0, atol=1e-5)
    assert len(set(after.argmax(1).tolist())) > 1


@pytest.mark.parametrize("family", [TwoLayer(width=8), MLP(widths=(8,), dropout=0.5), MLP(widths=(8,), norm="batch")])
def test_a_start_on_the_data_is_that_of_the_network_that_is_measured(family: MLP | TwoLayer) -> None:
    x = torch.randn(50, 3, generator=generator(0, "x"))
    network = family.build(3, generator(0, "network"))
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    shift_onto_data(network, x)
    assert network.training and all(torch.equal(buffers[name], buffer) for name, buffer in network.named_buffers())
    torch.testing.assert_close(network.eval()(x).mean(0), torch.zeros(2), rtol=0, atol=1e-6)


def test_a_network_without_a_last_bias_is_refused() -> None:
    with pytest.raises(SceneError, match="bias of the last layer"):
        shift_onto_data(nn.Sequential(nn.Linear(3, 2, bias=False)), torch.zeros(1, 3))


def summary_of(met: bool | None, fall: float) -> dict[str, Any]:
    finding = f"the distance fell {fall:g}-fold before training points were correct at step 9"
    return {
        "conditions": [{"name": "distance_fall", "met": met, "finding": finding}],
        "verdict_reason": "unknown start",
    }


def test_a_fall_needs_what_the_control_without_it_lacks() -> None:
    controls = {"permuted_labels": summary_of(True, 12), "start_on_data": summary_of(False, 2)}
    found = judge_controls(summary_of(True, 14), controls)
    assert [control["has_fallen"] for control in found.values()] == [True, False]
    fell = "before training points were correct at step 9; the fall of the run"
    assert describe_controls({"controls": found}) == [
        f"With permuted labels, the distance fell 12-fold {fell} does not need these labels.",
        f"Started on the data, the distance fell 2-fold {fell} is therefore its way back from the start.",
    ]


@pytest.mark.parametrize(("met", "control"), [(False, True), (None, False), (True, None)])
def test_without_a_fall_or_a_decision_nothing_is_concluded(met: bool | None, control: bool | None) -> None:
    found = judge_controls(summary_of(met, 3), {"start_on_data": summary_of(control, 4)})
    assert "the fall of the run" not in found["start_on_data"]["finding"]
    unknown = judge_controls(summary_of(True, 9), {"start_on_data": {"conditions": [], "verdict_reason": "no start"}})
    assert unknown["start_on_data"]["finding"] == "Started on the data, no start."


def test_a_simulation_with_controls_has_the_same_metrics_and_tells_their_falls(tmp_path: Path) -> None:
    scene = load_scene("sphere_in_3d", SHORT)
    plain = simulate(scene, tmp_path / "plain", device="cpu", film=False)
    run = simulate(scene, tmp_path / "run", device="cpu", film=False, controls=True)
    assert (run.path / "metrics.parquet").read_bytes() == (plain.path / "metrics.parquet").read_bytes()
    controls = run.info["summary"]["controls"]
    assert list(controls) == ["permuted_labels", "start_on_data"]
    start = controls["start_on_data"]
    first, shifted = (
        next(one["value"] for one in summary["conditions"] if one["name"] == "initial_distance")
        for summary in (run.info["summary"], start)
    )
    assert start["steps"] == 12 and shifted < first
    report = " ".join((run.path / "report.html").read_text(encoding="utf-8").split())
    assert "With permuted labels, " in report and "Started on the data, " in report
    assert "were not run" not in report and "--controls" in simulate_command(run)
    assert "were not run" in (plain.path / "report.html").read_text(encoding="utf-8")


def test_a_scene_without_offset_has_no_controls(tmp_path: Path) -> None:
    scene = load_scene("sphere_in_3d", [*SHORT, "probes=[{kind: onoff}]"])
    with pytest.raises(SceneError, match=r"add \{kind: offset\} to probes"):
        simulate(scene, tmp_path / "run", device="cpu", film=False, controls=True)
    assert not (tmp_path / "run").exists()
