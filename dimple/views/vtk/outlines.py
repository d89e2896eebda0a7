"""Flat rings around points in space that always face the camera, and stand in front of what hides a point by little."""

import math
from typing import TYPE_CHECKING, Any, final

import numpy as np

from dimple.views.content.frame import Reals
from dimple.views.style.colors import Colour
from dimple.views.vtk.polydata import unit

if TYPE_CHECKING:
    import pyvista as pv


@final
class Outlines:
    """Rings of one kind: whole around a marker that is seen, hollow where a surface lies between.

    Args:
        inner, outer: radii, in radii of a marker.
        corners: of the ring; many for a round one.
        reach: how much nearer to the camera than their points they stand.
    """

    def __init__(
        self, plotter: "pv.Plotter", colour: Colour, inner: float, outer: float, corners: int, reach: float
    ) -> None:
        import pyvista as pv
        from vtkmodules.vtkRenderingCore import vtkGlyph3DMapper

        self._reach = reach
        self._shape, self._cloud = ring(inner, outer, corners), pv.PolyData()
        self._flat = np.array(self._shape.points, dtype=np.float64)
        self._places: Reals = np.zeros((0, 3))
        self._seen: tuple[float, ...] = ()
        self._mapper: Any = vtkGlyph3DMapper()
        self._mapper.SetSourceData(self._shape)
        self._mapper.SetScaleModeToNoDataScaling()
        self._mapper.ScalarVisibilityOff()
        actor: Any = pv.Actor()
        actor.SetMapper(self._mapper)
        actor.prop.color = unit(colour)
        actor.prop.lighting = False
        actor.UseBoundsOff()
        plotter.add_actor(actor, reset_camera=False, render=False, pickable=False)

    def put(self, places: Reals) -> None:
        """Around which points `(N, 3)`."""
        import pyvista as pv

        self._places, self._seen = places, ()
        # A copy, as what is moved would else be the points themselves.
        self._cloud = pv.PolyData(np.array(places)) if len(places) else pv.PolyData()
        self._mapper.SetInputDataObject(self._cloud)

    def face(self, camera: Any, radius: float) -> None:
        """Turn them to a camera of VTK, for markers of this radius."""
        seen = (*camera.GetPosition(), *camera.GetFocalPoint(), *camera.GetViewUp(), radius)
        if seen == self._seen or len(self._places) == 0:
            return
        self._seen = seen
        eye, forward = np.array(camera.GetPosition()), np.array(camera.GetDirectionOfProjection())
        right = np.cross(forward, camera.GetViewUp())
        right = right / np.linalg.norm(right)
        move(self._shape, self._flat @ np.stack([right, np.cross(right, forward), -forward]))
        reach = min(self._reach, camera.GetDistance() / 2)
        # What is nearer looks larger.
        self._mapper.SetScaleFactor(radius * (1 - reach / camera.GetDistance()))
        sight = self._places - eye
        move(self._cloud, self._places - reach * sight / np.linalg.norm(sight, axis=1, keepdims=True))


def move(shape: "pv.PolyData", places: Reals) -> None:
    """Put the points of a shape elsewhere; a new shape before every picture would take several times as long."""
    np.asarray(shape.points)[:] = places
    shape.GetPoints().Modified()
    shape.Modified()


def ring(inner: float, outer: float, corners: int) -> "pv.PolyData":
    """A flat ring between two radii, round or of few corners, one of which points upwards.

    Example:
        >>> bool(abs(ring(1.0, 2.0, 100).area / (3 * 3.14159) - 1) < 1e-3)
        True
    """
    import pyvista as pv

    angles = math.pi / 2 + np.linspace(0.0, 2 * math.pi, corners, endpoint=False)
    edge = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    faces = [[a, b, b + corners, a + corners] for a in range(corners) for b in [(a + 1) % corners]]
    flat: pv.PolyData = pv.PolyData.from_regular_faces(np.concatenate([inner * edge, outer * edge]), faces)
    return flat
