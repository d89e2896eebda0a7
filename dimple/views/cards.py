"""What the window writes, as small pictures: captions, legends, keys; by Pillow, in the typeface of all views."""

import dataclasses
from collections.abc import Sequence
from typing import TypeAlias, final

import numpy as np
from PIL import Image, ImageDraw

from dimple.views.frame import Fact, Frame
from dimple.views.lettering import font
from dimple.views.markers import marker
from dimple.views.palette import INK, MUTED, PAPER, RULE, Colour
from dimple.views.quantities import Quantity
from dimple.views.scale import Scale

# In pixels of a card at scale 1.
HEAD, BODY, SMALL = 16, 13, 12
LINE, PAD, GAP = 19, 8, 18
BAR = (236, 11)
# How much of what lies beneath a card shows through, of 255.
COVER = 225
Row: TypeAlias = tuple[Fact, Colour | None]


@final
@dataclasses.dataclass(frozen=True)
class Heading:
    """The first lines of a card: one in bold, and one beneath it in grey."""

    title: str
    note: str = ""


def caption(frame: Frame) -> tuple[Heading, list[Row]]:
    """What a snapshot says of itself: name, step and phase, and its figures beside their nulls."""
    note = f"step {frame.step:,}" + (f"   {frame.phase}" if frame.phase else "")
    return Heading(frame.title, note), [(fact, None) for fact in frame.facts]


@final
class Pen:
    """Draws on a blank card, in pixels at scale 1."""

    def __init__(self, width: float, height: float, scale: int) -> None:
        self.scale = scale
        self.card = Image.new("RGBA", (round(width * scale), round(height * scale)), (*PAPER, COVER))
        self._draw = ImageDraw.Draw(self.card)

    def text(
        self, x: float, y: float, text: str, colour: Colour = INK, size: int = BODY, bold: bool = False, at: str = "la"
    ) -> None:
        """Letters whose upper left corner, or what else the anchor says, is at (x, y)."""
        letters = font(size * self.scale, bold)
        self._draw.text((x * self.scale, y * self.scale), text, (*colour, 255), letters, anchor=at)

    def box(self, x: float, y: float, width: float, height: float, fill: Colour) -> None:
        """A filled rectangle."""
        corners = [value * self.scale for value in (x, y, x + width, y + height)]
        self._draw.rectangle(corners, fill=(*fill, 255))

    def paste(self, picture: Image.Image, x: float, y: float) -> None:
        """A picture with its upper left corner at (x, y)."""
        place = (round(x * self.scale), round(y * self.scale))
        self.card.paste(picture, place, picture if picture.mode == "RGBA" else None)


def width_of(text: str, size: int = BODY, bold: bool = False) -> float:
    """How wide a line of text is, in pixels at scale 1."""
    return float(font(size, bold).getlength(text))


def facts_card(heading: Heading, rows: Sequence[Row], scale: int = 1) -> Image.Image:
    """A heading and a table of figures: name, value, null; a colour before a name is that of what it measures."""
    indent = 16 if any(colour for _, colour in rows) else 0
    nulls = any(fact.null for fact, _ in rows)
    names, values, chance = (
        max([width_of(getattr(fact, part), bold=part == "value") for fact, _ in rows], default=0.0)
        for part in ("name", "value", "null")
    )
    chance = max(chance, width_of("null", SMALL)) + GAP if nulls else 0.0
    inner = max(indent + names + GAP + values + chance, width_of(heading.title, HEAD, True), width_of(heading.note))
    top = PAD + 22 + (LINE if heading.note else 0)
    pen = Pen(inner + 2 * PAD, top + (LINE if nulls else 0) + LINE * len(rows) + PAD, scale)
    pen.text(PAD, PAD, heading.title, size=HEAD, bold=True)
    pen.text(PAD, PAD + 22, heading.note)
    if nulls:
        pen.text(PAD + inner, top + 3, "null", MUTED, SMALL, at="ra")
        top += LINE
    for number, (fact, colour) in enumerate(rows):
        y = top + LINE * number
        if colour is not None:
            pen.box(PAD, y + 5, 10, 6, colour)
        pen.text(PAD + indent, y, fact.name)
        pen.text(PAD + inner - chance, y, fact.value, bold=True, at="ra")
        pen.text(PAD + inner, y, fact.null, MUTED, at="ra")
    return pen.card


def legend_card(
    quantity: Quantity, colours: Scale, classes: Sequence[int], key: str = "", scale: int = 1
) -> Image.Image:
    """What colours and markers mean; `key` is the one that changes the quantity, where somebody sits at it."""
    title = f"boundary: {quantity.name}" if quantity.ends[0] or quantity.unit else "boundary"
    ends = ends_of(quantity, colours)
    unit = quantity.unit + (", logarithmic" if quantity.kind == "logarithmic" else "")
    wide = max(BAR[0], width_of(title, bold=True), width_of(ends[0], SMALL) + width_of(ends[1], SMALL) + GAP)
    bar = bool(ends[0])
    height = 2 * PAD + LINE * (2 + bool(unit)) + (LINE + BAR[1] + 5 if bar else 0)
    pen = Pen(wide + 2 * PAD, height, scale)
    y = float(PAD)
    x = float(PAD)
    for label in classes:
        tile = marker(label, 11 * scale)
        pen.paste(tile, x + 6 - 16.5, y + 8 - 16.5)
        pen.text(x + 17, y, f"class {label}")
        x += 74
    ring = marker(0, 11 * scale, wrong=True)
    pen.paste(ring, x + 8 - 16.5, y + 8 - 16.5)
    pen.text(x + 22, y, "wrong")
    y += LINE + 2
    pen.text(PAD, y, title, bold=True)
    y += LINE
    if unit:
        pen.text(PAD, y - 1, unit, MUTED, SMALL)
        y += LINE - 2
    if bar:
        band = colours.colours(colours.along(round(wide * scale)))
        if not quantity.unit:
            band = np.where(np.arange(len(band))[:, None] * 2 < len(band), band[0], band[-1]).astype(np.uint8)
        pen.box(PAD - 1, y - 1, wide + 1, BAR[1] + 1, RULE)
        pen.paste(Image.fromarray(np.repeat(band[None], BAR[1] * scale, axis=0)), PAD, y)
        pen.text(PAD, y + BAR[1] + 3, ends[0], INK, SMALL)
        pen.text(PAD + wide, y + BAR[1] + 3, ends[1], INK, SMALL, at="ra")
    if key:
        pen.text(PAD + wide, PAD + 1, key, MUTED, SMALL, at="ra")
    return pen.card


def ends_of(quantity: Quantity, colours: Scale) -> tuple[str, str]:
    """What stands at the two ends of the bar; empty where the boundary has one colour.

    Example:
        >>> from dimple.views.quantities import GRADIENT, SIDES
        >>> ends_of(GRADIENT, Scale("logarithmic", 2.0, 500.0)), ends_of(SIDES, Scale("diverging", -1.0, 1.0))
        (('2', '500'), ('class 0', 'class 1'))
    """
    if not quantity.unit:
        return quantity.ends
    # The words of a signed quantity carry its sign.
    low, high = (abs(colours.low), colours.high) if quantity.ends[0] else (colours.low, colours.high)
    return f"{low:g} {quantity.ends[0]}".strip(), f"{high:g} {quantity.ends[1]}".strip()


def keys_card(rows: Sequence[tuple[str, str]], scale: int = 1) -> Image.Image:
    """Keys and what they do."""
    first = max(width_of(key, bold=True) for key, _ in rows) + GAP
    wide = first + max(width_of(words) for _, words in rows)
    pen = Pen(wide + 4 * PAD, LINE * len(rows) + 4 * PAD, scale)
    for number, (key, words) in enumerate(rows):
        pen.text(2 * PAD, 2 * PAD + LINE * number, key, bold=True)
        pen.text(2 * PAD + first, 2 * PAD + LINE * number, words)
    return pen.card


def line_card(text: str, colour: Colour = MUTED, scale: int = 1) -> Image.Image:
    """One line of text."""
    pen = Pen(width_of(text, SMALL) + 2 * PAD, LINE, scale)
    pen.text(PAD, 2, text, colour, SMALL)
    return pen.card
