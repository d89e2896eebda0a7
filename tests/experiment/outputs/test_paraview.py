"""Tests of the files for ParaView, read by VTK, against the network and the table of a simulated run."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dimple.boundary import Boundary
from dimple.experiment import SliceConfig, export_run, simulate, slice_network
from dimple.experiment.run import Run
from dimple.scene import load_scene
from dimple.tracing.piecewise_linear import read_piecewise_linear
from tests.experiment.simulation.test_simulate_scene import SHORT


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("paraview") / "sphere"
    changes = [*SHORT, "network.initial_logit_bias=0.0", "levelset={kind: dense, resolution: 24}"]
    return simulate(load_scene("sphere_in_3d", changes), folder, device="cpu", film=False)


def test_every_quantity_agrees_with_the_network_and_the_table(run: Run, tmp_path: Path) -> None:
    import pyvista as pv

    (path,) = export_run(run.path, [tmp_path / "run.pvd"])
    reader = pv.get_reader(path)
    assert reader.time_values == run.steps
    reader.set_active_time_point(len(run.steps) - 1)
    boundary, points = reader.read()
    network = run.network(run.steps[-1])

    vertices = torch.from_numpy(np.asarray(boundary.points, dtype=np.float64))
    _, gradient = Boundary(network).logit_margin_and_gradient(vertices, torch.ones(len(vertices), dtype=torch.long))
    norms = gradient.norm(dim=1).numpy()
    assert np.allclose(boundary.point_data["gradient norm of the logit margin"], norms, rtol=1e-2)
    distances = np.abs(np.linalg.norm(boundary.points, axis=1) - 0.3)
    assert np.allclose(boundary.point_data["distance to the manifold"], distances, atol=1e-5)
    assert "depth of the manifold" in boundary.point_data

    # Faces of one linear region have one activation pattern, and those of another region another pattern.
    patterns = read_piecewise_linear(network, torch.zeros(3), 1).activation_patterns(
        torch.from_numpy(np.asarray(boundary.cell_centers().points, dtype=float))
    )
    regions = boundary.cell_data["linear region"]
    _, pattern_numbers = np.unique(np.packbits(patterns.numpy(), axis=1), axis=0, return_inverse=True)
    count = len(set(regions.tolist()))
    assert count > 20
    # Vertices are stored in single precision, which moves the centers of faces on the border of two regions.
    assert len(set(zip(pattern_numbers.reshape(-1), regions, strict=True))) < 1.02 * count

    table = run.columns("points")
    rows = (table["step"] == run.steps[-1]) & (table["split"] == "train")
    assert np.allclose(points.point_data["margin"], table["margin"][rows], atol=1e-6)
    assert np.allclose(
        points.point_data["perturbation_on_manifold_fraction"],
        table["perturbation_on_manifold_fraction"][rows],
        atol=1e-6,
    )
    found = np.isfinite(table["margin"][rows])
    length = np.linalg.norm(points.point_data["perturbation"], axis=1)
    assert np.allclose(length[found], np.abs(table["margin"][rows][found]), atol=1e-6)
    parts = points.point_data["perturbation on the manifold"] + points.point_data["perturbation off the manifold"]
    assert np.allclose(parts, points.point_data["perturbation"], atol=1e-6)
    # The normal of a sphere has the direction of the point.
    normals = points.points / np.linalg.norm(points.points, axis=1, keepdims=True)
    normal_parts = (points.point_data["perturbation on the manifold"] * normals).sum(1)
    assert np.allclose(normal_parts, 0, atol=1e-6)


def test_a_slice_has_the_classes_on_both_sides(tmp_path: Path) -> None:
    import pyvista as pv

    config = SliceConfig(images=(3, 17), dim=2, resolution=48, null_draws=1)
    run = slice_network(config, tmp_path / "slice", device="cpu")
    (path,) = export_run(run.path, [tmp_path / "run.pvd"])
    reader = pv.get_reader(path)
    reader.set_active_time_point(0)
    boundary, points = reader.read()
    pairs = run.geometry()["pairs/0"]
    assert boundary.cell_data["class in front"].tolist() == pairs[:, 0].tolist()
    assert boundary.cell_data["class behind"].tolist() == pairs[:, 1].tolist()
    assert len(points.points) == 2 and "class" in points.point_data
