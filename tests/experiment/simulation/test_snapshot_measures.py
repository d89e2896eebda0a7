"""What is recorded of a snapshot, beside the same probes in double precision."""

import dataclasses

import pytest
import torch
from torch import nn

from dimple.boundary import Boundary
from dimple.experiment.simulation.snapshot_measures import Recorder
from dimple.networks import frozen
from dimple.probes import Offset, OnOff, measure
from dimple.scene import load_scene
from dimple.stats.aggregate import median
from dimple.tensors import generator

SHORT = [
    "training.steps=200",
    "data.test_points=60",
    "data.probe_points=40",
    "probes=[{kind: margin, starts: 4}, {kind: onoff, draws: 5}, {kind: offset, draws: 3}]",
]


@pytest.mark.parametrize("name", ["sphere_in_3d", "circle_in_100d"])
def test_single_precision_changes_no_figure_that_is_read(name: str) -> None:
    scene = load_scene(name, SHORT)
    samples = scene.samples()
    network = scene.network.build(scene.manifold.ambient_dim, generator(0, "network"))
    x, y = samples.train, samples.train_labels
    at = [0, scene.training.steps]
    recorder = Recorder(scene, samples, torch.device("cpu"))
    rows: list[tuple[dict[str, float], nn.Module]] = []

    def record(step: int, trained: nn.Module, loss: float) -> None:
        rows.append((recorder.measure(step, trained, loss).metrics, frozen(trained).double()))

    scene.training.fit(network, x.float(), y, at, record)
    seeded = [
        dataclasses.replace(probe, seed=scene.seed) if isinstance(probe, Offset | OnOff) else probe
        for probe in recorder.probes
    ]
    for metrics, double in rows:
        columns = measure(Boundary(double), x, y, seeded, scene.manifold).columns
        for figure, column in (("margin", "margin"), ("dimple_depth", "offset"), ("dimple_depth_null", "offset_null")):
            expected = median(columns[column].numpy())
            assert metrics[figure] == pytest.approx(expected, rel=1e-4), figure
        for figure in ("margin_on", "margin_off", "on_ratio", "off_ratio"):
            assert metrics[figure] == pytest.approx(median(columns[figure].numpy()), rel=1e-3), figure
