"""At which steps of the training a snapshot is kept."""

from typing import Literal, final

import numpy as np

from dimple.settings import Count, settings


@final
@settings
class Snapshots:
    """`count` steps from 0 to the last one: log-spaced, because a boundary moves most early, or evenly spaced.

    Example:
        >>> Snapshots(count=5).steps(1000)
        [0, 1, 10, 100, 1000]
    """

    count: Count = 50
    spacing: Literal["log", "linear"] = "log"

    def steps(self, last: int) -> list[int]:
        """Rising steps; 0 is before the first update. Fewer than `count` where rounding makes two the same."""
        if self.spacing == "linear" or self.count < 3:
            return sorted({round(step) for step in np.linspace(0, last, self.count)} | {0, last})
        return sorted({0} | {round(step) for step in np.geomspace(1, last, self.count - 1)} | {last})
