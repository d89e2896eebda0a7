"""A network whose boundary is known in every section: four linear scores of images with 3 x 2 x 2 pixels."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dimple.tensors import generator

NAME = "tests.experiment.linear_network"
CLASSES = 4


def weights(step: int = 0) -> Tensor:
    """The rows of the four classes, `(4, 12)`; each step turns them a little."""
    stream = generator(step, "linear network")
    drawn: Tensor = torch.randn(CLASSES, 12, generator=generator(0, "linear network"))
    return drawn + 0.5 * step * torch.randn(CLASSES, 12, generator=stream)


def linear() -> nn.Module:
    """The network at step 0."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, CLASSES, bias=False)).requires_grad_(False)
    network[1].weight.copy_(weights())
    return network


class Bare(nn.Module):
    """The same scores without a layer: a parameter and a product."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Parameter(weights(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Images to the scores of the four classes."""
        return x.flatten(1) @ self.rows.T


def constant() -> nn.Module:
    """A network that has no boundary."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, CLASSES)).requires_grad_(False)
    network[1].weight.zero_()
    network[1].bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
    return network


def constant_normed() -> nn.Module:
    """The same with batch norm, a layer whose spectrum has no null."""
    return nn.Sequential(constant(), nn.BatchNorm1d(CLASSES)).requires_grad_(False)


def write_images(folder: Path) -> str:
    """Eight images of each split, the last two of them equal; the specification of the data."""
    pixels = torch.rand(8, 3, 2, 2, generator=generator(0, "images")).numpy()
    pixels[7] = pixels[6]
    labels = (torch.from_numpy(pixels).flatten(1) @ weights().T).argmax(1).numpy()
    # All four classes have to be there for the data set to have so many.
    labels[7] = CLASSES - 1
    arrays = {f"{kind}_{split}": part for split in ("train", "test") for kind, part in (("x", pixels), ("y", labels))}
    np.savez(folder / "images.npz", **arrays)
    return f"npz:{folder / 'images.npz'}"


def write_checkpoints(folder: Path, steps: tuple[int, ...] = (0, 1, 2)) -> str:
    """The weights of some steps; the pattern of their files."""
    for step in steps:
        save_file({"1.weight": weights(step).contiguous()}, str(folder / f"step_{step}.safetensors"))
    return str(folder / "step_*.safetensors")
