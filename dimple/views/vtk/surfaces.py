"""Surfaces and lights of a 3-D scene in one VTK renderer."""

from typing import TYPE_CHECKING, Any, final

from dimple.views.content.camera import Camera
from dimple.views.content.frame import Drawing, FloatArray, Frame
from dimple.views.style.colors import FOREGROUND_COLOR, GRID_LINE_COLOR, MANIFOLD_COLOR
from dimple.views.vtk.polydata import (
    boundary_polydata,
    box_edges,
    empty_polydata,
    has_two_sides,
    layer_polydata,
    unit_rgb,
)

if TYPE_CHECKING:
    import pyvista as pv

TRANSLUCENT_OPACITY = 0.35
# Position relative to the camera and intensity: one near the camera, a strong one from the upper left that shows the
# dimples by their shading, and a weak one from the opposite side.
LIGHTS = (((0.0, 0.0, 1.0), 0.5), ((-1.3, 1.4, 0.9), 0.75), ((1.5, -0.6, 0.5), 0.22))


@final
class SceneSurfaces:
    """The boundary, the manifold, the box and three lights in the active renderer of a plotter.

    The boundary is opaque and colored by its manifold depth: pale where it touches the manifold, blue or orange where
    it lies away from it, with the manifold in class 0 or class 1. Of the colorings that were tried, only this one shows
    dimples from outside. With one color per side, a surface that is wrapped around another one shows a single side, and
    so a single color, from every position.

    Args:
        plotter: the surfaces go into its active renderer.
        frame: the first frame; its manifold is that of all frames.

    Attributes:
        boundary: the actor of the boundary.
        manifold: the actor of the manifold; None without one.
    """

    def __init__(self, plotter: "pv.Plotter", frame: Frame) -> None:
        self._plotter = plotter
        # Any, because the annotation of add_mesh hides attributes that are used here.
        self.boundary: Any = plotter.add_mesh(
            boundary_polydata(frame), scalars="color", rgb=True, smooth_shading=True, ambient=0.18, diffuse=0.85,
            specular=0.12, specular_power=18, name="boundary", reset_camera=False, render=False,
        )  # fmt: skip
        if has_two_sides(frame.drawing):
            self.boundary.prop.culling = "back"
        if frame.drawing.class_regions is not None:
            # A color identifies a class, so shading must change it little.
            self.boundary.prop.ambient = 0.6
            self.boundary.prop.diffuse = 0.45
            self.boundary.prop.specular = 0.0
        self.manifold: Any = None
        self._box: Any = None
        # Created here, while the renderer of the scene is the active one.
        self._line: Any = plotter.add_mesh(
            empty_polydata(frame.drawing.low), color=unit_rgb(FOREGROUND_COLOR), line_width=2.0, lighting=False,
            name="line", scalars=None, reset_camera=False, render=False,
        )  # fmt: skip
        self._line.mapper.SetResolveCoincidentTopologyToPolygonOffset()
        self._line.mapper.SetRelativeCoincidentTopologyLineOffsetParameters(0, -6)
        self._line.SetVisibility(False)
        manifold = frame.drawing.layer("manifold")
        if manifold is not None and len(manifold.mesh.faces) and manifold.mesh.faces.shape[1] == 2:
            self.manifold = plotter.add_mesh(
                layer_polydata(manifold, 1.0), color=unit_rgb(MANIFOLD_COLOR), line_width=6.0, lighting=False,
                name="manifold", reset_camera=False, render=False,
            )  # fmt: skip
        elif manifold is not None and len(manifold.mesh.faces):
            self.manifold = plotter.add_mesh(
                layer_polydata(manifold, 1.0), color=unit_rgb(MANIFOLD_COLOR), opacity=0.2, smooth_shading=True,
                lighting=True, specular=0.0, name="manifold", reset_camera=False, render=False, scalars=None,
            )  # fmt: skip
        self._add_lights()

    def show(self, boundary: "pv.PolyData", line: "pv.PolyData | None" = None) -> None:
        """Replace the boundary by that of another snapshot, and draw a dark line on it if one is given."""
        self.boundary.mapper.SetInputDataObject(boundary)
        self._line.SetVisibility(line is not None)
        if line is not None:
            self._line.mapper.SetInputDataObject(line)

    def show_box(self, drawing: Drawing, camera: Camera | None) -> None:
        """Show the edges of the box; with a camera, only those that lie behind the content of the box."""
        edges = box_edges(drawing, camera)
        if self._box is None:
            self._box = self._plotter.add_mesh(
                edges, color=unit_rgb(GRID_LINE_COLOR), line_width=1.5, lighting=False, name="box",
                reset_camera=False, render=False,
            )  # fmt: skip
        else:
            self._box.mapper.SetInputDataObject(edges)

    def set_translucent(self, translucent: bool) -> None:
        """Make the boundary translucent, so that points behind it are visible, or opaque."""
        self.boundary.prop.opacity = TRANSLUCENT_OPACITY if translucent else 1.0

    def set_manifold_visible(self, visible: bool) -> None:
        """Show or hide the manifold."""
        if self.manifold is not None:
            self.manifold.SetVisibility(visible)

    def clip_by_plane(self, origin: FloatArray, normal: FloatArray) -> None:
        """Hide the part of boundary and manifold that lies on the side of a plane to which its normal points."""
        from vtkmodules.vtkCommonDataModel import vtkPlane

        self.remove_clipping()
        plane = vtkPlane(origin=tuple(origin), normal=tuple(-normal))
        for actor in (self.boundary, self.manifold):
            if actor is not None:
                actor.mapper.AddClippingPlane(plane)

    def remove_clipping(self) -> None:
        """Show the complete boundary and manifold again."""
        for actor in (self.boundary, self.manifold):
            if actor is not None:
                actor.mapper.RemoveAllClippingPlanes()

    def _add_lights(self) -> None:
        import pyvista as pv

        for position, intensity in LIGHTS:
            light = pv.Light(light_type="camera light", intensity=intensity)
            light.position = position
            self._plotter.add_light(light, only_active=True)
