"""Adam without torch's optimizer class, whose first use loads a compiler for more than a second."""

from typing import final

import torch
from torch import nn
from torch.optim.adam import adam

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


@final
class Adam:
    """The update of `torch.optim.Adam`, to the bit.

    Args:
        weights: what is trained; those without a gradient stay as they are.
        lr, weight_decay: the latter is added to the gradient.

    Reference: Kingma and Ba 2015, algorithm 1.

    Example:
        >>> weight = nn.Parameter(torch.ones(1))
        >>> (3 * weight).sum().backward()
        >>> Adam([weight], lr=0.25).step()
        >>> weight
        Parameter containing:
        tensor([0.7500], requires_grad=True)
    """

    def __init__(self, weights: list[nn.Parameter], lr: float, weight_decay: float = 0.0) -> None:
        self.lr, self.weight_decay = lr, weight_decay
        # Beside each weight its means of gradients and of their squares, and how many steps it has taken.
        self.rows = [(one, torch.zeros_like(one), torch.zeros_like(one), torch.zeros(())) for one in weights]

    @torch.no_grad()
    def step(self) -> None:
        """One update by the gradients that the weights have."""
        rows = [(weight, weight.grad, *rest) for weight, *rest in self.rows if weight.grad is not None]
        weights, gradients, mean, square, steps = (list(column) for column in zip(*rows, strict=True))
        adam(
            weights, gradients, mean, square, [], steps, amsgrad=False, maximize=False,
            lr=self.lr, beta1=BETA1, beta2=BETA2, eps=EPS, weight_decay=self.weight_decay,
        )  # fmt: skip
