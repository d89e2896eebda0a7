"""A whole frame as one picture: the scene, the section, the figures and the curves."""

import dataclasses
from types import TracebackType
from typing import final

from PIL import Image

from dimple.views.charts.timeline import plot_strip
from dimple.views.content.frame import Frame, control_of
from dimple.views.drawing.plane import draw_plane
from dimple.views.film.canvas import Canvas
from dimple.views.film.caption import FACT, Pen, write_facts, write_legend
from dimple.views.style.colors import INK, MUTED, PAPER

# The layout is made for this size and scaled to others.
SIZE = (1280, 720)
# What a scene of the plane leaves free: left, top, right and bottom.
RIM = (24, 60, 24, 4)

Rectangle = tuple[int, int, int, int]


@final
@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the parts of a picture lie: left, top, right and bottom, before scaling.

    Under the figures `aside` stands the section or the control; curves have no place where there is one step only.
    """

    scene: Rectangle
    legend: tuple[int, int]
    curves: Rectangle | None
    aside: Rectangle = (802, 18, 1262, 552)
    stacked: bool = False


SPACE = Layout((0, 0, 790, 512), (26, 514), (0, 556, 1280, 720))
# The plane has no section, so the curves stand where it would, below four figures or more, and the scene is as high as
# the picture.
PLANE = Layout((0, 0, 790, 672), (26, 686), (798, 188, 1268, 714), stacked=True)
STILL = Layout((0, 0, 790, 672), (26, 680), None, (802, 18, 1262, 710))


def layout_of(frame: Frame) -> Layout:
    """The layout of the film that begins with this frame."""
    if frame.control is not None:
        return STILL if len(frame.timeline.steps) == 1 else SPACE
    if frame.drawing.ambient_dim == 3:
        return SPACE
    assert PLANE.curves is not None
    left, top, right, bottom = PLANE.curves
    return dataclasses.replace(PLANE, curves=(left, top + FACT * max(len(frame.facts) - 4, 0), right, bottom))


@final
class Stage:
    """Draws the frames of one run, one after another; everything that stays the same is made once.

    Left is the scene. In space the boundary is opaque, pale where it runs along the grey manifold and blue or orange
    where it bulges away so that class 0 or class 1 reaches beyond the manifold; points under a bump show as outlines.
    Right are the figures, each beside its null, and below them a planar section through as many training points as
    lie in one plane, where the same dimples are seen in profile. Below run the curves with the cursor of the frame.
    Scenes of the plane have no section; the curves stand in its place. A section of somebody's network has its control
    there, a random section, and no curves where there is one step.

    Args:
        size: of the pictures in pixels; what its shape leaves free around the layout stays blank.

    Example:
        >>> import numpy as np
        >>> from dimple.views.content.frame import Drawing, PointSet, Timeline
        >>> points = PointSet(np.zeros((1, 2)), np.zeros(1, dtype=np.int64))
        >>> timeline = Timeline(np.zeros(1, dtype=np.int64), ())
        >>> frame = Frame("empty", 0, 0, Drawing((), points, (-1.0, -1.0), (1.0, 1.0)), (), timeline)
        >>> with Stage(frame, (640, 400)) as stage:
        ...     stage.draw(frame).size
        (640, 400)
    """

    def __init__(self, first: Frame, size: tuple[int, int] = SIZE) -> None:
        self._size = size
        self._scale = min(size[0] / SIZE[0], size[1] / SIZE[1])
        self._layout = layout_of(first)
        self._scene = Canvas(first, self._extent(self._layout.scene), self._scale, RIM)
        self._control: Canvas | None = None
        curves = self._layout.curves
        if curves is not None:
            stacked = self._layout.stacked
            self._strip = plot_strip(first.timeline, self._extent(curves), self._scale, stacked)

    def __enter__(self) -> "Stage":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scene.close()
        if self._control is not None:
            self._control.close()

    def draw(self, frame: Frame, turn: float = 0.0) -> Image.Image:
        """The picture of a frame; `turn` is the camera's angle in degrees, for scenes in space."""
        picture = Image.new("RGB", (self._px(SIZE[0]), self._px(SIZE[1])), PAPER)
        self._paste(picture, self._scene.draw(frame, turn), self._layout.scene[:2])
        pen = Pen(picture, self._scale)
        pen.text((26, 18), frame.title, INK, 21, bold=True, halo=4)
        pen.text((26, 45), frame.note, MUTED, 12, halo=3)
        write_legend(pen, frame, self._layout.legend, self._layout.scene[2])
        left, top, right, _ = self._layout.aside
        self._beside(picture, pen, frame, turn, write_facts(pen, frame, (left, top, right)))
        if self._layout.curves is not None:
            self._paste(picture, self._strip.at(frame.index), self._layout.curves[:2])
        return self._centred(picture)

    def _beside(self, picture: Image.Image, pen: Pen, frame: Frame, turn: float, top: int) -> None:
        """The control or the section, under the figures."""
        left, _, right, bottom = self._layout.aside
        if frame.control is not None:
            pen.text((left, top), frame.control.title, MUTED, 12)
            alone = control_of(frame)
            if self._control is None:
                size = (self._px(right - left), self._px(bottom - top - 18))
                self._control = Canvas(alone, size, self._scale)
            self._paste(picture, self._control.draw(alone, turn), (left, top + 18))
        elif frame.section is not None:
            pen.text((left, top), frame.section.note, MUTED, 12)
            drawing, width = frame.section.drawing, right - left
            across, up = (b - a for a, b in zip(drawing.low, drawing.high, strict=True))
            size = (self._px(width), self._px(min(bottom - top - 18, width * up / across)))
            self._paste(picture, draw_plane(drawing, size, self._px(9)), (left, top + 18))

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
