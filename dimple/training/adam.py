"""Adam without torch's optimizer class, whose first use imports a compiler and takes more than a second."""

from typing import final

import torch
from torch import nn
from torch.optim.adam import adam

# Decay rates of the running means of gradients and of squared gradients, and the constant in the denominator.
BETA1 = 0.9
BETA2 = 0.999
EPS = 1e-8


@final
class Adam:
    """The Adam optimizer, with updates equal to those of `torch.optim.Adam` to the last bit.

    Args:
        parameters: the trained parameters; those without a gradient are not changed.
        lr: learning rate.
        weight_decay: the parameters times this factor are added to the gradient.

    Reference: Kingma and Ba 2015, algorithm 1.

    Example:
        >>> weight = nn.Parameter(torch.ones(1))
        >>> (3 * weight).sum().backward()
        >>> Adam([weight], lr=0.25).step()
        >>> weight
        Parameter containing:
        tensor([0.7500], requires_grad=True)
    """

    def __init__(self, parameters: list[nn.Parameter], lr: float, weight_decay: float = 0.0) -> None:
        self.lr = lr
        self.weight_decay = weight_decay
        # Each parameter with its running means of the gradient and of the squared gradient, and its number of steps.
        self.state = [(p, torch.zeros_like(p), torch.zeros_like(p), torch.zeros(())) for p in parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters in place from their gradients."""
        rows = [(p, p.grad, *moments) for p, *moments in self.state if p.grad is not None]
        parameters, gradients, mean, square, steps = (list(column) for column in zip(*rows, strict=True))
        adam(
            parameters, gradients, mean, square, [], steps, amsgrad=False, maximize=False,
            lr=self.lr, beta1=BETA1, beta2=BETA2, eps=EPS, weight_decay=self.weight_decay,
        )  # fmt: skip
