"""Files for ParaView, read back by the readers of VTK."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimple.errors import RunError
from dimple.views.content.frame import MeshLayer
from dimple.views.paraview.export import DEPTH_ARRAY, ParaViewSnapshot, write_pvd, write_vtkhdf
from tests.views.material import ball_mesh, circle_mesh, space_frames, sphere_points

STEPS = [0, 7, 1000]


def make_snapshot(step: int, radius: float | None) -> ParaViewSnapshot:
    """Return a spherical boundary, or an empty one, with different numbers at vertices, faces, points and steps."""
    mesh = ball_mesh(radius)
    layer = MeshLayer(mesh, "boundary", 0.1 * np.linspace(-1.0, 1.0, len(mesh.vertices)))
    points = sphere_points()
    return ParaViewSnapshot(
        step, layer,
        vertex_arrays={"height": mesh.vertices[:, 2]},
        face_arrays={"face group": np.arange(len(mesh.faces)) % 7},
        points=points,
        point_arrays={"margin": np.arange(6) + step / 10, "far": np.full(6, np.inf), "arrow": 2.0 * points.positions},
    )  # fmt: skip


def make_snapshots() -> list[ParaViewSnapshot]:
    """Return a series without a boundary at first, then with two spheres."""
    return [make_snapshot(step, radius) for step, radius in zip(STEPS, (None, 0.5, 0.2), strict=True)]


def require_points(read: Any, step: int) -> None:
    """Check the points of a snapshot that was read."""
    points = sphere_points()
    assert np.allclose(read.points, points.positions)
    assert read.point_data["class"].tolist() == points.labels.tolist()
    assert read.point_data["prediction"].tolist() == points.predictions.tolist()
    assert np.allclose(read.point_data["margin"], np.arange(6) + step / 10)
    assert np.isnan(read.point_data["far"]).all()
    assert np.allclose(read.point_data["arrow"], 2.0 * points.positions)


def require_boundary(read: Any, snapshot: ParaViewSnapshot) -> None:
    """Check the boundary of a snapshot that was read, with all its arrays."""
    mesh = snapshot.boundary.mesh
    assert np.array_equal(read.regular_faces, mesh.faces)
    assert read.area == pytest.approx(mesh.area, rel=1e-5)
    assert np.allclose(read.point_data[DEPTH_ARRAY], snapshot.boundary.manifold_depth)
    assert np.allclose(read.point_data["height"], read.points[:, 2])
    assert read.cell_data["face group"].tolist() == snapshot.face_arrays["face group"].tolist()
    assert set(read.cell_data["class in front"].tolist()) == {1}
    assert set(read.cell_data["class behind"].tolist()) == {0}


def test_a_series_is_read_back_with_its_steps_as_times(tmp_path: Path) -> None:
    import pyvista as pv

    path = write_pvd(make_snapshots(), tmp_path / "new" / "run.pvd")
    assert path == tmp_path / "new" / "run.pvd"
    reader = pv.get_reader(path)
    assert reader.time_values == STEPS
    for index, snapshot in enumerate(make_snapshots()):
        reader.set_active_time_point(index)
        boundary, points = reader.read()
        if len(snapshot.boundary.mesh.faces):
            require_boundary(boundary, snapshot)
        else:
            assert (boundary.n_points, boundary.n_cells) == (0, 0)
        assert {DEPTH_ARRAY, "height"} <= set(boundary.point_data) and "face group" in boundary.cell_data
        require_points(points, snapshot.step)


def test_one_file_contains_all_steps(tmp_path: Path) -> None:
    import pyvista as pv
    from vtkmodules.vtkIOHDF import vtkHDFReader

    path = write_vtkhdf(make_snapshots(), tmp_path / "run.vtkhdf")
    reader = vtkHDFReader()
    reader.SetFileName(str(path))
    reader.UpdateInformation()
    assert reader.GetNumberOfSteps() == len(STEPS)
    for index, snapshot in enumerate(make_snapshots()):
        reader.SetStep(index)
        reader.Update()
        assert reader.GetTimeValue() == STEPS[index]
        blocks = reader.GetOutputDataObject(0)
        names = [blocks.GetMetaData(number).Get(blocks.NAME()) for number in (0, 1)]
        assert names == ["boundary", "points"] and blocks.GetNumberOfPartitionedDataSets() == 2
        boundary, points = (pv.wrap(blocks.GetPartition(number, 0)) for number in (0, 1))
        if len(snapshot.boundary.mesh.faces):
            require_boundary(boundary, snapshot)
        else:
            assert (boundary.n_points, boundary.n_cells, boundary.area) == (3, 1, 0.0)
        require_points(points, snapshot.step)
    assert list(tmp_path.iterdir()) == [path]


def test_every_file_has_the_metadata_of_the_run(tmp_path: Path) -> None:
    import pyvista as pv

    metadata = {"Seed": "3", "Settings": "name: ball\nmanifold: {kind: sphere}\n"}
    write_pvd(make_snapshots(), tmp_path / "run.pvd", metadata)
    files = sorted((tmp_path / "run_steps").iterdir())
    assert len(files) == 2 * len(STEPS)
    for shape in map(pv.read, files):
        assert {name: str(shape.field_data[name][0]) for name in metadata} == metadata
    # VTK writes the field data of blocks but does not read them.
    content = write_vtkhdf(make_snapshots(), tmp_path / "run.vtkhdf", metadata).read_bytes()
    for text in metadata.values():
        assert text.encode() in content


@pytest.mark.parametrize("write", [write_pvd, write_vtkhdf])
def test_frames_of_a_run_can_be_written(write: type, tmp_path: Path) -> None:
    snapshots = [ParaViewSnapshot(frame.step, frame.drawing.layer("boundary")) for frame in space_frames()]
    assert write(snapshots, tmp_path / "run.file").stat().st_size > 0


def test_a_curve_is_read_back_as_lines_at_height_zero(tmp_path: Path) -> None:
    import pyvista as pv

    reader = pv.get_reader(write_pvd([ParaViewSnapshot(3, MeshLayer(circle_mesh(), "boundary"))], tmp_path / "run.pvd"))
    reader.set_active_time_point(0)
    read = reader.read()[0]
    assert np.array_equal(read.points[:, 2], np.zeros(read.n_points))
    assert read.compute_cell_sizes()["Length"].sum() == pytest.approx(2 * np.pi, rel=1e-3)


def test_triangles_keep_their_orientation(tmp_path: Path) -> None:
    import pyvista as pv

    path = write_pvd([ParaViewSnapshot(0, MeshLayer(ball_mesh(0.5, inside=0), "boundary"))], tmp_path / "boundary.pvd")
    surface = pv.read(path.parent / "boundary_steps" / "00000000.vtp")
    outward = (surface.face_normals * surface.cell_centers().points).sum(1)
    assert (outward > 0).all()


def test_writing_again_replaces_the_files_and_leaves_no_others(tmp_path: Path) -> None:
    for _ in range(2):
        write_pvd([ParaViewSnapshot(0, MeshLayer(ball_mesh(0.5), "boundary"))], tmp_path / "boundary.pvd")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["boundary.pvd", "boundary_steps"]


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for write in (write_pvd, write_vtkhdf):
        with pytest.raises(RunError, match="cannot be made"):
            write([], tmp_path / "file" / "run.pvd")
