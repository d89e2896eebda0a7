"""Uniform grids over a box, on which signed distances are computed."""

from typing import final

import numpy as np

from dimple.settings import settings


@final
@settings
class UniformGrid:
    """A grid of points with equal spacing along all axes.

    Attributes:
        origin: the first point.
        spacing: side length of a cell.
        counts: number of points along each axis.

    Example:
        >>> build_uniform_grid((-1.0, -0.5), (1.0, 0.5), 200)
        UniformGrid(origin=(-1.05, -0.55), spacing=0.1, counts=(22, 12))
    """

    origin: tuple[float, ...]
    spacing: float
    counts: tuple[int, ...]


def build_uniform_grid(low: tuple[float, ...], high: tuple[float, ...], num_points: int) -> UniformGrid:
    """Return the grid of cubic cells over a box that has about `num_points` points inside the box.

    The grid extends at least half a cell beyond the box, so that all of the box lies inside its cells.
    """
    sides = np.array(high) - low
    spacing = float((np.prod(sides) / num_points) ** (1 / len(sides)))
    counts = np.ceil(sides / spacing).astype(int) + 2
    origin = (np.array(low) + high) / 2 - (counts - 1) / 2 * spacing
    return UniformGrid(tuple(origin.tolist()), spacing, tuple(int(count) for count in counts))
