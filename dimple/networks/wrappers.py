"""Other people's networks made into classifiers: normalised inputs, two scores, and nothing that can change."""

import copy
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from dimple.errors import ModelError, UsageError


@final
class Normalised(nn.Module):
    """`module` after `(x - mean) / std`, so that inputs are images in [0, 1] and distances are in those units.

    Args:
        mean: one number a channel.
        std: one positive number a channel.
        module: takes the normalised images.

    Example:
        >>> network = Normalised((0.5,), (0.25,), nn.Flatten())
        >>> network(torch.tensor([[[[0.5, 1.0]]]]))
        tensor([[0., 2.]])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], module: nn.Module) -> None:
        super().__init__()
        if len(mean) != len(std) or not all(deviation > 0 for deviation in std):
            raise UsageError(f"Normalised: mean {tuple(mean)} and std {tuple(std)} must be one pair a channel, std > 0")
        # Not part of the state: the weights in a file are those of the network inside.
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(-1, 1, 1), persistent=False)
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` in [0, 1] to the scores of the module."""
        scores: Tensor = self.module((x - self.mean) / self.std)
        return scores

    def in_series(self) -> tuple[nn.Module, ...]:
        """The normalisation as a layer, and the module."""
        layer = nn.BatchNorm2d(self.mean.numel(), eps=0.0, affine=False, dtype=torch.float64)
        layer.running_mean, layer.running_var = self.mean.double().flatten(), self.std.double().flatten() ** 2
        return layer.eval(), self.module


@final
class TwoClass(nn.Module):
    """A network with one logit s, positive for class 1, seen as one with the two scores (0, s)."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Samples `(B, *shape)` to scores `(B, 2)`."""
        logit: Tensor = self.module(x).reshape(len(x), 1)
        return torch.cat([torch.zeros_like(logit), logit], dim=1)

    def in_series(self) -> tuple[nn.Module, ...]:
        """The module, and (0, s) of its logit s as a layer."""
        layer: nn.Linear = nn.utils.skip_init(nn.Linear, 1, 2, bias=False)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([[0.0], [1.0]]))
        return self.module, layer


def two_class(module: nn.Module) -> nn.Module:
    """`module`, whose output is one logit `(B,)` or `(B, 1)`, with the scores (0, s), `(B, 2)`.

    The gap between the two scores is the logit, so the boundary is where it changes its sign.

    Example:
        >>> two_class(nn.Flatten())(torch.tensor([[3.0], [-1.0]]))
        tensor([[ 0.,  3.],
                [ 0., -1.]])
    """
    return TwoClass(module)


def inner(module: nn.Module) -> nn.Module:
    """The network inside `Normalised` and `TwoClass`: the one whose weights a file holds."""
    while isinstance(module, Normalised | TwoClass):
        module = module.module
    return module


def frozen(module: nn.Module) -> nn.Module:
    """A copy of `module` to be measured: in eval mode, without gradients of its weights; the original stays as it is.

    Raises:
        ModelError: if it holds what cannot be copied.
    """
    try:
        duplicate = copy.deepcopy(module)
    except (RuntimeError, TypeError) as error:
        raise ModelError(
            f"{type(module).__name__} cannot be copied ({error}); keep only parameters, buffers and settings in it"
        ) from None
    return duplicate.eval().requires_grad_(False)
