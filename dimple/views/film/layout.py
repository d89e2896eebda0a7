"""Layout of a frame as one picture: the scene, the cross-section, the facts and the charts."""

import dataclasses
from types import TracebackType
from typing import final

from PIL import Image

from dimple.views.charts.timeline import plot_timeline
from dimple.views.content.frame import Frame, control_frame
from dimple.views.drawing.plane import draw_plane
from dimple.views.film.canvas import DrawingRenderer
from dimple.views.film.caption import FACT_LINE_HEIGHT, LayoutCanvas, write_facts, write_legend
from dimple.views.style.colors import BACKGROUND_COLOR, FOREGROUND_COLOR, MUTED_COLOR

# Width and height of a picture at scale 1; the layout is scaled for other sizes.
FRAME_SIZE = (1280, 720)
# Free space around a scene of the plane: left, top, right and bottom.
PLANE_PADDING = (24, 60, 24, 4)

LayoutRectangle = tuple[int, int, int, int]


@final
@dataclasses.dataclass(frozen=True)
class Layout:
    """Rectangles of the parts of a picture: left, top, right and bottom, at scale 1.

    Attributes:
        scene: the scene.
        legend: left and top of the legend.
        curves: the charts; None for a single step, which has no charts.
        sidebar: the facts, and below them the cross-section or the control.
        stacked: if True, the charts are one below the other instead of side by side.
    """

    scene: LayoutRectangle
    legend: tuple[int, int]
    curves: LayoutRectangle | None
    sidebar: LayoutRectangle = (802, 18, 1262, 552)
    stacked: bool = False


SPACE_LAYOUT = Layout((0, 0, 790, 512), (26, 514), (0, 556, 1280, 720))
# A scene of the plane has no cross-section, so the charts are in its position, below at least four facts, and the scene
# is as high as the picture.
PLANE_LAYOUT = Layout((0, 0, 790, 672), (26, 686), (798, 188, 1268, 714), stacked=True)
SINGLE_STEP_LAYOUT = Layout((0, 0, 790, 672), (26, 680), None, (802, 18, 1262, 710))


def choose_layout(frame: Frame) -> Layout:
    """Return the layout of a film from its first frame."""
    if frame.control is not None:
        return SINGLE_STEP_LAYOUT if len(frame.timeline.steps) == 1 else SPACE_LAYOUT
    if frame.drawing.ambient_dim == 3:
        return SPACE_LAYOUT
    assert PLANE_LAYOUT.curves is not None
    left, top, right, bottom = PLANE_LAYOUT.curves
    top += FACT_LINE_HEIGHT * max(len(frame.facts) - 4, 0)
    return dataclasses.replace(PLANE_LAYOUT, curves=(left, top, right, bottom))


@final
class FrameRenderer:
    """Renderer for the frames of one run, one after another; the parts that do not change are made once.

    The scene is on the left. In space the boundary is opaque. Its color is pale where it is close to the gray manifold,
    and blue or orange where a bulge of it brings the manifold into class 0 or class 1. Points under a bulge are drawn
    as outlines. The facts are on the right, each with the value to compare with. Below them is a cross-section through
    as many training points as lie in one plane, which shows the dimples in profile. The charts are at the bottom, with
    a cursor at the step of the frame.

    A scene of the plane has no cross-section; the charts are in its position. For an affine slice of a network, the
    control is in this position, a random slice; if there is a single step, there are no charts.

    Args:
        first_frame: the first frame.
        size: width and height of the pictures in pixels. The layout keeps its proportions and is centered.

    Example:
        >>> import numpy as np
        >>> from dimple.views.content.frame import Drawing, PointSet, Timeline
        >>> points = PointSet(np.zeros((1, 2)), np.zeros(1, dtype=np.int64))
        >>> timeline = Timeline(np.zeros(1, dtype=np.int64), ())
        >>> frame = Frame("empty", 0, 0, Drawing((), points, (-1.0, -1.0), (1.0, 1.0)), (), timeline)
        >>> with FrameRenderer(frame, (640, 400)) as renderer:
        ...     renderer.draw(frame).size
        (640, 400)
    """

    def __init__(self, first_frame: Frame, size: tuple[int, int] = FRAME_SIZE) -> None:
        self._size = size
        self._scale = min(size[0] / FRAME_SIZE[0], size[1] / FRAME_SIZE[1])
        self._layout = choose_layout(first_frame)
        self._scene_renderer = DrawingRenderer(
            first_frame, self._size_in_pixels(self._layout.scene), self._scale, PLANE_PADDING
        )
        self._control_renderer: DrawingRenderer | None = None
        if self._layout.curves is not None:
            timeline_size = self._size_in_pixels(self._layout.curves)
            self._timeline_image = plot_timeline(first_frame.timeline, timeline_size, self._scale, self._layout.stacked)

    def __enter__(self) -> "FrameRenderer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scene_renderer.close()
        if self._control_renderer is not None:
            self._control_renderer.close()

    def draw(self, frame: Frame, azimuth: float = 0.0) -> Image.Image:
        """Return the picture of a frame; `azimuth` rotates the camera of a scene in space, in degrees."""
        picture = Image.new("RGB", (self._to_pixels(FRAME_SIZE[0]), self._to_pixels(FRAME_SIZE[1])), BACKGROUND_COLOR)
        self._paste(picture, self._scene_renderer.draw(frame, azimuth), self._layout.scene[:2])
        canvas = LayoutCanvas(picture, self._scale)
        canvas.text((26, 18), frame.title, FOREGROUND_COLOR, 21, bold=True, halo=4)
        canvas.text((26, 45), frame.note, MUTED_COLOR, 12, halo=3)
        write_legend(canvas, frame, self._layout.legend, self._layout.scene[2], self._scene_renderer.has_outlines)
        left, top, right, _ = self._layout.sidebar
        self._draw_sidebar(picture, canvas, frame, azimuth, write_facts(canvas, frame, (left, top, right)))
        if self._layout.curves is not None:
            self._paste(picture, self._timeline_image.draw_cursor(frame.index), self._layout.curves[:2])
        return self._center(picture)

    def _draw_sidebar(self, image: Image.Image, canvas: LayoutCanvas, frame: Frame, azimuth: float, top: int) -> None:
        """Draw the control or the cross-section below the facts, from `top` downwards."""
        left, _, right, bottom = self._layout.sidebar
        if frame.control is not None:
            canvas.text((left, top), frame.control.title, MUTED_COLOR, 12)
            control = control_frame(frame)
            if self._control_renderer is None:
                size = (self._to_pixels(right - left), self._to_pixels(bottom - top - 18))
                self._control_renderer = DrawingRenderer(control, size, self._scale)
            self._paste(image, self._control_renderer.draw(control, azimuth), (left, top + 18))
        elif frame.cross_section is not None:
            canvas.text((left, top), frame.cross_section.note, MUTED_COLOR, 12)
            drawing = frame.cross_section.drawing
            width = right - left
            box_width, box_height = (b - a for a, b in zip(drawing.low, drawing.high, strict=True))
            height = min(bottom - top - 18, width * box_height / box_width)
            size = (self._to_pixels(width), self._to_pixels(height))
            self._paste(image, draw_plane(drawing, size, self._to_pixels(9)), (left, top + 18))

    def _to_pixels(self, length: float) -> int:
        return max(1, round(length * self._scale))

    def _size_in_pixels(self, rectangle: LayoutRectangle) -> tuple[int, int]:
        return self._to_pixels(rectangle[2] - rectangle[0]), self._to_pixels(rectangle[3] - rectangle[1])

    def _paste(self, image: Image.Image, part: Image.Image, position: tuple[int, int]) -> None:
        image.paste(part, (round(position[0] * self._scale), round(position[1] * self._scale)))

    def _center(self, image: Image.Image) -> Image.Image:
        if image.size == self._size:
            return image
        centered = Image.new("RGB", self._size, BACKGROUND_COLOR)
        centered.paste(image, ((centered.width - image.width) // 2, (centered.height - image.height) // 2))
        return centered
