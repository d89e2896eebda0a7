"""The interface of all objectives, and the batch that they are given."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn

from dimple.tensors import Box


@final
@dataclasses.dataclass(frozen=True)
class Batch:
    """The samples of one step.

    Attributes:
        x: `(B, *shape)` samples.
        y: `(B,)` their classes.
        generator: makes the random generator of this step on the CPU; it depends on the seed and the step alone, so
            that a continued training draws the same numbers.
        basis: `(B, n, d)` orthonormal tangent columns at the samples, for objectives with `needs_tangents`.
        bounds: the range of valid inputs, which perturbed samples do not leave; None for the full space.
    """

    x: Tensor
    y: Tensor
    generator: Callable[[], torch.Generator]
    basis: Tensor | None = None
    bounds: Box | None = None

    def clamp(self, x: Tensor) -> Tensor:
        """Return the samples moved into the bounds, coordinate by coordinate."""
        return x if self.bounds is None else self.bounds.clamp(x)

    def clip(self, delta: Tensor) -> Tensor:
        """Return perturbations `(B, *shape)` of the samples shortened so that the perturbed samples are in bounds."""
        return delta if self.bounds is None else self.bounds.clamp(self.x + delta) - self.x


class Objective(ABC):
    """A function of the weights that training makes small."""

    @property
    def needs_tangents(self) -> bool:
        """Return whether the batches must hold the tangent spaces of the data."""
        return False

    @abstractmethod
    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the objective on one batch, a scalar with a gradient for the weights."""

    def differentiate(self, network: nn.Module, batch: Batch) -> Tensor:
        """Set the gradients of the weights, and return the objective."""
        loss = self.loss(network, batch)
        network.zero_grad(set_to_none=True)
        loss.backward()
        return loss.detach()
