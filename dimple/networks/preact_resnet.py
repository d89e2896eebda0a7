"""Residual networks with normalization and activation before each convolution, for CIFAR-10 and Tiny ImageNet."""

from typing import Literal, final

import torch
from torch import Tensor, nn

from dimple.networks.architecture import Architecture, initialize, require_image
from dimple.networks.layers import ACTIVATIONS, ImageNorm, PreActivationBlock, image_norm
from dimple.settings import settings

# Blocks of the four stages by depth.
STAGE_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


@final
@settings
class PreActResNet(Architecture):
    """A residual network with pre-activation and four stages of 64 to 512 channels.

    The keys of its state dict are those of the networks in the code of Rice et al. 2020.

    Args:
        depth: number of layers.
        norm: `batch` or `group` normalization.
        activation: after each normalization.

    Reference: He et al. 2016, Identity mappings in deep residual networks, figure 4e and appendix.

    Example:
        >>> PreActResNet().build((3, 32, 32), torch.Generator(), 10)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    depth: Literal[18, 34] = 18
    norm: ImageNorm = "batch"
    activation: Literal["relu", "swish"] = "relu"

    def build(self, shape: int | tuple[int, ...], generator: torch.Generator, classes: int = 2) -> nn.Module:
        channels, _, _ = require_image(shape, "preact_resnet")
        network = PreActNetwork(channels, self, classes)
        initialize(network, generator)
        return network


@final
class PreActNetwork(nn.Module):
    """Four stages of blocks between a convolution and a linear layer."""

    def __init__(self, in_channels: int, settings: PreActResNet, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False, device="meta")
        width = 64
        for stage, count in enumerate(STAGE_BLOCKS[settings.depth]):
            shapes = [(width, 64 * 2**stage, 1 if stage == 0 else 2)]
            width = 64 * 2**stage
            shapes += [(width, width, 1)] * (count - 1)
            blocks = [PreActivationBlock(*one, settings.norm, settings.activation, "shortcut.0") for one in shapes]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.bn = image_norm(settings.norm, width)
        self.activation = ACTIVATIONS[settings.activation]()
        self.linear = nn.Linear(width, classes, device="meta")

    def forward(self, x: Tensor) -> Tensor:
        """Map images `(B, C, H, W)` to scores `(B, classes)`."""
        x = self.conv1(x)
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        scores: Tensor = self.linear(self.activation(self.bn(x)).mean(dim=(2, 3)))
        return scores
