"""Small pictures that stay at places of a scene in space: names of classes in their rooms, images at their points."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np
from PIL import Image, ImageDraw

from dimple.views.content.frame import Frame, Reals
from dimple.views.drawing.class_regions import named_places
from dimple.views.drawing.insets import tile_of
from dimple.views.style.colors import INK, PAPER, class_colour
from dimple.views.style.fonts import font
from dimple.views.vtk.class_regions3d import named_parts, seen_from

if TYPE_CHECKING:
    import pyvista as pv

# Of letters and of images, in pixels of a window at scale 1.
LETTERS, IMAGE = 13, 48
# How many places of a part of a side are tried for its name.
CANDIDATES = 12


@final
@dataclasses.dataclass(frozen=True)
class Tag:
    """A picture, and the places `(M, 3)` where its middle may stand, the best first; `lift` pixels above."""

    picture: Image.Image
    places: Reals
    lift: int = 0


def tags_of(frame: Frame, scale: int = 1) -> list[Tag]:
    """The names and images of a frame with many classes, which may be one of the plane laid on a floor."""
    flat = frame.section.drawing if frame.section is not None else frame.drawing
    classes, points = flat.classes, frame.drawing.points
    if classes is None:
        return []
    side = IMAGE * scale
    images = []
    if points.pictures:
        for pixels, name, label, place in zip(
            points.pictures, points.names, points.classes, points.positions, strict=True
        ):
            tile = tile_of(pixels, name, class_colour(int(label)), side)
            # Above the marker, however many lines the name has.
            images.append(Tag(tile, place[None], round(tile.height / 2 + 0.25 * side)))
    if flat.ambient_dim == 2:
        found = named_places(flat, classes, LETTERS, (40.0, 80.0, 40.0, 12.0))
        names = [Tag(_name(name, scale), np.array([[*place, 0.0]])) for name, place in found]
    else:
        names = [Tag(_name(part.name, scale), part.some(CANDIDATES)) for part in named_parts(flat, None)]
    return [*names, *images]


def _name(text: str, scale: int) -> Image.Image:
    letters, rim = font(LETTERS * scale, bold=True), 3 * scale
    left, top, right, bottom = letters.getbbox(text, stroke_width=rim)
    tile = Image.new("RGBA", (round(right - left), round(bottom - top)), (*PAPER, 0))
    ImageDraw.Draw(tile).text((-left, -top), text, INK, letters, stroke_width=rim, stroke_fill=(*PAPER, 215))
    return tile


@final
class Tags:
    """The tags of one renderer; before each picture they go where their places are seen now, or away."""

    def __init__(self, renderer: "pv.Renderer") -> None:
        self._renderer: Any = renderer
        self._shown: list[tuple[Tag, Any]] = []
        self._frame: Frame | None = None
        self._renderer.AddObserver("StartEvent", lambda *_: self._place())

    def show(self, frame: Frame, tags: Sequence[Tag]) -> None:
        """Put these there instead of those before."""
        import pyvista as pv
        from vtkmodules.vtkRenderingCore import vtkActor2D, vtkImageMapper

        for _, actor in self._shown:
            self._renderer.RemoveViewProp(actor)
        self._shown, self._frame = [], frame
        for tag in tags:
            mapper, actor = vtkImageMapper(), vtkActor2D()
            mapper.SetColorWindow(255)
            mapper.SetColorLevel(127.5)
            image = pv.ImageData(dimensions=(*tag.picture.size, 1))
            image.point_data["pixels"] = np.asarray(tag.picture.convert("RGBA"))[::-1].reshape(-1, 4)
            mapper.SetInputData(image)
            actor.SetMapper(mapper)
            actor.GetPositionCoordinate().SetCoordinateSystemToViewport()
            self._renderer.AddViewProp(actor)
            self._shown.append((tag, actor))

    def _place(self) -> None:
        """Where they are seen from the camera's present place."""
        if self._frame is None or not self._shown:
            return
        viewer = np.array(self._renderer.GetActiveCamera().GetPosition())
        for tag, actor in self._shown:
            seen = np.flatnonzero(seen_from(self._frame.drawing, tag.places, viewer) | (tag.lift > 0))
            actor.SetVisibility(len(seen) > 0)
            if len(seen):
                self._renderer.SetWorldPoint(*tag.places[seen[0]], 1.0)
                self._renderer.WorldToView()
                x, y, _ = self._renderer.GetViewPoint()
                width, height = self._renderer.GetSize()
                left = (x + 1) / 2 * width - tag.picture.width / 2
                bottom = (y + 1) / 2 * height - tag.picture.height / 2 + tag.lift
                actor.SetPosition(round(left), round(bottom))
