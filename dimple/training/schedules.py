"""Schedules of the learning rate: the factor of each step."""

import math
from abc import ABC, abstractmethod
from typing import final

from dimple.settings import Count, Fraction, Positive, settings


class Schedule(ABC):
    """A rule for the learning rate during training."""

    @abstractmethod
    def factor(self, step: int, last_step: int) -> float:
        """Return the factor of `optimizer.lr` in the update after `step` of `last_step` updates."""


@final
@settings
class Constant(Schedule):
    """The same learning rate in each step."""

    def factor(self, step: int, last_step: int) -> float:
        return 1.0


@final
@settings
class Step(Schedule):
    """A learning rate that is multiplied by `gamma` at given fractions of the training.

    Example:
        >>> [Step(at=(0.5,)).factor(step, 10) for step in (4, 5)]
        [1.0, 0.1]
    """

    at: tuple[Fraction, ...] = (0.5, 0.75)
    gamma: Positive = 0.1

    def factor(self, step: int, last_step: int) -> float:
        factor: float = self.gamma ** sum(step >= fraction * last_step for fraction in self.at)
        return factor


@final
@settings
class Cosine(Schedule):
    """A learning rate that falls from its full value to zero along half a cosine, after a linear warm-up.

    Args:
        warmup: fraction of the training in which the learning rate rises linearly.

    Reference: Loshchilov and Hutter 2017, equation 5, without restarts.

    Example:
        >>> [round(Cosine().factor(step, 4), 3) for step in range(4)]
        [1.0, 0.854, 0.5, 0.146]
    """

    warmup: Fraction = 0.0

    def factor(self, step: int, last_step: int) -> float:
        rise = self.warmup * last_step
        if step < rise:
            return (step + 1) / (rise + 1)
        return _cosine(1.0, 0.0, (step - rise) / max(last_step - rise, 1.0))


@final
@settings
class OneCycle(Schedule):
    """A learning rate that rises along a cosine to its full value, and falls along a cosine to nearly zero.

    The factors are those of `torch.optim.lr_scheduler.OneCycleLR` without its cycle of the momentum.

    Args:
        warmup: fraction of the training in which the learning rate rises.
        initial_divisor: the first learning rate is the full one divided by this number.
        final_divisor: the last learning rate is the first one divided by this number.

    Reference: Smith and Topin 2018.
    """

    warmup: Fraction = 0.3
    initial_divisor: Positive = 25.0
    final_divisor: Positive = 1e4

    def factor(self, step: int, last_step: int) -> float:
        first = 1 / self.initial_divisor
        peak = self.warmup * last_step - 1
        if step <= peak:
            return _cosine(first, 1.0, step / max(peak, 1e-12))
        start = max(peak, 0.0)
        return _cosine(1.0, first / self.final_divisor, (step - start) / max(last_step - 1 - start, 1.0))


def _cosine(start: float, end: float, fraction: float) -> float:
    """Return the value between `start` and `end` at a fraction of half a cosine."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * min(fraction, 1.0)))


SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "step": Step,
    "cosine": Cosine,
    "one_cycle": OneCycle,
}


@final
@settings
class Averaging:
    """A running mean of the weights, which snapshots then hold in place of the trained ones.

    Args:
        decay: the weight of the previous mean in the next one; the mean begins at the initial weights.
    """

    decay: Fraction = 0.995


@final
@settings
class Stop:
    """The end of training: the first of these conditions that holds.

    Accuracy, loss and margin are those of all training points under the trained weights, and are checked once per
    epoch, so after each update if a batch holds all points.

    Args:
        steps: number of updates; 1000 where neither steps nor epochs are given.
        epochs: number of passes over the training points.
        accuracy: least fraction of training points with the right class.
        loss: largest mean cross-entropy.
        min_margin: least logit margin, the score of the right class minus the largest other one, of the worst point.

    Reference: Melamed, Yehudai and Vardi 2023 stop at a least margin of 0.3.
    """

    steps: Count | None = None
    epochs: Count | None = None
    accuracy: Fraction | None = None
    loss: Positive | None = None
    min_margin: Positive | None = None
