"""The steps to the boundary found again are those that the run measured, and end where the network changes its mind."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dimple.experiment import simulate
from dimple.experiment.probing.sources import Snapshots
from dimple.experiment.simulation.perturbations import Nearest
from dimple.scene import load_scene

SHORT = ["training.steps=60", "snapshots.count=3", "data.test_points=5", "data.probe_points=5"]


@pytest.mark.parametrize("name", ["sphere_in_3d", "line_in_2d", "circle_in_100d"])
def test_they_are_what_the_run_measured(name: str, tmp_path: Path) -> None:
    probes = "probes=[{kind: margin}]"
    run = simulate(load_scene(name, [*SHORT, probes]), tmp_path / "run", device="cpu", film=False)
    nearest, table, scene = Nearest(run), run.points(), load_scene(str(run.path / "scene.yaml"))
    x = torch.from_numpy(run.positions["train"])
    for step in run.steps:
        found = nearest.at(step)
        rows = (table["step"] == step) & (table["split"] == "train")
        length = np.linalg.norm(found.whole, axis=1)
        margin = np.abs(table["margin"][rows])
        assert np.array_equal(np.isnan(length), np.isinf(margin))
        known = np.isfinite(margin)
        assert known.any()
        np.testing.assert_allclose(length[known], margin[known], rtol=1e-12)
        some = nearest.at(step, (3, 0))
        np.testing.assert_allclose(some.whole, found.whole[[3, 0]], rtol=1e-7, atol=1e-10)
        # At its end the two scores are equal, which half a step before they are not.
        network = Snapshots(run, scene).at(step)
        steps = torch.from_numpy(found.whole)[known]
        here, end = (network(x[known] + share * steps).diff(dim=1).abs().squeeze(1) for share in (0.5, 1.0))
        assert float(end.max()) < 1e-8 < float(here.min())


def test_their_parts_lie_along_and_off_the_manifold(tmp_path: Path) -> None:
    options = [*SHORT, "probes=[{kind: margin}]"]
    run = simulate(load_scene("sphere_in_3d", options), tmp_path / "run", device="cpu", film=False)
    found = Nearest(run).at(60)
    outwards = run.positions["train"] / np.linalg.norm(run.positions["train"], axis=1, keepdims=True)
    off = (found.whole * outwards).sum(1, keepdims=True) * outwards
    np.testing.assert_allclose(found.off, off, atol=1e-12)
    np.testing.assert_allclose(found.on, found.whole - off, atol=1e-12)
    lengths = (np.linalg.norm(part, axis=1) for part in (found.on, found.whole))
    np.testing.assert_allclose(found.on_share, np.divide(*lengths) ** 2, atol=1e-12)
