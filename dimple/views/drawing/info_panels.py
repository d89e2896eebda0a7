"""Text panels of the window as small pictures: captions, legends and key lists, in the font of all views."""

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import TypeAlias, final

from PIL import Image, ImageDraw

from dimple.views.content.frame import Fact, Frame
from dimple.views.content.labels import BASELINE_TITLE
from dimple.views.style.colors import BACKGROUND_COLOR, FOREGROUND_COLOR, MUTED_COLOR, Color
from dimple.views.style.fonts import load_font

# Font sizes, in pixels at scale 1.
TITLE_SIZE = 16
TEXT_SIZE = 13
SMALL_TEXT_SIZE = 12
# Distances, in pixels at scale 1.
LINE_HEIGHT = 19
PADDING = 8
COLUMN_SPACING = 18
# Opacity of the background of a panel, from 0 to 255.
BACKGROUND_ALPHA = 225
# Characters in a line of a note.
NOTE_WIDTH = 46
# A fact, and the color of the swatch before its name, if there is one.
FactRow: TypeAlias = tuple[Fact, Color | None]


@final
@dataclasses.dataclass(frozen=True)
class Heading:
    """The first lines of a panel: a title in bold and the lines of a note below it."""

    title: str
    note: str = ""


def caption_content(frame: Frame, name: str) -> tuple[Heading, list[FactRow]]:
    """Return the content of the caption of a frame: a name, note, step, what is so at it, and the facts.

    Args:
        frame: the frame.
        name: the title of the caption.
    """
    now = frame.timeline.describe_step(frame.step)
    note = "\n".join(filter(None, [*textwrap.wrap(frame.note, NOTE_WIDTH), frame.step_text, *now]))
    return Heading(name, note), [(fact, None) for fact in frame.facts]


@final
class InfoPanelCanvas:
    """A panel to draw on, with all lengths in pixels at scale 1.

    Args:
        width: width of the panel.
        height: height of the panel.
        scale: pixels of the picture for one pixel at scale 1.
        alpha: opacity of the background, from 0 to 255.

    Attributes:
        image: the picture of the panel.
    """

    def __init__(self, width: float, height: float, scale: int, alpha: int = BACKGROUND_ALPHA) -> None:
        self.scale = scale
        self.image = Image.new("RGBA", (round(width * scale), round(height * scale)), (*BACKGROUND_COLOR, alpha))
        self._draw = ImageDraw.Draw(self.image)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        color: Color = FOREGROUND_COLOR,
        size: int = TEXT_SIZE,
        bold: bool = False,
        anchor: str = "la",
    ) -> None:
        """Write a text at (x, y), the upper left corner of the text or another point given by Pillow's `anchor`."""
        font = load_font(size * self.scale, bold)
        self._draw.text((x * self.scale, y * self.scale), text, (*color, 255), font, anchor=anchor)

    def rectangle(self, x: float, y: float, width: float, height: float, fill: Color) -> None:
        """Draw a filled rectangle."""
        corners = [value * self.scale for value in (x, y, x + width, y + height)]
        self._draw.rectangle(corners, fill=(*fill, 255))

    def paste(self, image: Image.Image, x: float, y: float) -> None:
        """Paste a picture with its upper left corner at (x, y)."""
        position = (round(x * self.scale), round(y * self.scale))
        self.image.paste(image, position, image if image.mode == "RGBA" else None)


def text_width(text: str, size: int = TEXT_SIZE, bold: bool = False) -> float:
    """Return the width of a line of text, in pixels at scale 1."""
    return float(load_font(size, bold).getlength(text))


def draw_info_panel(heading: Heading, rows: Sequence[FactRow], scale: int = 1) -> Image.Image:
    """Draw a panel with a heading and a table of facts: name, value, and the value to compare with.

    Args:
        heading: title and note.
        rows: the facts, each with the color of a swatch before its name, or None.
        scale: pixels of the picture for one pixel at scale 1.
    """
    indent = 16 if any(color for _, color in rows) else 0
    has_baselines = any(fact.baseline for fact, _ in rows)
    name_width, value_width, baseline_width = (
        max([text_width(getattr(fact, column), bold=column == "value") for fact, _ in rows], default=0.0)
        for column in ("name", "value", "baseline")
    )
    title_width = text_width(BASELINE_TITLE, SMALL_TEXT_SIZE)
    baseline_width = max(baseline_width, title_width) + COLUMN_SPACING if has_baselines else 0.0
    lines = heading.note.splitlines()
    longest = max([text_width(heading.title, TITLE_SIZE, True), *map(text_width, lines)])
    inner = max(indent + name_width + COLUMN_SPACING + value_width + baseline_width, longest)
    top = PADDING + 22 + LINE_HEIGHT * len(lines)
    height = top + (LINE_HEIGHT if has_baselines else 0) + LINE_HEIGHT * len(rows) + PADDING
    canvas = InfoPanelCanvas(inner + 2 * PADDING, height, scale)
    canvas.text(PADDING, PADDING, heading.title, size=TITLE_SIZE, bold=True)
    for number, line in enumerate(lines):
        canvas.text(PADDING, PADDING + 22 + LINE_HEIGHT * number, line)
    if has_baselines:
        canvas.text(PADDING + inner, top + 3, BASELINE_TITLE, MUTED_COLOR, SMALL_TEXT_SIZE, anchor="ra")
        top += LINE_HEIGHT
    for number, (fact, color) in enumerate(rows):
        y = top + LINE_HEIGHT * number
        if color is not None:
            canvas.rectangle(PADDING, y + 5, 10, 6, color)
        canvas.text(PADDING + indent, y, fact.name)
        canvas.text(PADDING + inner - baseline_width, y, fact.value, bold=True, anchor="ra")
        canvas.text(PADDING + inner, y, fact.baseline, MUTED_COLOR, anchor="ra")
    return canvas.image


def draw_key_list(rows: Sequence[tuple[str, str]], scale: int = 1) -> Image.Image:
    """Draw a list of keys, each with a description of its action."""
    key_width = max(text_width(key, bold=True) for key, _ in rows) + COLUMN_SPACING
    width = key_width + max(text_width(description) for _, description in rows)
    canvas = InfoPanelCanvas(width + 4 * PADDING, LINE_HEIGHT * len(rows) + 4 * PADDING, scale, alpha=255)
    for number, (key, description) in enumerate(rows):
        canvas.text(2 * PADDING, 2 * PADDING + LINE_HEIGHT * number, key, bold=True)
        canvas.text(2 * PADDING + key_width, 2 * PADDING + LINE_HEIGHT * number, description)
    return canvas.image


def draw_text_line(text: str, color: Color = MUTED_COLOR, scale: int = 1) -> Image.Image:
    """Draw a panel with one line of text."""
    canvas = InfoPanelCanvas(text_width(text, SMALL_TEXT_SIZE) + 2 * PADDING, LINE_HEIGHT, scale)
    canvas.text(PADDING, 2, text, color, SMALL_TEXT_SIZE)
    return canvas.image
