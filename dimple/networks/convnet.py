"""Small convolutional networks for gray digits and for CIFAR-10."""

from torch import nn


def convnet(channels: int, side: int, classes: int = 10) -> nn.Sequential:
    """Return two strided convolutions and two linear layers, a network of the papers on certified defenses.

    The prefixes of its state dict are `0`, `2`, `5` and `7`, as in published weights.

    Args:
        channels: number of colors of the input.
        side: pixels along a side of the square input, a multiple of 4.
        classes: number of scores.

    Reference: Wong and Kolter 2018, Provable defenses against adversarial examples, section 5.

    Example:
        >>> sum(parameter.numel() for parameter in convnet(1, 28).parameters())
        166406
    """
    return nn.Sequential(
        nn.Conv2d(channels, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * (side // 4) ** 2, 100),
        nn.ReLU(),
        nn.Linear(100, classes),
    )
