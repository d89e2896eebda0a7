"""What stands around a drawing on a picture: the figures beside their nulls, and what markers and colours mean."""

from functools import partial
from typing import final

import numpy as np
from PIL import Image, ImageDraw

from dimple.views.content.frame import Classes, Drawing, Fact, Frame, classes_met
from dimple.views.style.colors import (
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
from dimple.views.style.fonts import font
from dimple.views.style.markers import marker, stamp

# The height of a line of figures.
FACT = 21
# A surface as a manifold, through which one sees.
SURFACE = tint(MANIFOLD, 0.4)


@final
class Pen:
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

    def width(self, text: str, size: int) -> float:
        """How wide such letters come out."""
        return font(max(6, round(size * self.scale))).getlength(text) / self.scale

    def swatch(self, label: int, x: float, y: float) -> None:
        """A square in the colour of a class."""
        corners = [v * self.scale for v in (x - 6, y - 6, x + 6, y + 6)]
        self._pen.rectangle(corners, fill=class_colour(label), outline=RULE)

    def line(self, ends: tuple[float, float, float, float], colour: Colour, width: int) -> None:
        """A straight line."""
        self._pen.line([v * self.scale for v in ends], colour, max(1, round(width * self.scale)))

    def marker(self, label: int, x: float, y: float, wrong: bool = False, ghost: bool = False) -> None:
        """The marker of a class."""
        tile = marker(label, max(3, round(11 * self.scale)), wrong, ghost)
        stamp(self.picture, tile, x * self.scale, y * self.scale)

    def band(self, left: float, top: float, width: float, height: float, scale: float) -> None:
        """The colours of a relief from one end of its scale to the other, framed."""
        across, down = max(2, round(width * self.scale)), max(1, round(height * self.scale))
        colours = relief_colours(np.linspace(-scale, scale, across), scale)
        corner = (round(left * self.scale), round(top * self.scale))
        self.picture.paste(Image.fromarray(np.repeat(colours[None], down, axis=0)), corner)
        self._pen.rectangle((corner[0] - 1, corner[1] - 1, corner[0] + across, corner[1] + down), outline=RULE)


def write_facts(pen: Pen, frame: Frame, place: tuple[int, int, int]) -> int:
    """Write step, phase and figures between `left` and `right` from `top` on; returns where they end."""
    left, top, right = place
    y = top
    if frame.moment:
        pen.text((left, top), frame.moment, INK, 21, bold=True)
        y += 36
    if frame.phase:
        pen.text((right, top + 4), frame.phase, MUTED, 15, anchor="ra")
    columns = (left, right - 110, right)
    if any(fact.null for fact in frame.facts):
        pen.text((columns[2], y), "null", MUTED, 12, anchor="ra")
        y += 15
    for fact in frame.facts:
        _fact(pen, fact, columns, y)
        y += FACT
    return y + 8


def _fact(pen: Pen, fact: Fact, columns: tuple[int, int, int], y: int) -> None:
    pen.text((columns[0], y), fact.name, INK, 14)
    pen.text((columns[1], y), fact.value, INK, 14, anchor="ra", bold=True)
    pen.text((columns[2], y), fact.null, MUTED, 14, anchor="ra")


def write_legend(pen: Pen, frame: Frame, place: tuple[int, int], right: int) -> None:
    """What markers and colours mean, from `place` on to the right."""
    if frame.drawing.classes is not None:
        _write_classes(pen, frame.drawing, frame.drawing.classes, place, right)
        return
    flat = frame.drawing.ambient_dim == 2
    x, y = place
    for label in sorted({int(c) for c in frame.drawing.points.classes}):
        pen.marker(label, x + 6, y + 9)
        pen.text((x + 18, y + 1), f"class {label}", INK, 13)
        x += 88
    lines = [("boundary", INK, 3)] if flat else []
    manifold = frame.drawing.layer("manifold")
    if manifold is not None:
        lines.append(("manifold", MANIFOLD, 2) if manifold.mesh.faces.shape[1] == 2 else ("manifold", SURFACE, 11))
    for name, colour, width in lines:
        pen.line((x, y + 9, x + 24, y + 9), colour, width)
        pen.text((x + 30, y + 1), name, INK, 13)
        x += 116
    if not flat:
        x, y = place[0], y + 20
    if frame.drawing.points.predictions is not None:
        pen.marker(0, x + 6, y + 9, wrong=True)
        pen.text((x + 22, y + 1), "ringed: wrong", INK, 13)
        x += 138
    if not flat:
        pen.marker(1, x + 6, y + 9, ghost=True)
        pen.text((x + 22, y + 1), "hollow: behind the boundary", INK, 13)
        _write_colours(pen, frame, right, place[1])


def _write_colours(pen: Pen, frame: Frame, right: int, y: int) -> None:
    """What the colours of a boundary in space are: the depth beneath it, or the class that it is seen from."""
    boundary = frame.drawing.layer("boundary")
    if boundary is not None and boundary.relief is not None:
        _relief_bar(pen, frame.relief_scale, right - 112, y + 20)
        return
    for label in (0, 1):
        pen.swatch(label, right - 200, y + 9 + 20 * label)
        pen.text((right - 186, y + 1 + 20 * label), f"boundary, seen from class {label}", INK, 13)


def _relief_bar(pen: Pen, scale: float, right: int, y: int) -> None:
    """The colours of the boundary: how deep the manifold beneath it lies in which class."""
    width = 130
    left = right - width
    pen.band(left, y, width, 11, scale)
    pen.text((left - 6, y - 2), f"{scale:g} in class 0", tint(class_colour(0), 0.9), 12, anchor="ra")
    pen.text((right + 6, y - 2), f"{scale:g} in class 1", tint(CLASSES[1], 0.9), 12)
    title = "boundary: depth of the manifold beneath, input units"
    pen.text(((left + right) / 2, y - 17), title, MUTED, 12, anchor="ma")


def _write_classes(pen: Pen, drawing: Drawing, classes: Classes, place: tuple[int, int], right: int) -> None:
    """The classes that are met, what a ring is, and what hatching or paleness is; in two lines where one is short."""
    x, y = float(place[0]), place[1]
    entries = [(pen.swatch, label, classes.names[label]) for label in classes_met(drawing)]
    if drawing.points.wrong.any():
        entries.append((partial(pen.marker, wrong=True), int(drawing.points.classes[0]), "ringed: wrong"))
    for draw, label, name in entries:
        width = 24 + pen.width(name, 13) + 14
        if x + width > right:
            x, y = place[0], y + 18
        draw(label, x + 6, y + 9)
        pen.text((x + 20, y + 1), name, INK, 13)
        x += width
    if classes.valid is not None:
        how = "hatched" if drawing.ambient_dim == 2 else "pale"
        text = f"{how}: some pixel is outside its range"
        if x + pen.width(text, 13) > right:
            x, y = place[0], y + 18
        pen.text((x, y + 1), text, MUTED, 13)
