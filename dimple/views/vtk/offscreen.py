"""Off-screen rendering of 3-D scenes with VTK.

A scene is built once. To show another snapshot replaces the input of a mapper and renders again.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dimple.views.content.camera import VIEW_ANGLE, Camera
from dimple.views.content.frame import CrossSection, Drawing, Frame
from dimple.views.drawing.insets import Rectangle
from dimple.views.style.colors import BACKGROUND_COLOR, FOREGROUND_COLOR
from dimple.views.style.fonts import load_font
from dimple.views.style.markers import HIDDEN_OUTLINE_DEPTH, draw_marker, paste_marker
from dimple.views.vtk.class_regions3d import find_side_regions
from dimple.views.vtk.polydata import cross_section_line, unit_rgb
from dimple.views.vtk.surfaces import SceneSurfaces

if TYPE_CHECKING:
    import pyvista as pv

# A position whose depth is less than this fraction of the box behind the surface counts as visible on it.
SURFACE_DEPTH_TOLERANCE = 0.03
# A point that lies behind a surface by more than this fraction of the box is hidden.
HIDDEN_TOLERANCE = 0.004


@final
class OffscreenRenderer:
    """An off-screen plotter with one scene, and the line in which a plane cuts the boundary.

    Args:
        frame: the first frame. Its box and manifold are those of every frame.
        size: width and height of the image in pixels.
    """

    def __init__(self, frame: Frame, size: tuple[int, int]) -> None:
        import pyvista as pv

        self.size = size
        self.plotter: pv.Plotter = pv.Plotter(off_screen=True, window_size=list(size), lighting="none")
        self.plotter.set_background(unit_rgb(BACKGROUND_COLOR))  # type: ignore[arg-type]
        # Without a graphics card multisampling triples the render time, and images with translucent layers stay blank.
        self.plotter.disable_anti_aliasing()
        self._surfaces = SceneSurfaces(self.plotter, frame)

    def set_camera(self, camera: Camera, drawing: Drawing) -> None:
        """Move the camera, and show the edges of the box that lie behind its content."""
        view = self.plotter.camera
        view.position = tuple(camera.position.tolist())
        view.focal_point = tuple(camera.focal_point.tolist())
        view.up = tuple(camera.up.tolist())
        view.view_angle = VIEW_ANGLE
        radius = float(np.linalg.norm(np.array(drawing.high) - drawing.low)) / 2
        distance = float(np.linalg.norm(camera.position - camera.focal_point))
        clipping_range = (max(distance - 1.05 * radius, 0.01 * distance), distance + 1.05 * radius)
        view.clipping_range = clipping_range
        self._surfaces.show_box(drawing, camera)
        view.clipping_range = clipping_range

    def show(self, boundary: "pv.PolyData", cross_section: CrossSection | None = None) -> None:
        """Replace the boundary by that of another snapshot; draw its cut by `cross_section` as a line."""
        self._surfaces.show(boundary, None if cross_section is None else cross_section_line(cross_section))

    def render(self) -> tuple[Image.Image, "DepthBuffer"]:
        """Return the image that the camera sees, and the depth of its pixels along the camera's direction."""
        from vtkmodules.util.numpy_support import vtk_to_numpy
        from vtkmodules.vtkCommonCore import vtkFloatArray

        window = self.plotter.render_window
        assert window is not None
        # A screenshot alone would return the previous render.
        window.Render()
        pixels = self.plotter.screenshot(return_img=True)
        buffer = vtkFloatArray()
        width, height = self.size
        window.GetZbufferData(0, 0, width - 1, height - 1, buffer)
        near, far = self.plotter.camera.clipping_range
        depth = DepthBuffer(vtk_to_numpy(buffer).reshape(height, width)[::-1], near, far)
        return Image.fromarray(np.asarray(pixels)), depth

    def close(self) -> None:
        """Free the plotter and what it holds in the graphics memory."""
        self.plotter.close()


@final
class DepthBuffer:
    """The depth of every pixel of an image, computed on indexing and only for the indexed pixels.

    Args:
        z_buffer: `(height, width)`, as VTK stores it: 0 at the near and 1 at the far clipping plane.
        near, far: the depths of these planes, in units of the scene.

    Attributes:
        shape: `(height, width)`.
    """

    def __init__(self, z_buffer: NDArray[np.float32], near: float, far: float) -> None:
        self.shape = z_buffer.shape
        self._z_buffer = z_buffer
        self._near = near
        self._far = far

    def __getitem__(self, pixels: tuple[Any, Any]) -> NDArray[np.floating[Any]]:
        stored = self._z_buffer[pixels]
        return np.asarray(self._near * self._far / (self._far - stored * (self._far - self._near)))


def draw_points(
    image: Image.Image, depth: DepthBuffer | NDArray[np.floating[Any]], drawing: Drawing, camera: Camera, size: int = 11
) -> bool:
    """Draw the points on an image of a 3-D scene: filled where visible, as outlines a little behind a surface.

    Points farther behind a surface than `HIDDEN_OUTLINE_DEPTH` are left out, unless they have images.

    Args:
        image: changed in place.
        depth: of the surfaces, for each pixel of `image` or of an integer multiple of its size.
        drawing: its points and its box.
        size: of a marker in pixels.

    Returns:
        True if some points are drawn as outlines.
    """
    points = drawing.points
    if len(points.positions) == 0:
        return False
    factor = depth.shape[0] // image.height
    pixels, point_depths = camera.project(points.positions, image.size)
    column = np.clip((pixels[:, 0] * factor).astype(int), 0, depth.shape[1] - 1)
    row = np.clip((pixels[:, 1] * factor).astype(int), 0, depth.shape[0] - 1)
    hidden_by = (point_depths - depth[row, column]) / drawing.longest_side
    is_drawn = (hidden_by < HIDDEN_OUTLINE_DEPTH) | bool(points.images)
    is_hidden = hidden_by > HIDDEN_TOLERANCE
    for k in np.argsort(-point_depths):
        if is_drawn[k]:
            tile = draw_marker(int(points.labels[k]), size, bool(points.misclassified[k]), hidden=bool(is_hidden[k]))
            paste_marker(image, tile, *pixels[k])
    return bool((is_drawn & is_hidden).any())


def draw_side_names(
    image: Image.Image, depth: DepthBuffer, drawing: Drawing, camera: Camera, size: int, occupied: Sequence[Rectangle]
) -> None:
    """Write the names of classes on the sides of the box where nothing hides them.

    Args:
        image, depth: as in `draw_points`.
        size: of the letters in pixels.
        occupied: rectangles (left, top, right, bottom) in pixels that names must not cover.
    """
    factor = depth.shape[0] // image.height
    canvas = ImageDraw.Draw(image)
    font = load_font(size, bold=True)
    extent = drawing.high[0] - drawing.low[0]
    last_pixel = np.array(depth.shape[::-1]) - 1
    stroke_width = max(2, size // 6)
    for region in find_side_regions(drawing, camera.position):
        pixels, name_depths = camera.project(region.positions, image.size)
        column, row = np.clip((pixels * factor).astype(int), 0, last_pixel).T
        free = name_depths - depth[row, column] < SURFACE_DEPTH_TOLERANCE * extent
        for left, top, right, bottom in occupied:
            inside = (pixels > (left - 2 * size, top - size)) & (pixels < (right + 2 * size, bottom + size))
            free &= ~inside.all(1)
        if free.any():
            x, y = pixels[int(free.argmax())].tolist()
            canvas.text(
                (x, y), region.name, FOREGROUND_COLOR, font, anchor="mm",
                stroke_width=stroke_width, stroke_fill=BACKGROUND_COLOR,
            )  # fmt: skip
