"""Small convolutional networks for grey digits and for CIFAR-10."""

from torch import nn


def convnet(channels: int, side: int, classes: int = 10) -> nn.Sequential:
    """Two strided convolutions and two linear layers, as the certified-defence papers use them.

    Its state dict has the keys `0`, `2`, `5` and `7`, so that published weights fit.

    Args:
        channels: colours of the input.
        side: pixels along a side of the square input, a multiple of 4.

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
