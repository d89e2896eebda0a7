"""Files for ParaView, read back by VTK's own readers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimple.errors import RunError
from dimple.views.content.frame import Layer
from dimple.views.paraview.export import RELIEF, Moment, write_pvd, write_vtkhdf
from tests.views.material import ball_mesh, circle_mesh, space_frames, sphere_points

STEPS = [0, 7, 1000]


def moment(step: int, radius: float | None) -> Moment:
    """A ball, or nothing, with numbers that tell corners, faces, points and steps apart."""
    mesh = ball_mesh(radius)
    layer = Layer(mesh, "boundary", 0.1 * np.linspace(-1.0, 1.0, len(mesh.vertices)))
    points = sphere_points()
    return Moment(
        step, layer,
        at_corners={"height": mesh.vertices[:, 2]},
        at_faces={"piece": np.arange(len(mesh.faces)) % 7},
        points=points,
        at_points={"margin": np.arange(6) + step / 10, "far": np.full(6, np.inf), "arrow": 2.0 * points.positions},
    )  # fmt: skip


def moments() -> list[Moment]:
    """No boundary, then two balls."""
    return [moment(step, radius) for step, radius in zip(STEPS, (None, 0.5, 0.2), strict=True)]


def require_points(read: Any, step: int) -> None:
    """That the points of a moment came back."""
    points = sphere_points()
    assert np.allclose(read.points, points.positions)
    assert read.point_data["class"].tolist() == points.classes.tolist()
    assert read.point_data["prediction"].tolist() == points.predictions.tolist()
    assert np.allclose(read.point_data["margin"], np.arange(6) + step / 10)
    assert np.isnan(read.point_data["far"]).all()
    assert np.allclose(read.point_data["arrow"], 2.0 * points.positions)


def require_boundary(read: Any, told: Moment) -> None:
    """That the boundary of a moment came back with all its numbers."""
    mesh = told.boundary.mesh
    assert np.array_equal(read.regular_faces, mesh.faces)
    assert read.area == pytest.approx(mesh.area, rel=1e-5)
    assert np.allclose(read.point_data[RELIEF], told.boundary.relief)
    assert np.allclose(read.point_data["height"], read.points[:, 2])
    assert read.cell_data["piece"].tolist() == told.at_faces["piece"].tolist()
    assert set(read.cell_data["class in front"].tolist()) == {1}
    assert set(read.cell_data["class behind"].tolist()) == {0}


def test_a_series_comes_back_with_its_steps_as_times(tmp_path: Path) -> None:
    import pyvista as pv

    path = write_pvd(moments(), tmp_path / "new" / "run.pvd")
    assert path == tmp_path / "new" / "run.pvd"
    reader = pv.get_reader(path)
    assert reader.time_values == STEPS
    for place, told in enumerate(moments()):
        reader.set_active_time_point(place)
        boundary, points = reader.read()
        if len(told.boundary.mesh.faces):
            require_boundary(boundary, told)
        else:
            assert (boundary.n_points, boundary.n_cells) == (0, 0)
        assert {RELIEF, "height"} <= set(boundary.point_data) and "piece" in boundary.cell_data
        require_points(points, told.step)


def test_one_file_holds_all_steps(tmp_path: Path) -> None:
    import pyvista as pv
    from vtkmodules.vtkIOHDF import vtkHDFReader

    path = write_vtkhdf(moments(), tmp_path / "run.vtkhdf")
    reader = vtkHDFReader()
    reader.SetFileName(str(path))
    reader.UpdateInformation()
    assert reader.GetNumberOfSteps() == len(STEPS)
    for place, told in enumerate(moments()):
        reader.SetStep(place)
        reader.Update()
        assert reader.GetTimeValue() == STEPS[place]
        blocks = reader.GetOutputDataObject(0)
        names = [blocks.GetMetaData(number).Get(blocks.NAME()) for number in (0, 1)]
        assert names == ["boundary", "points"] and blocks.GetNumberOfPartitionedDataSets() == 2
        boundary, points = (pv.wrap(blocks.GetPartition(number, 0)) for number in (0, 1))
        if len(told.boundary.mesh.faces):
            require_boundary(boundary, told)
        else:
            assert (boundary.n_points, boundary.n_cells, boundary.area) == (3, 1, 0.0)
        require_points(points, told.step)
    assert list(tmp_path.iterdir()) == [path]


def test_every_file_says_what_it_shows(tmp_path: Path) -> None:
    import pyvista as pv

    imprint = {"Seed": "3", "Settings": "name: ball\nmanifold: {kind: sphere}\n"}
    write_pvd(moments(), tmp_path / "run.pvd", imprint)
    files = sorted((tmp_path / "run_steps").iterdir())
    assert len(files) == 2 * len(STEPS)
    for shape in map(pv.read, files):
        assert {name: str(shape.field_data[name][0]) for name in imprint} == imprint
    # VTK writes the field data of blocks, but has no reader for them.
    content = write_vtkhdf(moments(), tmp_path / "run.vtkhdf", imprint).read_bytes()
    for text in imprint.values():
        assert text.encode() in content


@pytest.mark.parametrize("write", [write_pvd, write_vtkhdf])
def test_frames_of_a_run_can_be_written(write: type, tmp_path: Path) -> None:
    shown = [Moment(frame.step, frame.drawing.layer("boundary")) for frame in space_frames()]
    assert write(shown, tmp_path / "run.file").stat().st_size > 0


def test_a_curve_comes_back_as_lines_at_height_zero(tmp_path: Path) -> None:
    import pyvista as pv

    reader = pv.get_reader(write_pvd([Moment(3, Layer(circle_mesh(), "boundary"))], tmp_path / "run.pvd"))
    reader.set_active_time_point(0)
    read = reader.read()[0]
    assert np.array_equal(read.points[:, 2], np.zeros(read.n_points))
    assert read.compute_cell_sizes()["Length"].sum() == pytest.approx(2 * np.pi, rel=1e-3)


def test_triangles_keep_their_side(tmp_path: Path) -> None:
    import pyvista as pv

    path = write_pvd([Moment(0, Layer(ball_mesh(0.5, inside=0), "boundary"))], tmp_path / "boundary.pvd")
    surface = pv.read(path.parent / "boundary_steps" / "00000000.vtp")
    outward = (surface.face_normals * surface.cell_centers().points).sum(1)
    assert (outward > 0).all()


def test_writing_again_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    for _ in range(2):
        write_pvd([Moment(0, Layer(ball_mesh(0.5), "boundary"))], tmp_path / "boundary.pvd")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["boundary.pvd", "boundary_steps"]


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for write in (write_pvd, write_vtkhdf):
        with pytest.raises(RunError, match="cannot be made"):
            write([], tmp_path / "file" / "run.pvd")
