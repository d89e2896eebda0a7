"""The level set that suits the network: exact where it is made of flat pieces, adaptive elsewhere."""

from collections.abc import Sequence
from typing import final

import numpy as np
import torch

from dimple.boundary.adaptive import Adaptive
from dimple.boundary.boundary import Boundary
from dimple.boundary.certify import is_halved
from dimple.boundary.completing import a_place_of_each_part, parts_passed_by
from dimple.boundary.folds import is_folded
from dimple.boundary.levelset import LevelSet
from dimple.boundary.mesh import Mesh
from dimple.boundary.polyhedral import Exact
from dimple.errors import SceneError
from dimple.settings import Count, Finite, Natural, settings


@final
@settings
class Automatic(LevelSet):
    """`exact` for a network of ReLU type, `adaptive` for every other; with a proof that nothing is missing on request.

    Args:
        cells: the resolution where the level set is adaptive.
        certified: cells along each axis, a power of two, in which bounds of the network have to exclude what the mesh
            lacks; what is found where they do not is added. 0 asks for no proof; it takes some seconds a mesh.

    Example:
        >>> network = torch.nn.Sequential(torch.nn.Linear(3, 2))
        >>> plane = Automatic().extract(Boundary(network), 1, (-1, -1, -1), (1, 1, 1), torch.device("cpu"))
        >>> plane.faces.shape[1]
        3
    """

    cells: Count = 128
    certified: Natural = 0
    low: tuple[Finite, ...] | None = None
    high: tuple[Finite, ...] | None = None

    def __post_init__(self) -> None:
        if self.certified and not is_halved(self.certified):
            raise SceneError(
                f"levelset.certified is {self.certified}; give a power of two from 4 on, or 0 for no proof"
            )

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
        mesh = chosen.extract(boundary, label, low, high, device, previous)
        if self.certified:
            lost = parts_passed_by(mesh, boundary, label, low, high, self.certified)
            if len(lost.faces):
                hints = np.concatenate([lost.vertices, a_place_of_each_part(mesh)])
                mesh = chosen.extract(boundary, label, low, high, device, Mesh(hints, lost.faces[:0]))
        return mesh
