"""Scenes in space, drawn by VTK: made once, then a snapshot costs one change of a mapper's input and a render."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np
from PIL import Image

from dimple.boundary.mesh import Mesh
from dimple.views.camera import VIEW_ANGLE, Camera
from dimple.views.frame import Drawing, Frame, Layer, Plane, Reals, Section
from dimple.views.markers import marker, stamp
from dimple.views.palette import INK, MANIFOLD, PAPER, RULE, class_colour, relief_colours
from dimple.views.relief import vertex_normals

if TYPE_CHECKING:
    import pyvista as pv

# A point that a surface hides by less than this share of the box is drawn as an outline: it sits under a bump. What is
# hidden deeper lies on the far side, and would only clutter the near one.
GHOST_DEPTH = 0.14


@final
class Space:
    """One plotter with the boundary, the manifold, the box and three lights.

    The boundary is opaque and coloured by its relief: pale where it clings to the manifold, blue or orange where it
    bulges away, so that the manifold beneath it is class 0 or class 1. Of what was tried this alone shows dimples from
    outside: a surface with one hue a side looks like one crumpled sheet of one colour, since from any place one sees
    only one side of a surface that is wrapped around another.

    Args:
        frame: the first frame; its box and manifold are those of the whole film.
        size: pixels of the picture, width and height.
        off_screen: False opens a window.
        relief_scale: the relief of full colour.
    """

    def __init__(self, frame: Frame, size: tuple[int, int], off_screen: bool = True, whole_box: bool = False) -> None:
        import pyvista as pv

        self.size = size
        self.plotter: pv.Plotter = pv.Plotter(off_screen=off_screen, window_size=list(size), lighting="none")
        self.plotter.set_background(_unit(PAPER))  # type: ignore[arg-type]
        # Multisampling triples the time of a render without a graphics card, and blanks it with translucent layers.
        self.plotter.disable_anti_aliasing()
        first = frame.drawing.layer("boundary")
        shown = polydata(first, frame.relief_scale) if first else _nothing(frame.drawing.low)
        self._boundary = self.plotter.add_mesh(
            shown, scalars="colour", rgb=True, smooth_shading=True, ambient=0.18, diffuse=0.85, specular=0.12,
            specular_power=18, name="boundary", reset_camera=False, render=False,
        )  # fmt: skip
        self._section: Any = None
        manifold = frame.drawing.layer("manifold")
        if manifold is not None and len(manifold.mesh.faces):
            self.plotter.add_mesh(
                polydata(manifold, 1.0), color=_unit(MANIFOLD), opacity=0.2, smooth_shading=True, lighting=True,
                specular=0.0, name="manifold", reset_camera=False, render=False, scalars=None,
            )  # fmt: skip
        self._whole_box = whole_box
        self._light()

    def look_through(self, camera: Camera, drawing: Drawing) -> None:
        """Move the camera, and show those edges of the box that lie behind everything in it."""
        view = self.plotter.camera
        view.position, view.focal_point, view.up = (tuple(map(float, v)) for v in (camera.position, camera.focus, camera.up))
        view.view_angle = VIEW_ANGLE
        reach = float(np.linalg.norm(np.array(drawing.high) - drawing.low)) / 2
        distance = float(np.linalg.norm(camera.position - camera.focus))
        view.clipping_range = (max(distance - 1.05 * reach, 0.01 * distance), distance + 1.05 * reach)
        edges = box_edges(drawing, None if self._whole_box else camera)
        self.plotter.add_mesh(
            edges, color=_unit(RULE), line_width=1.5, lighting=False, name="box", reset_camera=False, render=False
        )
        view.clipping_range = (max(distance - 1.05 * reach, 0.01 * distance), distance + 1.05 * reach)

    def show(self, boundary: "pv.PolyData", section: Section | None = None) -> None:
        """Swap the boundary for that of another snapshot; `section` draws its cut as a line on the surface."""
        self._boundary.mapper.SetInputDataObject(boundary)
        if section is not None:
            line = _section_line(section)
            if self._section is None:
                self._section = self.plotter.add_mesh(
                    line, color=_unit(INK), line_width=2.0, lighting=False, name="section", reset_camera=False, render=False
                )
                self._section.mapper.SetResolveCoincidentTopologyToPolygonOffset()
                self._section.mapper.SetRelativeCoincidentTopologyLineOffsetParameters(0, -6)
            else:
                self._section.mapper.SetInputDataObject(line)

    def picture(self) -> tuple[Image.Image, Reals]:
        """What the camera sees, and the depth of every pixel along the line of sight, `(height, width)`."""
        from vtkmodules.util.numpy_support import vtk_to_numpy
        from vtkmodules.vtkCommonCore import vtkFloatArray

        # A screenshot alone would show the last render again.
        self.plotter.render_window.Render()
        pixels = self.plotter.screenshot(return_img=True)
        buffer = vtkFloatArray()
        width, height = self.size
        self.plotter.render_window.GetZbufferData(0, 0, width - 1, height - 1, buffer)
        stored = vtk_to_numpy(buffer).reshape(height, width)[::-1].astype(np.float64)
        near, far = self.plotter.camera.clipping_range
        depth = near * far / (far - stored * (far - near))
        return Image.fromarray(np.asarray(pixels)), depth

    def see_through(self) -> None:
        """Make the boundary translucent, or opaque again."""
        self._boundary.prop.opacity = 0.35 if self._boundary.prop.opacity == 1 else 1.0

    def close(self) -> None:
        """Free the plotter and what it holds in the graphics memory."""
        self.plotter.close()

    def _light(self) -> None:
        """One light beside the camera, a strong one from the upper left that models dimples, a weak one against it."""
        import pyvista as pv

        for place, intensity in (((0.0, 0.0, 1.0), 0.5), ((-1.3, 1.4, 0.9), 0.75), ((1.5, -0.6, 0.5), 0.22)):
            light = pv.Light(light_type="camera light", intensity=intensity)
            light.position = place
            self.plotter.add_light(light)


def polydata(layer: Layer, relief_scale: float) -> "pv.PolyData":
    """A layer as VTK takes it, with normals and, for a boundary, the colours of its relief."""
    import pyvista as pv

    mesh = layer.mesh
    if len(mesh.faces) == 0:
        return _nothing((0.0, 0.0, 0.0))
    shape = pv.PolyData.from_regular_faces(np.asarray(mesh.vertices, dtype=np.float32), mesh.faces)
    shape.point_data["Normals"] = vertex_normals(mesh).astype(np.float32)
    shape.GetPointData().SetActiveNormals("Normals")
    if layer.role == "boundary":
        relief = np.zeros(len(mesh.vertices)) if layer.relief is None else layer.relief
        shape.point_data["colour"] = relief_colours(relief, relief_scale)
        shape.set_active_scalars("colour")
    return shape


def polydatas(frames: Sequence[Frame]) -> list["pv.PolyData"]:
    """The boundary of each frame, ready to be swapped in."""
    blank = Layer(Mesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64)), "boundary")
    return [polydata(frame.drawing.layer("boundary") or blank, frame.relief_scale) for frame in frames]


def stamp_points(
    picture: Image.Image, depth: Reals, drawing: Drawing, camera: Camera, size: int = 11
) -> None:
    """Put the points on a picture of space: whole where they are seen, in outline where they sit under a bump.

    Args:
        depth: of the surfaces in each pixel of `picture`, or of a whole multiple of its size.
    """
    points = drawing.points
    if len(points.positions) == 0:
        return
    factor = depth.shape[0] // picture.height
    pixels, away = camera.project(points.positions, picture.size)
    extent = max(h - l for l, h in zip(drawing.low, drawing.high, strict=True))
    column = np.clip((pixels[:, 0] * factor).astype(int), 0, depth.shape[1] - 1)
    row = np.clip((pixels[:, 1] * factor).astype(int), 0, depth.shape[0] - 1)
    hidden_by = (away - depth[row, column]) / extent
    for at in np.argsort(-away):
        if hidden_by[at] < GHOST_DEPTH:
            tile = marker(int(points.classes[at]), size, bool(points.wrong[at]), ghost=bool(hidden_by[at] > 0.004))
            stamp(picture, tile, *pixels[at])


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


def _section_line(section: Section) -> "pv.PolyData":
    """The boundary's cut, put back into space."""
    import pyvista as pv

    layer = section.drawing.layer("boundary")
    if layer is None or len(layer.mesh.faces) == 0:
        return _nothing(tuple(section.plane.origin))
    places = section.plane.origin + layer.mesh.vertices @ section.plane.axes
    return pv.PolyData(places, lines=np.insert(layer.mesh.faces, 0, 2, axis=1).ravel())


def _nothing(place: Sequence[float]) -> "pv.PolyData":
    """A triangle without area: VTK's mappers take no empty surface."""
    import pyvista as pv

    shape = pv.PolyData(np.repeat(np.array([place], dtype=np.float32), 3, axis=0), faces=np.array([3, 0, 1, 2]))
    shape.point_data["colour"] = np.full((3, 3), 255, dtype=np.uint8)
    shape.set_active_scalars("colour")
    shape.point_data["Normals"] = np.tile(np.array([[0, 0, 1]], dtype=np.float32), (3, 1))
    shape.GetPointData().SetActiveNormals("Normals")
    return shape


def _unit(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    """Components within [0, 1], as pyvista takes them."""
    return colour[0] / 255, colour[1] / 255, colour[2] / 255


def add_markers(plotter: "pv.Plotter", drawing: Drawing) -> None:
    """Solid markers at the points: a ball for class 0, an octahedron for class 1, a cube for others."""
    import pyvista as pv

    points = drawing.points
    radius = 0.012 * max(b - a for a, b in zip(drawing.low, drawing.high, strict=True))
    solids = {
        0: pv.Sphere(radius=radius, theta_resolution=16, phi_resolution=16),
        1: pv.PlatonicSolid("octahedron", radius=1.4 * radius),
    }
    for label in np.unique(points.classes):
        cloud = pv.PolyData(points.positions[points.classes == label])
        solid = solids.get(int(label), pv.Cube(x_length=2 * radius, y_length=2 * radius, z_length=2 * radius))
        shapes = cloud.glyph(geom=solid, scale=False, orient=False)
        colour = _unit(class_colour(int(label)))
        plotter.add_mesh(shapes, color=colour, ambient=0.35, name=f"class {label}", reset_camera=False, render=False)


def in_space(frame: Frame) -> Frame:
    """A frame of the plane laid on a floor in space, its curves as upright walls; frames of space as they are.

    Each wall of the boundary shows, on either face, the colour of the class on that side.
    """
    flat = frame.drawing
    if flat.ambient_dim == 3:
        return frame
    side = max(b - a for a, b in zip(flat.low, flat.high, strict=True))
    half = 0.02 * side
    layers = []
    for layer in flat.layers:
        if layer.role == "boundary":
            faces = [walls(layer.mesh, half, shift * 1e-3 * side) for shift in (1, -1)]
            count = len(faces[0].vertices)
            both = Mesh(
                np.concatenate([face.vertices for face in faces]), np.concatenate([faces[0].faces, faces[1].faces + count])
            )
            depth = np.repeat([frame.relief_scale, -frame.relief_scale], count)
            layers.append(Layer(both, "boundary", depth))
        else:
            layers.append(Layer(walls(layer.mesh, half / 2, 0.0), layer.role))
    points = dataclasses.replace(flat.points, positions=np.insert(flat.points.positions, 2, 0.0, axis=1))
    drawing = Drawing(tuple(layers), points, (*flat.low, -half), (*flat.high, half))
    floor = Plane(np.zeros(3), np.eye(3)[:2])
    return dataclasses.replace(frame, drawing=drawing, section=Section(floor, flat))


def walls(curve: Mesh, half: float, shift: float) -> Mesh:
    """Segments of the plane swept from height -half to half, each moved by `shift` to its left.

    Example:
        >>> walls(Mesh(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0, 1]])), 0.5, 0.25).vertices[:2].tolist()
        [[0.0, 0.25, -0.5], [1.0, 0.25, -0.5]]
    """
    ends = curve.vertices[curve.faces]
    run = ends[:, 1] - ends[:, 0]
    length = np.linalg.norm(run, axis=1, keepdims=True)
    left = np.stack([-run[:, 1], run[:, 0]], axis=1) / np.where(length > 0, length, 1.0)
    flat = (ends + shift * left[:, None]).reshape(-1, 2)
    count = len(flat)
    a, b = np.arange(count, dtype=np.int64).reshape(-1, 2).T
    faces = np.concatenate([np.stack([a, a + count, b], 1), np.stack([b, a + count, b + count], 1)])
    return Mesh(np.concatenate([np.insert(flat, 2, height, axis=1) for height in (-half, half)]), faces)
