"""The interface of the networks that a scene can train."""

from abc import ABC, abstractmethod
from math import prod

import torch
from torch import nn


class Architecture(ABC):
    """The settings of a network, which `build` turns into modules with random weights."""

    @abstractmethod
    def build(self, shape: int | tuple[int, ...], generator: torch.Generator, classes: int = 2) -> nn.Module:
        """Build a float32 network from `(B, *shape)` to `(B, classes)` scores on the CPU.

        Args:
            shape: of one sample; a number n stands for `(n,)`.
            generator: of all random weights.
            classes: number of scores.

        Raises:
            SceneError: if the network does not take samples of this shape.
        """


def count_features(shape: int | tuple[int, ...]) -> int:
    """Return the number of values of one sample."""
    return shape if isinstance(shape, int) else prod(shape)
