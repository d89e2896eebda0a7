"""Runs that the tests of hostile files change."""

from pathlib import Path

import pytest
import torch

from dimple import measure
from dimple.experiment import simulate
from dimple.probes import Margin
from dimple.runs.manifest import MANIFEST
from dimple.scene import load_scene

SMALL = (
    "training.steps=4", "snapshots.count=2", "data.sampling.count=8", "data.test_points=8", "data.heldout_points=8",
    "network.widths=[8]", "levelset.resolution=8", "probes=[{kind: margin, max_passes: 2}]",
)  # fmt: skip


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a small simulation, and a small measurement on images."""
    path = tmp_path_factory.mktemp("runs")
    simulate(load_scene("circle_in_2d", SMALL), path / "simulation", film=False)
    stream = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2)).requires_grad_(False).eval()
    x = torch.rand(6, 1, 4, 4, generator=stream)
    measure(model, x, model(x).argmax(1), [Margin(max_passes=2.0)], bounds=(0.0, 1.0), out=path / "measurement")
    runs = {name: path / name for name in ("simulation", "measurement")}
    for run in runs.values():
        # Whoever changes a file can write its check sum too.
        (run / MANIFEST).unlink()
    return runs
