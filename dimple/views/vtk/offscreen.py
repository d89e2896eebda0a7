"""Scenes in space, drawn by VTK: made once, then a snapshot costs one change of a mapper's input and a render."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dimple.views.content.camera import VIEW_ANGLE, Camera
from dimple.views.content.frame import Drawing, Frame, Section
from dimple.views.drawing.insets import Rectangle
from dimple.views.style.colors import INK, PAPER
from dimple.views.style.fonts import font
from dimple.views.style.markers import GHOST_DEPTH, marker, stamp
from dimple.views.vtk.class_regions3d import named_parts
from dimple.views.vtk.polydata import section_line, unit
from dimple.views.vtk.surfaces import Scenery

if TYPE_CHECKING:
    import pyvista as pv

# What lies no deeper than this share of the box is on the surface.
SEEN = 0.03


@final
class Space:
    """A plotter off the screen with one scene, and the line in which a section cuts its boundary.

    Args:
        frame: the first frame; its box and manifold are those of the whole film.
        size: pixels of the picture, width and height.
    """

    def __init__(self, frame: Frame, size: tuple[int, int]) -> None:
        import pyvista as pv

        self.size = size
        self.plotter: pv.Plotter = pv.Plotter(off_screen=True, window_size=list(size), lighting="none")
        self.plotter.set_background(unit(PAPER))  # type: ignore[arg-type]
        # Multisampling triples the time of a render without a graphics card, and blanks it with translucent layers.
        self.plotter.disable_anti_aliasing()
        self._scenery = Scenery(self.plotter, frame)

    def look_through(self, camera: Camera, drawing: Drawing) -> None:
        """Move the camera, and show those edges of the box that lie behind everything in it."""
        view = self.plotter.camera
        view.position = tuple(camera.position.tolist())
        view.focal_point = tuple(camera.focus.tolist())
        view.up = tuple(camera.up.tolist())
        view.view_angle = VIEW_ANGLE
        reach = float(np.linalg.norm(np.array(drawing.high) - drawing.low)) / 2
        distance = float(np.linalg.norm(camera.position - camera.focus))
        view.clipping_range = (max(distance - 1.05 * reach, 0.01 * distance), distance + 1.05 * reach)
        self._scenery.enclose(drawing, camera)
        view.clipping_range = (max(distance - 1.05 * reach, 0.01 * distance), distance + 1.05 * reach)

    def show(self, boundary: "pv.PolyData", section: Section | None = None) -> None:
        """Swap the boundary for that of another snapshot; `section` draws its cut as a line on the surface."""
        self._scenery.show(boundary, None if section is None else section_line(section))

    def picture(self) -> tuple[Image.Image, "Depths"]:
        """What the camera sees, and the depths of its pixels along the line of sight."""
        from vtkmodules.util.numpy_support import vtk_to_numpy
        from vtkmodules.vtkCommonCore import vtkFloatArray

        window = self.plotter.render_window
        assert window is not None
        # A screenshot alone would show the last render again.
        window.Render()
        pixels = self.plotter.screenshot(return_img=True)
        buffer = vtkFloatArray()
        width, height = self.size
        window.GetZbufferData(0, 0, width - 1, height - 1, buffer)
        near, far = self.plotter.camera.clipping_range
        depths = Depths(vtk_to_numpy(buffer).reshape(height, width)[::-1], near, far)
        return Image.fromarray(np.asarray(pixels)), depths

    def close(self) -> None:
        """Free the plotter and what it holds in the graphics memory."""
        self.plotter.close()


@final
class Depths:
    """The depth of every pixel `(height, width)`, worked out for those that are asked for: there are millions.

    Args:
        stored: as VTK keeps it, 0 at the near and 1 at the far end of what the camera sees.
        near, far: the depths of these ends.
    """

    def __init__(self, stored: NDArray[np.float32], near: float, far: float) -> None:
        self.shape = stored.shape
        self._stored, self._near, self._far = stored, near, far

    def __getitem__(self, pixels: tuple[Any, Any]) -> NDArray[np.floating[Any]]:
        stored = self._stored[pixels]
        return np.asarray(self._near * self._far / (self._far - stored * (self._far - self._near)))


def stamp_points(
    picture: Image.Image, depth: Depths | NDArray[np.floating[Any]], drawing: Drawing, camera: Camera, size: int = 11
) -> None:
    """Put the points on a picture of space: whole where they are seen, in outline where they sit under a bump.

    Args:
        depth: of the surfaces in each pixel of `picture`, or of a whole multiple of its size.
    """
    points = drawing.points
    if len(points.positions) == 0:
        return
    factor = depth.shape[0] // picture.height
    pixels, away = camera.project(points.positions, picture.size)
    column = np.clip((pixels[:, 0] * factor).astype(int), 0, depth.shape[1] - 1)
    row = np.clip((pixels[:, 1] * factor).astype(int), 0, depth.shape[0] - 1)
    hidden_by = (away - depth[row, column]) / drawing.side
    for at in np.argsort(-away):
        if hidden_by[at] < GHOST_DEPTH or points.pictures:
            tile = marker(int(points.classes[at]), size, bool(points.wrong[at]), ghost=bool(hidden_by[at] > 0.004))
            stamp(picture, tile, *pixels[at])


def stamp_names(
    picture: Image.Image, depth: Depths, drawing: Drawing, camera: Camera, size: int, taken: Sequence[Rectangle]
) -> None:
    """Write the names of classes on the sides of the box, where nothing hides them; see `stamp_points`.

    Args:
        taken: left, top, right and bottom of what must stay readable.
    """
    factor, pen, letters = depth.shape[0] // picture.height, ImageDraw.Draw(picture), font(size, bold=True)
    extent, most = drawing.high[0] - drawing.low[0], np.array(depth.shape[::-1]) - 1
    for part in named_parts(drawing, camera.position):
        pixels, away = camera.project(part.places, picture.size)
        column, row = np.clip((pixels * factor).astype(int), 0, most).T
        seen = away - depth[row, column] < SEEN * extent
        for left, top, right, bottom in taken:
            inside = (pixels > (left - 2 * size, top - size)) & (pixels < (right + 2 * size, bottom + size))
            seen &= ~inside.all(1)
        if seen.any():
            x, y = pixels[int(seen.argmax())].tolist()
            pen.text((x, y), part.name, INK, letters, anchor="mm", stroke_width=max(2, size // 6), stroke_fill=PAPER)
