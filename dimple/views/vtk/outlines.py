"""Flat rings around points in space that face the camera.

The rings lie a little nearer to the camera than their points, so that they stay visible where a surface covers a point.
"""

import math
from typing import TYPE_CHECKING, Any, final

import numpy as np

from dimple.views.content.frame import FloatArray
from dimple.views.style.colors import Color
from dimple.views.vtk.polydata import unit_rgb

if TYPE_CHECKING:
    import pyvista as pv


@final
class Outlines:
    """Rings of one shape and color, around a visible marker or in place of a hidden one.

    Args:
        plotter: the rings go into its active renderer.
        color: of the rings.
        inner_radius, outer_radius: in marker radii.
        num_corners: of the ring; many for a round one.
        camera_offset: distance from a point to its ring, towards the camera, in units of the scene.
    """

    def __init__(
        self,
        plotter: "pv.Plotter",
        color: Color,
        inner_radius: float,
        outer_radius: float,
        num_corners: int,
        camera_offset: float,
    ) -> None:
        import pyvista as pv
        from vtkmodules.vtkRenderingCore import vtkGlyph3DMapper

        self._camera_offset = camera_offset
        self._ring = make_ring(inner_radius, outer_radius, num_corners)
        self._cloud = pv.PolyData()
        self._local_points = np.array(self._ring.points, dtype=np.float64)
        self._positions: FloatArray = np.zeros((0, 3))
        self._last_view: tuple[float, ...] = ()
        self._mapper: Any = vtkGlyph3DMapper()
        self._mapper.SetSourceData(self._ring)
        self._mapper.SetScaleModeToNoDataScaling()
        self._mapper.ScalarVisibilityOff()
        actor: Any = pv.Actor()
        actor.SetMapper(self._mapper)
        actor.prop.color = unit_rgb(color)
        actor.prop.lighting = False
        actor.UseBoundsOff()
        plotter.add_actor(actor, reset_camera=False, render=False, pickable=False)

    def set_positions(self, positions: FloatArray) -> None:
        """Put the rings around points `(N, 3)`."""
        import pyvista as pv

        self._positions = positions
        self._last_view = ()
        # A copy, because `face_camera` changes the coordinates in place.
        self._cloud = pv.PolyData(np.array(positions)) if len(positions) else pv.PolyData()
        self._mapper.SetInputDataObject(self._cloud)

    def face_camera(self, camera: Any, radius: float) -> None:
        """Turn the rings to a VTK camera and scale them.

        Args:
            camera: a `vtkCamera`.
            radius: of a marker, in units of the scene.
        """
        view = (*camera.GetPosition(), *camera.GetFocalPoint(), *camera.GetViewUp(), radius)
        if view == self._last_view or len(self._positions) == 0:
            return
        self._last_view = view
        eye = np.array(camera.GetPosition())
        forward = np.array(camera.GetDirectionOfProjection())
        right = np.cross(forward, camera.GetViewUp())
        right = right / np.linalg.norm(right)
        move_points(self._ring, self._local_points @ np.stack([right, np.cross(right, forward), -forward]))
        offset = min(self._camera_offset, camera.GetDistance() / 2)
        # A nearer ring would look larger than its marker.
        self._mapper.SetScaleFactor(radius * (1 - offset / camera.GetDistance()))
        sight = self._positions - eye
        move_points(self._cloud, self._positions - offset * sight / np.linalg.norm(sight, axis=1, keepdims=True))


def move_points(shape: "pv.PolyData", positions: FloatArray) -> None:
    """Move the points of a shape in place, which is several times faster than a new shape before every render."""
    np.asarray(shape.points)[:] = positions
    shape.GetPoints().Modified()
    shape.Modified()


def make_ring(inner_radius: float, outer_radius: float, num_corners: int) -> "pv.PolyData":
    """Return a flat ring between two radii, with one corner that points upwards.

    Example:
        >>> bool(abs(make_ring(1.0, 2.0, 100).area / (3 * 3.14159) - 1) < 1e-3)
        True
    """
    import pyvista as pv

    angles = math.pi / 2 + np.linspace(0.0, 2 * math.pi, num_corners, endpoint=False)
    edge = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    faces = [[a, b, b + num_corners, a + num_corners] for a in range(num_corners) for b in [(a + 1) % num_corners]]
    points = np.concatenate([inner_radius * edge, outer_radius * edge])
    ring: pv.PolyData = pv.PolyData.from_regular_faces(points, faces)
    return ring
