"""Where the places of a plane's box lie on a picture."""

import dataclasses
from typing import final

import numpy as np

from dimple.views.content.frame import Drawing, Reals


@final
@dataclasses.dataclass(frozen=True)
class Fit:
    """A box of the plane in the middle of a picture, one unit as long upwards as sideways.

    Attributes:
        size: of the picture, width and height in pixels.
        scale: pixels a unit.
        corner: the place of the plane at the picture's lower left corner, `(2,)`.
    """

    size: tuple[int, int]
    scale: float
    corner: Reals

    @classmethod
    def of(cls, drawing: Drawing, size: tuple[int, int]) -> "Fit":
        """The box of a drawing as large as the picture allows, with two pixels to spare."""
        low, high = np.array(drawing.low), np.array(drawing.high)
        scale = float(min((size[0] - 4) / (high[0] - low[0]), (size[1] - 4) / (high[1] - low[1])))
        return cls(size, scale, (low + high) / 2 - np.array(size) / (2 * scale))

    def finer(self, times: int) -> "Fit":
        """The same on a picture so many times as wide and high."""
        return Fit((times * self.size[0], times * self.size[1]), times * self.scale, self.corner)

    def pixels(self, positions: Reals) -> Reals:
        """Places of the plane `(N, 2)` as pixels, y downwards."""
        places = (positions - self.corner) * self.scale
        return np.stack([places[:, 0], self.size[1] - places[:, 1]], axis=1)

    def places(self, cell: int = 1) -> tuple[Reals, Reals]:
        """The x of the middles of columns of `cell` pixels, from left to right, and the y of rows, from the top."""
        x = self.corner[0] + (np.arange(self.size[0] // cell) + 0.5) * cell / self.scale
        y = self.corner[1] + (self.size[1] - (np.arange(self.size[1] // cell) + 0.5) * cell) / self.scale
        return x, y
