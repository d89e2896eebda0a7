"""The surfaces and lights of a scene in space, in one renderer of VTK; a snapshot then costs a change of one input."""

from typing import TYPE_CHECKING, Any, final

from dimple.views.content.camera import Camera
from dimple.views.content.frame import Drawing, Frame, Reals
from dimple.views.style.colors import INK, MANIFOLD, RULE
from dimple.views.vtk.polydata import boundary_of, box_edges, has_two_sides, nothing, polydata, unit

if TYPE_CHECKING:
    import pyvista as pv

SEEN_THROUGH = 0.35


@final
class Scenery:
    """The boundary, the manifold, the box and three lights, in the active renderer of a plotter.

    The boundary is opaque and coloured by its relief: pale where it clings to the manifold, blue or orange where it
    bulges away, so that the manifold beneath it is class 0 or class 1. Of what was tried this alone shows dimples from
    outside: a surface with one hue a side looks like one crumpled sheet of one colour, since from any place one sees
    only one side of a surface that is wrapped around another.

    Args:
        frame: the first frame; its manifold is that of all.
    """

    def __init__(self, plotter: "pv.Plotter", frame: Frame) -> None:
        self._plotter = plotter
        # Typed loosely: what add_mesh returns has more to it than its annotation says.
        self.boundary: Any = plotter.add_mesh(
            boundary_of(frame), scalars="colour", rgb=True, smooth_shading=True, ambient=0.18, diffuse=0.85,
            specular=0.12, specular_power=18, name="boundary", reset_camera=False, render=False,
        )  # fmt: skip
        if has_two_sides(frame.drawing):
            self.boundary.prop.culling = "back"
        if frame.drawing.classes is not None:
            # Colours are names here, and have to look the same on every wall.
            self.boundary.prop.ambient, self.boundary.prop.diffuse, self.boundary.prop.specular = 0.6, 0.45, 0.0
        self.manifold: Any = None
        self._box: Any = None
        # Made now, while the renderer that all belongs to is the active one.
        self._line: Any = plotter.add_mesh(
            nothing(frame.drawing.low), color=unit(INK), line_width=2.0, lighting=False, name="line", scalars=None,
            reset_camera=False, render=False,
        )  # fmt: skip
        self._line.mapper.SetResolveCoincidentTopologyToPolygonOffset()
        self._line.mapper.SetRelativeCoincidentTopologyLineOffsetParameters(0, -6)
        self._line.SetVisibility(False)
        manifold = frame.drawing.layer("manifold")
        if manifold is not None and len(manifold.mesh.faces) and manifold.mesh.faces.shape[1] == 2:
            self.manifold = plotter.add_mesh(
                polydata(manifold, 1.0), color=unit(MANIFOLD), line_width=6.0, lighting=False, name="manifold",
                reset_camera=False, render=False,
            )  # fmt: skip
        elif manifold is not None and len(manifold.mesh.faces):
            self.manifold = plotter.add_mesh(
                polydata(manifold, 1.0), color=unit(MANIFOLD), opacity=0.2, smooth_shading=True, lighting=True,
                specular=0.0, name="manifold", reset_camera=False, render=False, scalars=None,
            )  # fmt: skip
        self._light()

    def show(self, boundary: "pv.PolyData", line: "pv.PolyData | None" = None) -> None:
        """Swap the boundary for that of another snapshot, with a line on it in ink, where there is one."""
        self.boundary.mapper.SetInputDataObject(boundary)
        self._line.SetVisibility(line is not None)
        if line is not None:
            self._line.mapper.SetInputDataObject(line)

    def enclose(self, drawing: Drawing, camera: Camera | None) -> None:
        """Show the box: all its edges, or with a camera those that lie behind everything in it."""
        edges = box_edges(drawing, camera)
        if self._box is None:
            self._box = self._plotter.add_mesh(
                edges, color=unit(RULE), line_width=1.5, lighting=False, name="box", reset_camera=False, render=False
            )
        else:
            self._box.mapper.SetInputDataObject(edges)

    def see_through(self, wanted: bool) -> None:
        """Make the boundary translucent, so that what lies under its bumps appears, or opaque."""
        self.boundary.prop.opacity = SEEN_THROUGH if wanted else 1.0

    def show_manifold(self, wanted: bool) -> None:
        """Show the manifold or hide it."""
        if self.manifold is not None:
            self.manifold.SetVisibility(wanted)

    def cut_open(self, origin: Reals, normal: Reals) -> None:
        """Leave out what lies on the side of a plane that its normal points to."""
        from vtkmodules.vtkCommonDataModel import vtkPlane

        self.heal()
        plane = vtkPlane(origin=tuple(origin), normal=tuple(-normal))
        for actor in (self.boundary, self.manifold):
            if actor is not None:
                actor.mapper.AddClippingPlane(plane)

    def heal(self) -> None:
        """Show everything again."""
        for actor in (self.boundary, self.manifold):
            if actor is not None:
                actor.mapper.RemoveAllClippingPlanes()

    def _light(self) -> None:
        """One light beside the camera, a strong one from the upper left that models dimples, a weak one against it."""
        import pyvista as pv

        for place, intensity in (((0.0, 0.0, 1.0), 0.5), ((-1.3, 1.4, 0.9), 0.75), ((1.5, -0.6, 0.5), 0.22)):
            light = pv.Light(light_type="camera light", intensity=intensity)
            light.position = place
            self._plotter.add_light(light, only_active=True)
