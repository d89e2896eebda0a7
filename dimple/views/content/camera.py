"""Perspective cameras, and the projection of points onto a picture."""

import dataclasses
import math
from typing import Any, final

import numpy as np

from dimple.views.content.frame import CrossSectionPlane, Drawing, FloatArray

# Vertical angle of view in degrees. It is narrow: depth stays visible, and near parts look hardly larger than far ones.
VIEW_ANGLE = 24.0
# Height of a picture of a plane seen from above, over the longest side of the box.
TOP_VIEW_HEIGHT_RATIO = 1.12
# Height of a close-up, over the length of the perturbation that it shows.
CLOSE_UP_HEIGHT_RATIO = 6.0


@final
@dataclasses.dataclass(frozen=True)
class Camera:
    """A perspective camera.

    Attributes:
        position: the center of projection, `(3,)`.
        focal_point: the point in the middle of the picture, `(3,)`.
        up: a direction that appears upwards, `(3,)`.
    """

    position: FloatArray
    focal_point: FloatArray
    up: FloatArray

    @property
    def forward(self) -> FloatArray:
        """The unit vector from the position to the focal point, `(3,)`."""
        sight = self.focal_point - self.position
        return np.asarray(sight / np.linalg.norm(sight), dtype=np.float64)

    def project(self, points: FloatArray, size: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
        """Return the pixels `(N, 2)` of points `(N, 3)` on a picture, y downwards, and their depths `(N,)`.

        Args:
            points: points in space.
            size: width and height of the picture in pixels.
        """
        right = np.cross(self.forward, self.up)
        right = right / np.linalg.norm(right)
        up = np.cross(right, self.forward)
        offset = points - self.position
        depth = offset @ self.forward
        focal_length = size[1] / 2 / math.tan(math.radians(VIEW_ANGLE / 2))
        x = size[0] / 2 + focal_length * (offset @ right) / depth
        y = size[1] / 2 - focal_length * (offset @ up) / depth
        return np.stack([x, y], axis=1), np.asarray(depth)


def camera_from_vtk(vtk_camera: Any) -> Camera:
    """Convert a camera of VTK."""
    vectors = (vtk_camera.GetPosition(), vtk_camera.GetFocalPoint(), vtk_camera.GetViewUp())
    return Camera(*(np.array(vector, dtype=np.float64) for vector in vectors))


def default_camera(drawing: Drawing, plane: CrossSectionPlane | None, azimuth: float = 0.0) -> Camera:
    """Return the camera for a drawing in space. It looks at the center of the box from the front, right and above.

    The distance depends on the box alone and not on the content of a snapshot, so the view does not jump during a film.
    The nearest corners of the box may lie outside the picture: if all of the box were inside, the manifold, which fills
    about half of it, would be too small to show a dimple.

    Args:
        drawing: the drawing.
        plane: the plane of the cross-section, whose axes point right and up; without one the third axis of space is up.
        azimuth: rotation of the camera about the upward axis, in degrees.
    """
    low = np.array(drawing.low)
    high = np.array(drawing.high)
    axes = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]) if plane is None else plane.axes
    right, up = axes
    front = np.cross(right, up)
    angle = math.radians(30.0 + azimuth)
    direction = math.cos(angle) * front + math.sin(angle) * right + 0.45 * up
    # Class regions fill all of the box, so the picture has to contain all of it.
    height_ratio = 1.12 if drawing.class_regions is None else 1.72
    distance = height_ratio * float((high - low).max()) / 2 / math.tan(math.radians(VIEW_ANGLE / 2))
    center = (low + high) / 2
    return Camera(center + distance * direction / np.linalg.norm(direction), center, up)


def top_view_camera(drawing: Drawing) -> Camera:
    """Return the camera for a drawing of the plane embedded in space: vertically above the center of the box."""
    low = np.array(drawing.low)
    high = np.array(drawing.high)
    center = (low + high) / 2
    distance = TOP_VIEW_HEIGHT_RATIO * float((high - low).max()) / 2 / math.tan(math.radians(VIEW_ANGLE / 2))
    return Camera(center + distance * np.array([0.0, 0.0, 1.0]), center, np.array([0.0, 1.0, 0.0]))


def close_up_camera(start: FloatArray, on_manifold: FloatArray, off_manifold: FloatArray, previous: Camera) -> Camera:
    """Return a camera that shows a perturbation and its two parts in their true lengths.

    The direction of view is orthogonal to both parts, and the camera stays on the same side as before.

    Args:
        start: start of the perturbation, `(3,)`.
        on_manifold: part along the manifold, `(3,)`.
        off_manifold: part off the manifold, `(3,)`; it is vertical in the picture. If one of the parts is zero, the
            direction of view changes as little as possible.
        previous: the camera before.
    """
    total = on_manifold + off_manifold
    length = float(np.linalg.norm(total))
    up = off_manifold if np.linalg.norm(off_manifold) > 1e-6 * length else total
    up = up / np.linalg.norm(up)
    horizontal = on_manifold - (on_manifold @ up) * up
    is_vertical = np.linalg.norm(horizontal) < 1e-3 * length
    side = (previous.forward @ up) * up - previous.forward if is_vertical else np.cross(horizontal, up)
    if np.linalg.norm(side) < 1e-9 * length:
        side = np.cross(up, np.eye(3)[int(np.abs(up).argmin())])
    side = side / np.linalg.norm(side)
    side = side if side @ previous.forward <= 0 else -side
    up = up if up @ previous.up >= 0 else -up
    distance = CLOSE_UP_HEIGHT_RATIO * length / 2 / math.tan(math.radians(VIEW_ANGLE / 2))
    middle = start + total / 2
    return Camera(middle + distance * side, middle, up)
