"""Markers of points as small pictures: a shape and a color for each class, anti-aliased at every size."""

import functools
import math

from PIL import Image, ImageDraw

from dimple.views.style.colors import BACKGROUND_COLOR, FOREGROUND_COLOR, class_color, class_shape, tint

# A hidden point is drawn as an outline if it lies behind the surface by less than this fraction of the box, that is,
# under a bump. Points deeper behind are on the far side, and their outlines would only be confusing.
HIDDEN_OUTLINE_DEPTH = 0.14
_OVERSAMPLING = 6


@functools.cache
def draw_marker(label: int, size: int, misclassified: bool = False, hidden: bool = False) -> Image.Image:
    """Return a transparent tile with the marker of a class in its center.

    Args:
        label: the class, which determines color and shape.
        size: diameter of the marker in pixels; the tile is three times as wide.
        misclassified: if True, add a dark ring.
        hidden: if True, draw only the outline, for points behind a surface.
    """
    side = 3 * size * _OVERSAMPLING
    tile = Image.new("RGBA", (side, side), (*BACKGROUND_COLOR, 0))
    draw = ImageDraw.Draw(tile)
    radius = size * _OVERSAMPLING / 2
    center = side / 2
    color = class_color(label)
    if misclassified:
        ring = 1.75 * radius
        box = (center - ring, center - ring, center + ring, center + ring)
        draw.ellipse(box, outline=(*FOREGROUND_COLOR, 150 if hidden else 255), width=round(0.28 * radius))
    border = 0.3 * radius
    if hidden:
        _draw_shape(draw, label, center, radius, (*color, 255))
        _draw_shape(draw, label, center, radius - border, (*tint(color, 0.12), 255))
    else:
        _draw_shape(draw, label, center, radius + border, (*BACKGROUND_COLOR, 255))
        _draw_shape(draw, label, center, radius, (*color, 255))
    return tile.resize((3 * size, 3 * size), Image.Resampling.LANCZOS)


def paste_marker(image: Image.Image, marker: Image.Image, x: float, y: float) -> None:
    """Paste a marker with its center at the pixel (x, y) of an RGB picture; parts outside the picture are cut off."""
    corner = (math.floor(x - marker.width / 2 + 0.5), math.floor(y - marker.height / 2 + 0.5))
    image.paste(marker, corner, marker)


def _draw_shape(draw: ImageDraw.ImageDraw, label: int, center: float, radius: float, fill: tuple[int, ...]) -> None:
    """Draw the shape of a class. All shapes have about equal areas, so that no class dominates the picture."""
    shape = class_shape(label)
    if shape == "circle":
        draw.ellipse((center - radius, center - radius, center + radius, center + radius), fill=fill)
        return
    count, reach, turn = {"diamond": (4, 1.3, 0.0), "square": (4, 1.25, 45.0), "triangle": (3, 1.45, -90.0)}[shape]
    angles = [math.radians(turn + 360 * k / count) for k in range(count)]
    draw.polygon([(center + reach * radius * math.cos(a), center + reach * radius * math.sin(a)) for a in angles], fill)
