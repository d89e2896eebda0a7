"""Tests of the metrics of a snapshot against the same probes in double precision."""

import dataclasses

import pytest
import torch
from torch import nn

from dimple.boundary import Boundary
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
    measurer = SnapshotMeasurer(scene, samples, torch.device("cpu"))
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
        for name, column in (("margin", "margin"), ("dimple_depth", "offset"), ("dimple_depth_null", "offset_null")):
            expected = lower_median(columns[column])
            assert metrics[name] == pytest.approx(expected, rel=1e-4), name
        for name in ("margin_on", "margin_off", "margin_on_ratio", "margin_off_ratio"):
            assert metrics[name] == pytest.approx(lower_median(columns[name]), rel=1e-3), name


def test_the_mean_of_the_null_says_how_many_of_its_distances_were_found() -> None:
    scene = load_scene("sphere_in_3d", SHORT)
    samples = scene.samples()
    network = scene.network.build(scene.manifold.ambient_dim, generator(0, "network"))
    measurer = SnapshotMeasurer(scene, samples, torch.device("cpu"))
    metrics = measurer.measure(0, network, 0.7).metrics
    probe = next(probe for probe in measurer.probes if isinstance(probe, Offset))
    x = samples.heldout.float()
    labels = network(x).argmax(1)
    draws = probe(Boundary(freeze(network)), x, labels, scene.manifold).details["offset_draws"]
    found = float(torch.isfinite(draws).double().mean())
    assert found < 1 and metrics["boundary_distance_found_null"] == pytest.approx(found)
