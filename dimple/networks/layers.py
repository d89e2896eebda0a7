"""Layers that several networks share: activations, normalizations, and dropout that can be repeated."""

import math
from typing import Literal, TypeAlias, final

import torch
from torch import Tensor, nn

from dimple.tensors import generator

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
    "swish": nn.SiLU,
}
ImageNorm: TypeAlias = Literal["batch", "group"]
CHANNELS_PER_GROUP = 16


def image_norm(kind: ImageNorm, channels: int) -> nn.Module:
    """Return a normalization of images with this number of channels.

    Groups have 16 channels; where these do not divide the channels evenly, there are fewer groups.

    Reference: Ioffe and Szegedy 2015 (batch); Wu and He 2018, table 3 (group).

    Example:
        >>> image_norm("group", 160).num_groups, image_norm("group", 10).num_groups
        (10, 1)
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(math.gcd(channels, max(channels // CHANNELS_PER_GROUP, 1)), channels)


@final
class SeededDropout(nn.Module):
    """Dropout whose masks depend on a seed and the number of masks before alone.

    The number is part of the state dict, so that a training that continues draws the masks that it would have drawn.

    Args:
        fraction: of the units, which become zero in training; the others are divided by 1 - fraction.
        seed: of the masks.
    """

    masks: Tensor

    def __init__(self, fraction: float, seed: int) -> None:
        super().__init__()
        self.fraction = fraction
        self.seed = seed
        self.register_buffer("masks", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, ...)` to the same shape; in eval mode nothing is changed."""
        if not self.training:
            return x
        stream = generator(self.seed, "dropout", int(self.masks))
        self.masks += 1
        mask = torch.rand(x.shape, generator=stream, dtype=torch.float32) >= self.fraction
        return x * mask.to(x) / (1 - self.fraction)
