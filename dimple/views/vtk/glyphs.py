"""Solid markers and arrows of a scene in space, which keep their size on the screen however near the camera comes."""

import math
from typing import TYPE_CHECKING, Any, final

import numpy as np

from dimple.views.content.frame import PointSet, Reals
from dimple.views.style.colors import ALONG, INK, OFF, PAPER, Colour, class_colour
from dimple.views.vtk.outlines import Outlines
from dimple.views.vtk.polydata import nothing, unit

if TYPE_CHECKING:
    import pyvista as pv

# In pixels of a window at scale 1.
MARKER = 6.0
SHAFT = 2.4
# The resolution of round things.
SIDES = 20
# In marker radii, from where to where: the outline of a marker and the pale seam around it, which for classes that are
# no balls lie farther out; the dark rim of a point that the network has wrong, and of the one that was picked.
RIM, SEAM, WRONG, PICKED = (0.72, 1.0), (1.0, 1.25), (1.25, 1.55), (1.6, 1.9)
DIAMOND = 1.4


def pixel_size(renderer: "pv.Renderer") -> float:
    """How long a pixel is at the distance that the camera looks at, in units of the scene."""
    camera = renderer.GetActiveCamera()
    height = max(renderer.GetSize()[1], 1)
    return float(2 * camera.GetDistance() * math.tan(math.radians(camera.GetViewAngle() / 2)) / height)


@final
class Markers:
    """The points: a ball for class 0, an octahedron for class 1, a cube for others; those in question have a dark rim.

    Args:
        reach: a point that a surface hides by less than this length shows as an outline.
        scale: pixels of the picture for one of the window.
    """

    def __init__(self, plotter: "pv.Plotter", points: PointSet, reach: float, scale: int = 1) -> None:
        import pyvista as pv

        self._scale, self._renderer = scale, plotter.renderer
        self._solids: list[Any] = []
        self._outlines: list[Outlines] = []

        def outlines(colour: Colour, ends: tuple[float, float], corners: int = SIDES, far: float = 1.0) -> Outlines:
            self._outlines.append(Outlines(plotter, colour, far * ends[0], far * ends[1], corners, reach))
            return self._outlines[-1]

        solids = {
            0: pv.Sphere(radius=1.0, theta_resolution=SIDES, phi_resolution=SIDES),
            1: pv.PlatonicSolid("octahedron", radius=DIAMOND),
        }
        for label in np.unique(points.classes).tolist():
            places = points.positions[points.classes == label]
            solid = solids.get(label, pv.Cube(x_length=2.0, y_length=2.0, z_length=2.0))
            self._add(plotter, solid, class_colour(label)).SetInputDataObject(pv.PolyData(places))
            look = (SIDES, 1.0) if label == 0 else (4, DIAMOND)
            outlines(class_colour(label), RIM, *look).put(places)
            outlines(PAPER, SEAM, *look).put(places)
        self._wrong, self._picked = outlines(INK, WRONG), outlines(INK, PICKED)
        self.show(points, None)
        plotter.renderer.AddObserver("StartEvent", lambda *_: self.resize())

    def show(self, points: PointSet, picked: int | None) -> None:
        """Put rims around the points that are wrong in a snapshot, and around the one that was picked."""
        self._wrong.put(points.positions[points.wrong])
        self._picked.put(points.positions[:0] if picked is None else points.positions[[picked]])

    def resize(self) -> None:
        """Make them as large as they are to be at the camera's present distance."""
        radius = MARKER * self._scale * pixel_size(self._renderer)
        for mapper in self._solids:
            mapper.SetScaleFactor(radius)
        for outlines in self._outlines:
            outlines.face(self._renderer.GetActiveCamera(), radius)

    def _add(self, plotter: "pv.Plotter", solid: "pv.DataSet", colour: Colour) -> Any:
        import pyvista as pv
        from vtkmodules.vtkRenderingCore import vtkGlyph3DMapper

        mapper: Any = vtkGlyph3DMapper()
        mapper.SetSourceData(solid)
        mapper.SetScaleModeToNoDataScaling()
        mapper.ScalarVisibilityOff()
        actor: Any = pv.Actor()
        actor.SetMapper(mapper)
        actor.prop.color = unit(colour)
        actor.prop.ambient = 0.35
        # They lie in the box, which has bounds enough; those of no points at all would be anything.
        actor.UseBoundsOff()
        plotter.add_actor(actor, reset_camera=False, render=False, pickable=False)
        self._solids.append(mapper)
        return mapper


@final
class Arrows:
    """The step from a point to the boundary in ink, its parts along and off the manifold in their hues.

    The part off the manifold begins where the part along it ends, so that the three make a triangle. They are seen
    through everything.
    """

    def __init__(self, plotter: "pv.Plotter", scale: int = 1) -> None:
        self._scale, self._renderer = scale, plotter.renderer
        self._size = 0.0
        self._ways: list[tuple[Reals, Reals]] = []
        self._actors: list[Any] = []
        for colour in (INK, ALONG, OFF):
            actor: Any = plotter.add_mesh(
                nothing((0.0, 0.0, 0.0)), color=unit(colour), scalars=None, ambient=0.5, pickable=False,
                reset_camera=False, render=False,
            )  # fmt: skip
            actor.mapper.SetResolveCoincidentTopologyToPolygonOffset()
            actor.mapper.SetRelativeCoincidentTopologyPolygonOffsetParameters(0, -66000)
            actor.SetVisibility(False)
            # A step may lead far out of the box, and the camera is not to follow it.
            actor.UseBoundsOff()
            self._actors.append(actor)
        plotter.renderer.AddObserver("StartEvent", lambda *_: self.resize())

    @property
    def tips(self) -> list[Reals]:
        """Where the three arrows end; none while there are no arrows."""
        return [start + way for start, way in self._ways]

    def show(self, start: Reals, whole: Reals, on: Reals, off: Reals) -> None:
        """Draw them from a point `(3,)`; nothing where the step is nan."""
        self._ways = [] if np.isnan(whole).any() else [(start, whole), (start, on), (start + on, off)]
        self._size = 0.0
        self.resize()

    def hide(self) -> None:
        """Draw none."""
        self._ways = []
        for actor in self._actors:
            actor.SetVisibility(False)

    def resize(self) -> None:
        """Make them as thick as they are to be at the camera's present distance."""
        size = SHAFT * self._scale * pixel_size(self._renderer)
        if not self._ways or math.isclose(size, self._size, rel_tol=1e-3):
            return
        self._size = size
        for actor, (start, way) in zip(self._actors, self._ways, strict=True):
            shape = arrow(start, way, size)
            actor.SetVisibility(shape is not None)
            if shape is not None:
                actor.mapper.SetInputDataObject(shape)


def arrow(start: Reals, way: Reals, radius: float) -> "pv.PolyData | None":
    """An arrow from a point along a vector to exactly its end, as thick as `radius` says; None for no way at all."""
    import pyvista as pv

    length = float(np.linalg.norm(way))
    if length < 1e-9 * max(float(np.abs(start).max()), radius):
        return None
    along = way / length
    side = np.cross(along, np.eye(3)[int(np.abs(along).argmin())])
    side = side / np.linalg.norm(side)
    tip = min(6 * radius, 0.6 * length)
    shaft, head = min(radius, 0.2 * tip), min(2.5 * radius, 0.5 * tip)
    # A profile turned about the arrow: how far along, and how far from its axis.
    profile = np.array([(0.0, 0.0), (0.0, shaft), (length - tip, shaft), (length - tip, head), (length, 0.0)])
    angles = np.linspace(0, 2 * np.pi, SIDES, endpoint=False)
    outwards = np.outer(np.cos(angles), side) + np.outer(np.sin(angles), np.cross(along, side))
    rings = start + profile[:, :1, None] * along + profile[:, 1:, None] * outwards
    a = np.arange((len(profile) - 1) * SIDES)
    b = a - a % SIDES + (a + 1) % SIDES
    faces = np.stack([a, b, b + SIDES, a + SIDES], axis=1)
    shape: pv.PolyData = pv.PolyData.from_regular_faces(rings.reshape(-1, 3), faces)
    return shape
