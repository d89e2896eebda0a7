"""Tests of `check_run_completeness`, with a complete mesh and with a mesh of which a part was removed."""

from pathlib import Path

import pytest

from dimple.errors import RunError, UsageError
from dimple.experiment import check_run_completeness, simulate
from dimple.runs import Run
from dimple.scene import load_scene

SHORT = ["training.steps=30", "snapshots.count=3", "probes=[{kind: margin}]", "data.test_points=10"]


def test_a_full_mesh_is_complete_and_a_part_of_it_is_not(tmp_path: Path) -> None:
    run = simulate(load_scene("circle_in_2d", SHORT), tmp_path / "run", device="cpu", film=False)
    results = check_run_completeness(run.path, 64, run.steps)
    assert [result.step for result in results] == run.steps
    assert all(result.is_complete and result.undecided_volume == 0 for result in results)
    last = results[-1]
    assert last == check_run_completeness(run.path, 64)[0]
    assert str(last) == f"step 30: complete (proven to cell size {last.cell_size:.3g})"
    # The unproven cells along a curve form a band about one cell wide.
    (mesh,) = run.meshes()[-1:]
    assert last.unproven_volume == pytest.approx(mesh.area * last.cell_size, rel=0.5)
    arrays = run.geometry()
    right = mesh.vertices[mesh.faces].mean(1)[:, 0] > 0
    assert 0 < right.sum() < len(right)
    run.write_geometry(arrays | {"boundary/30/faces": mesh.faces[right].astype("int32")})
    (partial,) = check_run_completeness(run.path, 64)
    assert not partial.is_complete
    assert partial.undecided_volume == pytest.approx(mesh.area * last.cell_size * (~right).mean(), rel=0.5)
    text = f"{partial.undecided_cells} cells of size {partial.cell_size:.3g} away from the mesh are undecided"
    assert text in str(partial)


def test_in_a_slice_the_proof_is_about_the_boundary_there(tmp_path: Path) -> None:
    run = simulate(load_scene("sphere_in_100d", SHORT), tmp_path / "run", device="cpu", film=False)
    (result,) = check_run_completeness(run.path, 32)
    assert result.is_complete
    (mesh,) = run.meshes()[-1:]
    # A surface with normals in all directions meets cells of 3/2 of its area: the mean of |x| + |y| + |z| over the unit
    # sphere.
    assert result.unproven_volume == pytest.approx(1.5 * mesh.area * result.cell_size, rel=0.2)
    # With permuted axes the boundary of the network lies elsewhere than the mesh.
    arrays = run.geometry()
    run.write_geometry(arrays | {"axes": arrays["axes"][:, [1, 2, 0]].copy()})
    assert not check_run_completeness(run.path, 32)[0].is_complete


def test_a_mistake_gives_one_sentence(tmp_path: Path) -> None:
    run = simulate(load_scene("line_in_2d", [*SHORT, "training.steps=5"]), tmp_path / "run", device="cpu", film=False)
    with pytest.raises(UsageError, match="step 7 is no snapshot of the run"):
        check_run_completeness(run.path, steps=[7])
    with pytest.raises(UsageError, match="resolution is 60; give a power of two"):
        check_run_completeness(run.path, resolution=60)
    (run.path / "geometry.safetensors").unlink()
    with pytest.raises(RunError, match="holds no boundary along training to check"):
        check_run_completeness(Run.open(run.path).path)
