"""Files for ParaView, read back by VTK's own readers."""

from pathlib import Path

import numpy as np
import pytest

from dimple.errors import RunError
from dimple.views.frame import Layer
from dimple.views.vtk_files import RELIEF, write_pvd, write_vtkhdf
from tests.views.material import ball_mesh, circle_mesh, space_frames

STEPS = [0, 7, 1000]


def layers() -> list[Layer]:
    """No boundary, then two balls."""
    meshes = [ball_mesh(None), ball_mesh(0.5), ball_mesh(0.2)]
    return [Layer(mesh, "boundary", 0.1 * np.linspace(-1.0, 1.0, len(mesh.vertices))) for mesh in meshes]


def test_a_series_comes_back_with_its_steps_as_times(tmp_path: Path) -> None:
    import pyvista as pv

    path = write_pvd(layers(), STEPS, tmp_path / "new" / "run.pvd")
    assert path == tmp_path / "new" / "run.pvd"
    reader = pv.get_reader(path)
    assert reader.time_values == STEPS
    for place, layer in enumerate(layers()):
        reader.set_active_time_point(place)
        read = reader.read()[0]
        assert (read.n_points, read.n_cells) == (len(layer.mesh.vertices), len(layer.mesh.faces))
        assert read.area == pytest.approx(layer.mesh.area, rel=1e-5)
        assert np.allclose(read.point_data[RELIEF], layer.relief)


def test_one_file_holds_all_steps(tmp_path: Path) -> None:
    import pyvista as pv
    from vtkmodules.vtkIOHDF import vtkHDFReader

    path = write_vtkhdf(layers(), STEPS, tmp_path / "run.vtkhdf")
    reader = vtkHDFReader()
    reader.SetFileName(str(path))
    reader.UpdateInformation()
    assert reader.GetNumberOfSteps() == len(STEPS)
    for place, layer in enumerate(layers()):
        reader.SetStep(place)
        reader.Update()
        assert reader.GetTimeValue() == STEPS[place]
        read = pv.wrap(reader.GetOutputAsDataSet())
        assert read.area == pytest.approx(layer.mesh.area, rel=1e-5)
        if len(layer.mesh.faces):
            assert np.array_equal(read.regular_faces, layer.mesh.faces)
            assert np.allclose(read.point_data[RELIEF], layer.relief)
        else:
            assert (read.n_points, read.n_cells) == (3, 1)
    assert list(tmp_path.iterdir()) == [path]


def test_every_file_says_what_it_shows(tmp_path: Path) -> None:
    import pyvista as pv
    from vtkmodules.vtkIOHDF import vtkHDFReader

    imprint = {"Seed": "3", "Settings": "name: ball\nmanifold: {kind: sphere}\n"}
    write_pvd(layers(), STEPS, tmp_path / "run.pvd", imprint)
    reader = vtkHDFReader()
    reader.SetFileName(str(write_vtkhdf(layers(), STEPS, tmp_path / "run.vtkhdf", imprint)))
    reader.Update()
    files = sorted((tmp_path / "run_steps").iterdir())
    for shape in (*map(pv.read, files), pv.wrap(reader.GetOutputAsDataSet())):
        assert {name: str(shape.field_data[name][0]) for name in imprint} == imprint


@pytest.mark.parametrize("write", [write_pvd, write_vtkhdf])
def test_frames_of_a_run_can_be_written(write: type, tmp_path: Path) -> None:
    shown = [frame.drawing.layer("boundary") for frame in space_frames()]
    assert write(shown, [0, 1, 10, 100], tmp_path / "run.file").stat().st_size > 0


def test_a_curve_comes_back_as_lines_at_height_zero(tmp_path: Path) -> None:
    import pyvista as pv

    reader = pv.get_reader(write_pvd([Layer(circle_mesh(), "boundary")], [3], tmp_path / "run.pvd"))
    reader.set_active_time_point(0)
    read = reader.read()[0]
    assert np.array_equal(read.points[:, 2], np.zeros(read.n_points))
    assert read.compute_cell_sizes()["Length"].sum() == pytest.approx(2 * np.pi, rel=1e-3)


def test_triangles_keep_their_side(tmp_path: Path) -> None:
    import pyvista as pv

    path = write_pvd([Layer(ball_mesh(0.5, inside=0), "boundary")], [0], tmp_path / "boundary.pvd")
    surface = pv.read(path.parent / "boundary_steps" / "00000000.vtp")
    outward = (surface.face_normals * surface.cell_centers().points).sum(1)
    assert (outward > 0).all()


def test_writing_again_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    for _ in range(2):
        write_pvd([Layer(ball_mesh(0.5), "boundary")], [0], tmp_path / "boundary.pvd")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["boundary.pvd", "boundary_steps"]


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for write in (write_pvd, write_vtkhdf):
        with pytest.raises(RunError, match="cannot be made"):
            write([], [], tmp_path / "file" / "run.pvd")
