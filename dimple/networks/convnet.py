"""Small convolutional networks for gray digits and for CIFAR-10."""

from typing import Annotated, Literal, final

import torch
from annotated_types import MaxLen
from torch import nn

from dimple.errors import SceneError
from dimple.networks.architecture import (
    Architecture,
    InitScale,
    initialize,
    require_image,
    require_scales,
    scale_layers,
)
from dimple.networks.layers import image_norm
from dimple.settings import Count, settings


@final
@settings
class ConvNet(Architecture):
    """Strided 4 x 4 convolutions and two linear layers, as in the papers on certified defenses.

    By default the prefixes of its state dict are `0`, `2`, `5` and `7`, as in published weights.

    Args:
        channels: of the convolutions, each of which halves height and width.
        hidden: units of the first linear layer.
        norm: `batch` or `group` normalization after each convolution, or `none`.
        init_scale: factor of the initial weights and biases, or one for each convolution and linear layer.

    Reference: Wong and Kolter 2018, Provable defenses against adversarial examples, section 5.

    Example:
        >>> network = ConvNet().build((1, 28, 28), torch.Generator(), classes=10)
        >>> sum(parameter.numel() for parameter in network.parameters())
        166406
    """

    channels: Annotated[tuple[Count, ...], MaxLen(100)] = (16, 32)
    hidden: Count = 100
    norm: Literal["none", "batch", "group"] = "none"
    init_scale: InitScale = 1.0

    def __post_init__(self) -> None:
        require_scales(self.init_scale, len(self.channels) + 2)

    def build(self, shape: int | tuple[int, ...], generator: torch.Generator, classes: int = 2) -> nn.Sequential:
        channels, height, width = require_image(shape, "convnet")
        layers: list[nn.Module] = []
        if min(height, width) < 2 ** len(self.channels):
            raise SceneError(
                f"network.channels has {len(self.channels)} convolutions, each of which halves the image; "
                f"{height} x {width} pixels are too few: list fewer"
            )
        for out_channels in self.channels:
            layers.append(nn.Conv2d(channels, out_channels, 4, stride=2, padding=1, device="meta"))
            if self.norm != "none":
                layers.append(image_norm(self.norm, out_channels))
            layers.append(nn.ReLU())
            channels = out_channels
            height = height // 2
            width = width // 2
        linear = nn.Linear(channels * height * width, self.hidden, device="meta")
        layers += [nn.Flatten(), linear, nn.ReLU(), nn.Linear(self.hidden, classes, device="meta")]
        network = nn.Sequential(*layers)
        initialize(network, generator)
        scale_layers(network, self.init_scale)
        return network
