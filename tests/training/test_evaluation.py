"""Tests of the evaluation of snapshots against planted accuracies and a half-space."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dimple.data import Digits, hold_out_validation
from dimple.errors import SceneError
from dimple.experiment.simulation.prepared_scene import prepare_scene
from dimple.experiment.simulation.simulate_scene import simulate
from dimple.experiment.simulation.snapshot_measures import SnapshotMeasurer
from dimple.scene import load_scene
from dimple.training import Evaluation, EvaluationAttack

ROBUST = "training.evaluate={attack: {norm: linf, eps: [0.05, 0.1], steps: 10}, keep_best: validation_robust}"
SHORT = ["training.epochs=2", "data.measured=40", "probes=[]", "tangents=null", "slice=null", "snapshots.count=5"]


def test_the_best_snapshot_is_that_of_the_largest_accuracy_and_the_first_of_several() -> None:
    metrics = {
        "validation_accuracy": np.array([0.5, 0.9, 0.9, 0.8]),
        "validation_robust_at_0.1": np.array([0.2, 0.3, 0.4, 0.5]),
        "validation_robust_at_0.2": np.array([0.0, 0.0, 0.2, 0.0]),
    }
    attack = EvaluationAttack(norm="linf", eps=(0.1, 0.2))
    assert Evaluation(keep_best="validation_clean").best_row(metrics) == 1
    assert Evaluation(attack=attack, keep_best="validation_robust").best_row(metrics) == 2
    assert Evaluation(attack=attack).best_row(metrics) is None


def test_validation_images_are_neither_trained_on_nor_measured_otherwise() -> None:
    whole = Digits(measured=50).sample(None, 0)
    parts = hold_out_validation(whole, 0)
    assert len(parts.validation) == 50 and len(parts.train) + 50 == len(whole.train)
    assert torch.equal(parts.train[parts.train_rows], whole.train[whole.train_rows])
    assert torch.equal(parts.train_labels[parts.train_rows], whole.train_labels[whole.train_rows])
    assert parts.validation_labels.bincount().tolist() == [5] * 10
    together = torch.cat([parts.train, parts.validation]).flatten(1)
    assert torch.equal(torch.unique(together, dim=0), torch.unique(whole.train.flatten(1), dim=0))


def test_a_snapshot_is_chosen_by_the_robust_accuracy_of_held_out_images(tmp_path: Path) -> None:
    run = simulate(load_scene("digits", [*SHORT, ROBUST]), tmp_path / "run", film=False)
    metrics = run.columns("metrics")
    best = int(np.argmax(metrics["validation_robust_at_0.05"] + metrics["validation_robust_at_0.1"]))
    summary = run.info["summary"]
    assert summary["best_step"] == metrics["step"][best]
    assert summary["best"]["test_robust_at_0.1"] == metrics["test_robust_at_0.1"][best]
    points = run.columns("points")
    shown = (points["split"] == "validation") & (points["step"] == summary["best_step"])
    assert shown.sum() == 40
    assert points["robust_at_0.1"][shown].mean() == pytest.approx(metrics["validation_robust_at_0.1"][best])
    sentence = f"choose step {summary['best_step']:,}, with test_accuracy {summary['best']['test_accuracy']:.3g}"
    assert sentence in (tmp_path / "run" / "report.html").read_text()


def test_the_accuracy_of_the_measured_images_alone() -> None:
    found = []
    for clean in ("true", "false"):
        changes = [*SHORT, f"training.evaluate.clean={clean}", "probes=[{kind: margin}]"]
        prepared = prepare_scene(load_scene("digits", changes), None, torch.device("cpu"))
        network = prepared.initial_network()
        measured = SnapshotMeasurer(prepared).measure(0, network, 0.0)
        x, y = prepared.samples.test.float(), prepared.samples.test_labels
        right = (network(x).argmax(1) == y).double()
        expected = right.mean() if clean == "true" else right[prepared.samples.test_rows].mean()
        found.append((measured.metrics["test_accuracy"], float(expected)))
    assert found[0] != found[1]
    for accuracy, expected in found:
        assert accuracy == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("digits", "{keep_best: validation_robust}", "attack is missing"),
        ("digits", "{keep_best: validation_loss}", "keep_best is 'validation_loss'"),
        ("line_in_2d", "{keep_best: validation_clean}", "holds out as many training samples as are measured"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused(name: str, change: str, problem: str) -> None:
    with pytest.raises(SceneError, match=problem):
        load_scene(name, [f"training.evaluate={change}"]).samples()


def test_two_robust_accuracies_are_refused() -> None:
    with pytest.raises(SceneError, match="leave one of them out"):
        load_scene("digits", [ROBUST, "probes=[{kind: robust}]"])
