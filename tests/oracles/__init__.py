"""Classifiers that know their own geometry, and networks whose weights are the same in every run."""

import math
from typing import TypeVar

import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.tensors import Box, flatten, generator

Network = TypeVar("Network", bound=nn.Module)


def half_space(normal: Tensor, level: float = 0.0, box: Box | None = None) -> Boundary:
    """Class 1 where normal . x > level, at |normal . x - level| over the dual norm of the normal: l2, or l1."""
    return Boundary(lambda x: _two_scores(flatten(x) @ normal.to(x) - level), box)


def ball(radius: float = 1.0, centre: Tensor | None = None) -> Boundary:
    """Class 1 inside a ball: the l2 margin is | |x - centre| - radius |. The score is curved, not a distance."""
    return Boundary(
        lambda x: _two_scores(radius**2 - (flatten(x) - (0.0 if centre is None else centre.to(x))).square().sum(1))
    )


def wedge(near: float, far: float) -> Boundary:
    """Three classes in the plane: class 0 between a steep rival 1 at x = near and a shallow rival 2 at x = -far.

    The rival with the larger score at the origin is the farther one.
    """
    return Boundary(
        lambda x: torch.stack([torch.zeros(len(x)).to(x), 10 * (x[:, 0] - near), 0.1 * (-x[:, 0] - far)], dim=1)
    )


def drawn(network: Network, seed: int = 0) -> Network:
    """Random weights and running statistics, in eval mode and double precision."""
    network = network.double()
    stream = generator(seed, "weights")
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=stream) / math.sqrt(max(value[:1].numel(), 1))
            value.copy_(noise.abs() + 0.5 if name.endswith("running_var") else noise)
    return network.eval().requires_grad_(False)


def _two_scores(level: Tensor) -> Tensor:
    return torch.stack([-level, level], dim=1)
