"""Corruptions of images in [0, 1] by noise and by changes that keep what is shown."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from dimple.tensors import generator


def gaussian_noise(x: Tensor, stddev: float, stream: torch.Generator) -> Tensor:
    """Return images with independent Gaussian noise at each pixel, clipped to [0, 1]."""
    noise = torch.randn(x.shape, generator=stream).to(x)
    return (x + stddev * noise).clamp(0, 1)


def _impulse_noise(x: Tensor, stream: torch.Generator) -> Tensor:
    """Return images with a tenth of the pixels set to 0 or 1."""
    chosen, values = (torch.rand(x.shape, generator=stream).to(x) for _ in range(2))
    return torch.where(chosen < 0.1, values.round(), x)


def _blur(x: Tensor) -> Tensor:
    """Return images averaged over squares of three pixels."""
    return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _lower_contrast(x: Tensor) -> Tensor:
    """Return images with a third of their contrast."""
    mean = x.mean((2, 3), keepdim=True)
    return mean + (x - mean) / 3


def _shift(x: Tensor) -> Tensor:
    """Return images moved by one pixel to the right, with zeros at the left."""
    return functional.pad(x, (1, 0))[..., :-1]


# By name, functions of images and a stream of random numbers.
CORRUPTIONS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "noise_0.1": lambda x, stream: gaussian_noise(x, 0.1, stream),
    "noise_0.2": lambda x, stream: gaussian_noise(x, 0.2, stream),
    "noise_0.4": lambda x, stream: gaussian_noise(x, 0.4, stream),
    "impulse": _impulse_noise,
    "blur": lambda x, _: _blur(x),
    "contrast": lambda x, _: _lower_contrast(x),
    "shift": lambda x, _: _shift(x),
}


def corrupt(x: Tensor, seed: int) -> dict[str, Tensor]:
    """Return the images `(B, C, H, W)` under each corruption.

    Example:
        >>> sorted(corrupt(torch.zeros(1, 1, 4, 4), 0))[:3]
        ['blur', 'contrast', 'impulse']
    """
    return {name: change(x, generator(seed, "corruption", name)) for name, change in CORRUPTIONS.items()}
