"""The card that says what markers and colours mean."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from dimple.views.content.color_scale import Scale
from dimple.views.content.frame import Drawing
from dimple.views.drawing.info_panels import BODY, GAP, LINE, PAD, SMALL, Pen, width_of
from dimple.views.style.colors import INK, MANIFOLD, MUTED, PAPER, RULE, Colour, class_colour, tint
from dimple.views.style.markers import marker
from dimple.views.window.colorings import Quantity

# In pixels of a card at scale 1.
BAR = (236, 11)
MARK, ROOM, BETWEEN = 11, 18, 12
# So many entries stand in a line.
IN_A_LINE = 3


def legend_card(
    quantity: Quantity,
    colours: Scale,
    drawings: Sequence[Drawing],
    key: str = "",
    scale: int = 1,
    hollow: bool = False,
) -> Image.Image:
    """What the markers of some drawings and the colours of their boundaries mean.

    Args:
        key: which key changes the quantity, in words, where somebody sits at it.
        scale: pixels for one of the window.
        hollow: whether points that the boundary hides show as outlines.
    """
    low, high = ends_of(quantity, colours)
    title = f"boundary: {quantity.name}" if low else quantity.name
    unit = quantity.unit + (", logarithmic" if quantity.kind == "logarithmic" else "")
    entries = _entries(drawings, scale, hollow)
    lines = [entries[first : first + IN_A_LINE] for first in range(0, len(entries), IN_A_LINE)]
    longest = [sum(ROOM + width_of(name) + BETWEEN for _, name in line) for line in lines]
    longest[0] += width_of(key, SMALL)
    wide = max(
        BAR[0],
        *longest,
        width_of(title, bold=True),
        width_of(low, SMALL) + GAP + width_of(high, SMALL),
    )
    below = (LINE if unit else 0) + (BAR[1] + LINE if low else 0)
    pen = Pen(wide + 2 * PAD, 2 * PAD + LINE * (1 + len(lines)) + below, scale)
    y = float(PAD)
    pen.text(PAD + wide, y + 1, key, MUTED, SMALL, at="ra")
    for line in lines:
        x = float(PAD)
        for tile, name in line:
            half = tile.width / scale / 2
            pen.paste(tile, x + MARK / 2 - half, y + BODY / 2 + 2 - half)
            pen.text(x + ROOM, y, name)
            x += ROOM + width_of(name) + BETWEEN
        y += LINE
    y += 1
    pen.text(PAD, y, title, bold=True)
    if unit:
        y += LINE - 1
        pen.text(PAD, y, unit, MUTED, SMALL)
    if low:
        y += LINE + 1
        pen.box(PAD - 1, y - 1, wide + 1, BAR[1] + 1, RULE)
        pen.paste(_band(quantity, colours, round(wide * scale), BAR[1] * scale), PAD, y)
        pen.text(PAD, y + BAR[1] + 3, low, INK, SMALL)
        pen.text(PAD + wide, y + BAR[1] + 3, high, INK, SMALL, at="ra")
    return pen.card


def ends_of(quantity: Quantity, colours: Scale) -> tuple[str, str]:
    """What stands at the two ends of the bar; empty where the boundary has one colour.

    Example:
        >>> from dimple.views.window.colorings import GRADIENT, SIDES
        >>> ends_of(GRADIENT, Scale("logarithmic", 2.0, 500.0)), ends_of(SIDES, Scale("diverging", -1.0, 1.0))
        (('2', '500'), ('class 0', 'class 1'))
    """
    if not quantity.unit:
        return quantity.ends
    # The words of a signed quantity carry its sign.
    low, high = (abs(colours.low), colours.high) if quantity.ends[0] else (colours.low, colours.high)
    return f"{low:g} {quantity.ends[0]}".strip(), f"{high:g} {quantity.ends[1]}".strip()


def _entries(drawings: Sequence[Drawing], scale: int, hollow: bool) -> list[tuple[Image.Image, str]]:
    """Small pictures and what each stands for."""
    classes = sorted({int(label) for drawing in drawings for label in drawing.points.classes})
    named = next((drawing.classes for drawing in drawings if drawing.classes is not None), None)
    if named is None:
        entries = [(marker(label, MARK * scale), f"class {label}") for label in classes]
    else:
        entries = [(_swatch(class_colour(k), scale), name) for k, name in enumerate(named.names)]
    if any(drawing.points.predictions is not None for drawing in drawings):
        entries.append((marker(classes[0], MARK * scale, wrong=True), "wrong"))
    if hollow:
        entries.append((marker(classes[-1], MARK * scale, ghost=True), "hollow: behind the boundary"))
    if any(drawing.layer("manifold") is not None for drawing in drawings):
        entries.append((_swatch(tint(MANIFOLD, 0.4), scale), "manifold"))
    if named is not None and named.valid is not None:
        entries.append((_swatch(PAPER, scale), "pale: out of range"))
    return entries


def _swatch(colour: Colour, scale: int) -> Image.Image:
    return Image.new("RGB", (MARK * scale, MARK * scale), colour)


def _band(quantity: Quantity, colours: Scale, width: int, height: int) -> Image.Image:
    """All colours from one end to the other; the two end ones alone where nothing lies between."""
    row = colours.colours(colours.along(width))
    if not quantity.unit:
        row = row[np.where(np.arange(width) * 2 < width, 0, -1)]
    return Image.fromarray(np.repeat(row[None], height, axis=0))
