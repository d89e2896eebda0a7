"""Tests of perturbations: lengths as the run measured them, and ends on the boundary of the network."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dimple.experiment import simulate
from dimple.experiment.simulation.perturbations import PerturbationSearch
from dimple.scene import load_scene

SHORT = ["training.steps=60", "snapshots.count=3", "data.test_points=5", "data.heldout_points=5"]


@pytest.mark.parametrize("name", ["sphere_in_3d", "line_in_2d", "circle_in_100d"])
def test_the_lengths_are_those_of_the_run(name: str, tmp_path: Path) -> None:
    probes = "probes=[{kind: margin}]"
    run = simulate(load_scene(name, [*SHORT, probes]), tmp_path / "run", device="cpu", film=False)
    search = PerturbationSearch(run)
    table = run.columns("points")
    load_scene(str(run.path / "scene.yaml"))
    x = torch.from_numpy(run.training_points["train"])
    for step in run.steps:
        found = search.find(step)
        rows = (table["step"] == step) & (table["split"] == "train")
        length = np.linalg.norm(found.total, axis=1)
        margin = np.abs(table["margin"][rows])
        assert np.array_equal(np.isnan(length), np.isinf(margin))
        known = np.isfinite(margin)
        assert known.any()
        np.testing.assert_allclose(length[known], margin[known], rtol=1e-12)
        selected = search.find(step, (3, 0))
        np.testing.assert_allclose(selected.total, found.total[[3, 0]], rtol=1e-7, atol=1e-10)
        # The two scores are equal at the end of a perturbation, and differ at half of it.
        network = run.network(step)
        total = torch.from_numpy(found.total)[known]
        half, end = (network(x[known] + scale * total).diff(dim=1).abs().squeeze(1) for scale in (0.5, 1.0))
        assert float((end / half).max()) < 0.01


def test_the_parts_lie_along_and_off_the_manifold(tmp_path: Path) -> None:
    options = [*SHORT, "probes=[{kind: margin}]"]
    run = simulate(load_scene("sphere_in_3d", options), tmp_path / "run", device="cpu", film=False)
    found = PerturbationSearch(run).find(60)
    normals = run.training_points["train"] / np.linalg.norm(run.training_points["train"], axis=1, keepdims=True)
    off = (found.total * normals).sum(1, keepdims=True) * normals
    np.testing.assert_allclose(found.off_manifold, off, atol=1e-12)
    np.testing.assert_allclose(found.on_manifold, found.total - off, atol=1e-12)
    lengths = (np.linalg.norm(part, axis=1) for part in (found.on_manifold, found.total))
    np.testing.assert_allclose(found.on_manifold_fraction, np.divide(*lengths) ** 2, atol=1e-12)
