"""The training loop: it hands the network at chosen steps to a callback and writes no file."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor, nn

from dimple.errors import DivergedError, SceneError
from dimple.settings import Count, Fraction, NonNegative, Positive, settings
from dimple.training.adam import Adam

Record = Callable[[int, nn.Module, float], None]


class Training(ABC):
    """A regime that fits a network to labelled points, full batch."""

    steps: int

    @abstractmethod
    def fit(self, network: nn.Module, x: Tensor, y: Tensor, record_at: list[int], record: Record) -> None:
        """Train in place.

        Args:
            x: `(N, *shape)` training samples with classes `y` `(N,)`.
            record_at: rising steps, at which `record(step, network, loss)` is called before that step's update.

        Raises:
            DivergedError: at the first recorded step whose loss is not finite.
        """


@final
@settings
class Standard(Training):
    """Cross-entropy on the training points as they are."""

    steps: Count = 1000
    lr: Positive = 1e-3
    optimizer: Literal["adam", "sgd"] = "adam"
    momentum: Fraction = 0.0
    weight_decay: NonNegative = 0.0

    def __post_init__(self) -> None:
        if self.momentum and self.optimizer != "sgd":
            raise SceneError(f"momentum is {self.momentum}; {self.optimizer} has none: set optimizer to sgd")

    def fit(self, network: nn.Module, x: Tensor, y: Tensor, record_at: list[int], record: Record) -> None:
        """The plain loop."""
        update = self._update(list(network.parameters()))
        wanted = set(record_at)
        for step in range(self.steps + 1):
            loss = nn.functional.cross_entropy(network(x), y)
            if step in wanted:
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

    def _update(self, weights: list[nn.Parameter]) -> Callable[[], object]:
        """One step of the optimiser, by the gradients that the weights then have."""
        if self.optimizer == "adam":
            return Adam(weights, self.lr, self.weight_decay).step
        return torch.optim.SGD(weights, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay).step


TRAININGS: dict[str, type[Training]] = {
    "standard": Standard,
}


@final
@settings
class Snapshots:
    """`count` steps from 0 to the last one: log-spaced, because a boundary moves most early, or evenly spaced.

    Example:
        >>> Snapshots(count=5).steps(1000)
        [0, 1, 10, 100, 1000]
    """

    count: Count = 50
    spacing: Literal["log", "linear"] = "log"

    def steps(self, last: int) -> list[int]:
        """Rising steps; 0 is before the first update. Fewer than `count` where rounding makes two the same."""
        if self.spacing == "linear" or self.count < 3:
            return sorted({round(step) for step in np.linspace(0, last, self.count)} | {0, last})
        return sorted({0} | {round(step) for step in np.geomspace(1, last, self.count - 1)} | {last})
