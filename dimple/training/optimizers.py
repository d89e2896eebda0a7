"""Optimizers by torch's functional updates: its classes import a compiler at first use, for more than a second."""

from abc import ABC, abstractmethod
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from dimple.errors import SceneError
from dimple.settings import Flag, Fraction, NonNegative, Positive, settings

# Decay rates of the running means of gradients and of squared gradients, and the constant in the denominator.
BETA1 = 0.9
BETA2 = 0.999
EPS = 1e-8


class Optimizer(ABC):
    """A rule by which gradients change parameters. Its memory is a list of tensors for each parameter."""

    lr: float

    @abstractmethod
    def start(self, parameter: Tensor) -> list[Tensor]:
        """Return the memory of one parameter before the first update."""

    @abstractmethod
    def update(
        self,
        parameters: list[Tensor],
        gradients: list[Tensor],
        memory: list[list[Tensor]],
        lr: float,
        *,
        fused: bool = False,
    ) -> None:
        """Change the parameters and their memory in place.

        Args:
            parameters: P tensors.
            gradients: their P gradients.
            memory: for each parameter the tensors of `start`.
            lr: the learning rate of this step, which a schedule may have changed.
            fused: use one loop for all operations, which is faster on long tensors and rounds otherwise.
        """


@final
@settings
class SGD(Optimizer):
    """Gradient descent with momentum, with the updates of `torch.optim.SGD`.

    Args:
        momentum: decay rate of the running sum of gradients.
        nesterov: whether the gradient is added once more to the running sum, as if it were taken one step ahead.
        weight_decay: the parameters times this factor are added to the gradient.
    """

    lr: Positive = 1e-3
    momentum: Fraction = 0.0
    nesterov: Flag = False
    weight_decay: NonNegative = 0.0

    def __post_init__(self) -> None:
        if self.nesterov and not self.momentum:
            raise SceneError("nesterov is true and momentum is 0.0; set momentum, such as 0.9")

    def start(self, parameter: Tensor) -> list[Tensor]:
        return [torch.zeros_like(parameter)] if self.momentum else []

    @torch.no_grad()
    def update(
        self,
        parameters: list[Tensor],
        gradients: list[Tensor],
        memory: list[list[Tensor]],
        lr: float,
        *,
        fused: bool = False,
    ) -> None:
        sgd(
            parameters, gradients, [row[0] if row else None for row in memory], foreach=False, fused=fused,
            weight_decay=self.weight_decay, momentum=self.momentum, lr=lr, dampening=0.0, nesterov=self.nesterov,
            maximize=False,
        )  # fmt: skip


class _AdamFamily(Optimizer, ABC):
    """Adam in the two ways of weight decay, with updates equal to those of torch to the last bit."""

    # Whether the decay shrinks the weights apart from the gradient.
    decoupled: ClassVar[bool]
    weight_decay: float

    def start(self, parameter: Tensor) -> list[Tensor]:
        """Return the running means of the gradient and of the squared gradient, and the number of steps."""
        return [torch.zeros_like(parameter), torch.zeros_like(parameter), torch.zeros(())]

    @torch.no_grad()
    def update(
        self,
        parameters: list[Tensor],
        gradients: list[Tensor],
        memory: list[list[Tensor]],
        lr: float,
        *,
        fused: bool = False,
    ) -> None:
        mean, square, steps = (list(column) for column in zip(*memory, strict=True))
        adam(
            parameters, gradients, mean, square, [], steps, fused=fused, amsgrad=False, maximize=False, lr=lr,
            beta1=BETA1, beta2=BETA2, eps=EPS, weight_decay=self.weight_decay, decoupled_weight_decay=self.decoupled,
        )  # fmt: skip


@final
@settings
class Adam(_AdamFamily):
    """The Adam optimizer, with updates equal to those of `torch.optim.Adam` to the last bit.

    Args:
        weight_decay: the parameters times this factor are added to the gradient.

    Reference: Kingma and Ba 2015, algorithm 1.

    Example:
        >>> weight = torch.ones(1)
        >>> optimizer = Adam(lr=0.25)
        >>> optimizer.update([weight], [torch.tensor([3.0])], [optimizer.start(weight)], optimizer.lr)
        >>> weight
        tensor([0.7500])
    """

    decoupled: ClassVar[bool] = False

    lr: Positive = 1e-3
    weight_decay: NonNegative = 0.0


@final
@settings
class AdamW(_AdamFamily):
    """Adam with weight decay apart from the gradient, with the updates of `torch.optim.AdamW`.

    Args:
        weight_decay: each step shrinks the parameters by this factor times the learning rate.

    Reference: Loshchilov and Hutter 2019, algorithm 2.
    """

    decoupled: ClassVar[bool] = True

    lr: Positive = 1e-3
    weight_decay: NonNegative = 1e-2


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "sgd": SGD,
}
