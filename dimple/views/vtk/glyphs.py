"""Solid markers and arrows of a 3-D scene, which keep their size on the screen at every distance of the camera."""

import math
from typing import TYPE_CHECKING, Any, final

import numpy as np

from dimple.views.content.frame import FloatArray, PointSet
from dimple.views.style.colors import (
    BACKGROUND_COLOR,
    FOREGROUND_COLOR,
    OFF_MANIFOLD_COLOR,
    ON_MANIFOLD_COLOR,
    Color,
    class_color,
)
from dimple.views.vtk.outlines import Outlines
from dimple.views.vtk.polydata import empty_polydata, unit_rgb

if TYPE_CHECKING:
    import pyvista as pv

# Pixels of a window at scale 1.
MARKER_RADIUS = 6.0
SHAFT_RADIUS = 2.4
# Number of vertices around a sphere, a ring or an arrow.
ANGULAR_RESOLUTION = 20
# Inner and outer radius of rings, in marker radii. The outline of a marker and the pale seam around it are farther out
# where the marker is not a ball.
RIM_RADII = (0.72, 1.0)
SEAM_RADII = (1.0, 1.25)
# Dark rings around misclassified points and around the picked point.
MISCLASSIFIED_RING_RADII = (1.25, 1.55)
PICKED_RING_RADII = (1.6, 1.9)
# Circumradius of the octahedron, in marker radii.
OCTAHEDRON_RADIUS = 1.4


def pixel_size(renderer: "pv.Renderer") -> float:
    """Return the length of a pixel at the distance of the camera's focal point, in units of the scene."""
    camera = renderer.GetActiveCamera()
    height = max(renderer.GetSize()[1], 1)
    return float(2 * camera.GetDistance() * math.tan(math.radians(camera.GetViewAngle() / 2)) / height)


@final
class Markers:
    """The markers of points: a ball for class 0, an octahedron for class 1, a cube for other classes.

    Misclassified points and the picked point have a dark ring.

    Args:
        plotter: the markers go into its active renderer.
        points: their positions and labels stay the same; predictions may change.
        hidden_outline_depth: a point that lies behind a surface by less than this length is drawn as an outline.
        scale: pixels of the image for one of the window.
    """

    def __init__(self, plotter: "pv.Plotter", points: PointSet, hidden_outline_depth: float, scale: int = 1) -> None:
        import pyvista as pv

        self._scale = scale
        self._renderer = plotter.renderer
        self._glyph_mappers: list[Any] = []
        self._outlines: list[Outlines] = []

        def add_outlines(
            color: Color, radii: tuple[float, float], num_corners: int = ANGULAR_RESOLUTION, factor: float = 1.0
        ) -> Outlines:
            self._outlines.append(
                Outlines(plotter, color, factor * radii[0], factor * radii[1], num_corners, hidden_outline_depth)
            )
            return self._outlines[-1]

        solids = {
            0: pv.Sphere(radius=1.0, theta_resolution=ANGULAR_RESOLUTION, phi_resolution=ANGULAR_RESOLUTION),
            1: pv.PlatonicSolid("octahedron", radius=OCTAHEDRON_RADIUS),
        }
        for label in np.unique(points.labels).tolist():
            positions = points.positions[points.labels == label]
            solid = solids.get(label, pv.Cube(x_length=2.0, y_length=2.0, z_length=2.0))
            self._add_glyphs(plotter, solid, class_color(label)).SetInputDataObject(pv.PolyData(positions))
            shape = (ANGULAR_RESOLUTION, 1.0) if label == 0 else (4, OCTAHEDRON_RADIUS)
            add_outlines(class_color(label), RIM_RADII, *shape).set_positions(positions)
            add_outlines(BACKGROUND_COLOR, SEAM_RADII, *shape).set_positions(positions)
        self._misclassified_rings = add_outlines(FOREGROUND_COLOR, MISCLASSIFIED_RING_RADII)
        self._picked_ring = add_outlines(FOREGROUND_COLOR, PICKED_RING_RADII)
        self.show(points, None)
        plotter.renderer.AddObserver("StartEvent", lambda *_: self.resize())

    def show(self, points: PointSet, picked_index: int | None) -> None:
        """Put rings around the misclassified points of a snapshot and around the picked point."""
        self._misclassified_rings.set_positions(points.positions[points.misclassified])
        self._picked_ring.set_positions(
            points.positions[:0] if picked_index is None else points.positions[[picked_index]]
        )

    def resize(self) -> None:
        """Give the markers their size on the screen at the present distance of the camera."""
        radius = MARKER_RADIUS * self._scale * pixel_size(self._renderer)
        for mapper in self._glyph_mappers:
            mapper.SetScaleFactor(radius)
        for outlines in self._outlines:
            outlines.face_camera(self._renderer.GetActiveCamera(), radius)

    def _add_glyphs(self, plotter: "pv.Plotter", glyph: "pv.DataSet", color: Color) -> Any:
        import pyvista as pv
        from vtkmodules.vtkRenderingCore import vtkGlyph3DMapper

        mapper: Any = vtkGlyph3DMapper()
        mapper.SetSourceData(glyph)
        mapper.SetScaleModeToNoDataScaling()
        mapper.ScalarVisibilityOff()
        actor: Any = pv.Actor()
        actor.SetMapper(mapper)
        actor.prop.color = unit_rgb(color)
        actor.prop.ambient = 0.35
        # The box already gives the bounds of the scene, and the bounds of an empty point set are undefined.
        actor.UseBoundsOff()
        plotter.add_actor(actor, reset_camera=False, render=False, pickable=False)
        self._glyph_mappers.append(mapper)
        return mapper


@final
class Arrows:
    """Three arrows: the step from a point to the boundary, and its parts along and off the manifold.

    The part off the manifold starts at the end of the part along it, so that the three form a triangle. They are drawn
    in front of everything.
    """

    def __init__(self, plotter: "pv.Plotter", scale: int = 1) -> None:
        self._scale = scale
        self._renderer = plotter.renderer
        self._size = 0.0
        self._vectors: list[tuple[FloatArray, FloatArray]] = []
        self._actors: list[Any] = []
        for color in (FOREGROUND_COLOR, ON_MANIFOLD_COLOR, OFF_MANIFOLD_COLOR):
            actor: Any = plotter.add_mesh(
                empty_polydata((0.0, 0.0, 0.0)), color=unit_rgb(color), scalars=None, ambient=0.5, pickable=False,
                reset_camera=False, render=False,
            )  # fmt: skip
            actor.mapper.SetResolveCoincidentTopologyToPolygonOffset()
            actor.mapper.SetRelativeCoincidentTopologyPolygonOffsetParameters(0, -66000)
            actor.SetVisibility(False)
            # A step may end far outside the box, and the camera must not move back to show it.
            actor.UseBoundsOff()
            self._actors.append(actor)
        plotter.renderer.AddObserver("StartEvent", lambda *_: self.resize())

    @property
    def tips(self) -> list[FloatArray]:
        """The end points `(3,)` of the three arrows; an empty list while they are hidden."""
        return [start + vector for start, vector in self._vectors]

    def show(self, start: FloatArray, total: FloatArray, on_manifold: FloatArray, off_manifold: FloatArray) -> None:
        """Draw the arrows from a point `(3,)`; none if the step has nan."""
        self._vectors = (
            [] if np.isnan(total).any() else [(start, total), (start, on_manifold), (start + on_manifold, off_manifold)]
        )
        self._size = 0.0
        self.resize()

    def hide(self) -> None:
        """Draw no arrows."""
        self._vectors = []
        for actor in self._actors:
            actor.SetVisibility(False)

    def resize(self) -> None:
        """Give the arrows their thickness on the screen at the present distance of the camera."""
        size = SHAFT_RADIUS * self._scale * pixel_size(self._renderer)
        if not self._vectors or math.isclose(size, self._size, rel_tol=1e-3):
            return
        self._size = size
        for actor, (start, vector) in zip(self._actors, self._vectors, strict=True):
            shape = make_arrow(start, vector, size)
            actor.SetVisibility(shape is not None)
            if shape is not None:
                actor.mapper.SetInputDataObject(shape)


def make_arrow(start: FloatArray, vector: FloatArray, radius: float) -> "pv.PolyData | None":
    """Return an arrow from a point to exactly the end of a vector; None for a vector of length 0.

    Args:
        start, vector: `(3,)`.
        radius: of the shaft; smaller for a short arrow.
    """
    import pyvista as pv

    length = float(np.linalg.norm(vector))
    if length < 1e-9 * max(float(np.abs(start).max()), radius):
        return None
    along = vector / length
    side = np.cross(along, np.eye(3)[int(np.abs(along).argmin())])
    side = side / np.linalg.norm(side)
    tip = min(6 * radius, 0.6 * length)
    shaft = min(radius, 0.2 * tip)
    head = min(2.5 * radius, 0.5 * tip)
    # A surface of revolution. Each row of its profile has the position along the axis and the distance from it.
    profile = np.array([(0.0, 0.0), (0.0, shaft), (length - tip, shaft), (length - tip, head), (length, 0.0)])
    angles = np.linspace(0, 2 * np.pi, ANGULAR_RESOLUTION, endpoint=False)
    radial = np.outer(np.cos(angles), side) + np.outer(np.sin(angles), np.cross(along, side))
    rings = start + profile[:, :1, None] * along + profile[:, 1:, None] * radial
    a = np.arange((len(profile) - 1) * ANGULAR_RESOLUTION)
    b = a - a % ANGULAR_RESOLUTION + (a + 1) % ANGULAR_RESOLUTION
    faces = np.stack([a, b, b + ANGULAR_RESOLUTION, a + ANGULAR_RESOLUTION], axis=1)
    shape: pv.PolyData = pv.PolyData.from_regular_faces(rings.reshape(-1, 3), faces)
    return shape
