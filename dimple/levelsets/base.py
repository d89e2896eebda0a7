"""What every way to extract a level set promises."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary, gap_of
from dimple.errors import SceneError
from dimple.levelsets.mesh import Mesh
from dimple.tensors import in_chunks
from dimple.tracing.fast_eval import quick_gap
from dimple.tracing.sequential import CHUNK

LevelFunction = Callable[[Tensor], Tensor]


class LevelSet(ABC):
    """A way to extract the boundary of one class from a box of the plane or of space.

    `low` and `high` are the corners of that box; without them it is fitted to the data.
    """

    low: tuple[float, ...] | None
    high: tuple[float, ...] | None

    @abstractmethod
    def extract(
        self,
        boundary: Boundary,
        label: int,
        low: Sequence[float],
        high: Sequence[float],
        device: torch.device,
        previous: Mesh | None = None,
    ) -> Mesh:
        """The points of the box, n = 2 or 3, where the gap of the class `label` is zero; the mesh faces that class.

        Args:
            previous: the mesh of the snapshot before, so that what is small and has moved little is found again; the
                result does not depend on it otherwise.
        """


def level_function(boundary: Boundary, label: int) -> LevelFunction:
    """The gap of one class as a function of any number of points `(N, n)`, positive where the class wins.

    A small network of two classes on the CPU is evaluated by `quick_gap`, every other one as it is, chunk by chunk.

    Example:
        >>> level = level_function(Boundary(lambda x: torch.cat([-x, x], dim=1)), 1)
        >>> level(torch.tensor([[2.0], [-1.0]]))
        tensor([ 4., -2.])
    """
    quick = quick_gap(boundary.classifier, label)

    def gap(x: Tensor) -> Tensor:
        scores = boundary.scores(x)
        if scores.shape[1] == 2:
            return scores[:, label] - scores[:, 1 - label]
        return gap_of(scores, torch.full((len(x),), label, device=x.device))

    def level(x: Tensor) -> Tensor:
        if quick is None or x.device.type != "cpu":
            return in_chunks(gap, x, CHUNK)
        boundary.forwards += len(x)
        return quick(x)

    return level


def require_drawable(low: Sequence[float]) -> int:
    """The dimension of the box, 2 or 3.

    Raises:
        SceneError: if it is another one.
    """
    if len(low) not in (2, 3):
        raise SceneError(f"levelset: a level set is drawn in 2 or 3 dimensions, not {len(low)}; use kind: none")
    return len(low)


def empty_mesh(dim: int) -> Mesh:
    """A mesh of nothing."""
    return Mesh(np.zeros((0, dim)), np.zeros((0, min(dim, 3)), dtype=np.int64))
