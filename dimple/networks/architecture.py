"""The interface of the networks that a scene can train, and the random weights that they begin with."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from math import prod
from typing import TypeAlias

import torch
from torch import Tensor, nn

from dimple.errors import SceneError
from dimple.limits import require_memory
from dimple.settings import Positive

# A factor of the initial weights and biases of all layers, or one for each layer in order.
InitScale: TypeAlias = Positive | tuple[Positive, ...]


class Architecture(ABC):
    """The settings of a network, which `build` turns into modules with random weights."""

    @abstractmethod
    def build(self, shape: int | tuple[int, ...], generator: torch.Generator, classes: int = 2) -> nn.Module:
        """Build a float32 network from `(B, *shape)` to `(B, classes)` scores on the CPU.

        Args:
            shape: of one sample; a number n stands for `(n,)`.
            generator: of all random weights.
            classes: number of scores.

        Raises:
            SceneError: if the network does not take samples of this shape.
        """

    def fit_features(self, network: nn.Module, x: Tensor, generator: torch.Generator) -> None:
        """Fit the layers that are learned from samples without labels, in place, before training; most have none.

        Args:
            network: a network of `build`.
            x: `(N, *shape)` training samples, on the device of the network.
            generator: of random numbers, on the CPU.
        """
        return


def initialize(network: nn.Module, generator: torch.Generator) -> None:
    """Give the linear and convolutional layers PyTorch's default random weights, U(+-1/sqrt(fan_in)), on the CPU.

    The layers are best made on the meta device, so that torch draws no weights from its global stream, and takes no
    memory before the size of the network has been checked.

    Raises:
        SceneError: if the network needs more memory than the limit.
    """
    count = sum(parameter.numel() for parameter in network.parameters())
    # The weights, their gradients and two moments, and a copy in double precision.
    require_memory(24 * count, f"network: has {count} weights", SceneError)
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            bound = 1 / math.sqrt(module.weight[0].numel())
            for name, parameter in module.named_parameters(recurse=False):
                values = (2 * torch.rand(parameter.shape, generator=generator) - 1) * bound
                module.register_parameter(name, nn.Parameter(values))


def scale_layers(network: nn.Module, init_scale: float | tuple[float, ...]) -> None:
    """Multiply weights and biases of the linear and convolutional layers by one factor, or by one for each layer.

    The units of a layer then switch on where they did before.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    factors = init_scale if isinstance(init_scale, tuple) else (init_scale,) * len(layers)
    with torch.no_grad():
        for layer, factor in zip(layers, factors, strict=True):
            for parameter in layer.parameters():
                parameter.mul_(factor)


def require_scales(init_scale: float | tuple[float, ...], layers: int) -> None:
    """Refuse a number of factors that is not the number of layers with weights."""
    if isinstance(init_scale, tuple) and len(init_scale) != layers:
        raise SceneError(f"init_scale has {len(init_scale)} factors; the network has {layers} layers with weights")


def count_features(shape: int | tuple[int, ...]) -> int:
    """Return the number of values of one sample."""
    return shape if isinstance(shape, int) else prod(shape)


def sequence(shape: int | tuple[int, ...], layers: Iterable[nn.Module]) -> nn.Sequential:
    """Return the layers in sequence, after a flattening of samples that are not vectors."""
    is_flat = isinstance(shape, int) or len(shape) == 1
    return nn.Sequential(*layers) if is_flat else nn.Sequential(nn.Flatten(), *layers)


def require_image(shape: int | tuple[int, ...], kind: str) -> tuple[int, int, int]:
    """Return the channels, height and width of samples that are images.

    Raises:
        SceneError: for samples of another shape.
    """
    if isinstance(shape, int) or len(shape) != 3:
        sizes = (shape,) if isinstance(shape, int) else shape
        raise SceneError(
            f"network.kind is {kind!r}, which takes images of channels x height x width; a sample of these data has "
            f"{' x '.join(map(str, sizes))} values: choose mlp"
        )
    return shape
