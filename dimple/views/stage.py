"""A whole frame as one picture of 1280 x 720: the scene, the section, the figures and the curves."""

from types import TracebackType
from typing import final

from PIL import Image, ImageDraw

from dimple.views.camera import look
from dimple.views.frame import Fact, Frame
from dimple.views.lettering import font
from dimple.views.markers import marker, stamp
from dimple.views.palette import CLASSES, INK, MANIFOLD, MUTED, PAPER, RULE, class_colour, relief_colours, tint
from dimple.views.plane import draw_plane
from dimple.views.strip import plot_strip

SIZE = (1280, 720)
SCENE = (0, 0, 790, 512)
LEGEND = (26, 522)
ASIDE = (802, 18, 1262, 552)
STRIP = (0, 556, 1280, 720)
SUPERSAMPLING = 2


@final
class Stage:
    """Draws the frames of one run, one after another; everything that stays the same is made once.

    Left is the scene. In space the boundary is opaque, pale where it runs along the grey manifold and blue or orange
    where it bulges away so that class 0 or class 1 reaches beyond the manifold; points under a bump show as outlines.
    Right are the figures, each beside its null, and below them a planar section through as many training points as
    lie in one plane, where the same dimples are seen in profile. Below run the curves with the cursor of the frame.

    Example:
        >>> import numpy as np
        >>> from dimple.views.frame import Drawing, PointSet, Timeline
        >>> points = PointSet(np.zeros((1, 2)), np.zeros(1, dtype=np.int64))
        >>> timeline = Timeline(np.zeros(1, dtype=np.int64), ())
        >>> frame = Frame("empty", 0, 0, Drawing((), points, (-1.0, -1.0), (1.0, 1.0)), (), timeline)
        >>> with Stage(frame) as stage:
        ...     stage.draw(frame).size
        (1280, 720)
    """

    def __init__(self, first: Frame) -> None:
        self._space = None
        self._scene_size = (SCENE[2] - SCENE[0], SCENE[3] - SCENE[1])
        if first.drawing.ambient_dim == 3:
            from dimple.views.rendering import require_rendering
            from dimple.views.space import Space

            require_rendering()
            width, height = self._scene_size
            self._space = Space(first, (SUPERSAMPLING * width, SUPERSAMPLING * height))
        self._strip = plot_strip(first.timeline, (STRIP[2] - STRIP[0], STRIP[3] - STRIP[1]))

    def __enter__(self) -> "Stage":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._space is not None:
            self._space.close()

    def draw(self, frame: Frame, turn: float = 0.0) -> Image.Image:
        """The picture of a frame; `turn` is the camera's angle in degrees, for scenes in space."""
        picture = Image.new("RGB", SIZE, PAPER)
        picture.paste(self._scene(frame, turn), SCENE[:2])
        pen = ImageDraw.Draw(picture)
        pen.text((26, 18), frame.title, INK, font(21, bold=True), stroke_width=4, stroke_fill=PAPER)
        _legend(picture, frame)
        bottom = _facts(pen, frame)
        if frame.section is not None:
            pen.text((ASIDE[0], bottom), frame.section.note, MUTED, font(12))
            width, height = ASIDE[2] - ASIDE[0], ASIDE[3] - bottom - 18
            across, up = (b - a for a, b in zip(frame.section.drawing.low, frame.section.drawing.high, strict=True))
            size = (width, min(height, round(width * up / across)))
            picture.paste(draw_plane(frame.section.drawing, size, 9), (ASIDE[0], bottom + 18))
        picture.paste(self._strip.at(frame.index), STRIP[:2])
        return picture

    def _scene(self, frame: Frame, turn: float) -> Image.Image:
        if self._space is None:
            size = (self._scene_size[0] - 48, self._scene_size[1] - 64)
            picture = Image.new("RGB", self._scene_size, PAPER)
            picture.paste(draw_plane(frame.drawing, size, 13), (24, 54))
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
        stamp_points(picture, depth, frame.drawing, camera)
        return picture


def _facts(pen: ImageDraw.ImageDraw, frame: Frame) -> int:
    """Write step, phase and figures into the upper right; returns where they end."""
    left, top, right, _ = ASIDE
    pen.text((left, top), f"step {frame.step:,}", INK, font(21, bold=True))
    if frame.phase:
        pen.text((right, top + 4), frame.phase, MUTED, font(15), anchor="ra")
    y = top + 36
    columns = (left, right - 110, right)
    if any(fact.null for fact in frame.facts):
        pen.text((columns[2], y), "null", MUTED, font(12), anchor="ra")
        y += 15
    for fact in frame.facts:
        _fact(pen, fact, columns, y)
        y += 21
    return y + 8


def _fact(pen: ImageDraw.ImageDraw, fact: Fact, columns: tuple[int, int, int], y: int) -> None:
    pen.text((columns[0], y), fact.name, INK, font(14))
    pen.text((columns[1], y), fact.value, INK, font(14, bold=True), anchor="ra")
    pen.text((columns[2], y), fact.null, MUTED, font(14), anchor="ra")


def _legend(picture: Image.Image, frame: Frame) -> None:
    """What markers and colours mean, under the scene."""
    pen = ImageDraw.Draw(picture)
    x, y = LEGEND
    for label in sorted({int(c) for c in frame.drawing.points.classes}):
        stamp(picture, marker(label, 11), x + 6, y + 9)
        pen.text((x + 18, y + 1), f"class {label}", INK, font(13))
        x += 88
    if frame.drawing.points.predictions is not None:
        stamp(picture, marker(0, 11, wrong=True), x + 6, y + 9)
        pen.text((x + 22, y + 1), "ringed: wrong", INK, font(13))
        x += 138
    if frame.drawing.ambient_dim == 3:
        _relief_bar(picture, pen, frame.relief_scale)
    else:
        pen.line((x, y + 9, x + 24, y + 9), INK, 3)
        pen.text((x + 30, y + 1), "boundary", INK, font(13))
        pen.line((x + 116, y + 9, x + 140, y + 9), MANIFOLD, 2)
        pen.text((x + 146, y + 1), "manifold", INK, font(13))


def _relief_bar(picture: Image.Image, pen: ImageDraw.ImageDraw, scale: float) -> None:
    """The colours of the boundary: how deep the manifold beneath it lies in which class."""
    import numpy as np

    width, right, y = 130, SCENE[2] - 112, LEGEND[1] + 12
    left = right - width
    colours = relief_colours(np.linspace(-scale, scale, width), scale)
    picture.paste(Image.fromarray(np.repeat(colours[None], 11, axis=0)), (left, y))
    pen.rectangle((left - 1, y - 1, right, y + 11), outline=RULE)
    pen.text((left - 6, y - 2), f"{scale:g} in class 0", tint(class_colour(0), 0.9), font(12), anchor="ra")
    pen.text((right + 6, y - 2), f"{scale:g} in class 1", tint(CLASSES[1], 0.9), font(12))
    pen.text(((left + right) / 2, y - 17), "boundary: depth of the manifold beneath it", MUTED, font(12), anchor="ma")
