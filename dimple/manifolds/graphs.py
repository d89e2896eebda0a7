"""Graphs of functions over a square: surfaces with one height above each point of the square."""

import math
from abc import abstractmethod
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from dimple.manifolds.affine import ParameterDomain
from dimple.manifolds.geometry.quadrature import quadrature_rule
from dimple.manifolds.parametrized import CHUNK_SIZE, ParametrizedManifold
from dimple.settings import Finite, Positive, settings
from dimple.tensors import apply_in_chunks


class FunctionGraph(ParametrizedManifold):
    """The surface z = height(x, y) over the square |x|, |y| <= `half_side`."""

    @property
    @abstractmethod
    def half_side(self) -> float:
        """Half the side of the square."""

    @abstractmethod
    def height(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the function's values, `(B,)` each, by differentiable operations of torch only."""

    @cached_property
    def source(self) -> ParameterDomain:
        return ParameterDomain((-self.half_side,) * 2, (self.half_side,) * 2, (False, False))

    @property
    def ambient_dim(self) -> int:
        return 3

    def chart(self, z: Tensor) -> Tensor:
        """Return the points (x, y, height) above `z` `(B, 2)`."""
        return torch.cat([z, self.height(z[:, 0], z[:, 1])[:, None]], dim=1)


@final
@settings
class Paraboloid(FunctionGraph):
    """The bowl z = bend (x^2 + y^2) / 2, with both principal curvatures equal to `bend` at the bottom.

    Example:
        >>> bowl = Paraboloid(bend=2.0)
        >>> bowl.principal_curvatures(torch.zeros(1, 3), torch.tensor([[0.0, 0.0, 1.0]]))
        tensor([[2., 2.]])
    """

    bend: Finite = 1.0
    half_width: Positive = 1.0

    @property
    def half_side(self) -> float:
        return self.half_width

    def height(self, x: Tensor, y: Tensor) -> Tensor:
        return self.bend / 2 * (x * x + y * y)


@final
@settings
class Saddle(FunctionGraph):
    """The saddle z = bend (x^2 - y^2) / 2, with the principal curvatures `bend` and `-bend` in the middle.

    Example:
        >>> saddle = Saddle(bend=2.0)
        >>> saddle.principal_curvatures(torch.zeros(1, 3), torch.tensor([[0.0, 0.0, 1.0]]))
        tensor([[-2., 2.]])
    """

    bend: Finite = 1.0
    half_width: Positive = 1.0

    @property
    def half_side(self) -> float:
        return self.half_width

    def height(self, x: Tensor, y: Tensor) -> Tensor:
        return self.bend / 2 * (x * x - y * y)


@final
@settings
class Waves(FunctionGraph):
    """The surface z = amplitude sin(k x) sin(k y) with k = 2 pi / wavelength: a regular pattern of hills and hollows.

    Example:
        >>> Waves(amplitude=0.1).project(torch.tensor([[0.25, 0.25, 0.4]]))
        tensor([[0.2500, 0.2500, 0.1000]])
    """

    amplitude: Finite = 0.1
    wavelength: Positive = 1.0
    half_width: Positive = 1.0

    @property
    def half_side(self) -> float:
        return self.half_width

    def height(self, x: Tensor, y: Tensor) -> Tensor:
        k = 2 * math.pi / self.wavelength
        return self.amplitude * (k * x).sin() * (k * y).sin()

    def _integrate_area(self, count: int) -> float:
        """Integrate over whole periods of the area factor, which are half a wavelength, and the rest of a quadrant."""
        periods, rest = divmod(self.half_width, self.wavelength / 2)
        side = math.isqrt(count) // 2
        parts = [(end, 2 * times) for end, times in ((self.wavelength / 2, periods), (rest, 1.0)) if end * times > 0]
        rules = [quadrature_rule(ParameterDomain((0.0,), (end,), (False,)), side) for end, _ in parts]
        z = torch.cat([points[:, 0] for points, _ in rules])
        weights = torch.cat([times * weight for (_, weight), (_, times) in zip(rules, parts, strict=True)])
        factor = apply_in_chunks(self._area_factor, torch.cartesian_prod(z, z), CHUNK_SIZE)
        return float((torch.outer(weights, weights).reshape(-1) * factor).sum())
