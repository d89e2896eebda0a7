"""Augmentation: random changes of the samples of each batch that keep their classes."""

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from dimple.data.cues import contours, stylize
from dimple.errors import SceneError
from dimple.settings import Count, Fraction, Positive, settings
from dimple.tensors import broadcast_per_sample


class Augmentation(ABC):
    """A random change of samples, drawn on the CPU, so that a continued training draws the same numbers."""

    @abstractmethod
    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return changed samples `(B, *shape)`, each with random numbers of its own.

        Raises:
            SceneError: if the samples are no images `(B, C, H, W)` and have to be.
        """


@final
@settings
class Crop(Augmentation):
    """A crop at a random position of the image with a black frame, in the size of the image.

    Args:
        padding: width of the frame in pixels, the largest shift.

    Example:
        >>> Crop(padding=1)(torch.ones(2, 3, 8, 8), torch.Generator()).shape
        torch.Size([2, 3, 8, 8])
    """

    padding: Count = 4

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        _require_images("crop", x)
        count, _, height, width = x.shape
        shifts = torch.randint(2 * self.padding + 1, (2, count), generator=generator).to(x.device)
        rows = shifts[0][:, None] + torch.arange(height, device=x.device)
        columns = shifts[1][:, None] + torch.arange(width, device=x.device)
        samples = torch.arange(count, device=x.device)[:, None, None]
        padded = functional.pad(x, (self.padding,) * 4)
        return padded[samples, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


@final
@settings
class Flip(Augmentation):
    """A mirror image, left to right.

    Args:
        probability: of each image to be mirrored.
    """

    probability: Fraction = 0.5

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        _require_images("flip", x)
        return _change_some(x, x.flip(-1), self.probability, generator)


@final
@settings
class Noise(Augmentation):
    """Independent Gaussian noise in each coordinate; training clamps the sum to the bounds of the data.

    Args:
        std: standard deviation in input units.
    """

    std: Positive = 0.1

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x + self.std * torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)


@final
@settings
class Stylize(Augmentation):
    """Waves of a random direction in place of the texture; the means of patches stay, as in `data.transform: stylized`.

    Args:
        probability: of each image to be changed.

    Reference: Geirhos et al. 2019, who take the textures of paintings by style transfer.
    """

    probability: Fraction = 0.5

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        _require_images("stylize", x)
        return _change_some(x, stylize(x, generator), self.probability, generator)


@final
@settings
class Contour(Augmentation):
    """White contours on black, as in `data.transform: contours`.

    Args:
        probability: of each image to be changed.
    """

    probability: Fraction = 0.5

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        _require_images("contour", x)
        return _change_some(x, contours(x), self.probability, generator)


def _change_some(x: Tensor, changed: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Return each image as changed with the given probability, else as it was."""
    is_changed = (torch.rand(len(x), generator=generator) < probability).to(x.device)
    return torch.where(broadcast_per_sample(is_changed, x), changed, x)


def _require_images(kind: str, x: Tensor) -> None:
    if x.dim() != 4:
        raise SceneError(
            f"training.augmentation has {kind}, which needs images of shape (C, H, W); the samples have shape "
            f"{tuple(x.shape[1:])}"
        )


AUGMENTATIONS: dict[str, type[Augmentation]] = {
    "crop": Crop,
    "flip": Flip,
    "noise": Noise,
    "stylize": Stylize,
    "contour": Contour,
}
