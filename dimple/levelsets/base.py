"""Base class of the algorithms that extract level sets, and the level function that they evaluate."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary, compute_logit_margin
from dimple.errors import SceneError
from dimple.levelsets.mesh import Mesh
from dimple.tensors import apply_in_chunks
from dimple.tracing.fast_eval import ROWS_PER_CHUNK, make_fast_logit_margin

LevelFunction = Callable[[Tensor], Tensor]


class LevelSet(ABC):
    """Algorithm that extracts the boundary of one class in a box of the plane or of space.

    Attributes:
        low: smallest coordinates of the box; None fits the box to the data.
        high: largest coordinates of the box; None fits the box to the data.
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
        """Return a mesh of the points of a box where the logit margin of the class `label` is zero.

        Args:
            boundary: boundary in the plane or in space.
            label: the class; the mesh faces the side where it wins.
            low: smallest coordinates of the box, n = 2 or 3.
            high: largest coordinates of the box.
            device: the device of the network.
            previous: the mesh of the previous snapshot, so that small components that have moved little are found
                again; the result does not depend on it otherwise.
        """


def level_function(boundary: Boundary, label: int) -> LevelFunction:
    """Return the logit margin of one class as a function of points `(N, n)`, positive where the class wins.

    A network of two classes that `make_fast_logit_margin` can read is evaluated by it on the CPU, every other network
    as it is, in chunks.

    Example:
        >>> level = level_function(Boundary(lambda x: torch.cat([-x, x], dim=1)), 1)
        >>> level(torch.tensor([[2.0], [-1.0]]))
        tensor([ 4., -2.])
    """

    @functools.cache
    def fast_margin(shape: torch.Size) -> LevelFunction | None:
        return make_fast_logit_margin(boundary.model, torch.zeros(shape), label)

    def margin(x: Tensor) -> Tensor:
        scores = boundary.scores(x)
        if scores.shape[1] == 2:
            return scores[:, label] - scores[:, 1 - label]
        return compute_logit_margin(scores, torch.full((len(x),), label, device=x.device))

    def level(x: Tensor) -> Tensor:
        fast = fast_margin(x.shape[1:]) if x.device.type == "cpu" else None
        if fast is None:
            return apply_in_chunks(margin, x, ROWS_PER_CHUNK)
        boundary.forwards += len(x)
        return fast(x)

    return level


def require_drawable(low: Sequence[float]) -> int:
    """Return the dimension of the box, 2 or 3.

    Raises:
        SceneError: if the box has another dimension.
    """
    if len(low) not in (2, 3):
        raise SceneError(f"levelset: a level set is drawn in 2 or 3 dimensions, not {len(low)}; use kind: none")
    return len(low)


def empty_mesh(dim: int) -> Mesh:
    """Return a mesh without vertices and faces."""
    return Mesh(np.zeros((0, dim)), np.zeros((0, min(dim, 3)), dtype=np.int64))
