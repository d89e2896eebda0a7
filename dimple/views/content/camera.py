"""A fixed look into a box of space, and where on the picture its points land."""

import dataclasses
import math
from typing import Any, final

import numpy as np

from dimple.views.content.frame import Drawing, Plane, Reals

# A narrow angle: depth can be told, yet near parts look hardly larger than far ones.
VIEW_ANGLE = 24.0
# The height of a look at a floor, of the floor's longer side.
FLOOR_ROOM = 1.12
# How many times the step fits into the height of a close look at it.
CLOSE = 6.0


@final
@dataclasses.dataclass(frozen=True)
class Camera:
    """A perspective camera.

    Attributes:
        position: where it stands, `(3,)`.
        focus: what it looks at, `(3,)`.
        up: a direction that appears upwards, `(3,)`.
    """

    position: Reals
    focus: Reals
    up: Reals

    @property
    def forward(self) -> Reals:
        """The unit direction of sight."""
        sight = self.focus - self.position
        return np.asarray(sight / np.linalg.norm(sight), dtype=np.float64)

    def project(self, points: Reals, size: tuple[int, int]) -> tuple[Reals, Reals]:
        """The pixels `(N, 2)`, y downwards, where points `(N, 3)` appear on a picture, and their depths `(N,)`."""
        right = np.cross(self.forward, self.up)
        right = right / np.linalg.norm(right)
        up = np.cross(right, self.forward)
        offset = points - self.position
        depth = offset @ self.forward
        focal = size[1] / 2 / math.tan(math.radians(VIEW_ANGLE / 2))
        x = size[0] / 2 + focal * (offset @ right) / depth
        y = size[1] / 2 - focal * (offset @ up) / depth
        return np.stack([x, y], axis=1), np.asarray(depth)


def camera_of(view: Any) -> Camera:
    """Where a camera of VTK stands."""
    parts = (view.GetPosition(), view.GetFocalPoint(), view.GetViewUp())
    return Camera(*(np.array(part, dtype=np.float64) for part in parts))


def look(drawing: Drawing, plane: Plane | None, turn: float = 0.0) -> Camera:
    """The camera for a drawing in space: framed on its box, looking at the section plane from its front right, above.

    The distance depends on the box alone, never on what a snapshot shows in it, so nothing jumps during a film. The
    box's nearest corners may leave the picture: fitted in whole it would leave the manifold, which fills about half
    of it, too small to show a dimple.

    Args:
        plane: its axes give right and up; without one the third axis of space is up.
        turn: degrees by which the camera has gone round the upward axis.
    """
    low, high = np.array(drawing.low), np.array(drawing.high)
    axes = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]) if plane is None else plane.axes
    right, up = axes
    front = np.cross(right, up)
    angle = math.radians(30.0 + turn)
    direction = math.cos(angle) * front + math.sin(angle) * right + 0.45 * up
    # Classes fill the whole box, and their rooms end at its sides.
    room = 1.12 if drawing.classes is None else 1.72
    distance = room * float((high - low).max()) / 2 / math.tan(math.radians(VIEW_ANGLE / 2))
    focus = (low + high) / 2
    return Camera(focus + distance * direction / np.linalg.norm(direction), focus, up)


def look_down(drawing: Drawing) -> Camera:
    """The camera for a drawing of the plane that is laid on the floor: straight from above, framed on its box."""
    low, high = np.array(drawing.low), np.array(drawing.high)
    focus = (low + high) / 2
    distance = FLOOR_ROOM * float((high - low).max()) / 2 / math.tan(math.radians(VIEW_ANGLE / 2))
    return Camera(focus + distance * np.array([0.0, 0.0, 1.0]), focus, np.array([0.0, 1.0, 0.0]))


def close_look(start: Reals, on: Reals, off: Reals, before: Camera) -> Camera:
    """The camera that sees a step and its two parts in their true lengths, upright, from the side it stood on before.

    Args:
        start: where the step begins, `(3,)`.
        on, off: its parts, `(3,)`, the second one upright in the picture; where one of them is nothing, the camera
            stays as much on its side as it can.
        before: where it looked from.
    """
    whole = on + off
    length = float(np.linalg.norm(whole))
    up = off if np.linalg.norm(off) > 1e-6 * length else whole
    up = up / np.linalg.norm(up)
    along = on - (on @ up) * up
    straight = np.linalg.norm(along) < 1e-3 * length
    side = (before.forward @ up) * up - before.forward if straight else np.cross(along, up)
    if np.linalg.norm(side) < 1e-9 * length:
        side = np.cross(up, np.eye(3)[int(np.abs(up).argmin())])
    side = side / np.linalg.norm(side)
    side = side if side @ before.forward <= 0 else -side
    up = up if up @ before.up >= 0 else -up
    distance = CLOSE * length / 2 / math.tan(math.radians(VIEW_ANGLE / 2))
    focus = start + whole / 2
    return Camera(focus + distance * side, focus, up)
