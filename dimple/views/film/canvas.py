"""The part of a picture that one drawing after another is drawn into: by Pillow in the plane, by VTK in space."""

from typing import final

from PIL import Image

from dimple.views.content.camera import look
from dimple.views.content.frame import Frame
from dimple.views.drawing.insets import insets
from dimple.views.drawing.plane import draw_plane
from dimple.views.style.colors import PAPER

SUPERSAMPLING = 2


@final
class Canvas:
    """Draws the drawings of frames of one run.

    Args:
        first: the first of the frames.
        size: in pixels.
        scale: of letters and markers.
        rim: what a drawing of the plane leaves free, left, top, right and bottom, before scaling.
    """

    def __init__(
        self, first: Frame, size: tuple[int, int], scale: float, rim: tuple[int, int, int, int] = (0, 0, 0, 0)
    ) -> None:
        self._size, self._scale, self._rim = size, scale, rim
        self._space = None
        if first.drawing.ambient_dim == 3:
            from dimple.views.vtk.offscreen import Space
            from dimple.views.vtk.opengl import require_rendering

            require_rendering()
            self._space = Space(first, (SUPERSAMPLING * size[0], SUPERSAMPLING * size[1]))

    def draw(self, frame: Frame, turn: float = 0.0) -> Image.Image:
        """The picture; `turn` is the camera's angle in degrees, for scenes in space."""
        if self._space is None:
            return self._plane(frame)
        from dimple.views.vtk.offscreen import stamp_names, stamp_points
        from dimple.views.vtk.polydata import boundary_of

        camera = look(frame.drawing, frame.section.plane if frame.section else None, turn)
        self._space.look_through(camera, frame.drawing)
        self._space.show(boundary_of(frame), frame.section)
        large, depth = self._space.picture()
        picture = large.reduce(SUPERSAMPLING)
        size = max(1, round(11 * self._scale))
        stamp_points(picture, depth, frame.drawing, camera, size)
        places, _ = camera.project(frame.drawing.points.positions, picture.size)
        tiles = insets(frame.drawing.points, places, picture.size, 5 * size)
        if frame.drawing.classes is not None:
            stamp_names(picture, depth, frame.drawing, camera, size + 2, [tile.box for tile in tiles])
        for tile in tiles:
            tile.paste(picture)
        return picture

    def _plane(self, frame: Frame) -> Image.Image:
        left, top, right, bottom = (round(part * self._scale) for part in self._rim)
        size = (self._size[0] - left - right, self._size[1] - top - bottom)
        picture = Image.new("RGB", self._size, PAPER)
        picture.paste(draw_plane(frame.drawing, size, max(1, round(13 * self._scale))), (left, top))
        return picture

    def close(self) -> None:
        """Free what VTK holds."""
        if self._space is not None:
            self._space.close()
