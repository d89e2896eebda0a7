"""The boundary along training as files for ParaView, with the training step as time: a .pvd series, or one .vtkhdf."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from dimple.boundary.mesh import Mesh
from dimple.errors import RunError
from dimple.runs.files import replacing, write_bytes
from dimple.views.frame import Layer
from dimple.views.imprint import NO_IMPRINT, Imprint, in_vtk

if TYPE_CHECKING:
    import pyvista as pv

COMPRESSION = 4
RELIEF = "depth of the manifold"
# The class that a face looks at, and the one behind it.
PAIR = ("class before", "class behind")


def write_pvd(layers: Sequence[Layer], steps: Sequence[int], path: Path | str, imprint: Imprint = NO_IMPRINT) -> Path:
    """Write the boundary at each step as `<stem>_steps/<step>.vtp`, and the .pvd beside that folder.

    Every ParaView opens the .pvd. Curves of the plane are written at height zero; a boundary with a relief has it at
    its points. The .pvd comes last, so that it never names a file that is missing.

    Args:
        layers: one boundary a snapshot, surfaces of space or curves of the plane.
        steps: their training steps.
        path: of the .pvd; its folder is made if it is absent.
        imprint: what each file of a boundary says of the run.

    Raises:
        RunError: if the folder cannot be written.
        ValueError: if there are not as many steps as layers.

    Example:
        >>> import tempfile
        >>> line = Layer(Mesh(np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[0, 1]])), "boundary")
        >>> write_pvd([line, line], [0, 10], tempfile.mkdtemp() + "/run.pvd").name
        'run.pvd'
    """
    path = Path(path)
    folder = _made(path.with_name(f"{path.stem}_steps"))
    root = ElementTree.Element("VTKFile", type="Collection", version="0.1", byte_order="LittleEndian")
    collection = ElementTree.SubElement(root, "Collection")
    for step, layer in zip(steps, layers, strict=True):
        file = folder / f"{step:08d}.vtp"
        with replacing(file) as temporary:
            _polydata(layer, imprint).save(temporary)
        name = f"{folder.name}/{file.name}"
        ElementTree.SubElement(collection, "DataSet", timestep=str(step), group="", part="0", file=name)
    ElementTree.indent(root)
    write_bytes(path, ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")
    return path


def write_vtkhdf(
    layers: Sequence[Layer], steps: Sequence[int], path: Path | str, imprint: Imprint = NO_IMPRINT
) -> Path:
    """Write the boundary at all steps into one file, which ParaView 5.13 and later open; see `write_pvd`.

    A step without a boundary has one piece without extent.
    """
    from vtkmodules.vtkIOHDF import vtkHDFWriter

    path = Path(path)
    _made(path.parent)
    source = _series([_polydata(_never_empty(layer), imprint) for layer in layers], steps)
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


def _series(shapes: "Sequence[pv.PolyData]", steps: Sequence[int]) -> Any:
    """A source of VTK that gives each shape at its step."""
    from vtkmodules.util.vtkAlgorithm import VTKPythonAlgorithmBase
    from vtkmodules.vtkCommonDataModel import vtkPolyData
    from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline as Pipeline

    times = [float(step) for step in steps]

    class Series(VTKPythonAlgorithmBase):
        def __init__(self) -> None:
            VTKPythonAlgorithmBase.__init__(self, nInputPorts=0, nOutputPorts=1, outputType="vtkPolyData")

        def RequestInformation(self, request: Any, inputs: Any, outputs: Any) -> int:  # noqa: N802
            about = outputs.GetInformationObject(0)
            about.Set(Pipeline.TIME_STEPS(), times, len(times))
            about.Set(Pipeline.TIME_RANGE(), [times[0], times[-1]], 2)
            return 1

        def RequestData(self, request: Any, inputs: Any, outputs: Any) -> int:  # noqa: N802
            about = outputs.GetInformationObject(0)
            wanted = about.Get(Pipeline.UPDATE_TIME_STEP()) if about.Has(Pipeline.UPDATE_TIME_STEP()) else times[0]
            place = int(np.abs(np.array(times) - wanted).argmin())
            given = vtkPolyData.GetData(outputs)
            given.ShallowCopy(shapes[place])
            given.GetInformation().Set(given.DATA_TIME_STEP(), times[place])
            return 1

    return Series()


def _never_empty(layer: Layer) -> Layer:
    """VTK 9.7 reads the step that follows one without cells with its cells shifted by one."""
    if len(layer.mesh.faces):
        return layer
    width = layer.mesh.faces.shape[1]
    speck = Mesh(np.zeros((width, layer.mesh.ambient_dim)), np.arange(width, dtype=np.int64)[None])
    relief = None if layer.relief is None else np.zeros(width)
    return Layer(speck, layer.role, relief, None if layer.pairs is None else np.zeros((1, 2), dtype=np.int64))


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made ({error.strerror}); choose another place") from None
    return folder


def _polydata(layer: Layer, imprint: Imprint) -> "pv.PolyData":
    import pyvista as pv

    mesh = layer.mesh
    vertices = np.asarray(mesh.vertices, dtype=np.float32)
    if mesh.ambient_dim == 2:
        vertices = np.insert(vertices, 2, 0.0, axis=1)
    cells = np.insert(mesh.faces, 0, mesh.faces.shape[1], axis=1).ravel()
    if len(mesh.faces) == 0:
        shape = pv.PolyData()
    elif mesh.faces.shape[1] == 2:
        shape = pv.PolyData(vertices, lines=cells)
    else:
        shape = pv.PolyData(vertices, faces=cells)
    if layer.pairs is not None:
        for name, column in zip(PAIR, layer.pairs[: shape.n_cells].T, strict=True):
            shape.cell_data[name] = column.astype(np.int32)
    if layer.relief is not None:
        # Every step of a series has the same arrays, those without a boundary too.
        shape.point_data[RELIEF] = np.asarray(layer.relief[: shape.n_points], dtype=np.float32)
    in_vtk(imprint, shape)
    return shape
