"""The training loop, which passes the network at given steps to a callback and writes no files."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor, nn

from dimple.errors import DivergedError, SceneError
from dimple.settings import Count, Fraction, NonNegative, Positive, settings
from dimple.training.adam import Adam

RecordCallback = Callable[[int, nn.Module, float], None]


class Training(ABC):
    """A method that fits a network to labeled points, with all points in each step."""

    steps: int

    @abstractmethod
    def fit(self, network: nn.Module, x: Tensor, y: Tensor, record_steps: list[int], record: RecordCallback) -> None:
        """Train the network in place.

        Args:
            network: maps `(N, *shape)` to scores.
            x: `(N, *shape)` training samples.
            y: `(N,)` their classes.
            record_steps: steps in ascending order; step 0 is before the first update.
            record: called as `record(step, network, loss)` at each of them, before the update of that step.

        Raises:
            DivergedError: at the first of these steps whose loss is not finite.
        """


@final
@settings
class StandardTraining(Training):
    """Minimization of the cross-entropy on the unchanged training points."""

    steps: Count = 1000
    lr: Positive = 1e-3
    optimizer: Literal["adam", "sgd"] = "adam"
    momentum: Fraction = 0.0
    weight_decay: NonNegative = 0.0

    def __post_init__(self) -> None:
        if self.momentum and self.optimizer != "sgd":
            raise SceneError(f"momentum is {self.momentum}; {self.optimizer} has none: set optimizer to sgd")

    def fit(self, network: nn.Module, x: Tensor, y: Tensor, record_steps: list[int], record: RecordCallback) -> None:
        update = self._make_update(list(network.parameters()))
        recorded = set(record_steps)
        for step in range(self.steps + 1):
            loss = nn.functional.cross_entropy(network(x), y)
            if step in recorded:
                value = float(loss.detach())
                if not torch.isfinite(loss):
                    raise DivergedError(
                        f"training.lr is {self.lr}: the loss is {value} at step {step}; choose a smaller one"
                    )
                record(step, network, value)
            if step < self.steps:
                network.zero_grad(set_to_none=True)
                loss.backward()
                update()

    def _make_update(self, parameters: list[nn.Parameter]) -> Callable[[], object]:
        """Return a function that performs one optimizer step from the current gradients of the parameters."""
        if self.optimizer == "adam":
            return Adam(parameters, self.lr, self.weight_decay).step
        return torch.optim.SGD(parameters, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay).step


TRAININGS: dict[str, type[Training]] = {
    "standard": StandardTraining,
}


@final
@settings
class SnapshotSchedule:
    """A schedule of `count` steps from 0 to the last one: log-spaced, or evenly spaced (`linear`).

    A boundary moves most in the first steps; log spacing resolves them.

    Example:
        >>> SnapshotSchedule(count=5).steps(1000)
        [0, 1, 10, 100, 1000]
    """

    count: Count = 50
    spacing: Literal["log", "linear"] = "log"

    def steps(self, last_step: int) -> list[int]:
        """Return the steps in ascending order; they are fewer than `count` if rounding makes some equal."""
        if self.spacing == "linear" or self.count < 3:
            return sorted({round(step) for step in np.linspace(0, last_step, self.count)} | {0, last_step})
        return sorted({0} | {round(step) for step in np.geomspace(1, last_step, self.count - 1)} | {last_step})
