"""Images of single concepts with the mask of each: gray levels or colors, textures, shapes and parts of shapes.

They stand in for a data set of annotated photographs, with as many concepts of low as of high level.

Reference: Bau et al. 2017, Network dissection, for the use of masks.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal, final

import torch
from torch import Tensor

Level = Literal["low", "high"]
# The half width of what is drawn, in sides of the image.
EXTENT = 0.3
# Colors of images with three channels, and levels of gray.
COLORS = ((1.0, 0.1, 0.1), (0.1, 1.0, 0.1), (0.1, 0.1, 1.0), (1.0, 1.0, 0.1))
GRAYS = (0.05, 0.4, 0.7, 1.0)

# Maps coordinates (u, v) from -1 to 1 within the extent to whether a pixel belongs to a shape.
SHAPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "disc": lambda u, v: u**2 + v**2 <= 1,
    "ring": lambda u, v: (u**2 + v**2 <= 1) & (u**2 + v**2 >= 0.4),
    "cross": lambda u, v: torch.minimum(u.abs(), v.abs()) <= 0.35,
    "square": lambda u, v: torch.maximum(u.abs(), v.abs()) >= 0.5,
    "corner": lambda u, v: torch.minimum(u, v) <= -0.4,
    "bar": lambda _u, v: v.abs() <= 0.35,
    "tee": lambda u, v: (v <= -0.4) | (u.abs() <= 0.3),
    "half": lambda u, v: (u**2 + v**2 <= 1) & (v <= 0),
}
# Maps the coordinates of pixels to 0 or 1.
TEXTURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "rows": lambda i, _j: i // 2 % 2,
    "columns": lambda _i, j: j // 2 % 2,
    "diagonals": lambda i, j: (i + j) // 2 % 2,
    "checks": lambda i, j: (i // 2 + j // 2) % 2,
}


@final
@dataclasses.dataclass(frozen=True)
class ConceptImages:
    """Images that show one concept each.

    Attributes:
        x: `(N, C, H, W)` in [0, 1], float32.
        mask: `(N, H, W)` bool, where the concept is.
        concept: `(N,)`, its number.
        names: of the concepts.
        levels: of the concepts: colors and textures are low, shapes and parts of shapes are high.
    """

    x: Tensor
    mask: Tensor
    concept: Tensor
    names: tuple[str, ...]
    levels: tuple[Level, ...]


def draw_concepts(shape: tuple[int, int, int], count: int, generator: torch.Generator) -> ConceptImages:
    """Return `count` images of each of sixteen concepts, eight of each level, at random places on random grounds.

    Args:
        shape: (C, H, W); with other than three channels the colors are levels of gray.
        count: images of each concept.
        generator: of places and contrasts, on the CPU.

    Example:
        >>> images = draw_concepts((1, 28, 28), 2, torch.Generator())
        >>> images.x.shape, images.levels.count("low"), len(set(images.names))
        (torch.Size([32, 1, 28, 28]), 8, 16)
    """
    colors = [f"color {number}" for number in range(len(COLORS))]
    names = (*colors, *TEXTURES, *SHAPES)
    levels: tuple[Level, ...] = tuple("high" if name in SHAPES else "low" for name in names)
    parts = [_draw(name, shape, count, generator) for name in names]
    x, mask = (torch.cat(part) for part in zip(*parts, strict=True))
    return ConceptImages(x, mask, torch.arange(len(names)).repeat_interleave(count), names, levels)


def _draw(name: str, shape: tuple[int, int, int], count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the images `(count, C, H, W)` and masks `(count, H, W)` of one concept."""
    channels, height, width = shape
    center = (2 * torch.rand(2, count, 1, 1, generator=generator) - 1) * (0.5 - EXTENT) + 0.5
    ground, contrast = torch.rand(2, count, 1, 1, 1, generator=generator)
    i = torch.arange(height)[:, None]
    j = torch.arange(width)
    v = ((i + 0.5) / height - center[0]) / EXTENT
    u = ((j + 0.5) / width - center[1]) / EXTENT
    mask = torch.maximum(u.abs(), v.abs()) <= 1
    if name in SHAPES:
        mask = mask & SHAPES[name](u, v)
        # Shapes have any gray that differs from the ground.
        fill = (ground + 0.3 + 0.4 * contrast) % 1.0
    elif name in TEXTURES:
        pattern = TEXTURES[name](i, j).expand(height, width)
        fill = 0.5 + (0.25 + 0.25 * contrast) * (2.0 * pattern - 1)
    else:
        number = int(name.removeprefix("color "))
        values = torch.tensor(COLORS[number] if channels == 3 else (GRAYS[number],) * channels)
        fill = values[:, None, None]
    x = torch.where(mask[:, None], fill, ground * torch.ones(count, channels, height, width))
    noise = 0.02 * torch.randn(x.shape, generator=generator)
    return (x + noise).clamp(0, 1), mask
