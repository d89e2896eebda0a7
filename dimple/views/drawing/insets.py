"""Points that are images: each beside its place, framed in the colour of its class, with a caption."""

import dataclasses
import math
from collections.abc import Sequence
from typing import final

import numpy as np
from PIL import Image, ImageDraw

from dimple.views.content.frame import Bytes, PointSet, Reals
from dimple.views.style.colors import INK, PAPER, class_colour
from dimple.views.style.fonts import font

Rectangle = tuple[float, float, float, float]
# From a place to the middle of its inset, in sides of it, tried one after the other; and how many directions.
AWAY, DIRECTIONS = (1.25, 1.8), 12


@final
@dataclasses.dataclass(frozen=True)
class Inset:
    """A tile with the place that it is about and the rectangle that it takes."""

    tile: Image.Image
    place: tuple[float, float]
    box: Rectangle

    def paste(self, picture: Image.Image) -> None:
        """Draw the line from the place to the tile, and the tile."""
        middle = ((self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2)
        ImageDraw.Draw(picture).line([self.place, middle], INK, max(1, self.tile.width // 40))
        picture.paste(self.tile, (round(self.box[0]), round(self.box[1])), self.tile)


def insets(
    points: PointSet, places: Reals, size: tuple[int, int], side: int, taken: Sequence[Rectangle] = ()
) -> list[Inset]:
    """The points that have pictures, each placed where it covers no point and no inset before it.

    Args:
        places: `(N, 2)` pixels.
        size: of the whole picture.
        side: of the pictures, in pixels, but for rounding to whole magnifications.
        taken: left, top, right and bottom of what must stay readable.
    """
    found: list[Inset] = []
    centre = places.mean(0) if len(places) > 1 else np.array([size[0], 2 * size[1]]) / 2
    for row, pixels in enumerate(points.pictures):
        tile = tile_of(pixels, points.names[row], class_colour(int(points.classes[row])), side)
        boxes = _around(places[row], centre, tile.size, side)
        cost = [_cost(box, places, [*taken, *[other.box for other in found]], size) for box in boxes]
        found.append(Inset(tile, (float(places[row, 0]), float(places[row, 1])), boxes[int(np.argmin(cost))]))
    return found


def tile_of(pixels: Bytes, name: str, colour: tuple[int, int, int], side: int) -> Image.Image:
    """A picture magnified without smoothing, in a frame of the colour, the caption below."""
    times = max(1, round(side / max(pixels.shape[:2])))
    image = Image.fromarray(pixels).resize((times * pixels.shape[1], times * pixels.shape[0]), Image.Resampling.NEAREST)
    rim, letters = max(2, side // 16), font(max(8, side // 5))
    pen = ImageDraw.Draw(image)
    box = pen.multiline_textbbox((0, 0), name, letters, spacing=1)
    width = max(image.width + 2 * rim, math.ceil(box[2]) + 6)
    frame = image.height + 2 * rim
    tile = Image.new("RGBA", (width, frame + math.ceil(box[3]) + 5), (*PAPER, 0))
    left, middle = (width - image.width) // 2, width / 2
    pen = ImageDraw.Draw(tile)
    pen.rectangle((left - rim, 0, left + image.width + rim - 1, frame - 1), fill=colour)
    tile.paste(image, (left, rim))
    half = box[2] / 2 + 3
    pen.rectangle((middle - half, frame, middle + half, tile.height - 1), fill=PAPER)
    pen.multiline_text((middle, frame + 1), name, INK, letters, anchor="ma", align="center", spacing=1)
    return tile


def _around(place: Reals, centre: Reals, tile: tuple[int, int], side: int) -> list[Rectangle]:
    """Rectangles around a place, those away from the centre first."""
    first = math.atan2(place[1] - centre[1], place[0] - centre[0])
    turns = sorted(range(DIRECTIONS), key=lambda k: min(k, DIRECTIONS - k))
    boxes = []
    for away in AWAY:
        for turn in turns:
            angle = first + 2 * math.pi * turn / DIRECTIONS
            x, y = place[0] + away * side * math.cos(angle), place[1] + away * side * math.sin(angle)
            boxes.append((x - tile[0] / 2, y - tile[1] / 2, x + tile[0] / 2, y + tile[1] / 2))
    return boxes


def _cost(box: Rectangle, places: Reals, taken: list[Rectangle], size: tuple[int, int]) -> float:
    """The area that a rectangle has outside the picture or in common with others, and the points that it hides."""
    width, height = box[2] - box[0], box[3] - box[1]
    within = _common(box, (2.0, 2.0, size[0] - 2.0, size[1] - 2.0))
    hidden: int = sum(box[0] - 8 < x < box[2] + 8 and box[1] - 8 < y < box[3] + 8 for x, y in places.tolist())
    return 4 * (width * height - within) + sum(_common(box, other) for other in taken) + hidden * width * height


def _common(a: Rectangle, b: Rectangle) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
