"""A network whose boundary is known in every slice: four linear scores of images with 3 x 2 x 2 pixels."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dimple.tensors import generator

NAME = "tests.experiment.linear_network"
CLASSES = 4


def weights(step: int = 0) -> Tensor:
    """Return the rows of the four classes, `(4, 12)`; each step changes them a little."""
    stream = generator(step, "linear network")
    initial: Tensor = torch.randn(CLASSES, 12, generator=generator(0, "linear network"))
    return initial + 0.5 * step * torch.randn(CLASSES, 12, generator=stream)


def linear() -> nn.Module:
    """Return the network at step 0."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, CLASSES, bias=False)).requires_grad_(False)
    network[1].weight.copy_(weights())
    return network


class WithoutLayers(nn.Module):
    """A network with the same scores and no layer: a parameter and a product."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Parameter(weights(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of the four classes."""
        return x.flatten(1) @ self.rows.T


def constant() -> nn.Module:
    """Return a network that has no boundary."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, CLASSES)).requires_grad_(False)
    network[1].weight.zero_()
    network[1].bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
    return network


def constant_normed() -> nn.Module:
    """Return the same network with batch norm, a layer whose spectrum has no null."""
    return nn.Sequential(constant(), nn.BatchNorm1d(CLASSES)).requires_grad_(False)


def write_images(folder: Path) -> str:
    """Write eight images of each split, the last two of them equal; return the specification of the data."""
    pixels = torch.rand(8, 3, 2, 2, generator=generator(0, "images")).numpy()
    pixels[7] = pixels[6]
    labels = (torch.from_numpy(pixels).flatten(1) @ weights().T).argmax(1).numpy()
    # The data set has as many classes as its labels: all four must occur.
    labels[7] = CLASSES - 1
    arrays = {
        f"{kind}_{split}": values for split in ("train", "test") for kind, values in (("x", pixels), ("y", labels))
    }
    np.savez(folder / "images.npz", **arrays)
    return f"npz:{folder / 'images.npz'}"


def write_checkpoints(folder: Path, steps: tuple[int, ...] = (0, 1, 2)) -> str:
    """Write the weights of the steps; return the pattern of their files."""
    for step in steps:
        save_file({"1.weight": weights(step).contiguous()}, str(folder / f"step_{step}.safetensors"))
    return str(folder / "step_*.safetensors")
