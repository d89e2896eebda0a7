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


class PreActivationBlock(nn.Module):
    """Two 3 x 3 convolutions, each after a normalization and an activation, in parallel with a shortcut.

    Where the shape changes, the shortcut is a 1 x 1 convolution of the first activation.

    Args:
        in_channels, out_channels: before and after the block.
        stride: of the first convolution and of the shortcut.
        norm: the normalization.
        activation: a name of `ACTIVATIONS`.
        shortcut: the name of the shortcut's convolution in the state dict, which published weights have.

    Reference: He et al. 2016, Identity mappings in deep residual networks, figure 4e.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, norm: ImageNorm, activation: str, shortcut: str
    ) -> None:
        super().__init__()
        self.bn1 = image_norm(norm, in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False, device="meta")
        self.bn2 = image_norm(norm, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False, device="meta")
        self.activation = ACTIVATIONS[activation]()
        self.shortcut_name = ""
        if stride != 1 or in_channels != out_channels:
            convolution = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False, device="meta")
            self.shortcut_name = shortcut.partition(".")[0]
            # A dot stands for a sequence around the convolution.
            self.add_module(self.shortcut_name, nn.Sequential(convolution) if "." in shortcut else convolution)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, in_channels, H, W)` to `(B, out_channels, H / stride, W / stride)`."""
        active = self.activation(self.bn1(x))
        skipped = self.get_submodule(self.shortcut_name)(active) if self.shortcut_name else x
        residual: Tensor = self.conv2(self.activation(self.bn2(self.conv1(active))))
        return residual + skipped


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
