"""Base class of the algorithms that extract level sets, and the level function that they evaluate."""

import contextlib
import copy
import functools
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dimple.boundary.boundary import Boundary, compute_logit_margin
from dimple.errors import SceneError
from dimple.levelsets.mesh import Mesh
from dimple.protocols import Classifier
from dimple.tensors import apply_in_chunks
from dimple.tracing.fast_eval import ROWS_PER_CHUNK, make_fast_logit_margin

LevelFunction = Callable[[Tensor], Tensor]
# An infinite margin, by which a class with the score -inf loses, counts as this number: its sign is an answer.
LARGEST_MARGIN = 1e30
# A grid point may be off by this fraction of a cell when it is rounded to float32, else it is evaluated in float64; and
# by this fraction at most where there is no other precision.
FLOAT32_ROUNDING = 2e-4
MAX_ROUNDING = 0.25
# Zeros of a level around which it is evaluated again, at most.
MAX_CHECKED_ZEROS = 512
# Steps from a zero, in cells, in directions that no grid and no structure of a network prefers.
STEPS_FROM_ZERO = ((0.0683, 0.0491, 0.0541), (-0.0281, 0.0773, -0.0569))


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


def is_positive(levels: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return on which side each level counts: zero is positive in every extraction, nan is on no side.

    With the same rule everywhere, a boundary that passes through grid points is crossed by the edges on one side of it.
    """
    positive: NDArray[np.bool_] = levels >= 0
    return positive


def is_sign_change(start: NDArray[np.floating], end: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return on which edges the level changes its sign; not on those with nan at an end."""
    change: NDArray[np.bool_] = (is_positive(start) != is_positive(end)) & ~np.isnan(start) & ~np.isnan(end)
    return change


@final
class CheckedLevel:
    """A level function that notes where it has no answer and where it is zero, so that `warn` can tell.

    Args:
        level: function from points `(N, n)` to levels `(N,)`, nan where there is no answer.
    """

    def __init__(self, level: LevelFunction) -> None:
        self.level = level
        self.undefined_count = 0
        self.undefined_point: Tensor | None = None
        self.zeros: list[Tensor] = []

    def __call__(self, x: Tensor) -> Tensor:
        """Return the levels `(N,)` of points `(N, n)`."""
        levels = self.level(x)
        self.note(x, levels)
        return levels

    def note(self, x: Tensor, levels: Tensor) -> None:
        """Note the points `(N, n)` whose levels `(N,)` are nan or zero."""
        undefined = levels.isnan()
        if bool(undefined.any()):
            self.undefined_count += int(undefined.sum())
            self.undefined_point = x[undefined][0]
        zero = levels == 0
        if bool(zero.any()):
            self.zeros.append(x[zero])

    def warn(self, low: Sequence[float], high: Sequence[float], resolution: int) -> None:
        """Warn in one sentence each of points without an answer and of an open region where the level is zero."""
        if self.undefined_point is not None:
            warnings.warn(
                f"levelset: the classifier has no finite answer (nan or inf) at {self.undefined_count} points, such as "
                f"{format_point(self.undefined_point)}; no boundary is drawn in the cells around them",
                stacklevel=3,
            )
        if self.zeros:
            zeros = torch.cat(self.zeros)
            zeros = zeros[:: len(zeros) // MAX_CHECKED_ZEROS + 1]
            flat = zeros[vanishes_around(self.level, zeros, low, high, resolution)]
            if len(flat):
                warn_of_flat_region(flat[0])


def vanishes_around(
    level: LevelFunction, points: Tensor, low: Sequence[float], high: Sequence[float], resolution: int
) -> Tensor:
    """Return whether the level is zero at four points around each of `(N, n)` too, within a tenth of a cell, `(N,)`.

    A surface passes at most some of them, in whatever way it lies on the grid.
    """
    n = points.shape[1]
    bounds = torch.tensor([list(low), list(high)], dtype=points.dtype, device=points.device)
    steps = torch.tensor(STEPS_FROM_ZERO, dtype=points.dtype, device=points.device)[:, :n]
    steps = torch.cat([steps, -steps]) * (bounds[1] - bounds[0]) / resolution
    around = (points[:, None] + steps).clamp(bounds[0], bounds[1])
    with torch.no_grad():
        return (level(around.reshape(-1, n)) == 0).reshape(len(points), -1).all(1)


def warn_of_flat_region(point: Tensor) -> None:
    """Warn that two classes have equal scores in an open region around a point `(n,)`."""
    warnings.warn(
        f"levelset: the logit margin is exactly zero in an open region around {format_point(point)}, where two classes "
        "have equal scores; this region counts to one of them, and the boundary is drawn at its edge to the other",
        stacklevel=4,
    )


def format_point(point: Tensor) -> str:
    """Return a point `(n,)` in the form `(0.5, -1)`."""
    return "(" + ", ".join(f"{value:.4g}" for value in point.tolist()) + ")"


def level_function(boundary: Boundary, label: int) -> CheckedLevel:
    """Return the logit margin of one class as a function of points `(N, n)`, positive where the class wins.

    A network of two classes that `make_fast_logit_margin` can read is evaluated by it on the CPU, every other network
    as it is, in chunks; at points in float64 a copy of the network in this precision. A class with the score -inf loses
    by `LARGEST_MARGIN`. The margin is nan where a score is nan or inf, and where all scores are -inf.

    Example:
        >>> level = level_function(Boundary(lambda x: torch.cat([-x, x], dim=1)), 1)
        >>> level(torch.tensor([[2.0], [-1.0]]))
        tensor([ 4., -2.])
    """

    @functools.cache
    def fast_margin(shape: torch.Size, dtype: torch.dtype) -> LevelFunction | None:
        return make_fast_logit_margin(boundary.model, torch.zeros(shape), label, dtype)

    @functools.cache
    def double_model() -> Classifier:
        model = boundary.model
        return copy.deepcopy(model).double() if isinstance(model, torch.nn.Module) else model

    def margin(x: Tensor) -> Tensor:
        scores = _double_scores(double_model(), x) if x.dtype == torch.float64 else boundary.scores(x)
        # Differences of scores in half precision may overflow.
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        found = compute_logit_margin(scores, torch.full((len(x),), label, device=x.device))
        return torch.where(has_answer(scores), found.clamp(-LARGEST_MARGIN, LARGEST_MARGIN), torch.nan)

    def level(x: Tensor) -> Tensor:
        precision = torch.float64 if x.dtype == torch.float64 else torch.float32
        fast = fast_margin(x.shape[1:], precision) if x.device.type == "cpu" else None
        if fast is None:
            return apply_in_chunks(margin, x, ROWS_PER_CHUNK)
        boundary.forwards += len(x)
        found = fast(x)
        return torch.where(found.isfinite(), found, torch.nan)

    return CheckedLevel(level)


def _double_scores(model: Classifier, x: Tensor) -> Tensor:
    """Return the scores of points `(N, n)` in float64.

    Raises:
        SceneError: if the classifier does not compute in float64.
    """
    scores = None
    with contextlib.suppress(RuntimeError, TypeError):
        scores = Boundary(model).scores(x)
    if scores is None or scores.dtype != torch.float64:
        raise SceneError(
            f"levelset: near {format_point(x[0])} the cells of the grid are lost in the rounding of float32, and the "
            "classifier does not compute in float64; move the problem to the origin, or use fewer cells"
        )
    return scores


def has_answer(scores: Tensor) -> Tensor:
    """Return whether scores `(N, K)` name a class: none is nan or inf, and not all are -inf, `(N,)`.

    Example:
        >>> has_answer(torch.tensor([[0.0, -torch.inf], [0.0, torch.inf], [-torch.inf, -torch.inf]]))
        tensor([ True, False, False])
    """
    return (scores < torch.inf).all(1) & (scores > -torch.inf).any(1)


def grid_precision(low: Sequence[float], high: Sequence[float], resolution: int) -> torch.dtype:
    """Return the precision that places the corners of a grid: float32 near the origin, in units of cells, or float64.

    Raises:
        SceneError: if the cells are as small as the rounding errors of their corners in float64.

    Example:
        >>> grid_precision((-1, -1), (1, 1), 128), grid_precision((1e6, 1e6), (1e6 + 2, 1e6 + 2), 128)
        (torch.float32, torch.float64)
    """
    if all(_rounding(a, b, resolution, np.float32) <= FLOAT32_ROUNDING for a, b in zip(low, high, strict=True)):
        return torch.float32
    require_resolvable(low, high, resolution, np.float64)
    return torch.float64


def require_resolvable(
    low: Sequence[float], high: Sequence[float], resolution: int, precision: type[np.floating] = np.float32
) -> None:
    """Require that a precision distinguishes the points of a grid.

    Raises:
        SceneError: if the cells are as small as the rounding errors of their corners.
    """
    for a, b in zip(low, high, strict=True):
        rounding = _rounding(a, b, resolution, precision)
        if rounding > MAX_ROUNDING:
            cell = (b - a) / resolution
            raise SceneError(
                f"levelset: cells of {cell:.2g} near the coordinate {max(abs(a), abs(b)):.4g} are lost in the rounding "
                f"of {np.dtype(precision)}, {rounding * cell:.2g}; move the problem to the origin, or use fewer cells"
            )


def _rounding(low: float, high: float, resolution: int, precision: type[np.floating]) -> float:
    """Return the largest rounding error of the corners between two coordinates, in cells."""
    largest = max(abs(low), abs(high))
    if largest >= float(np.finfo(precision).max):
        return math.inf
    return float(np.spacing(precision(largest))) / 2 * resolution / (high - low)


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
