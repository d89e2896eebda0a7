"""Small images at fixed positions of a 3-D scene: names of classes in their regions, images at their points."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np
from PIL import Image, ImageDraw

from dimple.views.content.frame import FloatArray, Frame
from dimple.views.drawing.class_regions import name_positions
from dimple.views.drawing.insets import make_tile
from dimple.views.style.colors import BACKGROUND_COLOR, FOREGROUND_COLOR, class_color
from dimple.views.style.fonts import load_font
from dimple.views.vtk.class_regions3d import find_side_regions, is_visible_from

if TYPE_CHECKING:
    import pyvista as pv

# Pixels of a window at scale 1.
NAME_FONT_SIZE = 13
IMAGE_TILE_SIZE = 48
# Pixels to the left, above, to the right and below each point in which no name is placed.
NAME_CLEARANCE = (40.0, 80.0, 40.0, 12.0)
# Positions of a side region that are tried for its name.
MAX_NAME_POSITIONS = 12


@final
@dataclasses.dataclass(frozen=True)
class Billboard:
    """An image and the positions at which its center may be placed.

    Attributes:
        image: in RGBA, in pixels of the screen.
        positions: `(M, 3)` candidates, the best first. The image appears at the first one that is visible.
        vertical_offset: pixels by which the image is moved up from its position.
    """

    image: Image.Image
    positions: FloatArray
    vertical_offset: int = 0


def make_billboards(frame: Frame, scale: int = 1) -> list[Billboard]:
    """Return the class names and the images of a 3-D frame with class regions; an empty list without class regions.

    Args:
        frame: a frame in space, or one of the plane after `embed_frame_in_3d`.
        scale: pixels of the image for one of the window.
    """
    drawing = frame.drawing if frame.cross_section is None else frame.cross_section.drawing
    regions = drawing.class_regions
    points = frame.drawing.points
    if regions is None:
        return []
    side = IMAGE_TILE_SIZE * scale
    images = []
    if points.images:
        for pixels, name, label, position in zip(
            points.images, points.captions, points.labels, points.positions, strict=True
        ):
            tile = make_tile(pixels, name, class_color(int(label)), side)
            # The tile stays above the marker, however many lines the name has.
            images.append(Billboard(tile, position[None], round(tile.height / 2 + 0.25 * side)))
    if drawing.ambient_dim == 2:
        found = name_positions(drawing, regions, NAME_FONT_SIZE, NAME_CLEARANCE)
        names = [Billboard(_name_tile(name, scale), np.array([[*position, 0.0]])) for name, position in found]
    else:
        names = [
            Billboard(_name_tile(region.name, scale), region.select_positions(MAX_NAME_POSITIONS))
            for region in find_side_regions(drawing, None)
        ]
    return [*names, *images]


def _name_tile(text: str, scale: int) -> Image.Image:
    font = load_font(NAME_FONT_SIZE * scale, bold=True)
    stroke_width = 3 * scale
    left, top, right, bottom = font.getbbox(text, stroke_width=stroke_width)
    tile = Image.new("RGBA", (round(right - left), round(bottom - top)), (*BACKGROUND_COLOR, 0))
    ImageDraw.Draw(tile).text(
        (-left, -top), text, FOREGROUND_COLOR, font, stroke_width=stroke_width, stroke_fill=(*BACKGROUND_COLOR, 215)
    )
    return tile


@final
class BillboardOverlay:
    """The billboards of one renderer, placed anew before each render.

    Each billboard moves to the pixel of its first visible position, and is hidden when none is visible.
    """

    def __init__(self, renderer: "pv.Renderer") -> None:
        self._renderer: Any = renderer
        self._billboards: list[tuple[Billboard, Any]] = []
        self._frame: Frame | None = None
        self._renderer.AddObserver("StartEvent", lambda *_: self._update_positions())

    def show(self, frame: Frame, billboards: Sequence[Billboard]) -> None:
        """Replace the billboards by those of a frame."""
        import pyvista as pv
        from vtkmodules.vtkRenderingCore import vtkActor2D, vtkImageMapper

        for _, actor in self._billboards:
            self._renderer.RemoveViewProp(actor)
        self._billboards = []
        self._frame = frame
        for billboard in billboards:
            mapper = vtkImageMapper()
            mapper.SetColorWindow(255)
            mapper.SetColorLevel(127.5)
            image = pv.ImageData(dimensions=(*billboard.image.size, 1))
            image.point_data["pixels"] = np.asarray(billboard.image.convert("RGBA"))[::-1].reshape(-1, 4)
            mapper.SetInputData(image)
            actor = vtkActor2D()
            actor.SetMapper(mapper)
            actor.GetPositionCoordinate().SetCoordinateSystemToViewport()
            self._renderer.AddViewProp(actor)
            self._billboards.append((billboard, actor))

    def _update_positions(self) -> None:
        """Move every billboard to the pixel at which the camera now sees it."""
        if self._frame is None or not self._billboards:
            return
        viewer = np.array(self._renderer.GetActiveCamera().GetPosition())
        for billboard, actor in self._billboards:
            visible = np.flatnonzero(
                is_visible_from(self._frame.drawing, billboard.positions, viewer) | (billboard.vertical_offset > 0)
            )
            actor.SetVisibility(len(visible) > 0)
            if len(visible):
                self._renderer.SetWorldPoint(*billboard.positions[visible[0]], 1.0)
                self._renderer.WorldToView()
                x, y, _ = self._renderer.GetViewPoint()
                width, height = self._renderer.GetSize()
                left = (x + 1) / 2 * width - billboard.image.width / 2
                bottom = (y + 1) / 2 * height - billboard.image.height / 2 + billboard.vertical_offset
                actor.SetPosition(round(left), round(bottom))
