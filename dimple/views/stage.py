"""A whole frame as one picture: the scene, the section, the figures and the curves."""

import dataclasses
from types import TracebackType
from typing import final

import numpy as np
from PIL import Image, ImageDraw

from dimple.views.camera import look
from dimple.views.frame import Fact, Frame
from dimple.views.lettering import font
from dimple.views.markers import marker, stamp
from dimple.views.palette import (
    CLASSES,
    INK,
    MANIFOLD,
    MUTED,
    PAPER,
    RULE,
    Colour,
    class_colour,
    relief_colours,
    tint,
)
from dimple.views.plane import draw_plane
from dimple.views.strip import plot_strip

# The layout is made for this size and scaled to others.
SIZE = (1280, 720)
ASIDE = (802, 18, 1262, 552)
SUPERSAMPLING = 2

Rectangle = tuple[int, int, int, int]


@final
@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the parts of a picture lie: left, top, right and bottom, before scaling."""

    scene: Rectangle
    legend: tuple[int, int]
    curves: Rectangle


SPACE = Layout((0, 0, 790, 512), (26, 522), (0, 556, 1280, 720))
# The plane has no section, so the curves stand where it would, and the scene is as high as the picture.
PLANE = Layout((0, 0, 790, 672), (26, 686), (798, 188, 1268, 714))


@final
class Stage:
    """Draws the frames of one run, one after another; everything that stays the same is made once.

    Left is the scene. In space the boundary is opaque, pale where it runs along the grey manifold and blue or orange
    where it bulges away so that class 0 or class 1 reaches beyond the manifold; points under a bump show as outlines.
    Right are the figures, each beside its null, and below them a planar section through as many training points as
    lie in one plane, where the same dimples are seen in profile. Below run the curves with the cursor of the frame.
    Scenes of the plane have no section; the curves stand in its place.

    Args:
        size: of the pictures in pixels; what its shape leaves free around the layout stays blank.

    Example:
        >>> import numpy as np
        >>> from dimple.views.frame import Drawing, PointSet, Timeline
        >>> points = PointSet(np.zeros((1, 2)), np.zeros(1, dtype=np.int64))
        >>> timeline = Timeline(np.zeros(1, dtype=np.int64), ())
        >>> frame = Frame("empty", 0, 0, Drawing((), points, (-1.0, -1.0), (1.0, 1.0)), (), timeline)
        >>> with Stage(frame, (640, 400)) as stage:
        ...     stage.draw(frame).size
        (640, 400)
    """

    def __init__(self, first: Frame, size: tuple[int, int] = SIZE) -> None:
        self._space = None
        self._size = size
        self._scale = min(size[0] / SIZE[0], size[1] / SIZE[1])
        self._layout = SPACE if first.drawing.ambient_dim == 3 else PLANE
        self._scene_size = self._extent(self._layout.scene)
        if first.drawing.ambient_dim == 3:
            from dimple.views.rendering import require_rendering
            from dimple.views.space import Space

            require_rendering()
            width, height = self._scene_size
            self._space = Space(first, (SUPERSAMPLING * width, SUPERSAMPLING * height))
        stacked = self._layout is PLANE
        self._strip = plot_strip(first.timeline, self._extent(self._layout.curves), self._scale, stacked)

    def __enter__(self) -> "Stage":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._space is not None:
            self._space.close()

    def draw(self, frame: Frame, turn: float = 0.0) -> Image.Image:
        """The picture of a frame; `turn` is the camera's angle in degrees, for scenes in space."""
        picture = Image.new("RGB", (self._px(SIZE[0]), self._px(SIZE[1])), PAPER)
        self._paste(picture, self.scene(frame, turn), self._layout.scene[:2])
        pen = _Pen(picture, self._scale)
        pen.text((26, 18), frame.title, INK, 21, bold=True, halo=4)
        _legend(pen, frame, self._layout)
        bottom = _facts(pen, frame)
        if frame.section is not None:
            pen.text((ASIDE[0], bottom), frame.section.note, MUTED, 12)
            width, height = ASIDE[2] - ASIDE[0], ASIDE[3] - bottom - 18
            across, up = (b - a for a, b in zip(frame.section.drawing.low, frame.section.drawing.high, strict=True))
            size = (self._px(width), self._px(min(height, width * up / across)))
            section = draw_plane(frame.section.drawing, size, self._px(9))
            self._paste(picture, section, (ASIDE[0], bottom + 18))
        self._paste(picture, self._strip.at(frame.index), self._layout.curves[:2])
        return self._centred(picture)

    def scene(self, frame: Frame, turn: float = 0.0) -> Image.Image:
        """The scene of a frame alone, without figures and curves."""
        if self._space is None:
            size = (self._scene_size[0] - self._px(48), self._scene_size[1] - self._px(64))
            picture = Image.new("RGB", self._scene_size, PAPER)
            self._paste(picture, draw_plane(frame.drawing, size, self._px(13)), (24, 54))
            return picture
        from dimple.views.polydata import polydata
        from dimple.views.space import stamp_points

        camera = look(frame.drawing, frame.section.plane if frame.section else None, turn)
        layer = frame.drawing.layer("boundary")
        assert layer is not None
        self._space.look_through(camera, frame.drawing)
        self._space.show(polydata(layer, frame.relief_scale), frame.section)
        large, depth = self._space.picture()
        picture = large.reduce(SUPERSAMPLING)
        stamp_points(picture, depth, frame.drawing, camera, self._px(11))
        return picture

    def _px(self, length: float) -> int:
        return max(1, round(length * self._scale))

    def _extent(self, part: Rectangle) -> tuple[int, int]:
        return self._px(part[2] - part[0]), self._px(part[3] - part[1])

    def _paste(self, picture: Image.Image, part: Image.Image, place: tuple[int, int]) -> None:
        picture.paste(part, (round(place[0] * self._scale), round(place[1] * self._scale)))

    def _centred(self, picture: Image.Image) -> Image.Image:
        if picture.size == self._size:
            return picture
        whole = Image.new("RGB", self._size, PAPER)
        whole.paste(picture, ((whole.width - picture.width) // 2, (whole.height - picture.height) // 2))
        return whole


@final
class _Pen:
    """Writes and draws in the units of the layout."""

    def __init__(self, picture: Image.Image, scale: float) -> None:
        self.picture = picture
        self.scale = scale
        self._pen = ImageDraw.Draw(picture)

    def text(
        self,
        place: tuple[float, float],
        text: str,
        colour: Colour,
        size: int,
        anchor: str = "la",
        bold: bool = False,
        halo: int = 0,
    ) -> None:
        """Letters of a size in pixels of the layout; `halo` clears as many around them."""
        at = (place[0] * self.scale, place[1] * self.scale)
        letters = font(max(6, round(size * self.scale)), bold)
        self._pen.text(
            at, text, colour, letters, anchor=anchor, stroke_width=round(halo * self.scale), stroke_fill=PAPER
        )

    def line(self, ends: tuple[float, float, float, float], colour: Colour, width: int) -> None:
        """A straight line."""
        self._pen.line([v * self.scale for v in ends], colour, max(1, round(width * self.scale)))

    def marker(self, label: int, x: float, y: float, wrong: bool = False) -> None:
        """The marker of a class."""
        stamp(self.picture, marker(label, max(3, round(11 * self.scale)), wrong), x * self.scale, y * self.scale)

    def band(self, left: float, top: float, width: float, height: float, scale: float) -> None:
        """The colours of a relief from one end of its scale to the other, framed."""
        across, down = max(2, round(width * self.scale)), max(1, round(height * self.scale))
        colours = relief_colours(np.linspace(-scale, scale, across), scale)
        corner = (round(left * self.scale), round(top * self.scale))
        self.picture.paste(Image.fromarray(np.repeat(colours[None], down, axis=0)), corner)
        self._pen.rectangle((corner[0] - 1, corner[1] - 1, corner[0] + across, corner[1] + down), outline=RULE)


def _facts(pen: _Pen, frame: Frame) -> int:
    """Write step, phase and figures into the upper right; returns where they end."""
    left, top, right, _ = ASIDE
    pen.text((left, top), f"step {frame.step:,}", INK, 21, bold=True)
    if frame.phase:
        pen.text((right, top + 4), frame.phase, MUTED, 15, anchor="ra")
    y = top + 36
    columns = (left, right - 110, right)
    if any(fact.null for fact in frame.facts):
        pen.text((columns[2], y), "null", MUTED, 12, anchor="ra")
        y += 15
    for fact in frame.facts:
        _fact(pen, fact, columns, y)
        y += 21
    return y + 8


def _fact(pen: _Pen, fact: Fact, columns: tuple[int, int, int], y: int) -> None:
    pen.text((columns[0], y), fact.name, INK, 14)
    pen.text((columns[1], y), fact.value, INK, 14, anchor="ra", bold=True)
    pen.text((columns[2], y), fact.null, MUTED, 14, anchor="ra")


def _legend(pen: _Pen, frame: Frame, layout: Layout) -> None:
    """What markers and colours mean, under the scene."""
    x, y = layout.legend
    for label in sorted({int(c) for c in frame.drawing.points.classes}):
        pen.marker(label, x + 6, y + 9)
        pen.text((x + 18, y + 1), f"class {label}", INK, 13)
        x += 88
    if frame.drawing.points.predictions is not None:
        pen.marker(0, x + 6, y + 9, wrong=True)
        pen.text((x + 22, y + 1), "ringed: wrong", INK, 13)
        x += 138
    boundary = frame.drawing.layer("boundary")
    if boundary is not None and boundary.relief is not None:
        _relief_bar(pen, frame.relief_scale, layout)
        return
    lines = [("boundary", INK, 3)] if frame.drawing.ambient_dim == 2 else []
    if frame.drawing.layer("manifold") is not None:
        lines.append(("manifold", MANIFOLD, 2))
    for name, colour, width in lines:
        pen.line((x, y + 9, x + 24, y + 9), colour, width)
        pen.text((x + 30, y + 1), name, INK, 13)
        x += 116


def _relief_bar(pen: _Pen, scale: float, layout: Layout) -> None:
    """The colours of the boundary: how deep the manifold beneath it lies in which class."""
    width, right, y = 130, layout.scene[2] - 112, layout.legend[1] + 12
    left = right - width
    pen.band(left, y, width, 11, scale)
    pen.text((left - 6, y - 2), f"{scale:g} in class 0", tint(class_colour(0), 0.9), 12, anchor="ra")
    pen.text((right + 6, y - 2), f"{scale:g} in class 1", tint(CLASSES[1], 0.9), 12)
    pen.text(((left + right) / 2, y - 17), "boundary: depth of the manifold beneath it", MUTED, 12, anchor="ma")
