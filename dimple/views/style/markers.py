"""The points of a drawing as small pictures: a shape and a colour a class, smooth at any size."""

import functools
import math

from PIL import Image, ImageDraw

from dimple.views.style.colors import INK, PAPER, class_colour, class_shape, tint

# A point that a surface hides by less than this share of the box is shown all the same, as an outline: it
# sits under a bump. What is hidden deeper lies on the far side, and would only clutter the near one.
GHOST_DEPTH = 0.14
_OVERSAMPLING = 6


@functools.cache
def marker(label: int, size: int, wrong: bool = False, ghost: bool = False) -> Image.Image:
    """A transparent tile with the marker of one class in its centre.

    Args:
        label: the class; it decides colour and shape.
        size: the diameter in pixels; the tile is three times as wide.
        wrong: adds a dark ring, for points that the network puts into another class.
        ghost: draws the outline only, for points that a surface hides.
    """
    side = 3 * size * _OVERSAMPLING
    tile = Image.new("RGBA", (side, side), (*PAPER, 0))
    pen = ImageDraw.Draw(tile)
    radius = size * _OVERSAMPLING / 2
    colour = class_colour(label)
    if wrong:
        ring = 1.75 * radius
        middle = side / 2
        box = (middle - ring, middle - ring, middle + ring, middle + ring)
        pen.ellipse(box, outline=(*INK, 150 if ghost else 255), width=round(0.28 * radius))
    rim = 0.3 * radius
    if ghost:
        _shape(pen, label, side / 2, radius, (*colour, 255))
        _shape(pen, label, side / 2, radius - rim, (*tint(colour, 0.12), 255))
    else:
        _shape(pen, label, side / 2, radius + rim, (*PAPER, 255))
        _shape(pen, label, side / 2, radius, (*colour, 255))
    return tile.resize((3 * size, 3 * size), Image.Resampling.LANCZOS)


def stamp(picture: Image.Image, tile: Image.Image, x: float, y: float) -> None:
    """Put a marker's centre at the pixel (x, y) of an RGB picture; what falls outside is cut off."""
    corner = (math.floor(x - tile.width / 2 + 0.5), math.floor(y - tile.height / 2 + 0.5))
    picture.paste(tile, corner, tile)


def _shape(pen: ImageDraw.ImageDraw, label: int, middle: float, radius: float, fill: tuple[int, ...]) -> None:
    """Shapes of about equal area, so that no class looks heavier."""
    shape = class_shape(label)
    if shape == "circle":
        pen.ellipse((middle - radius, middle - radius, middle + radius, middle + radius), fill=fill)
        return
    corners, reach, turn = {"diamond": (4, 1.3, 0.0), "square": (4, 1.25, 45.0), "triangle": (3, 1.45, -90.0)}[shape]
    angles = [math.radians(turn + 360 * k / corners) for k in range(corners)]
    pen.polygon([(middle + reach * radius * math.cos(a), middle + reach * radius * math.sin(a)) for a in angles], fill)
