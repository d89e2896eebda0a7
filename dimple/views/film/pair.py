"""Films of two runs side by side: one box, one camera, one scale of colors, one time axis."""

import dataclasses
from collections.abc import Sequence
from types import TracebackType
from typing import final

import numpy as np
from PIL import Image

from dimple.errors import UsageError
from dimple.views.charts.timeline import plot_timeline
from dimple.views.content.frame import Chart, ChartCurve, Fact, Frame, IntArray, Timeline
from dimple.views.film.canvas import DrawingRenderer
from dimple.views.film.caption import FACT_LINE_HEIGHT, LayoutCanvas, write_legend
from dimple.views.film.layout import FRAME_SIZE
from dimple.views.style.colors import BACKGROUND_COLOR, FOREGROUND_COLOR, MUTED_COLOR

# Positions at scale 1: the two scenes, the table of facts and the charts below them.
SCENE_TOP = 72
SCENE_BOTTOM = 468
MIDDLE = FRAME_SIZE[0] // 2
FACTS_TOP = 520
# Left end of the names; right ends of the values and comparisons of the left and of the right run.
FACT_COLUMNS = (26, (330, 410), (530, 610))
# Free space around a scene of the plane: left, top, right and bottom.
PLANE_PADDING = (24, 4, 24, 4)
CHART = (660, 516, 1270, 714)
# The curves of the charts, the first of them that both runs have.
CURVES = ("dimple depth", "manifold to boundary", "margin", "training accuracy")


@final
@dataclasses.dataclass(frozen=True)
class PairFrame:
    """The frames of two runs at one step: of each the last snapshot up to it."""

    step: int
    index: int
    left: Frame
    right: Frame
    timeline: Timeline


def pair_frames(left: Sequence[Frame], right: Sequence[Frame]) -> list[PairFrame]:
    """Return the frames of two runs on one time axis, in a common box and with a common scale of colors.

    Raises:
        UsageError: if the runs lie in spaces of different dimensions, or are slices.
    """
    first = left[0].drawing
    second = right[0].drawing
    if first.ambient_dim != second.ambient_dim or left[0].control is not None or right[0].control is not None:
        raise UsageError(
            "two runs side by side must be simulations in the same space, not slices; dimple report compares any runs"
        )
    low = tuple(map(min, first.low, second.low))
    high = tuple(map(max, first.high, second.high))
    scale = max(left[0].depth_scale, right[0].depth_scale)

    def align(frames: Sequence[Frame]) -> list[Frame]:
        return [
            dataclasses.replace(
                frame,
                drawing=dataclasses.replace(frame.drawing, low=low, high=high),
                cross_section=None,
                depth_scale=scale,
            )
            for frame in frames
        ]

    both = align(left), align(right)
    steps = sorted({frame.step for frames in both for frame in frames})
    # Where one run has ended, or has no snapshot yet, its last or first one stays.
    rows = [np.searchsorted([frame.step for frame in frames], steps, side="right").clip(1) - 1 for frames in both]
    timeline = Timeline(np.array(steps, dtype=np.int64), _common_charts(left[0], right[0], rows))
    return [
        PairFrame(step, index, both[0][rows[0][index]], both[1][rows[1][index]], timeline)
        for index, step in enumerate(steps)
    ]


def _common_charts(left: Frame, right: Frame, rows: Sequence[IntArray]) -> tuple[Chart, ...]:
    """Return the chart of the first quantity that both runs have, with a curve of each."""
    curves = [
        {
            curve.name: (curve, chart)
            for chart in one.timeline.charts
            for curve in chart.curves
            if np.isfinite(curve.values).sum() > 1 or len(curve.values) == 1
        }
        for one in (left, right)
    ]
    name = next((name for name in CURVES if all(name in found for found in curves)), None)
    if name is None:
        return ()
    found_curves = [found[name][0] for found in curves]
    lines = tuple(
        ChartCurve(side, curve.values[at], None if curve.baseline is None else curve.baseline[at])
        for side, curve, at in zip(("left", "right"), found_curves, rows, strict=True)
    )
    return (dataclasses.replace(curves[0][name][1], title=name, curves=lines),)


@final
class PairRenderer:
    """Renderer for pairs of frames: the two scenes, a table of their facts, and a curve of each.

    Args:
        first: the first pair.
        size: width and height of the pictures in pixels; the layout keeps its proportions and is centered.
    """

    def __init__(self, first: PairFrame, size: tuple[int, int] = FRAME_SIZE) -> None:
        self._size = size
        self._scale = min(size[0] / FRAME_SIZE[0], size[1] / FRAME_SIZE[1])
        scene = (self._to_pixels(MIDDLE - 8), self._to_pixels(SCENE_BOTTOM - SCENE_TOP))
        self._renderers = [
            DrawingRenderer(frame, scene, self._scale, PLANE_PADDING) for frame in (first.left, first.right)
        ]
        left, top, right, bottom = CHART
        chart = (self._to_pixels(right - left), self._to_pixels(bottom - top))
        self._timeline = plot_timeline(first.timeline, chart, self._scale) if first.timeline.charts else None

    def __enter__(self) -> "PairRenderer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for renderer in self._renderers:
            renderer.close()

    def draw(self, pair: PairFrame, azimuth: float = 0.0) -> Image.Image:
        """Return the picture of a pair; `azimuth` rotates the camera of both scenes, in degrees."""
        width, height = FRAME_SIZE
        picture = Image.new("RGB", (self._to_pixels(width), self._to_pixels(height)), BACKGROUND_COLOR)
        canvas = LayoutCanvas(picture, self._scale)
        for frame, renderer, x in zip((pair.left, pair.right), self._renderers, (0, MIDDLE + 8), strict=True):
            picture.paste(renderer.draw(frame, azimuth), (self._to_pixels(x), self._to_pixels(SCENE_TOP)))
            canvas.text((x + 26, 18), frame.title, FOREGROUND_COLOR, 19, bold=True, halo=4)
            canvas.text((x + 26, 44), frame.note, MUTED_COLOR, 12, halo=3)
        canvas.text((FRAME_SIZE[0] - 26, 18), f"step {pair.step:,}", FOREGROUND_COLOR, 21, bold=True, anchor="ra")
        has_outlines = any(renderer.has_outlines for renderer in self._renderers)
        write_legend(canvas, pair.left, (26, SCENE_BOTTOM + 4), FRAME_SIZE[0] - 26, has_outlines)
        self._write_facts(canvas, pair)
        if self._timeline is not None:
            chart = self._timeline.draw_cursor(pair.index)
            picture.paste(chart, (self._to_pixels(CHART[0]), self._to_pixels(CHART[1])))
        centered = Image.new("RGB", self._size, BACKGROUND_COLOR)
        centered.paste(picture, ((self._size[0] - picture.width) // 2, (self._size[1] - picture.height) // 2))
        return centered

    def _write_facts(self, canvas: LayoutCanvas, pair: PairFrame) -> None:
        """Write the facts that both runs have, with the values and comparisons of both."""
        name_x, *sides = FACT_COLUMNS
        for (value_x, baseline_x), title in zip(sides, ("left", "right"), strict=True):
            canvas.text((value_x, FACTS_TOP), title, MUTED_COLOR, 12, anchor="ra")
            canvas.text((baseline_x, FACTS_TOP), "comparison", MUTED_COLOR, 12, anchor="ra")
        y = FACTS_TOP + 18
        for name, *facts in _common_facts(pair):
            canvas.text((name_x, y), name, FOREGROUND_COLOR, 14)
            for (value_x, baseline_x), fact in zip(sides, facts, strict=True):
                canvas.text((value_x, y), fact.value, FOREGROUND_COLOR, 14, bold=True, anchor="ra")
                canvas.text((baseline_x, y), fact.baseline, MUTED_COLOR, 14, anchor="ra")
            y += FACT_LINE_HEIGHT

    def _to_pixels(self, length: int) -> int:
        return round(length * self._scale)


def _common_facts(pair: PairFrame) -> list[tuple[str, Fact, Fact]]:
    """Return each fact that both runs have, by its name."""

    def by_name(frame: Frame) -> dict[str, Fact]:
        # A name may end with the fraction of points where the quantity was found.
        return {fact.name.partition(",")[0]: fact for fact in frame.facts}

    left = by_name(pair.left)
    right = by_name(pair.right)
    return [(name, left[name], right[name]) for name in left if name in right]
