"""The level set that suits the network: exact where it is made of flat pieces, adaptive elsewhere."""

from collections.abc import Sequence
from typing import final

import torch

from dimple.boundary.adaptive import Adaptive
from dimple.boundary.boundary import Boundary
from dimple.boundary.folds import is_folded
from dimple.boundary.levelset import LevelSet
from dimple.boundary.mesh import Mesh
from dimple.boundary.polyhedral import Exact
from dimple.settings import Count, Finite, settings


@final
@settings
class Automatic(LevelSet):
    """`exact` for a network of ReLU type, `adaptive` for every other.

    Args:
        cells: the resolution where the level set is adaptive.

    Example:
        >>> network = torch.nn.Sequential(torch.nn.Linear(3, 2))
        >>> plane = Automatic().extract(Boundary(network), 1, (-1, -1, -1), (1, 1, 1), torch.device("cpu"))
        >>> plane.faces.shape[1]
        3
    """

    cells: Count = 128
    low: tuple[Finite, ...] | None = None
    high: tuple[Finite, ...] | None = None

    def extract(
        self,
        boundary: Boundary,
        label: int,
        low: Sequence[float],
        high: Sequence[float],
        device: torch.device,
        previous: Mesh | None = None,
    ) -> Mesh:
        """By whichever of the two can read the network."""
        chosen = Exact() if is_folded(boundary.classifier) else Adaptive(cells=self.cells)
        return chosen.extract(boundary, label, low, high, device, previous)
