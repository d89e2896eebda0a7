"""What the window writes, as small pictures: captions, legends, keys; by Pillow, in the typeface of all views."""

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import TypeAlias, final

from PIL import Image, ImageDraw

from dimple.views.content.frame import Fact, Frame
from dimple.views.style.colors import INK, MUTED, PAPER, Colour
from dimple.views.style.fonts import font

# In pixels of a card at scale 1.
HEAD, BODY, SMALL = 16, 13, 12
LINE, PAD, GAP = 19, 8, 18
# How much of what lies beneath a card shows through, of 255.
COVER = 225
# Letters in a line of a note.
COLUMN = 46
Row: TypeAlias = tuple[Fact, Colour | None]


@final
@dataclasses.dataclass(frozen=True)
class Heading:
    """The first lines of a card: one in bold, and those of a note beneath it."""

    title: str
    note: str = ""


def caption(frame: Frame, name: str) -> tuple[Heading, list[Row]]:
    """What a snapshot of a run says of itself: name, step and phase, and its figures beside their nulls."""
    moment = "   ".join(filter(None, (frame.moment, frame.phase)))
    note = "\n".join(filter(None, [*textwrap.wrap(frame.note, COLUMN), moment]))
    return Heading(name, note), [(fact, None) for fact in frame.facts]


@final
class Pen:
    """Draws on a blank card, in pixels at scale 1."""

    def __init__(self, width: float, height: float, scale: int, cover: int = COVER) -> None:
        self.scale = scale
        self.card = Image.new("RGBA", (round(width * scale), round(height * scale)), (*PAPER, cover))
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
    lines = heading.note.splitlines()
    longest = max([width_of(heading.title, HEAD, True), *map(width_of, lines)])
    inner = max(indent + names + GAP + values + chance, longest)
    top = PAD + 22 + LINE * len(lines)
    pen = Pen(inner + 2 * PAD, top + (LINE if nulls else 0) + LINE * len(rows) + PAD, scale)
    pen.text(PAD, PAD, heading.title, size=HEAD, bold=True)
    for number, line in enumerate(lines):
        pen.text(PAD, PAD + 22 + LINE * number, line)
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


def keys_card(rows: Sequence[tuple[str, str]], scale: int = 1) -> Image.Image:
    """Keys and what they do."""
    first = max(width_of(key, bold=True) for key, _ in rows) + GAP
    wide = first + max(width_of(words) for _, words in rows)
    pen = Pen(wide + 4 * PAD, LINE * len(rows) + 4 * PAD, scale, cover=255)
    for number, (key, words) in enumerate(rows):
        pen.text(2 * PAD, 2 * PAD + LINE * number, key, bold=True)
        pen.text(2 * PAD + first, 2 * PAD + LINE * number, words)
    return pen.card


def line_card(text: str, colour: Colour = MUTED, scale: int = 1) -> Image.Image:
    """One line of text."""
    pen = Pen(width_of(text, SMALL) + 2 * PAD, LINE, scale)
    pen.text(PAD, 2, text, colour, SMALL)
    return pen.card
