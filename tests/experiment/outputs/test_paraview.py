"""A true run as files for ParaView: quantities that the run's own network and table know, read back by VTK."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dimple.boundary import Boundary
from dimple.experiment import SectionRequest, film, section, simulate
from dimple.experiment.probing.sources import Snapshots
from dimple.runs import Run
from dimple.scene import load_scene
from dimple.tracing.piecewise_linear import folds
from tests.experiment.simulation.test_simulate_scene import SHORT


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("paraview") / "sphere"
    changes = [*SHORT, "network.offset=0.0", "levelset={kind: grid, cells: 24}"]
    return simulate(load_scene("sphere_in_3d", changes), folder, device="cpu", film=False)


def test_every_quantity_is_that_of_the_network_and_the_table(run: Run, tmp_path: Path) -> None:
    import pyvista as pv

    (path,) = film(run.path, [tmp_path / "run.pvd"])
    reader = pv.get_reader(path)
    assert reader.time_values == run.steps
    reader.set_active_time_point(len(run.steps) - 1)
    boundary, points = reader.read()
    network = Snapshots(run, load_scene("sphere_in_3d", SHORT[:-1])).at(run.steps[-1])

    vertices = torch.from_numpy(np.asarray(boundary.points, dtype=np.float64))
    _, gradient = Boundary(network).gap_and_gradient(vertices, torch.ones(len(vertices), dtype=torch.long))
    norms = gradient.norm(dim=1).numpy()
    assert np.allclose(boundary.point_data["gradient norm of the score"], norms, rtol=1e-2)
    away = np.abs(np.linalg.norm(boundary.points, axis=1) - 0.3)
    assert np.allclose(boundary.point_data["distance to the manifold"], away, atol=1e-5)
    assert "depth of the manifold" in boundary.point_data

    # Faces of one piece have one pattern of active units, and faces of another piece another.
    patterns = folds(network, 1).patterns(torch.from_numpy(np.asarray(boundary.cell_centers().points, dtype=float)))
    pieces = boundary.cell_data["linear piece"]
    packed = np.packbits(patterns.numpy(), axis=1)
    _, same = np.unique(packed, axis=0, return_inverse=True)
    assert len(set(pieces.tolist())) > 20
    # Corners are kept in single precision, which moves the middle of a face that lies on a crease.
    assert len(set(zip(same.reshape(-1), pieces, strict=True))) < 1.02 * len(set(pieces.tolist()))

    table = run.points()
    rows = (table["step"] == run.steps[-1]) & (table["split"] == "train")
    assert np.allclose(points.point_data["margin"], table["margin"][rows], atol=1e-6)
    assert np.allclose(points.point_data["on_share"], table["on_share"][rows], atol=1e-6)
    found = np.isfinite(table["margin"][rows])
    length = np.linalg.norm(points.point_data["perturbation"], axis=1)
    assert np.allclose(length[found], np.abs(table["margin"][rows][found]), atol=1e-6)
    parts = points.point_data["perturbation on the manifold"] + points.point_data["perturbation off the manifold"]
    assert np.allclose(parts, points.point_data["perturbation"], atol=1e-6)
    # The normal of a sphere is the direction of the point.
    outward = points.points / np.linalg.norm(points.points, axis=1, keepdims=True)
    along = (points.point_data["perturbation on the manifold"] * outward).sum(1)
    assert np.allclose(along, 0, atol=1e-6)


def test_a_section_has_the_classes_on_both_sides(tmp_path: Path) -> None:
    import pyvista as pv

    asked = SectionRequest(images=(3, 17), dim=2, cells=48, draws=1)
    done = section(asked, tmp_path / "section", device="cpu")
    (path,) = film(done.path, [tmp_path / "run.pvd"])
    reader = pv.get_reader(path)
    reader.set_active_time_point(0)
    boundary, points = reader.read()
    pairs = done.geometry()["pairs/0"]
    assert boundary.cell_data["class in front"].tolist() == pairs[:, 0].tolist()
    assert boundary.cell_data["class behind"].tolist() == pairs[:, 1].tolist()
    assert len(points.points) == 2 and "class" in points.point_data
