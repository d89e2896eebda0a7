"""What VTK draws: the layers of a drawing, its box and its section, as pyvista's data objects."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dimple.levelsets.mesh import Mesh
from dimple.views.content.camera import Camera
from dimple.views.content.frame import Drawing, Frame, Layer, Section
from dimple.views.content.manifold_depth import vertex_normals
from dimple.views.style.colors import Colour, class_colour, relief_colours, tint
from dimple.views.vtk.class_regions3d import rooms

if TYPE_CHECKING:
    import pyvista as pv

# How much of a class's hue a boundary has that is seen from it.
SEEN = 0.7


def polydata(layer: Layer, relief_scale: float) -> "pv.PolyData":
    """A layer as VTK takes it, with normals and, for a boundary, the colours of its relief."""
    import pyvista as pv

    mesh = layer.mesh
    if len(mesh.faces) == 0:
        return nothing((0.0, 0.0, 0.0))
    if mesh.faces.shape[1] == 2:
        return pv.PolyData(
            np.asarray(mesh.vertices, dtype=np.float32), lines=np.insert(mesh.faces, 0, 2, axis=1).ravel()
        )
    if layer.role == "boundary" and layer.relief is None:
        return two_sided(mesh)
    shape = surface(mesh)
    if layer.relief is not None:
        shape.point_data["colour"] = relief_colours(layer.relief, relief_scale)
        shape.set_active_scalars("colour")
    return shape


def surface(mesh: Mesh) -> "pv.PolyData":
    """Triangles with their normals."""
    import pyvista as pv

    shape = pv.PolyData(np.asarray(mesh.vertices, dtype=np.float32), faces=np.insert(mesh.faces, 0, 3, axis=1).ravel())
    shape.point_data["Normals"] = vertex_normals(mesh).astype(np.float32)
    shape.GetPointData().SetActiveNormals("Normals")
    return shape


def two_sided(mesh: Mesh) -> "pv.PolyData":
    """A boundary twice, in the colour of the class that sees it; to be drawn from the front only.

    The first half of the vertices is seen from class 1, the second from class 0.
    """
    count = len(mesh.vertices)
    both = Mesh(np.tile(mesh.vertices, (2, 1)), np.concatenate([mesh.faces, mesh.faces[:, ::-1] + count]))
    shape = surface(both)
    hues = [tint(class_colour(label), SEEN) for label in (1, 0)]
    shape.point_data["colour"] = np.repeat(np.array(hues, dtype=np.uint8), count, axis=0)
    shape.set_active_scalars("colour")
    return shape


def has_two_sides(drawing: Drawing) -> bool:
    """Whether a boundary in space is drawn twice, once for either side."""
    layer = drawing.layer("boundary")
    return drawing.classes is not None or layer is None or layer.relief is None


def polydatas(frames: Sequence[Frame]) -> list["pv.PolyData"]:
    """The boundary of each frame, ready to be swapped in."""
    return [boundary_of(frame) for frame in frames]


def boundary_of(frame: Frame) -> "pv.PolyData":
    """The boundary of a frame in space, ready to be drawn."""
    if frame.drawing.classes is not None:
        return rooms(frame.drawing)
    layer = frame.drawing.layer("boundary")
    return nothing(frame.drawing.low) if layer is None else polydata(layer, frame.relief_scale)


def box_edges(drawing: Drawing, camera: Camera | None) -> "pv.PolyData":
    """The edges of the box as lines; with a camera, only those of the faces that lie behind the box's content."""
    import pyvista as pv

    low, high = np.array(drawing.low), np.array(drawing.high)
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    pairs = [(a, b) for a in range(8) for b in range(a) if np.abs(corners[a] - corners[b]).sum() == 1]
    if camera is not None:
        nearest = int(np.linalg.norm(low + corners * (high - low) - camera.position, axis=1).argmin())
        pairs = [pair for pair in pairs if nearest not in pair]
    return pv.PolyData(low + corners * (high - low), lines=np.array([[2, a, b] for a, b in pairs]).ravel())


def section_line(section: Section) -> "pv.PolyData":
    """The boundary's cut, put back into space."""
    import pyvista as pv

    layer = section.drawing.layer("boundary")
    if layer is None or len(layer.mesh.faces) == 0:
        return nothing(tuple(section.plane.origin))
    places = section.plane.origin + layer.mesh.vertices @ section.plane.axes
    return pv.PolyData(places, lines=np.insert(layer.mesh.faces, 0, 2, axis=1).ravel())


def nothing(place: Sequence[float]) -> "pv.PolyData":
    """A triangle without area: VTK's mappers take no empty surface."""
    import pyvista as pv

    shape = pv.PolyData(np.repeat(np.array([place], dtype=np.float32), 3, axis=0), faces=np.array([3, 0, 1, 2]))
    shape.point_data["colour"] = np.full((3, 3), 255, dtype=np.uint8)
    shape.set_active_scalars("colour")
    shape.point_data["Normals"] = np.tile(np.array([[0, 0, 1]], dtype=np.float32), (3, 1))
    shape.GetPointData().SetActiveNormals("Normals")
    return shape


def unit(colour: Colour) -> tuple[float, float, float]:
    """Components within [0, 1], as pyvista takes them."""
    return colour[0] / 255, colour[1] / 255, colour[2] / 255
