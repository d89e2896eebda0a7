"""A manifold from one function: its chart, or the decoder of a generative model."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from dimple.errors import ShapeError, describe_cause
from dimple.manifolds.affine import ParameterDomain
from dimple.manifolds.geometry.derivatives import chart_jacobian
from dimple.manifolds.parametrized import ParametrizedManifold
from dimple.settings import field_types, settings_from_function

# Points at which a chart is tried.
TRIAL_POINTS = 8
# Parameters on a grid, at which a chart has to have a tangent space.
GRID_POINTS = 400


def chart_manifold(
    low: float | Sequence[float], high: float | Sequence[float], periodic: bool | Sequence[bool] = False
) -> Callable[[Callable[..., Tensor]], type[ParametrizedManifold]]:
    """Make a class of manifolds from a chart, a function of parameters `(B, d)` that returns points `(B, n)`.

    Closest points, tangents, curvature, reach and the uniform sample follow from the chart, see `ParametrizedManifold`.
    Further arguments of the function become fields of the class, and so keys of a scene file; they have annotations and
    defaults. The function uses operations of torch that can be differentiated twice, in double precision.

    Args:
        low, high: the ends of the parameters, numbers for a curve.
        periodic: whether an axis starts again at its end; one value may stand for all axes.

    Raises:
        ShapeError: from the constructor and here, if the function is no chart: with what it returns instead.

    Example:
        >>> @chart_manifold(low=0.0, high=2 * torch.pi, periodic=True)
        ... def trefoil(z, size: float = 1.0):
        ...     t = z[:, 0]
        ...     x, y = t.sin() + 2 * (2 * t).sin(), t.cos() - 2 * (2 * t).cos()
        ...     return size * torch.stack([x, y, -(3 * t).sin()], dim=1)
        >>> trefoil(size=0.5).dim, trefoil().ambient_dim, round(trefoil().volume, 2)
        (1, 3, 28.83)
    """
    lows, highs = (tuple(map(float, _as_tuple(end))) for end in (low, high))
    flags = tuple(map(bool, _as_tuple(periodic)))
    source = ParameterDomain(lows, highs, flags * len(lows) if len(flags) == 1 else flags)
    if len(highs) != len(lows) or len(source.periodic) != len(lows):
        raise ShapeError(f"chart_manifold: low {lows}, high {highs} and periodic {flags} have different lengths")

    def decorate(function: Callable[..., Tensor]) -> type[ParametrizedManifold]:
        body = {"_function": staticmethod(function), "_source": source, "__post_init__": _try_chart}
        cls, _ = settings_from_function(function, 1, _FunctionChart, body)
        cls()
        own: type[ParametrizedManifold] = cls
        return own

    return decorate


class _FunctionChart(ParametrizedManifold):
    """A manifold whose class holds its chart and its source."""

    _function: ClassVar[Callable[..., Tensor]]
    _source: ClassVar[ParameterDomain]

    @property
    def source(self) -> ParameterDomain:
        return self._source

    @cached_property
    def ambient_dim(self) -> int:
        return int(self.chart(self.source.grid_points(2)).shape[1])

    def chart(self, z: Tensor) -> Tensor:
        return self._function(z, **{name: getattr(self, name) for name in field_types(type(self))})


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, Sequence) else (value,)


def _try_chart(manifold: ParametrizedManifold) -> None:
    """Refuse a function that is no chart."""
    name = type(manifold).__name__
    d = manifold.dim
    z = manifold.source.sample(TRIAL_POINTS, torch.Generator())
    try:
        points: Any = manifold.chart(z)
    except Exception as error:
        raise ShapeError(
            f"{name}: the chart fails on float64 parameters {tuple(z.shape)}: {describe_cause(error)}"
        ) from error
    if not isinstance(points, Tensor) or points.dim() != 2 or len(points) != len(z) or points.shape[1] <= d:
        found = tuple(points.shape) if isinstance(points, Tensor) else type(points).__name__
        raise ShapeError(
            f"{name}: the chart maps parameters {tuple(z.shape)} to {found}; it returns points (B, n), n > {d}"
        )
    if points.dtype != torch.float64 or not bool(torch.isfinite(points).all()):
        raise ShapeError(
            f"{name}: the chart returns points of type {points.dtype} for float64 parameters, or numbers that are not "
            "finite; keep the type of its argument (a decoder: call .double() on it)"
        )
    rank = torch.linalg.matrix_rank(chart_jacobian(manifold.source, manifold.chart, z))
    if bool((rank < d).all()):
        raise ShapeError(
            f"{name}: the derivative of the chart has rank {int(rank.max())} instead of {d}; compute the points from "
            "every parameter, by differentiable operations of torch"
        )
    # With the ends of the parameters, where a chart may have a pole.
    grid = manifold.source.grid_points(GRID_POINTS)
    is_pole = torch.linalg.matrix_rank(chart_jacobian(manifold.source, manifold.chart, grid)) < d
    if bool(is_pole.any()):
        place = ", ".join(f"{value:g}" for value in grid[is_pole][0].tolist())
        raise ShapeError(
            f"{name}: the chart has no tangent space at ({place}), as at the pole of a sphere in angles; begin or end "
            "the parameters beside it, as with low=0.05 for 0"
        )
