"""The boundary along training as files for ParaView: one .vtp a snapshot, and a .pvd that gives them their steps."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from dimple.boundary.mesh import Mesh
from dimple.errors import RunError
from dimple.runs.files import replacing, write_bytes

SERIES = "boundary.pvd"


def write_boundary_series(meshes: Sequence[Mesh], steps: Sequence[int], folder: Path | str) -> Path:
    """Write the boundary at each step, and `boundary.pvd`, which ParaView opens with the step as its time.

    Curves of the plane are written at height zero. The .pvd comes last, so that it never names a file that is missing.

    Args:
        meshes: one boundary a snapshot, surfaces of space or curves of the plane.
        steps: their training steps.
        folder: made if it is absent.

    Returns:
        The path of the .pvd.

    Raises:
        RunError: if the folder cannot be written.
        ValueError: if there are not as many steps as meshes.

    Example:
        >>> import tempfile
        >>> line = Mesh(np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[0, 1]]))
        >>> write_boundary_series([line, line], [0, 10], tempfile.mkdtemp()).name
        'boundary.pvd'
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made ({error.strerror}); choose another place") from None
    root = ElementTree.Element("VTKFile", type="Collection", version="0.1", byte_order="LittleEndian")
    collection = ElementTree.SubElement(root, "Collection")
    for step, mesh in zip(steps, meshes, strict=True):
        name = f"boundary_{step:08d}.vtp"
        _write_mesh(mesh, folder / name)
        ElementTree.SubElement(collection, "DataSet", timestep=str(step), group="", part="0", file=name)
    ElementTree.indent(root)
    write_bytes(folder / SERIES, ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")
    return folder / SERIES


def _write_mesh(mesh: Mesh, path: Path) -> None:
    import pyvista as pv

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
    with replacing(path) as temporary:
        shape.save(temporary)
