"""Renderer for the drawings of a run, one after another: with Pillow in the plane and with VTK in space."""

from typing import final

from PIL import Image

from dimple.views.content.camera import default_camera
from dimple.views.content.frame import Frame
from dimple.views.drawing.insets import place_insets
from dimple.views.drawing.plane import draw_plane
from dimple.views.style.colors import BACKGROUND_COLOR

# Drawings in space are rendered at this multiple of their size and then reduced.
SUPERSAMPLING = 2


@final
class DrawingRenderer:
    """Renderer for the drawings of the frames of one run.

    Args:
        first_frame: the first frame.
        size: width and height of the pictures in pixels.
        scale: scale of text and markers.
        padding: free space around a drawing of the plane, left, top, right and bottom, in pixels at scale 1.

    Attributes:
        has_outlines: whether some points of the last drawing are outlines, because the boundary hides them.

    Raises:
        DeviceError: for a scene in space, if no OpenGL library can render.
    """

    def __init__(
        self, first_frame: Frame, size: tuple[int, int], scale: float, padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    ) -> None:
        self._size = size
        self._scale = scale
        self._padding = padding
        self._offscreen_renderer = None
        self.has_outlines = False
        if first_frame.drawing.ambient_dim == 3:
            from dimple.views.vtk.offscreen import OffscreenRenderer
            from dimple.views.vtk.opengl import require_rendering

            require_rendering()
            large_size = (SUPERSAMPLING * size[0], SUPERSAMPLING * size[1])
            self._offscreen_renderer = OffscreenRenderer(first_frame, large_size)

    def draw(self, frame: Frame, azimuth: float = 0.0) -> Image.Image:
        """Return the picture of a frame; `azimuth` rotates the camera of a scene in space, in degrees."""
        if self._offscreen_renderer is None:
            return self._draw_plane(frame)
        from dimple.views.vtk.offscreen import draw_points, draw_side_names
        from dimple.views.vtk.polydata import boundary_polydata

        camera = default_camera(frame.drawing, frame.cross_section.plane if frame.cross_section else None, azimuth)
        self._offscreen_renderer.set_camera(camera, frame.drawing)
        self._offscreen_renderer.show(boundary_polydata(frame), frame.cross_section)
        large, depth = self._offscreen_renderer.render()
        picture = large.reduce(SUPERSAMPLING)
        size = max(1, round(11 * self._scale))
        self.has_outlines = draw_points(picture, depth, frame.drawing, camera, size)
        pixels, _ = camera.project(frame.drawing.points.positions, picture.size)
        insets = place_insets(frame.drawing.points, pixels, picture.size, 5 * size)
        if frame.drawing.class_regions is not None:
            draw_side_names(picture, depth, frame.drawing, camera, size + 2, [inset.rectangle for inset in insets])
        for inset in insets:
            inset.paste(picture)
        return picture

    def _draw_plane(self, frame: Frame) -> Image.Image:
        left, top, right, bottom = (round(length * self._scale) for length in self._padding)
        size = (self._size[0] - left - right, self._size[1] - top - bottom)
        picture = Image.new("RGB", self._size, BACKGROUND_COLOR)
        picture.paste(draw_plane(frame.drawing, size, max(1, round(13 * self._scale))), (left, top))
        return picture

    def close(self) -> None:
        """Free the resources of VTK."""
        if self._offscreen_renderer is not None:
            self._offscreen_renderer.close()
