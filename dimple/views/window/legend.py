"""The legend of a window: the meaning of markers and colors."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from dimple.views.content.color_scale import ColorScale
from dimple.views.content.frame import Drawing, present_classes
from dimple.views.drawing.info_panels import (
    COLUMN_SPACING,
    LINE_HEIGHT,
    PADDING,
    SMALL_TEXT_SIZE,
    TEXT_SIZE,
    InfoPanelCanvas,
    text_width,
)
from dimple.views.style.colors import (
    BACKGROUND_COLOR,
    FOREGROUND_COLOR,
    GRID_LINE_COLOR,
    MANIFOLD_COLOR,
    MUTED_COLOR,
    Color,
    class_color,
    tint,
)
from dimple.views.style.markers import draw_marker
from dimple.views.window.colorings import Quantity

# Pixels at scale 1.
COLOR_BAR_SIZE = (236, 11)
MARKER_SIZE = 11
MARKER_COLUMN_WIDTH = 18
ENTRY_SPACING = 12
ENTRIES_PER_LINE = 3


def draw_legend(
    quantity: Quantity,
    color_scale: ColorScale,
    drawings: Sequence[Drawing],
    key_hint: str = "",
    scale: int = 1,
    show_hidden: bool = False,
    show_manifold: bool = True,
) -> Image.Image:
    """Return the legend for what is seen of some drawings: markers, and the colors of their boundaries.

    Args:
        quantity: by which the boundaries are colored.
        color_scale: of the quantity.
        drawings: one of each run.
        key_hint: text that names the key that changes the quantity; empty outside a window.
        scale: pixels of the image for one of the window.
        show_hidden: whether points that the boundary hides are drawn as outlines.
        show_manifold: whether the manifold is drawn.
    """
    low, high = scale_end_labels(quantity, color_scale)
    title = f"color: {quantity.name}"
    unit = quantity.unit + (", logarithmic" if quantity.kind == "logarithmic" else "")
    entries = _entries(drawings, scale, show_hidden, show_manifold)
    lines = [entries[first : first + ENTRIES_PER_LINE] for first in range(0, len(entries), ENTRIES_PER_LINE)]
    line_widths = [sum(MARKER_COLUMN_WIDTH + text_width(name) + ENTRY_SPACING for _, name in line) for line in lines]
    line_widths[0] += text_width(key_hint, SMALL_TEXT_SIZE)
    width = max(
        COLOR_BAR_SIZE[0],
        *line_widths,
        text_width(title, bold=True),
        text_width(low, SMALL_TEXT_SIZE) + COLUMN_SPACING + text_width(high, SMALL_TEXT_SIZE),
    )
    color_height = (LINE_HEIGHT if unit else 0) + (COLOR_BAR_SIZE[1] + LINE_HEIGHT if low else 0)
    canvas = InfoPanelCanvas(width + 2 * PADDING, 2 * PADDING + LINE_HEIGHT * (1 + len(lines)) + color_height, scale)
    y = float(PADDING)
    canvas.text(PADDING + width, y + 1, key_hint, MUTED_COLOR, SMALL_TEXT_SIZE, anchor="ra")
    for line in lines:
        x = float(PADDING)
        for tile, name in line:
            half = tile.width / scale / 2
            canvas.paste(tile, x + MARKER_SIZE / 2 - half, y + TEXT_SIZE / 2 + 2 - half)
            canvas.text(x + MARKER_COLUMN_WIDTH, y, name)
            x += MARKER_COLUMN_WIDTH + text_width(name) + ENTRY_SPACING
        y += LINE_HEIGHT
    y += 1
    canvas.text(PADDING, y, title, bold=True)
    if unit:
        y += LINE_HEIGHT - 1
        canvas.text(PADDING, y, unit, MUTED_COLOR, SMALL_TEXT_SIZE)
    if low:
        y += LINE_HEIGHT + 1
        canvas.rectangle(PADDING - 1, y - 1, width + 1, COLOR_BAR_SIZE[1] + 1, GRID_LINE_COLOR)
        canvas.paste(_color_bar(quantity, color_scale, round(width * scale), COLOR_BAR_SIZE[1] * scale), PADDING, y)
        canvas.text(PADDING, y + COLOR_BAR_SIZE[1] + 3, low, FOREGROUND_COLOR, SMALL_TEXT_SIZE)
        canvas.text(PADDING + width, y + COLOR_BAR_SIZE[1] + 3, high, FOREGROUND_COLOR, SMALL_TEXT_SIZE, anchor="ra")
    return canvas.image


def scale_end_labels(quantity: Quantity, color_scale: ColorScale) -> tuple[str, str]:
    """Return the labels of the low and the high end of the color bar; empty texts for a quantity without a bar.

    Example:
        >>> from dimple.views.window.colorings import GRADIENT_NORM, SIDE_CLASS
        >>> scale_end_labels(GRADIENT_NORM, ColorScale("logarithmic", 2.0, 500.0))
        ('2', '500')
        >>> scale_end_labels(SIDE_CLASS, ColorScale("diverging", -1.0, 1.0))
        ('class 0', 'class 1')
    """
    if not quantity.unit:
        return quantity.end_labels
    low_label, high_label = quantity.end_labels
    # The label of a signed quantity expresses its sign.
    low = abs(color_scale.low) if low_label else color_scale.low
    return f"{low:g} {low_label}".strip(), f"{color_scale.high:g} {high_label}".strip()


def _entries(
    drawings: Sequence[Drawing], scale: int, show_hidden: bool, show_manifold: bool
) -> list[tuple[Image.Image, str]]:
    """Return the small image and the text of each entry."""
    classes = sorted({int(label) for drawing in drawings for label in drawing.points.labels})
    regions = next((drawing.class_regions for drawing in drawings if drawing.class_regions is not None), None)
    if regions is None:
        entries = [(draw_marker(label, MARKER_SIZE * scale), f"class {label}") for label in classes]
    else:
        entries = [(_swatch(class_color(k), scale), regions.class_names[k]) for k in present_classes(drawings)]
    if any(drawing.points.misclassified.any() for drawing in drawings):
        entries.append((draw_marker(classes[0], MARKER_SIZE * scale, misclassified=True), "misclassified"))
    if show_hidden and any(drawing.has_boundary for drawing in drawings):
        entries.append((draw_marker(classes[-1], MARKER_SIZE * scale, hidden=True), "hollow: behind the boundary"))
    if show_manifold and any(drawing.layer("manifold") is not None for drawing in drawings):
        entries.append((_swatch(tint(MANIFOLD_COLOR, 0.4), scale), "manifold"))
    if any(drawing.has_invalid_inputs for drawing in drawings):
        entries.append((_swatch(BACKGROUND_COLOR, scale), "pale: outside the input range"))
    return entries


def _swatch(color: Color, scale: int) -> Image.Image:
    return Image.new("RGB", (MARKER_SIZE * scale, MARKER_SIZE * scale), color)


def _color_bar(quantity: Quantity, color_scale: ColorScale, width: int, height: int) -> Image.Image:
    """Return the color bar; for classes, it has only the two end colors."""
    row = color_scale.colors(color_scale.spaced_values(width))
    if not quantity.unit:
        row = row[np.where(np.arange(width) * 2 < width, 0, -1)]
    return Image.fromarray(np.repeat(row[None], height, axis=0))
