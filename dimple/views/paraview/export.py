"""Export of the boundary during training to ParaView, as a .pvd series or one .vtkhdf file.

The time of a step is its training step.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from dimple.errors import RunError
from dimple.levelsets.mesh import Mesh
from dimple.runs.atomic_io import atomic_replace, make_folder, write_bytes
from dimple.views.content.frame import FloatArray, MeshLayer, PointSet
from dimple.views.content.metadata import NO_METADATA, Metadata, add_vtk_metadata

if TYPE_CHECKING:
    import pyvista as pv

# Of .vtkhdf files, from 0 to 9.
COMPRESSION_LEVEL = 4
# Names of arrays and blocks in the files.
DEPTH_ARRAY = "depth of the manifold"
FRONT_CLASS_ARRAY = "class in front"
BACK_CLASS_ARRAY = "class behind"
BOUNDARY_BLOCK = "boundary"
POINTS_BLOCK = "points"
Arrays = Mapping[str, NDArray[Any]]


@final
@dataclasses.dataclass(frozen=True)
class ParaViewSnapshot:
    """The data of one snapshot in a file for ParaView. All snapshots of a series have the same array names.

    Attributes:
        step: the training step, which becomes the time.
        boundary: a surface in space, or a curve in the plane.
        vertex_arrays: numbers `(V,)` at the vertices of the boundary, in addition to the manifold depth.
        face_arrays: numbers `(F,)` of its triangles or segments, in addition to the classes on both sides.
        points: the labeled points; None for no points.
        point_arrays: numbers `(N,)` or vectors `(N, n)` at the points, in addition to class and prediction.
    """

    step: int
    boundary: MeshLayer
    vertex_arrays: Arrays = dataclasses.field(default_factory=dict)
    face_arrays: Arrays = dataclasses.field(default_factory=dict)
    points: PointSet | None = None
    point_arrays: Arrays = dataclasses.field(default_factory=dict)


def write_pvd(snapshots: Sequence[ParaViewSnapshot], path: Path | str, metadata: Metadata = NO_METADATA) -> Path:
    """Write each step as `<stem>_steps/<step>.vtp`, and a .pvd file next to that folder, which every ParaView opens.

    Points are written to `<step>_points.vtp`, the second part of their step. Planar data are written at z = 0. The .pvd
    file is written last, so that it never refers to a missing file.

    Args:
        snapshots: in the order of their steps.
        path: of the .pvd file; its folder is created if necessary.
        metadata: of the run, written into each file.

    Returns:
        The path of the .pvd file.

    Raises:
        RunError: if the folder cannot be created.

    Example:
        >>> import tempfile
        >>> line = MeshLayer(Mesh(np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[0, 1]])), "boundary")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_pvd([ParaViewSnapshot(0, line), ParaViewSnapshot(10, line)], f"{folder}/run.pvd").name
        'run.pvd'
    """
    path = Path(path)
    folder = make_folder(path.with_name(f"{path.stem}_steps"))
    root = ElementTree.Element("VTKFile", type="Collection", version="0.1", byte_order="LittleEndian")
    collection = ElementTree.SubElement(root, "Collection")
    for snapshot in snapshots:
        parts = {"": _make_boundary_polydata(snapshot, metadata)}
        if snapshot.points is not None:
            parts["_points"] = _make_points_polydata(snapshot, metadata)
        for number, (suffix, polydata) in enumerate(parts.items()):
            name = f"{snapshot.step:08d}{suffix}.vtp"
            write_bytes(folder / name, _to_vtp(polydata))
            entry = {"timestep": str(snapshot.step), "group": "", "part": str(number), "file": f"{folder.name}/{name}"}
            ElementTree.SubElement(collection, "DataSet", entry)
    ElementTree.indent(root)
    write_bytes(path, ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")
    return path


def write_vtkhdf(snapshots: Sequence[ParaViewSnapshot], path: Path | str, metadata: Metadata = NO_METADATA) -> Path:
    """Write all steps into one file with the blocks `boundary` and `points`, for recent versions of ParaView.

    A step without a boundary has one face of area 0. The metadata of the run are in the field data of the blocks, which
    VTK 9.7 writes but does not read. Arguments as in `write_pvd`.

    Returns:
        The path of the file.

    Raises:
        RunError: if the file cannot be written.
    """
    from vtkmodules.vtkIOHDF import vtkHDFWriter

    path = Path(path)
    make_folder(path.parent)
    blocks = [
        {BOUNDARY_BLOCK: _make_boundary_polydata(_replace_empty_boundary(snapshot), metadata)} for snapshot in snapshots
    ]
    for block, snapshot in zip(blocks, snapshots, strict=True):
        if snapshot.points is not None:
            block[POINTS_BLOCK] = _make_points_polydata(snapshot, metadata)
    source = _make_time_series_source(blocks, [snapshot.step for snapshot in snapshots])
    with atomic_replace(path) as temporary:
        writer = vtkHDFWriter()
        writer.SetInputConnection(source.GetOutputPort())
        writer.SetFileName(str(temporary))
        writer.SetOverwrite(True)
        writer.SetWriteAllTimeSteps(True)
        writer.SetCompressionLevel(COMPRESSION_LEVEL)
        if not (writer.Write() and _is_closed_hdf(temporary)):
            raise RunError(f"{path}: VTK could not write it; free disk space or choose another folder")
    return path


def _is_closed_hdf(path: Path) -> bool:
    """Return whether an HDF5 file was closed and has the length in its header; VTK hides errors of the last writes.

    Reference: HDF5 File Format Specification 3.0, section II.A, superblock of version 0.
    """
    with path.open("rb") as file:
        header = file.read(48)
    return header[20:24] == bytes(4) and int.from_bytes(header[40:48], "little") == path.stat().st_size


def _make_time_series_source(blocks: "Sequence[Mapping[str, pv.PolyData]]", steps: Sequence[int]) -> Any:
    """Return a VTK source of the named blocks at each step."""
    from vtkmodules.util.vtkAlgorithm import VTKPythonAlgorithmBase
    from vtkmodules.vtkCommonDataModel import vtkPartitionedDataSetCollection as Collection
    from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline as Pipeline

    times = [float(step) for step in steps]

    class TimeSeriesSource(VTKPythonAlgorithmBase):
        def __init__(self) -> None:
            VTKPythonAlgorithmBase.__init__(self, nInputPorts=0, nOutputPorts=1, outputType=Collection.__name__)

        def RequestInformation(self, request: Any, inputs: Any, outputs: Any) -> int:  # noqa: N802
            information = outputs.GetInformationObject(0)
            information.Set(Pipeline.TIME_STEPS(), times, len(times))
            information.Set(Pipeline.TIME_RANGE(), [times[0], times[-1]], 2)
            return 1

        def RequestData(self, request: Any, inputs: Any, outputs: Any) -> int:  # noqa: N802
            information = outputs.GetInformationObject(0)
            key = Pipeline.UPDATE_TIME_STEP()
            time = information.Get(key) if information.Has(key) else times[0]
            index = int(np.abs(np.array(times) - time).argmin())
            output = Collection.GetData(outputs)
            for number, (name, polydata) in enumerate(blocks[index].items()):
                output.SetPartition(number, 0, polydata)
                output.GetMetaData(number).Set(output.NAME(), name)
            output.GetInformation().Set(output.DATA_TIME_STEP(), times[index])
            return 1

    return TimeSeriesSource()


def _replace_empty_boundary(snapshot: ParaViewSnapshot) -> ParaViewSnapshot:
    """Replace an empty boundary by one face of area 0.

    After a step without cells, VTK 9.7 reads the cells of the next step shifted by one.
    """
    mesh = snapshot.boundary.mesh
    if len(mesh.faces):
        return snapshot
    width = mesh.faces.shape[1]
    single_face = Mesh(np.zeros((width, mesh.ambient_dim)), np.arange(width, dtype=np.int64)[None])
    depth = None if snapshot.boundary.manifold_depth is None else np.zeros(width)
    pairs = None if snapshot.boundary.class_pairs is None else np.zeros((1, 2), dtype=np.int64)
    return dataclasses.replace(
        snapshot,
        boundary=MeshLayer(single_face, "boundary", depth, pairs),
        vertex_arrays={name: np.zeros(width, dtype=values.dtype) for name, values in snapshot.vertex_arrays.items()},
        face_arrays={name: np.zeros(1, dtype=values.dtype) for name, values in snapshot.face_arrays.items()},
    )


def _to_vtp(polydata: "pv.PolyData") -> bytes:
    """Return a mesh as a .vtp file; a writer of VTK that writes it itself does not say that the disk is full."""
    from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter

    writer = vtkXMLPolyDataWriter()
    writer.SetInputData(polydata)
    writer.WriteToOutputStringOn()
    writer.Write()
    return str(writer.GetOutputString()).encode()


def _make_boundary_polydata(snapshot: ParaViewSnapshot, metadata: Metadata) -> "pv.PolyData":
    import pyvista as pv

    layer = snapshot.boundary
    mesh = layer.mesh
    cells = np.insert(mesh.faces, 0, mesh.faces.shape[1], axis=1).ravel()
    if len(mesh.faces) == 0:
        polydata = pv.PolyData()
    elif mesh.faces.shape[1] == 2:
        polydata = pv.PolyData(_to_3d(mesh.vertices), lines=cells)
    else:
        polydata = pv.PolyData(_to_3d(mesh.vertices), faces=cells)
    vertex_arrays = dict(snapshot.vertex_arrays)
    if layer.manifold_depth is not None:
        vertex_arrays[DEPTH_ARRAY] = layer.manifold_depth
    pairs = np.tile([1, 0], (len(mesh.faces), 1)) if layer.class_pairs is None else layer.class_pairs
    face_arrays = dict(snapshot.face_arrays) | {FRONT_CLASS_ARRAY: pairs[:, 0], BACK_CLASS_ARRAY: pairs[:, 1]}
    # Every step of a series has the same arrays, also a step without a boundary.
    for name, values in vertex_arrays.items():
        polydata.point_data[name] = _to_paraview_dtype(values[: polydata.n_points])
    for name, values in face_arrays.items():
        polydata.cell_data[name] = _to_paraview_dtype(values[: polydata.n_cells])
    add_vtk_metadata(metadata, polydata)
    return polydata


def _make_points_polydata(snapshot: ParaViewSnapshot, metadata: Metadata) -> "pv.PolyData":
    import pyvista as pv

    assert snapshot.points is not None
    points = snapshot.points
    polydata = pv.PolyData(_to_3d(points.positions))
    polydata.point_data["class"] = _to_paraview_dtype(points.labels)
    if points.predictions is not None:
        polydata.point_data["prediction"] = _to_paraview_dtype(points.predictions)
    for name, values in snapshot.point_arrays.items():
        polydata.point_data[name] = _to_paraview_dtype(_to_3d(values) if values.ndim == 2 else values)
    add_vtk_metadata(metadata, polydata)
    return polydata


def _to_3d(positions: FloatArray) -> NDArray[np.float32]:
    """Return positions or vectors as `(N, 3)`, with z = 0 for those in the plane."""
    is_planar = positions.shape[1] == 2
    return np.asarray(np.insert(positions, 2, 0.0, axis=1) if is_planar else positions, dtype=np.float32)


def _to_paraview_dtype(values: NDArray[Any]) -> NDArray[Any]:
    """Return numbers as float32 or int32. An infinite value, for which ParaView has no color, becomes nan."""
    if values.dtype.kind == "f":
        return np.where(np.isfinite(values), values, np.nan).astype(np.float32)
    return values.astype(np.int32)
