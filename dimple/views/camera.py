"""A fixed look into a box of space, and where on the picture its points land."""

import dataclasses
import math
from typing import final

import numpy as np

from dimple.views.frame import Drawing, Plane, Reals

# A narrow angle: depth can be told, yet near parts look hardly larger than far ones.
VIEW_ANGLE = 24.0


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
    distance = 1.12 * float((high - low).max()) / 2 / math.tan(math.radians(VIEW_ANGLE / 2))
    focus = (low + high) / 2
    return Camera(focus + distance * direction / np.linalg.norm(direction), focus, up)
