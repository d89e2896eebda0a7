"""Where distances are kept: points at equal distances over a box."""

from typing import final

import numpy as np

from dimple.settings import settings


@final
@settings
class Lattice:
    """Points at equal distances over a box, half a cell beyond its rim, so that the box lies wholly within cells.

    Attributes:
        origin: the first point.
        spacing: the side of a cell.
        counts: points along each axis.

    Example:
        >>> lattice_over((-1.0, -0.5), (1.0, 0.5), 200)
        Lattice(origin=(-1.05, -0.55), spacing=0.1, counts=(22, 12))
    """

    origin: tuple[float, ...]
    spacing: float
    counts: tuple[int, ...]


def lattice_over(low: tuple[float, ...], high: tuple[float, ...], points: int) -> Lattice:
    """The lattice of cubic cells over a box with about `points` points in it."""
    sides = np.array(high) - low
    spacing = float((np.prod(sides) / points) ** (1 / len(sides)))
    counts = np.ceil(sides / spacing).astype(int) + 2
    origin = (np.array(low) + high) / 2 - (counts - 1) / 2 * spacing
    return Lattice(tuple(origin.tolist()), spacing, tuple(int(count) for count in counts))
