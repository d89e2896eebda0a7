"""Insets for points that are images: a picture next to each point, framed in the color of its class, with a caption."""

import dataclasses
import math
from collections.abc import Sequence
from typing import final

import numpy as np
from PIL import Image, ImageDraw

from dimple.views.content.frame import FloatArray, PointSet, UInt8Array
from dimple.views.style.colors import BACKGROUND_COLOR, FOREGROUND_COLOR, class_color
from dimple.views.style.fonts import load_font

Rectangle = tuple[float, float, float, float]
# Candidate distances from a point to the center of its inset, as multiples of the side of the picture.
INSET_DISTANCES = (1.25, 1.8)
# Candidate directions for each distance.
NUM_DIRECTIONS = 12


@final
@dataclasses.dataclass(frozen=True)
class Inset:
    """A tile with its position in a picture.

    Attributes:
        tile: the image with frame and caption.
        position: the pixel of the point.
        rectangle: left, top, right and bottom of the tile.
    """

    tile: Image.Image
    position: tuple[float, float]
    rectangle: Rectangle

    def paste(self, image: Image.Image) -> None:
        """Draw the line from the point to the tile, and the tile."""
        center = ((self.rectangle[0] + self.rectangle[2]) / 2, (self.rectangle[1] + self.rectangle[3]) / 2)
        ImageDraw.Draw(image).line([self.position, center], FOREGROUND_COLOR, max(1, self.tile.width // 40))
        image.paste(self.tile, (round(self.rectangle[0]), round(self.rectangle[1])), self.tile)


def place_insets(
    points: PointSet, positions: FloatArray, size: tuple[int, int], side: int, occupied: Sequence[Rectangle] = ()
) -> list[Inset]:
    """Return one inset for each point with an image, placed such that it covers no point and no earlier inset.

    If that is impossible, the position with the smallest overlap is taken.

    Args:
        points: the points.
        positions: their pixels, `(N, 2)`.
        size: width and height of the full picture.
        side: length of the longer side of an inset in pixels, up to rounding to an integer magnification.
        occupied: left, top, right and bottom of the rectangles that insets must not cover.
    """
    insets: list[Inset] = []
    center = positions.mean(0) if len(positions) > 1 else np.array([size[0], 2 * size[1]]) / 2
    for row, pixels in enumerate(points.images):
        tile = make_tile(pixels, points.captions[row], class_color(int(points.labels[row])), side)
        candidates = _candidate_rectangles(positions[row], center, tile.size, side)
        covered = [*occupied, *[inset.rectangle for inset in insets]]
        cost = [_cost(rectangle, positions, covered, size) for rectangle in candidates]
        position = (float(positions[row, 0]), float(positions[row, 1]))
        insets.append(Inset(tile, position, candidates[int(np.argmin(cost))]))
    return insets


def make_tile(pixels: UInt8Array, name: str, color: tuple[int, int, int], side: int) -> Image.Image:
    """Return an image, magnified without smoothing, in a frame, with a caption below.

    Args:
        pixels: the image, `(H, W, 3)` bytes.
        name: the caption.
        color: color of the frame.
        side: length of the longer side in pixels, up to rounding to an integer magnification.
    """
    factor = max(1, round(side / max(pixels.shape[:2])))
    size = (factor * pixels.shape[1], factor * pixels.shape[0])
    image = Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST)
    border = max(2, side // 16)
    font = load_font(max(8, side // 5))
    text_box = ImageDraw.Draw(image).multiline_textbbox((0, 0), name, font, spacing=1)
    width = max(image.width + 2 * border, math.ceil(text_box[2]) + 6)
    frame_height = image.height + 2 * border
    tile = Image.new("RGBA", (width, frame_height + math.ceil(text_box[3]) + 5), (*BACKGROUND_COLOR, 0))
    left = (width - image.width) // 2
    middle = width / 2
    draw = ImageDraw.Draw(tile)
    draw.rectangle((left - border, 0, left + image.width + border - 1, frame_height - 1), fill=color)
    tile.paste(image, (left, border))
    half = text_box[2] / 2 + 3
    draw.rectangle((middle - half, frame_height, middle + half, tile.height - 1), fill=BACKGROUND_COLOR)
    text_top = (middle, frame_height + 1)
    draw.multiline_text(text_top, name, FOREGROUND_COLOR, font, anchor="ma", align="center", spacing=1)
    return tile


def _candidate_rectangles(
    position: FloatArray, center: FloatArray, tile_size: tuple[int, int], side: int
) -> list[Rectangle]:
    """Return rectangles around a point; the first ones lie on the side away from the center of all points."""
    first_angle = math.atan2(position[1] - center[1], position[0] - center[0])
    turns = sorted(range(NUM_DIRECTIONS), key=lambda k: min(k, NUM_DIRECTIONS - k))
    half_width = tile_size[0] / 2
    half_height = tile_size[1] / 2
    rectangles = []
    for distance in INSET_DISTANCES:
        for turn in turns:
            angle = first_angle + 2 * math.pi * turn / NUM_DIRECTIONS
            x = position[0] + distance * side * math.cos(angle)
            y = position[1] + distance * side * math.sin(angle)
            rectangles.append((x - half_width, y - half_height, x + half_width, y + half_height))
    return rectangles


def _cost(rectangle: Rectangle, positions: FloatArray, occupied: list[Rectangle], size: tuple[int, int]) -> float:
    """Return the cost of a rectangle, an area.

    It is four times the area outside the picture, the area in common with other rectangles, and the area of the
    rectangle for each point that it hides.
    """
    left, top, right, bottom = rectangle
    width = right - left
    height = bottom - top
    inside = _overlap_area(rectangle, (2.0, 2.0, size[0] - 2.0, size[1] - 2.0))
    overlap = sum(_overlap_area(rectangle, other) for other in occupied)
    num_hidden: int = sum(left - 8 < x < right + 8 and top - 8 < y < bottom + 8 for x, y in positions.tolist())
    return 4 * (width * height - inside) + overlap + num_hidden * width * height


def _overlap_area(a: Rectangle, b: Rectangle) -> float:
    """Return the area that two rectangles have in common."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
