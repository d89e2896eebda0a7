"""Classifiers whose geometry is known, and networks with weights that are the same in every run."""

import math
from typing import TypeVar

import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.tensors import Box, flatten, generator

Network = TypeVar("Network", bound=nn.Module)


class Abs(nn.Module):
    """Layer that computes the absolute value."""

    def forward(self, x: Tensor) -> Tensor:
        return x.abs()


def half_space(normal: Tensor, level: float = 0.0, bounds: Box | None = None) -> Boundary:
    """Class 1 where normal . x > level; the margin is |normal . x - level| over the normal's dual norm (l2, or l1)."""
    return Boundary(lambda x: _two_scores(flatten(x) @ normal.to(x) - level), bounds)


def ball(radius: float = 1.0, center: Tensor | None = None) -> Boundary:
    """Class 1 inside a ball: the l2 margin is | |x - center| - radius |, and the score is not proportional to it."""
    return Boundary(
        lambda x: _two_scores(radius**2 - (flatten(x) - (0.0 if center is None else center.to(x))).square().sum(1))
    )


def wedge(near: float, far: float) -> Boundary:
    """Class 0 between two other classes of the plane: class 1 with a steep score at x = near, class 2 at x = -far.

    At the origin class 2 has the larger score, although its boundary is farther away.
    """
    return Boundary(
        lambda x: torch.stack([torch.zeros(len(x)).to(x), 10 * (x[:, 0] - near), 0.1 * (-x[:, 0] - far)], dim=1)
    )


def randomize_weights(network: Network, seed: int = 0) -> Network:
    """Set random weights and running statistics, and return the network in eval mode and double precision."""
    network = network.double()
    stream = generator(seed, "weights")
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=stream) / math.sqrt(max(value[:1].numel(), 1))
            value.copy_(noise.abs() + 0.5 if name.endswith("running_var") else noise)
    return network.eval().requires_grad_(False)


def _two_scores(level: Tensor) -> Tensor:
    return torch.stack([-level, level], dim=1)
