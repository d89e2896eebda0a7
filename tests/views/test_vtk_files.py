"""Files for ParaView, read back by VTK's own reader."""

from pathlib import Path

import numpy as np
import pytest

from dimple.errors import RunError
from dimple.views.vtk_files import write_boundary_series
from tests.views.material import ball_mesh, circle_mesh


def test_a_series_comes_back_with_its_steps_as_times(tmp_path: Path) -> None:
    import pyvista as pv

    meshes = [ball_mesh(None), ball_mesh(0.5), ball_mesh(0.2)]
    path = write_boundary_series(meshes, [0, 7, 1000], tmp_path / "boundary")
    assert path == tmp_path / "boundary" / "boundary.pvd"
    reader = pv.get_reader(path)
    assert reader.time_values == [0, 7, 1000]
    for place, mesh in enumerate(meshes):
        reader.set_active_time_point(place)
        read = reader.read()[0]
        assert (read.n_points, read.n_cells) == (len(mesh.vertices), len(mesh.faces))
        assert read.area == pytest.approx(mesh.area, rel=1e-5)


def test_a_curve_comes_back_as_lines_at_height_zero(tmp_path: Path) -> None:
    import pyvista as pv

    mesh = circle_mesh()
    reader = pv.get_reader(write_boundary_series([mesh], [3], tmp_path))
    reader.set_active_time_point(0)
    read = reader.read()[0]
    assert np.array_equal(read.points[:, 2], np.zeros(read.n_points))
    assert read.compute_cell_sizes()["Length"].sum() == pytest.approx(2 * np.pi, rel=1e-3)


def test_triangles_keep_their_side(tmp_path: Path) -> None:
    import pyvista as pv

    path = write_boundary_series([ball_mesh(0.5, inside=0)], [0], tmp_path)
    surface = pv.read(path.with_name("boundary_00000000.vtp"))
    outward = (surface.face_normals * surface.cell_centers().points).sum(1)
    assert (outward > 0).all()


def test_writing_again_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    for _ in range(2):
        write_boundary_series([ball_mesh(0.5)], [0], tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["boundary.pvd", "boundary_00000000.vtp"]


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be made"):
        write_boundary_series([], [], tmp_path / "file")
