"""The boundary along training as files for ParaView, with the training step as time: a .pvd series, or one .vtkhdf."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from dimple.errors import RunError
from dimple.levelsets.mesh import Mesh
from dimple.runs.atomic_io import replacing, write_bytes
from dimple.views.content.frame import Layer, PointSet, Reals
from dimple.views.content.metadata import NO_IMPRINT, Imprint, in_vtk

if TYPE_CHECKING:
    import pyvista as pv

COMPRESSION = 4
RELIEF = "depth of the manifold"
FRONT, BEHIND = "class in front", "class behind"
BOUNDARY, POINTS = "boundary", "points"
Arrays = Mapping[str, NDArray[Any]]


@final
@dataclasses.dataclass(frozen=True)
class Moment:
    """What a file for ParaView holds of one snapshot; all snapshots of a series have the same names.

    Attributes:
        step: of training, which becomes the time.
        boundary: a surface of space, or a curve of the plane.
        at_corners: numbers `(V,)` at the boundary's vertices, beside its relief.
        at_faces: numbers `(F,)` of its triangles or segments, beside the classes on both sides.
        points: the labelled points; none without them.
        at_points: numbers `(N,)` or vectors `(N, n)` at these, beside class and prediction.
    """

    step: int
    boundary: Layer
    at_corners: Arrays = dataclasses.field(default_factory=dict)
    at_faces: Arrays = dataclasses.field(default_factory=dict)
    points: PointSet | None = None
    at_points: Arrays = dataclasses.field(default_factory=dict)


def write_pvd(moments: Sequence[Moment], path: Path | str, imprint: Imprint = NO_IMPRINT) -> Path:
    """Write each step as `<stem>_steps/<step>.vtp`, and the .pvd beside that folder, which every ParaView opens.

    Points, where there are some, stand in `<step>_points.vtp` as the second part of their step. What lies in the plane
    is written at height zero. The .pvd comes last, so that it never names a file that is missing.

    Args:
        moments: in the order of their steps.
        path: of the .pvd; its folder is made if it is absent.
        imprint: what each file says of the run.

    Raises:
        RunError: if the folder cannot be written.

    Example:
        >>> import tempfile
        >>> line = Layer(Mesh(np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[0, 1]])), "boundary")
        >>> write_pvd([Moment(0, line), Moment(10, line)], tempfile.mkdtemp() + "/run.pvd").name
        'run.pvd'
    """
    path = Path(path)
    folder = _made(path.with_name(f"{path.stem}_steps"))
    root = ElementTree.Element("VTKFile", type="Collection", version="0.1", byte_order="LittleEndian")
    collection = ElementTree.SubElement(root, "Collection")
    for moment in moments:
        shapes = {"": _boundary(moment, imprint)} | (
            {} if moment.points is None else {"_points": _points(moment, imprint)}
        )
        for part, (end, shape) in enumerate(shapes.items()):
            file = folder / f"{moment.step:08d}{end}.vtp"
            with replacing(file) as temporary:
                shape.save(temporary)
            where = {"timestep": str(moment.step), "group": "", "part": str(part), "file": f"{folder.name}/{file.name}"}
            ElementTree.SubElement(collection, "DataSet", where)
    ElementTree.indent(root)
    write_bytes(path, ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")
    return path


def write_vtkhdf(moments: Sequence[Moment], path: Path | str, imprint: Imprint = NO_IMPRINT) -> Path:
    """Write all steps into one file for new ParaViews, boundary and points as blocks of these names; see `write_pvd`.

    A step without a boundary has one piece without extent. What the file says of the run stands in the field data of
    its blocks, which VTK 9.7 writes but does not read.
    """
    from vtkmodules.vtkIOHDF import vtkHDFWriter

    path = Path(path)
    _made(path.parent)
    blocks = [{BOUNDARY: _boundary(_never_empty(moment), imprint)} for moment in moments]
    for block, moment in zip(blocks, moments, strict=True):
        if moment.points is not None:
            block[POINTS] = _points(moment, imprint)
    source = _series(blocks, [moment.step for moment in moments])
    with replacing(path) as temporary:
        writer = vtkHDFWriter()
        writer.SetInputConnection(source.GetOutputPort())
        writer.SetFileName(str(temporary))
        writer.SetOverwrite(True)
        writer.SetWriteAllTimeSteps(True)
        writer.SetCompressionLevel(COMPRESSION)
        if not writer.Write():
            raise RunError(f"{path}: VTK could not write it; free space or choose another place")
    return path


def _series(blocks: "Sequence[Mapping[str, pv.PolyData]]", steps: Sequence[int]) -> Any:
    """A source of VTK that gives the named shapes of each step."""
    from vtkmodules.util.vtkAlgorithm import VTKPythonAlgorithmBase
    from vtkmodules.vtkCommonDataModel import vtkPartitionedDataSetCollection as Collection
    from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline as Pipeline

    times = [float(step) for step in steps]

    class Series(VTKPythonAlgorithmBase):
        def __init__(self) -> None:
            VTKPythonAlgorithmBase.__init__(self, nInputPorts=0, nOutputPorts=1, outputType=Collection.__name__)

        def RequestInformation(self, request: Any, inputs: Any, outputs: Any) -> int:  # noqa: N802
            about = outputs.GetInformationObject(0)
            about.Set(Pipeline.TIME_STEPS(), times, len(times))
            about.Set(Pipeline.TIME_RANGE(), [times[0], times[-1]], 2)
            return 1

        def RequestData(self, request: Any, inputs: Any, outputs: Any) -> int:  # noqa: N802
            about = outputs.GetInformationObject(0)
            wanted = about.Get(Pipeline.UPDATE_TIME_STEP()) if about.Has(Pipeline.UPDATE_TIME_STEP()) else times[0]
            place = int(np.abs(np.array(times) - wanted).argmin())
            given = Collection.GetData(outputs)
            for number, (name, shape) in enumerate(blocks[place].items()):
                given.SetPartition(number, 0, shape)
                given.GetMetaData(number).Set(given.NAME(), name)
            given.GetInformation().Set(given.DATA_TIME_STEP(), times[place])
            return 1

    return Series()


def _never_empty(moment: Moment) -> Moment:
    """VTK 9.7 reads the step that follows one without cells with its cells shifted by one."""
    mesh = moment.boundary.mesh
    if len(mesh.faces):
        return moment
    width = mesh.faces.shape[1]
    speck = Mesh(np.zeros((width, mesh.ambient_dim)), np.arange(width, dtype=np.int64)[None])
    relief = None if moment.boundary.relief is None else np.zeros(width)
    pairs = None if moment.boundary.pairs is None else np.zeros((1, 2), dtype=np.int64)
    corners = {name: np.zeros(width, dtype=values.dtype) for name, values in moment.at_corners.items()}
    faces = {name: np.zeros(1, dtype=values.dtype) for name, values in moment.at_faces.items()}
    return dataclasses.replace(
        moment, boundary=Layer(speck, "boundary", relief, pairs), at_corners=corners, at_faces=faces
    )


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made ({error.strerror}); choose another place") from None
    return folder


def _boundary(moment: Moment, imprint: Imprint) -> "pv.PolyData":
    import pyvista as pv

    layer, mesh = moment.boundary, moment.boundary.mesh
    cells = np.insert(mesh.faces, 0, mesh.faces.shape[1], axis=1).ravel()
    if len(mesh.faces) == 0:
        shape = pv.PolyData()
    elif mesh.faces.shape[1] == 2:
        shape = pv.PolyData(_in_space(mesh.vertices), lines=cells)
    else:
        shape = pv.PolyData(_in_space(mesh.vertices), faces=cells)
    corners = dict(moment.at_corners) | ({} if layer.relief is None else {RELIEF: layer.relief})
    pairs = np.tile([1, 0], (len(mesh.faces), 1)) if layer.pairs is None else layer.pairs
    faces = dict(moment.at_faces) | {FRONT: pairs[:, 0], BEHIND: pairs[:, 1]}
    # Every step of a series has the same arrays, those without a boundary too.
    for data, arrays, count in ((shape.point_data, corners, shape.n_points), (shape.cell_data, faces, shape.n_cells)):
        for name, values in arrays.items():
            data[name] = _plain(values[:count])
    in_vtk(imprint, shape)
    return shape


def _points(moment: Moment, imprint: Imprint) -> "pv.PolyData":
    import pyvista as pv

    assert moment.points is not None
    points = moment.points
    shape = pv.PolyData(_in_space(points.positions))
    shape.point_data["class"] = _plain(points.classes)
    if points.predictions is not None:
        shape.point_data["prediction"] = _plain(points.predictions)
    for name, values in moment.at_points.items():
        shape.point_data[name] = _plain(_in_space(values) if values.ndim == 2 else values)
    in_vtk(imprint, shape)
    return shape


def _in_space(places: Reals) -> NDArray[np.float32]:
    """Places or vectors `(N, 3)`, those of the plane at height zero."""
    flat = places.shape[1] == 2
    return np.asarray(np.insert(places, 2, 0.0, axis=1) if flat else places, dtype=np.float32)


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers as ParaView colours by them: an infinity, which has no colour, becomes nan."""
    if values.dtype.kind == "f":
        return np.where(np.isfinite(values), values, np.nan).astype(np.float32)
    return values.astype(np.int32)
