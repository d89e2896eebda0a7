"""Residual networks for CIFAR-10, of depth 6k + 2."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from dimple.errors import SceneError
from dimple.networks.architecture import Architecture, initialize, require_image
from dimple.settings import Repeats, settings

# Channels of the three stages.
STAGE_WIDTHS = (16, 32, 64)


@final
@settings
class ResNet(Architecture):
    """A residual network for small images, with the state-dict keys of widely used checkpoints.

    Args:
        depth: number of layers, 6k + 2: 20, 32, 44, 56, 110.

    Reference: He et al. 2016, Deep residual learning for image recognition, section 4.2.

    Example:
        >>> network = ResNet(depth=20).build((3, 32, 32), torch.Generator(), classes=10)
        >>> sum(parameter.numel() for parameter in network.parameters())
        269722
    """

    depth: Repeats = 20

    def __post_init__(self) -> None:
        if self.depth < 8 or self.depth % 6 != 2:
            raise SceneError(f"depth is {self.depth}; the family has depth 6k + 2: 8, 14, 20, 32, ...")

    def build(self, shape: int | tuple[int, ...], generator: torch.Generator, classes: int = 2) -> nn.Module:
        channels, _, _ = require_image(shape, "resnet")
        network = ResidualNetwork(channels, (self.depth - 2) // 6, classes)
        initialize(network, generator)
        return network


@final
class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions in parallel with a shortcut that has no parameters."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False, device="meta")
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False, device="meta")
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.stride = stride
        self.padding = (out_channels - in_channels) // 2

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, in_channels, H, W)` to `(B, out_channels, H / stride, W / stride)`."""
        residual = functional.relu(self.bn1(self.conv1(x)))
        residual = self.bn2(self.conv2(residual))
        return functional.relu(residual + self.shortcut(x))

    def shortcut(self, x: Tensor) -> Tensor:
        """Return every `stride`-th pixel, padded with channels of zeros on both sides: option A of the reference."""
        pixels = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(pixels, (0, 0, 0, 0, self.padding, self.padding))


@final
class ResidualNetwork(nn.Module):
    """Three stages of residual blocks between a convolution and a linear layer."""

    def __init__(self, in_channels: int, blocks: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, STAGE_WIDTHS[0], 3, padding=1, bias=False, device="meta")
        self.bn1 = nn.BatchNorm2d(STAGE_WIDTHS[0])
        self.layer1 = _make_stage(STAGE_WIDTHS[0], STAGE_WIDTHS[0], blocks, stride=1)
        self.layer2 = _make_stage(STAGE_WIDTHS[0], STAGE_WIDTHS[1], blocks, stride=2)
        self.layer3 = _make_stage(STAGE_WIDTHS[1], STAGE_WIDTHS[2], blocks, stride=2)
        self.linear = nn.Linear(STAGE_WIDTHS[2], classes, device="meta")

    def forward(self, x: Tensor) -> Tensor:
        """Map images `(B, C, H, W)` to scores `(B, classes)`."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        scores: Tensor = self.linear(x.mean(dim=(2, 3)))
        return scores


def _make_stage(in_channels: int, out_channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, out_channels, stride)
    return nn.Sequential(first, *(BasicBlock(out_channels, out_channels, 1) for _ in range(blocks - 1)))
