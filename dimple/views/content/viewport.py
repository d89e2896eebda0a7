"""The map from the box of a drawing in the plane to the pixels of a picture."""

import dataclasses
from typing import final

import numpy as np

from dimple.views.content.frame import Drawing, FloatArray


@final
@dataclasses.dataclass(frozen=True)
class Viewport:
    """The position of a box of the plane on a picture, with the same scale horizontally and vertically.

    Attributes:
        size: width and height of the picture in pixels.
        pixels_per_unit: pixels per unit of length in the plane.
        lower_left: the point of the plane at the lower left corner of the picture, `(2,)`.
    """

    size: tuple[int, int]
    pixels_per_unit: float
    lower_left: FloatArray

    @classmethod
    def from_drawing(cls, drawing: Drawing, size: tuple[int, int]) -> "Viewport":
        """Place the box of a drawing in the middle of a picture, as large as possible, with a margin of two pixels."""
        low = np.array(drawing.low)
        high = np.array(drawing.high)
        scale = float(min((size[0] - 4) / (high[0] - low[0]), (size[1] - 4) / (high[1] - low[1])))
        return cls(size, scale, (low + high) / 2 - np.array(size) / (2 * scale))

    def upscale(self, factor: int) -> "Viewport":
        """Return the viewport for a picture that is `factor` times as wide and as high."""
        return Viewport((factor * self.size[0], factor * self.size[1]), factor * self.pixels_per_unit, self.lower_left)

    def to_pixels(self, positions: FloatArray) -> FloatArray:
        """Return the pixels `(N, 2)` of points of the plane `(N, 2)`, y downwards."""
        pixels = (positions - self.lower_left) * self.pixels_per_unit
        return np.stack([pixels[:, 0], self.size[1] - pixels[:, 1]], axis=1)

    def cell_centers(self, cell_size: int = 1) -> tuple[FloatArray, FloatArray]:
        """Return the centers of square cells of `cell_size` pixels: x from left to right, and y from top to bottom."""
        x = self.lower_left[0] + (np.arange(self.size[0] // cell_size) + 0.5) * cell_size / self.pixels_per_unit
        y = (
            self.lower_left[1]
            + (self.size[1] - (np.arange(self.size[1] // cell_size) + 0.5) * cell_size) / self.pixels_per_unit
        )
        return x, y
