"""Wide residual networks, the usual large networks of adversarial training on CIFAR-10."""

from typing import Literal, final

import torch
from torch import Tensor, nn

from dimple.errors import SceneError
from dimple.networks.architecture import Architecture, initialize, require_image
from dimple.networks.layers import ACTIVATIONS, ImageNorm, PreActivationBlock, image_norm
from dimple.settings import Count, Repeats, settings


@final
@settings
class WideResNet(Architecture):
    """A residual network WRN-depth-width with pre-activation and three stages of 16, 32 and 64 times `width` channels.

    The keys of its state dict are those of the networks in the code of Zhang et al. 2019 (TRADES).

    Args:
        depth: number of layers, 6k + 4: 10, 16, 28, 34, ...
        width: factor of the number of channels.
        norm: `batch` or `group` normalization.
        activation: after each normalization.

    Reference: Zagoruyko and Komodakis 2016, table 1, without dropout.

    Example:
        >>> WideResNet(depth=10, width=1).build((3, 32, 32), torch.Generator(), 10)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    depth: Repeats = 28
    width: Count = 10
    norm: ImageNorm = "batch"
    activation: Literal["relu", "swish"] = "relu"

    def __post_init__(self) -> None:
        if self.depth < 10 or self.depth % 6 != 4:
            raise SceneError(f"depth is {self.depth}; the family has depth 6k + 4: 10, 16, 22, 28, ...")

    def build(self, shape: int | tuple[int, ...], generator: torch.Generator, classes: int = 2) -> nn.Module:
        channels, _, _ = require_image(shape, "wide_resnet")
        network = WideNetwork(channels, self, classes)
        initialize(network, generator)
        return network


@final
class WideStage(nn.Module):
    """Blocks in sequence, under the name that published weights have for them."""

    def __init__(self, blocks: list[PreActivationBlock]) -> None:
        super().__init__()
        self.layer = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, in_channels, H, W)` to `(B, out_channels, H / stride, W / stride)`."""
        out: Tensor = self.layer(x)
        return out


@final
class WideNetwork(nn.Module):
    """Three stages of blocks between a convolution and a linear layer."""

    def __init__(self, in_channels: int, settings: WideResNet, classes: int) -> None:
        super().__init__()
        widths = [16, *(stage * settings.width for stage in (16, 32, 64))]
        self.conv1 = nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False, device="meta")
        for stage in (1, 2, 3):
            shapes = [(widths[stage - 1], widths[stage], 1 if stage == 1 else 2)]
            shapes += [(widths[stage], widths[stage], 1)] * ((settings.depth - 4) // 6 - 1)
            blocks = [PreActivationBlock(*one, settings.norm, settings.activation, "convShortcut") for one in shapes]
            self.add_module(f"block{stage}", WideStage(blocks))
        self.bn1 = image_norm(settings.norm, widths[3])
        self.activation = ACTIVATIONS[settings.activation]()
        self.fc = nn.Linear(widths[3], classes, device="meta")

    def forward(self, x: Tensor) -> Tensor:
        """Map images `(B, C, H, W)` to scores `(B, classes)`."""
        x = self.conv1(x)
        for stage in (1, 2, 3):
            x = self.get_submodule(f"block{stage}")(x)
        scores: Tensor = self.fc(self.activation(self.bn1(x)).mean(dim=(2, 3)))
        return scores
