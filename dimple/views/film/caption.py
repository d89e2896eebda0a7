"""Text around the drawing of a frame: facts with the values to compare with, and the legend of markers and colors."""

from functools import partial
from typing import final

import numpy as np
from PIL import Image, ImageDraw

from dimple.views.content.frame import ClassRegions, Fact, Frame, present_classes
from dimple.views.content.labels import BASELINE_TITLE
from dimple.views.style.colors import (
    BACKGROUND_COLOR,
    CLASS_COLORS,
    FOREGROUND_COLOR,
    GRID_LINE_COLOR,
    MANIFOLD_COLOR,
    MUTED_COLOR,
    Color,
    class_color,
    depth_colors,
    tint,
)
from dimple.views.style.fonts import load_font
from dimple.views.style.markers import draw_marker, paste_marker

# Height of a line with a fact.
FACT_LINE_HEIGHT = 21
# Color of a manifold that is drawn as a translucent surface.
SURFACE_COLOR = tint(MANIFOLD_COLOR, 0.4)
OUTLINE_LABEL = "hollow: behind the boundary"


@final
class LayoutCanvas:
    """A picture to write and draw on, with all lengths in units of the layout.

    Args:
        image: the picture.
        scale: pixels per unit of the layout.
    """

    def __init__(self, image: Image.Image, scale: float) -> None:
        self.image = image
        self.scale = scale
        self._draw = ImageDraw.Draw(image)

    def text(
        self,
        position: tuple[float, float],
        text: str,
        color: Color,
        size: int,
        anchor: str = "la",
        bold: bool = False,
        halo: int = 0,
    ) -> None:
        """Write a text.

        Args:
            position: upper left corner of the text, or another point given by `anchor`.
            text: the text.
            color: its color.
            size: font size.
            anchor: Pillow's text anchor.
            bold: if True, use the bold font.
            halo: width of the border in the background color around the letters.
        """
        pixel = (position[0] * self.scale, position[1] * self.scale)
        font = load_font(max(6, round(size * self.scale)), bold)
        stroke_width = round(halo * self.scale)
        self._draw.text(
            pixel, text, color, font, anchor=anchor, stroke_width=stroke_width, stroke_fill=BACKGROUND_COLOR
        )

    def text_width(self, text: str, size: int) -> float:
        """Return the width of a text at a font size."""
        return load_font(max(6, round(size * self.scale))).getlength(text) / self.scale

    def swatch(self, label: int, x: float, y: float) -> None:
        """Draw a square in the color of a class, centered at (x, y)."""
        corners = [v * self.scale for v in (x - 6, y - 6, x + 6, y + 6)]
        self._draw.rectangle(corners, fill=class_color(label), outline=GRID_LINE_COLOR)

    def line(self, endpoints: tuple[float, float, float, float], color: Color, width: int) -> None:
        """Draw a straight line between two endpoints (x, y, x, y)."""
        self._draw.line([v * self.scale for v in endpoints], color, max(1, round(width * self.scale)))

    def marker(self, label: int, x: float, y: float, misclassified: bool = False, hidden: bool = False) -> None:
        """Draw the marker of a class, centered at (x, y)."""
        tile = draw_marker(label, max(3, round(11 * self.scale)), misclassified, hidden)
        paste_marker(self.image, tile, x * self.scale, y * self.scale)

    def color_bar(self, left: float, top: float, width: float, height: float, scale: float) -> None:
        """Draw the colors of depths from -scale to scale, with a frame."""
        num_columns = max(2, round(width * self.scale))
        num_rows = max(1, round(height * self.scale))
        colors = depth_colors(np.linspace(-scale, scale, num_columns), scale)
        x = round(left * self.scale)
        y = round(top * self.scale)
        self.image.paste(Image.fromarray(np.repeat(colors[None], num_rows, axis=0)), (x, y))
        self._draw.rectangle((x - 1, y - 1, x + num_columns, y + num_rows), outline=GRID_LINE_COLOR)


def write_facts(canvas: LayoutCanvas, frame: Frame, extent: tuple[int, int, int]) -> int:
    """Write step, what is so at it, and facts of a frame.

    Args:
        canvas: the picture.
        frame: the frame.
        extent: left, top and right end of the text.

    Returns:
        The y below the text.
    """
    left, top, right = extent
    y = top
    if frame.step_text:
        canvas.text((left, top), frame.step_text, FOREGROUND_COLOR, 21, bold=True)
        y += 36
    for number, line in enumerate(frame.timeline.describe_step(frame.step)):
        canvas.text((right, top + 17 * number), line, MUTED_COLOR, 13, anchor="ra")
    columns = (left, right - 110, right)
    if any(fact.baseline for fact in frame.facts):
        canvas.text((columns[2], y), BASELINE_TITLE, MUTED_COLOR, 12, anchor="ra")
        y += 15
    for fact in frame.facts:
        _write_fact(canvas, fact, columns, y)
        y += FACT_LINE_HEIGHT
    return y + 8


def _write_fact(canvas: LayoutCanvas, fact: Fact, columns: tuple[int, int, int], y: int) -> None:
    canvas.text((columns[0], y), fact.name, FOREGROUND_COLOR, 14)
    canvas.text((columns[1], y), fact.value, FOREGROUND_COLOR, 14, anchor="ra", bold=True)
    canvas.text((columns[2], y), fact.baseline, MUTED_COLOR, 14, anchor="ra")


def write_legend(
    canvas: LayoutCanvas, frame: Frame, position: tuple[int, int], right: int, has_outlines: bool = False
) -> None:
    """Write the legend of the markers and colors that are seen in the picture of a frame.

    Args:
        canvas: the picture.
        frame: the frame.
        position: left and top of the legend.
        right: right end of the legend.
        has_outlines: whether some points are drawn as outlines.
    """
    if frame.drawing.class_regions is not None:
        _write_classes(canvas, frame, frame.drawing.class_regions, position, right, has_outlines)
        return
    flat = frame.drawing.ambient_dim == 2
    x, y = position
    for label in sorted({int(c) for c in frame.drawing.points.labels}):
        canvas.marker(label, x + 6, y + 9)
        canvas.text((x + 18, y + 1), f"class {label}", FOREGROUND_COLOR, 13)
        x += 88
    lines = [("boundary", FOREGROUND_COLOR, 3)] if flat and frame.drawing.has_boundary else []
    manifold = frame.drawing.layer("manifold")
    if manifold is not None:
        lines.append(
            ("manifold", MANIFOLD_COLOR, 2) if manifold.mesh.faces.shape[1] == 2 else ("manifold", SURFACE_COLOR, 11)
        )
    for name, color, width in lines:
        canvas.line((x, y + 9, x + 24, y + 9), color, width)
        canvas.text((x + 30, y + 1), name, FOREGROUND_COLOR, 13)
        x += 116
    if not flat:
        x = position[0]
        y += 20
    if frame.drawing.points.misclassified.any():
        name = "ringed: misclassified"
        canvas.marker(0, x + 6, y + 9, misclassified=True)
        canvas.text((x + 22, y + 1), name, FOREGROUND_COLOR, 13)
        x += 22 + round(canvas.text_width(name, 13)) + 18
    if has_outlines:
        canvas.marker(1, x + 6, y + 9, hidden=True)
        canvas.text((x + 22, y + 1), OUTLINE_LABEL, FOREGROUND_COLOR, 13)
    if not flat and frame.drawing.has_boundary:
        _write_boundary_colors(canvas, frame, right, position[1])


def _write_boundary_colors(canvas: LayoutCanvas, frame: Frame, right: int, y: int) -> None:
    """Write the legend of the boundary's colors: the depth of the manifold, or the class from which it is seen."""
    boundary = frame.drawing.layer("boundary")
    if boundary is not None and boundary.manifold_depth is not None:
        _depth_color_bar(canvas, frame.depth_scale, right - 112, y + 20)
        return
    for label in (0, 1):
        canvas.swatch(label, right - 200, y + 9 + 20 * label)
        canvas.text((right - 186, y + 1 + 20 * label), f"boundary, seen from class {label}", FOREGROUND_COLOR, 13)


def _depth_color_bar(canvas: LayoutCanvas, scale: float, right: int, y: int) -> None:
    """Draw the color bar of the boundary: the depth of the manifold in either class."""
    width = 130
    left = right - width
    canvas.color_bar(left, y, width, 11, scale)
    canvas.text((left - 6, y - 2), f"{scale:g} in class 0", tint(class_color(0), 0.9), 12, anchor="ra")
    canvas.text((right + 6, y - 2), f"{scale:g} in class 1", tint(CLASS_COLORS[1], 0.9), 12)
    title = "color: depth of the manifold in a class, input units"
    canvas.text(((left + right) / 2, y - 17), title, MUTED_COLOR, 12, anchor="ma")


def _write_classes(
    canvas: LayoutCanvas,
    frame: Frame,
    class_regions: ClassRegions,
    position: tuple[int, int],
    right: int,
    has_outlines: bool,
) -> None:
    """Write the legend of a drawing with many classes: classes, markers and hatching; in several lines if necessary."""
    left, y = position
    x = float(left)
    entries = [(canvas.swatch, label, class_regions.class_names[label]) for label in present_classes(frame.drawings)]
    if any(drawing.points.misclassified.any() for drawing in frame.drawings):
        draw_ring = partial(canvas.marker, misclassified=True)
        entries.append((draw_ring, int(frame.drawing.points.labels[0]), "ringed: misclassified"))
    if has_outlines:
        draw_outline = partial(canvas.marker, hidden=True)
        entries.append((draw_outline, int(frame.drawing.points.labels[0]), OUTLINE_LABEL))
    for draw, label, name in entries:
        width = 24 + canvas.text_width(name, 13) + 14
        if x + width > right:
            x = left
            y += 18
        draw(label, x + 6, y + 9)
        canvas.text((x + 20, y + 1), name, FOREGROUND_COLOR, 13)
        x += width
    if any(drawing.has_invalid_inputs for drawing in frame.drawings):
        text = f"{'hatched' if frame.drawing.ambient_dim == 2 else 'pale'}: some pixel is outside its range"
        if x + canvas.text_width(text, 13) > right:
            x = left
            y += 18
        canvas.text((x, y + 1), text, MUTED_COLOR, 13)
