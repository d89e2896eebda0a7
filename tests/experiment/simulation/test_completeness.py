"""`certify_run` on a run whose boundary is whole, and on the same run after a part of its mesh was taken away."""

from pathlib import Path

import pytest

from dimple.errors import RunError, UsageError
from dimple.experiment import certify_run, simulate
from dimple.runs import Run
from dimple.scene import load_scene

SHORT = ["training.steps=30", "snapshots.count=3", "probes=[{kind: margin}]", "data.test_points=10"]


def test_a_whole_boundary_is_certified_and_a_torn_one_is_not(tmp_path: Path) -> None:
    run = simulate(load_scene("circle_in_2d", SHORT), tmp_path / "run", device="cpu", film=False)
    proofs = certify_run(run.path, 64, run.steps)
    assert [proof.step for proof in proofs] == run.steps
    assert all(proof.complete and proof.volume == 0 for proof in proofs)
    last = proofs[-1]
    assert last == certify_run(run.path, 64)[0]
    assert str(last) == f"step 30: complete (certified to cell size {last.cell:.3g})"
    # The shell along a curve is about as wide as a cell.
    (mesh,) = run.meshes()[-1:]
    assert last.shell == pytest.approx(mesh.area * last.cell, rel=0.5)
    arrays = run.geometry()
    right = mesh.vertices[mesh.faces].mean(1)[:, 0] > 0
    assert 0 < right.sum() < len(right)
    run.write_geometry(arrays | {"boundary/30/faces": mesh.faces[right].astype("int32")})
    (torn,) = certify_run(run.path, 64)
    assert not torn.complete
    assert torn.volume == pytest.approx(mesh.area * last.cell * (~right).mean(), rel=0.5)
    assert f"{torn.undecided} cells of size {torn.cell:.3g} away from the mesh are undecided" in str(torn)


def test_in_a_section_the_proof_is_of_the_boundary_there(tmp_path: Path) -> None:
    run = simulate(load_scene("sphere_in_100d", SHORT), tmp_path / "run", device="cpu", film=False)
    (whole,) = certify_run(run.path, 32)
    assert whole.complete
    (mesh,) = run.meshes()[-1:]
    # A surface of all directions meets 3/2 of its area in cells: the mean of |x| + |y| + |z| over the unit sphere.
    assert whole.shell == pytest.approx(1.5 * mesh.area * whole.cell, rel=0.2)
    # Turned in the section, the box keeps its manifold and loses the boundary's place.
    arrays = run.geometry()
    run.write_geometry(arrays | {"axes": arrays["axes"][:, [1, 2, 0]].copy()})
    assert not certify_run(run.path, 32)[0].complete


def test_what_cannot_be_certified_says_so(tmp_path: Path) -> None:
    run = simulate(load_scene("line_in_2d", [*SHORT, "training.steps=5"]), tmp_path / "run", device="cpu", film=False)
    with pytest.raises(UsageError, match="--step 7: the run has no such snapshot"):
        certify_run(run.path, steps=[7])
    with pytest.raises(UsageError, match="--cells is 60; give a power of two"):
        certify_run(run.path, cells=60)
    (run.path / "geometry.safetensors").unlink()
    with pytest.raises(RunError, match="holds no boundary along training to certify"):
        certify_run(Run.open(run.path).path)
