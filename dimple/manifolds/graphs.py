"""Graphs of functions over a square: surfaces with one height above each place."""

import math
from abc import abstractmethod
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from dimple.manifolds.affine import Cell
from dimple.manifolds.parametrized import Mapped
from dimple.settings import Finite, Positive, settings


class Graph(Mapped):
    """The surface z = height(x, y) over the square |x|, |y| <= `side`."""

    @property
    @abstractmethod
    def side(self) -> float:
        """Half the side of the square."""

    @abstractmethod
    def height(self, x: Tensor, y: Tensor) -> Tensor:
        """The function, by differentiable operations of torch alone."""

    @cached_property
    def source(self) -> Cell:
        """The square."""
        return Cell((-self.side,) * 2, (self.side,) * 2, (False, False))

    @property
    def ambient_dim(self) -> int:
        """Space."""
        return 3

    def chart(self, z: Tensor) -> Tensor:
        """The place and its height."""
        return torch.cat([z, self.height(z[:, 0], z[:, 1])[:, None]], dim=1)


@final
@settings
class Paraboloid(Graph):
    """z = bend (x^2 + y^2) / 2: a bowl whose two curvatures at the bottom are `bend`.

    Example:
        >>> bowl = Paraboloid(bend=2.0)
        >>> bowl.principal_curvatures(torch.zeros(1, 3), torch.tensor([[0.0, 0.0, 1.0]]))
        tensor([[2., 2.]])
    """

    bend: Finite = 1.0
    half_width: Positive = 1.0

    @property
    def side(self) -> float:
        """The half width."""
        return self.half_width

    def height(self, x: Tensor, y: Tensor) -> Tensor:
        """Its formula."""
        return self.bend / 2 * (x * x + y * y)


@final
@settings
class Saddle(Graph):
    """z = bend (x^2 - y^2) / 2: a pass whose two curvatures in the middle are `bend` and `-bend`.

    Example:
        >>> pass_ = Saddle(bend=2.0)
        >>> pass_.principal_curvatures(torch.zeros(1, 3), torch.tensor([[0.0, 0.0, 1.0]]))
        tensor([[-2., 2.]])
    """

    bend: Finite = 1.0
    half_width: Positive = 1.0

    @property
    def side(self) -> float:
        """The half width."""
        return self.half_width

    def height(self, x: Tensor, y: Tensor) -> Tensor:
        """Its formula."""
        return self.bend / 2 * (x * x - y * y)


@final
@settings
class Waves(Graph):
    """z = amplitude sin(k x) sin(k y) with k = 2 pi / wavelength: hills and hollows like a box of eggs.

    Example:
        >>> Waves(amplitude=0.1).project(torch.tensor([[0.25, 0.25, 0.4]]))
        tensor([[0.2500, 0.2500, 0.1000]])
    """

    amplitude: Finite = 0.1
    wavelength: Positive = 1.0
    half_width: Positive = 1.0

    @property
    def side(self) -> float:
        """The half width."""
        return self.half_width

    def height(self, x: Tensor, y: Tensor) -> Tensor:
        """Its formula."""
        k = 2 * math.pi / self.wavelength
        return self.amplitude * (k * x).sin() * (k * y).sin()
