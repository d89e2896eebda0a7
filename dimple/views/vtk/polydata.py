"""Conversion of a drawing for VTK: its layers, its box and its cross-section as `pyvista.PolyData`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dimple.levelsets.mesh import Mesh
from dimple.views.content.camera import Camera
from dimple.views.content.frame import CrossSection, Drawing, Frame, MeshLayer
from dimple.views.content.manifold_depth import vertex_normals
from dimple.views.style.colors import Color, class_color, depth_colors, tint
from dimple.views.vtk.class_regions3d import class_regions_polydata

if TYPE_CHECKING:
    import pyvista as pv

# Weight of the class color against the background color on a boundary without manifold depth.
SIDE_TINT_STRENGTH = 0.7


def layer_polydata(layer: MeshLayer, depth_scale: float) -> "pv.PolyData":
    """Return a layer for VTK: a surface with normals, or lines; a boundary with its colors.

    Args:
        layer: the boundary or the manifold.
        depth_scale: the manifold depth at which the color of the boundary is full, in units of length.
    """
    import pyvista as pv

    mesh = layer.mesh
    if len(mesh.faces) == 0:
        return empty_polydata((0.0, 0.0, 0.0))
    if mesh.faces.shape[1] == 2:
        return pv.PolyData(
            np.asarray(mesh.vertices, dtype=np.float32), lines=np.insert(mesh.faces, 0, 2, axis=1).ravel()
        )
    if layer.role == "boundary" and layer.manifold_depth is None:
        return two_sided_polydata(mesh)
    surface = surface_polydata(mesh)
    if layer.manifold_depth is not None:
        surface.point_data["color"] = depth_colors(layer.manifold_depth, depth_scale)
        surface.set_active_scalars("color")
    return surface


def surface_polydata(mesh: Mesh) -> "pv.PolyData":
    """Return the triangles of a mesh with their vertex normals."""
    import pyvista as pv

    faces = np.insert(mesh.faces, 0, 3, axis=1).ravel()
    surface = pv.PolyData(np.asarray(mesh.vertices, dtype=np.float32), faces=faces)
    surface.point_data["Normals"] = vertex_normals(mesh).astype(np.float32)
    surface.GetPointData().SetActiveNormals("Normals")
    return surface


def two_sided_polydata(mesh: Mesh) -> "pv.PolyData":
    """Return a boundary twice, once for each side in the color of its class, to be drawn with culled back faces.

    The first half of the vertices faces class 1, the second half class 0.
    """
    count = len(mesh.vertices)
    both_sides = Mesh(np.tile(mesh.vertices, (2, 1)), np.concatenate([mesh.faces, mesh.faces[:, ::-1] + count]))
    surface = surface_polydata(both_sides)
    colors = [tint(class_color(label), SIDE_TINT_STRENGTH) for label in (1, 0)]
    surface.point_data["color"] = np.repeat(np.array(colors, dtype=np.uint8), count, axis=0)
    surface.set_active_scalars("color")
    return surface


def has_two_sides(drawing: Drawing) -> bool:
    """Return whether a boundary in space is drawn twice, once for each side."""
    layer = drawing.layer("boundary")
    return drawing.class_regions is not None or layer is None or layer.manifold_depth is None


def boundary_polydata_list(frames: Sequence[Frame]) -> list["pv.PolyData"]:
    """Return the boundary of each 3-D frame; see `boundary_polydata`."""
    return [boundary_polydata(frame) for frame in frames]


def boundary_polydata(frame: Frame) -> "pv.PolyData":
    """Return the boundary of a 3-D frame, with the sides of the box where it has class regions."""
    if frame.drawing.class_regions is not None:
        return class_regions_polydata(frame.drawing)
    layer = frame.drawing.layer("boundary")
    return empty_polydata(frame.drawing.low) if layer is None else layer_polydata(layer, frame.depth_scale)


def box_edges(drawing: Drawing, camera: Camera | None) -> "pv.PolyData":
    """Return the edges of the box as lines; with a camera, only those that lie behind the content of the box."""
    import pyvista as pv

    low = np.array(drawing.low)
    high = np.array(drawing.high)
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    pairs = [(a, b) for a in range(8) for b in range(a) if np.abs(corners[a] - corners[b]).sum() == 1]
    if camera is not None:
        nearest = int(np.linalg.norm(low + corners * (high - low) - camera.position, axis=1).argmin())
        pairs = [pair for pair in pairs if nearest not in pair]
    return pv.PolyData(low + corners * (high - low), lines=np.array([[2, a, b] for a, b in pairs]).ravel())


def cross_section_line(cross_section: CrossSection) -> "pv.PolyData":
    """Return the line in which the plane of a cross-section cuts the boundary, in space."""
    import pyvista as pv

    layer = cross_section.drawing.layer("boundary")
    if layer is None or len(layer.mesh.faces) == 0:
        return empty_polydata(tuple(cross_section.plane.origin))
    positions = cross_section.plane.origin + layer.mesh.vertices @ cross_section.plane.axes
    return pv.PolyData(positions, lines=np.insert(layer.mesh.faces, 0, 2, axis=1).ravel())


def empty_polydata(position: Sequence[float]) -> "pv.PolyData":
    """Return a triangle of area 0 at a position, since VTK's mappers reject an empty surface."""
    import pyvista as pv

    vertices = np.repeat(np.array([position], dtype=np.float32), 3, axis=0)
    triangle = pv.PolyData(vertices, faces=np.array([3, 0, 1, 2]))
    triangle.point_data["color"] = np.full((3, 3), 255, dtype=np.uint8)
    triangle.set_active_scalars("color")
    triangle.point_data["Normals"] = np.tile(np.array([[0, 0, 1]], dtype=np.float32), (3, 1))
    triangle.GetPointData().SetActiveNormals("Normals")
    return triangle


def unit_rgb(color: Color) -> tuple[float, float, float]:
    """Return the components of a color in [0, 1], the form that pyvista uses."""
    return color[0] / 255, color[1] / 255, color[2] / 255
