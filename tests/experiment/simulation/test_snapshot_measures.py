"""Tests of the metrics of a snapshot against the same probes in double precision."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from dimple.boundary import Boundary
from dimple.columns import describe_column
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.experiment.simulation.snapshot_measures import SnapshotMeasurer
from dimple.networks import freeze
from dimple.probes import Offset, OnOff, run_probes
from dimple.scene import load_scene
from dimple.stats.aggregate import lower_median
from dimple.tensors import generator

SHORT = [
    "training.steps=200",
    "data.test_points=60",
    "data.heldout_points=40",
    "probes=[{kind: margin, restarts: 4}, {kind: onoff, null_draws: 5}, {kind: offset, null_draws: 3}]",
]


@pytest.mark.parametrize("name", ["sphere_in_3d", "circle_in_100d"])
def test_single_precision_changes_no_statistic_that_is_shown(name: str) -> None:
    scene = load_scene(name, SHORT)
    samples = scene.samples()
    network = scene.network.build(scene.manifold.ambient_dim, generator(0, "network"))
    x = samples.train
    y = samples.train_labels
    steps = [0, scene.training.last_step(len(x))]
    measurer = SnapshotMeasurer(PreparedScene(scene, samples, torch.device("cpu")))
    rows: list[tuple[dict[str, float], nn.Module]] = []

    def record(step: int, trained: nn.Module, loss: float) -> None:
        rows.append((measurer.measure(step, trained, loss).metrics, freeze(trained).double()))

    scene.training.fit(network, x.float(), y, steps, record)
    seeded = [
        dataclasses.replace(probe, seed=scene.seed) if isinstance(probe, Offset | OnOff) else probe
        for probe in measurer.probes
    ]
    for metrics, double in rows:
        result = run_probes(Boundary(double), x, y, seeded, scene.manifold)
        columns = {name: values.numpy() for name, values in result.columns.items()}
        draws = np.copysign(result.details["offset_draws"].numpy(), columns["offset"][:, None])
        null = lower_median(np.array([lower_median(draw) for draw in draws.T]))
        assert metrics["dimple_depth_null"] == pytest.approx(null, rel=1e-4)
        for name, column in (("margin", "margin"), ("dimple_depth", "offset")):
            expected = lower_median(columns[column])
            assert metrics[name] == pytest.approx(expected, rel=1e-4), name
        for name in ("margin_on", "margin_off", "margin_on_ratio", "margin_off_ratio"):
            assert metrics[name] == pytest.approx(lower_median(columns[name]), rel=1e-3), name


def test_the_mean_of_the_null_says_how_many_of_its_distances_were_found() -> None:
    scene = load_scene("sphere_in_3d", SHORT)
    samples = scene.samples()
    network = scene.network.build(scene.manifold.ambient_dim, generator(0, "network"))
    measurer = SnapshotMeasurer(PreparedScene(scene, samples, torch.device("cpu")))
    metrics = measurer.measure(0, network, 0.7).metrics
    probe = next(probe for probe in measurer.probes if isinstance(probe, Offset))
    x = samples.heldout.float()
    labels = network(x).argmax(1)
    draws = probe(Boundary(freeze(network)), x, labels, scene.manifold).details["offset_draws"]
    found = float(torch.isfinite(draws).double().mean())
    assert found < 1 and metrics["boundary_distance_found_null"] == pytest.approx(found)


def test_robust_accuracy_of_training_and_test_points_stands_beside_the_clean_one() -> None:
    """On a half-space the robust points are those farther from it than the radius."""
    scene = load_scene("line_in_2d", ["probes=[{kind: robust, norm: linf, eps: [0.02, 0.1], steps: 20}]"])
    samples = scene.samples()
    network = torch.nn.Linear(2, 2)
    network.weight.data = torch.tensor([[0.0, 1.0], [0.0, -1.0]])
    network.bias.data = torch.tensor([-0.03, 0.03])
    measured = SnapshotMeasurer(PreparedScene(scene, samples, torch.device("cpu"))).measure(0, network, 0.5)
    for split in ("train", "test"):
        x, y = getattr(samples, split), getattr(samples, f"{split}_labels")
        distance = torch.where(y == 0, 1, -1) * (x[:, 1] - 0.03)
        row = measured.metrics
        assert row[f"{split}_accuracy"] == pytest.approx(float((distance > 0).double().mean()))
        count = len(samples.train)
        for eps in (0.02, 0.1):
            expected = float((distance[:count] > eps).double().mean())
            assert row[f"{split}_robust_at_{eps}"] == pytest.approx(expected)
            assert measured.units[f"{split}_robust_at_{eps}"] == "fraction"
    assert describe_column("test_robust_at_0.02").meaning.startswith("The fraction of new points")
