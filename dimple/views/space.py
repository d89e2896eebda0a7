"""Scenes in space, drawn by VTK: made once, then a snapshot costs one change of a mapper's input and a render."""

from typing import TYPE_CHECKING, Any, final

import numpy as np
from PIL import Image

from dimple.views.camera import VIEW_ANGLE, Camera
from dimple.views.frame import Drawing, Frame, Reals, Section
from dimple.views.markers import marker, stamp
from dimple.views.palette import INK, MANIFOLD, PAPER, RULE, class_colour
from dimple.views.polydata import box_edges, nothing, polydata, section_line, unit

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
        whole_box: show all edges of the box, for a camera that moves about it, not only those behind its content.
    """

    def __init__(self, frame: Frame, size: tuple[int, int], off_screen: bool = True, whole_box: bool = False) -> None:
        import pyvista as pv

        self.size = size
        self.plotter: pv.Plotter = pv.Plotter(off_screen=off_screen, window_size=list(size), lighting="none")
        self.plotter.set_background(unit(PAPER))  # type: ignore[arg-type]
        # Multisampling triples the time of a render without a graphics card, and blanks it with translucent layers.
        self.plotter.disable_anti_aliasing()
        if not off_screen:
            self.plotter.enable_anti_aliasing("fxaa")
        first = frame.drawing.layer("boundary")
        shown = polydata(first, frame.relief_scale) if first is not None else nothing(frame.drawing.low)
        self._boundary = self.plotter.add_mesh(
            shown, scalars="colour", rgb=True, smooth_shading=True, ambient=0.18, diffuse=0.85, specular=0.12,
            specular_power=18, name="boundary", reset_camera=False, render=False,
        )  # fmt: skip
        self._section: Any = None
        manifold = frame.drawing.layer("manifold")
        if manifold is not None and len(manifold.mesh.faces) and manifold.mesh.faces.shape[1] == 2:
            self.plotter.add_mesh(
                polydata(manifold, 1.0), color=unit(MANIFOLD), line_width=6.0, lighting=False, name="manifold",
                reset_camera=False, render=False,
            )  # fmt: skip
        elif manifold is not None and len(manifold.mesh.faces):
            self.plotter.add_mesh(
                polydata(manifold, 1.0), color=unit(MANIFOLD), opacity=0.2, smooth_shading=True, lighting=True,
                specular=0.0, name="manifold", reset_camera=False, render=False, scalars=None,
            )  # fmt: skip
        self._whole_box = whole_box
        self._light()

    def look_through(self, camera: Camera, drawing: Drawing) -> None:
        """Move the camera, and show those edges of the box that lie behind everything in it."""
        view = self.plotter.camera
        view.position = tuple(camera.position.tolist())
        view.focal_point = tuple(camera.focus.tolist())
        view.up = tuple(camera.up.tolist())
        view.view_angle = VIEW_ANGLE
        reach = float(np.linalg.norm(np.array(drawing.high) - drawing.low)) / 2
        distance = float(np.linalg.norm(camera.position - camera.focus))
        view.clipping_range = (max(distance - 1.05 * reach, 0.01 * distance), distance + 1.05 * reach)
        edges = box_edges(drawing, None if self._whole_box else camera)
        self.plotter.add_mesh(
            edges, color=unit(RULE), line_width=1.5, lighting=False, name="box", reset_camera=False, render=False
        )
        view.clipping_range = (max(distance - 1.05 * reach, 0.01 * distance), distance + 1.05 * reach)

    def show(self, boundary: "pv.PolyData", section: Section | None = None) -> None:
        """Swap the boundary for that of another snapshot; `section` draws its cut as a line on the surface."""
        self._boundary.mapper.SetInputDataObject(boundary)
        if section is not None:
            line = section_line(section)
            if self._section is None:
                self._section = self.plotter.add_mesh(
                    line, color=unit(INK), line_width=2.0, lighting=False, name="section", reset_camera=False,
                    render=False,
                )  # fmt: skip
                self._section.mapper.SetResolveCoincidentTopologyToPolygonOffset()
                self._section.mapper.SetRelativeCoincidentTopologyLineOffsetParameters(0, -6)
            else:
                self._section.mapper.SetInputDataObject(line)

    def picture(self) -> tuple[Image.Image, Reals]:
        """What the camera sees, and the depth of every pixel along the line of sight, `(height, width)`."""
        from vtkmodules.util.numpy_support import vtk_to_numpy
        from vtkmodules.vtkCommonCore import vtkFloatArray

        window = self.plotter.render_window
        assert window is not None
        # A screenshot alone would show the last render again.
        window.Render()
        pixels = self.plotter.screenshot(return_img=True)
        buffer = vtkFloatArray()
        width, height = self.size
        window.GetZbufferData(0, 0, width - 1, height - 1, buffer)
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


def stamp_points(picture: Image.Image, depth: Reals, drawing: Drawing, camera: Camera, size: int = 11) -> None:
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
        colour = unit(class_colour(int(label)))
        plotter.add_mesh(shapes, color=colour, ambient=0.35, name=f"class {label}", reset_camera=False, render=False)
