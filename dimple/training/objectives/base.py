"""The interface of all objectives, and the batch that they are given."""

import contextlib
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, final

import torch
from torch import Tensor, nn

from dimple.tensors import Box
from dimple.training.schedules import Schedule, Stop


@final
@dataclasses.dataclass(frozen=True)
class Batch:
    """The samples of one step, or all training samples.

    Attributes:
        x: `(B, *shape)` samples.
        y: `(B,)` their classes.
        generator: makes the random generator of this step on the CPU; it depends on the seed and the step alone, so
            that a continued training draws the same numbers.
        basis: `(B, n, d)` orthonormal tangent columns at the samples, for objectives with `needs_tangents`.
        bounds: the range of valid inputs, which perturbed samples do not leave; None for the full space.
        memory: tensors that `Objective.prepare` has made and the objective changes in place, such as a pool of
            adversarial examples. They are part of the state from which a training continues.
    """

    x: Tensor
    y: Tensor
    generator: Callable[[], torch.Generator]
    basis: Tensor | None = None
    bounds: Box | None = None
    memory: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)

    def select(self, rows: Tensor | slice) -> "Batch":
        """Return some of the samples."""
        basis = None if self.basis is None else self.basis[rows]
        return dataclasses.replace(self, x=self.x[rows], y=self.y[rows], basis=basis)

    def clamp(self, x: Tensor) -> Tensor:
        """Return the samples moved into the bounds, coordinate by coordinate."""
        return x if self.bounds is None else self.bounds.clamp(x)

    def clip(self, delta: Tensor) -> Tensor:
        """Return perturbations `(B, *shape)` of the samples shortened so that the perturbed samples are in bounds."""
        return delta if self.bounds is None else self.bounds.clamp(self.x + delta) - self.x


class FirstTraining(Protocol):
    """A training of a network before the main one, with the optimizer and the batches of the main one."""

    def __call__(
        self, network: nn.Module, objective: "Objective", stop: Stop | None, schedule: Schedule | None = None
    ) -> nn.Module:
        """Train the network in place on the same samples.

        Args:
            network: the network.
            objective: its objective.
            stop: the end; None for that of the main training.
            schedule: the learning rate; None for that of the main training.

        Returns:
            The network, or the one of averaged weights where the training keeps averages.
        """
        ...


class Objective(ABC):
    """A function of the weights that training makes small."""

    @property
    def needs_tangents(self) -> bool:
        """Return whether the batches must hold the tangent spaces of the data."""
        return False

    def prepare(self, network: nn.Module, data: Batch, train_first: FirstTraining) -> Batch:
        """Return the samples and the memory with which the training begins; by default those that were given.

        It is called once, before step 0, and may change the network. What it returns and the weights are kept, so that
        a continued training does not call it again. If it returns other samples, their tangent spaces are left out.

        Args:
            network: the network before its first update.
            data: all training samples.
            train_first: trains a network beforehand.
        """
        return data

    @abstractmethod
    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the objective on one batch, a scalar with a gradient for the weights."""

    def differentiate(self, network: nn.Module, batch: Batch) -> Tensor:
        """Set the gradients of the weights, and return the objective."""
        loss = self.loss(network, batch)
        network.zero_grad(set_to_none=True)
        loss.backward()
        return loss.detach()


@contextlib.contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Switch a network to eval mode within the context; each of its modules then has its own mode again."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def count_classes(network: nn.Module, x: Tensor) -> int:
    """Return the number of scores that a network gives the samples."""
    with evaluation_mode(network), torch.no_grad():
        count: int = network(x[:1]).shape[1]
    return count
