"""Corruptions of images that keep their texture: noise, blur, loss of detail and displacement, in five severities.

The families are those of benchmarks of common corruptions; strengths are ours, in fractions of the side of an image, so
that they serve images of any size.

Reference: Hendrycks and Dietterich 2019, Benchmarking neural network robustness to common corruptions.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor
from torch.nn import functional

from dimple.errors import ShapeError

# Images `(B, C, H, W)` in [0, 1], a strength, and a generator of random numbers on the CPU.
Corruption: TypeAlias = Callable[[Tensor, float, torch.Generator], Tensor]
SEVERITIES = 5
# The side of the blocks whose cosine transform is rounded.
BLOCK = 4
# Patches along each side of a scrambled image.
PATCHES = 4


def corrupt(x: Tensor, name: str, severity: int, generator: torch.Generator) -> Tensor:
    """Return corrupted images `(B, C, H, W)` in [0, 1].

    Args:
        x: images `(B, C, H, W)` in [0, 1].
        name: a key of `CORRUPTIONS`.
        severity: from 1 to 5.
        generator: of all random numbers, on the CPU.

    Raises:
        ShapeError: if the samples are no images, or the severity is none.

    Example:
        >>> x = torch.full((2, 1, 8, 8), 0.5)
        >>> corrupt(x, "brightness", 5, torch.Generator()).max()
        tensor(1.)
    """
    if x.dim() != 4:
        raise ShapeError(f"corruptions need images (B, C, H, W); the samples have shape {tuple(x.shape)}")
    if not 1 <= severity <= SEVERITIES:
        raise ShapeError(f"severity is {severity}; give a whole number from 1 to {SEVERITIES}")
    _, function, strengths = CORRUPTIONS[name]
    return function(x, strengths[severity - 1], generator).clamp(0, 1)


def gaussian_noise(x: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Add independent normal numbers with this standard deviation."""
    return x + strength * _normal(x, generator)


def shot_noise(x: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Add normal numbers whose variance is that of counted photons: the value over 1 / strength^2."""
    return x + strength * x.sqrt() * _normal(x, generator)


def speckle_noise(x: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Multiply by normal numbers of mean 1 with this standard deviation."""
    return x * (1 + strength * _normal(x, generator))


def impulse_noise(x: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Make this fraction of the pixels black or white."""
    u = torch.rand(x.shape, generator=generator, dtype=x.dtype).to(x)
    return torch.where(u < strength, torch.where(u < strength / 2, 0.0, 1.0).to(x), x)


def gaussian_blur(x: Tensor, strength: float, _generator: torch.Generator) -> Tensor:
    """Average over a Gaussian whose standard deviation is this fraction of the side."""
    kernels = (_gaussian_averages(size, strength * size).to(x) for size in x.shape[2:])
    return _along_axes(x, *kernels)


def box_blur(x: Tensor, strength: float, _generator: torch.Generator) -> Tensor:
    """Average over squares whose side is one pixel and this fraction of that of the image."""
    return _along_axes(x, *(_box_averages(size, 1 + strength * size).to(x) for size in x.shape[2:]))


def motion_blur(x: Tensor, strength: float, _generator: torch.Generator) -> Tensor:
    """Average over horizontal lines whose length is one pixel and this fraction of the width."""
    height, width = x.shape[2:]
    return _along_axes(x, torch.eye(height).to(x), _box_averages(width, 1 + strength * width).to(x))


def contrast(x: Tensor, strength: float, _generator: torch.Generator) -> Tensor:
    """Move every pixel towards the mean of its image by this fraction of the difference."""
    return x + strength * (x.mean(dim=(1, 2, 3), keepdim=True) - x)


def brightness(x: Tensor, strength: float, _generator: torch.Generator) -> Tensor:
    """Add this number to every pixel."""
    return x + strength


def pixelate(x: Tensor, strength: float, _generator: torch.Generator) -> Tensor:
    """Average over blocks, of which there are this fraction fewer along each side than pixels."""
    height, width = (max(1, round((1 - strength) * size)) for size in x.shape[2:])
    return functional.interpolate(
        functional.adaptive_avg_pool2d(x, (height, width)), size=x.shape[2:], mode="nearest-exact"
    )


def block_rounding(x: Tensor, strength: float, _generator: torch.Generator) -> Tensor:
    """Round the cosine transform of blocks of 4 x 4 pixels to steps that grow with the frequency, as JPEG does."""
    height, width = x.shape[2:]
    padded = functional.pad(x, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")
    blocks = padded.unfold(2, BLOCK, BLOCK).unfold(3, BLOCK, BLOCK)
    transform = torch.from_numpy(dct(np.eye(BLOCK), axis=0, norm="ortho")).to(x)
    frequency = torch.arange(BLOCK).to(x)
    step = strength * (1 + frequency[:, None] + frequency)
    rounded = (transform @ blocks @ transform.T / step).round() * step
    restored = transform.T @ rounded @ transform
    return restored.permute(0, 1, 2, 4, 3, 5).reshape(padded.shape)[:, :, :height, :width]


def scramble(x: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Permute this fraction of the 4 x 4 patches of each image: texture and values stay, and the outline is lost."""
    side = [size // PATCHES for size in x.shape[2:]]
    height, width = (PATCHES * size for size in side)
    patches = x[:, :, :height, :width].unfold(2, side[0], side[0]).unfold(3, side[1], side[1]).flatten(2, 3)
    chosen = round(strength * PATCHES**2)
    keys = torch.rand(len(x), PATCHES**2, generator=generator)
    places = keys.argsort(1)[:, :chosen]
    order = torch.arange(PATCHES**2).repeat(len(x), 1)
    order.scatter_(1, places, places.roll(1, dims=1))
    moved = patches.gather(2, order.to(x.device)[:, None, :, None, None].expand_as(patches))
    result = x.clone()
    grid = moved.unflatten(2, (PATCHES, PATCHES)).permute(0, 1, 2, 4, 3, 5)
    result[:, :, :height, :width] = grid.reshape(*x.shape[:2], height, width)
    return result


def rotate(x: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Rotate about the center by this angle, in radians, to a random side; what comes in is black."""
    angle = strength * _signs(len(x), generator).to(x)
    zero = torch.zeros_like(angle)
    # The coordinates of a grid are in halves of the width and of the height.
    aspect = x.shape[2] / x.shape[3]
    rows = torch.stack([angle.cos(), -aspect * angle.sin(), zero, angle.sin() / aspect, angle.cos(), zero], 1)
    grid = functional.affine_grid(rows.reshape(-1, 2, 3), list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, align_corners=False)


def translate(x: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Shift by this fraction of the side along a random diagonal; what comes in is black."""
    shift = torch.stack([_signs(len(x), generator), _signs(len(x), generator)], 1).to(x) * 2 * strength
    rows = torch.cat([torch.eye(2).to(x).expand(len(x), 2, 2), shift[:, :, None]], 2)
    grid = functional.affine_grid(rows, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, align_corners=False)


def elastic(x: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Displace pixels by a smooth random field with this root mean square, in sides of the image."""
    field = torch.randn(len(x), 2, *x.shape[2:], generator=generator).to(x)
    smooth = _along_axes(field, *(_gaussian_averages(size, 0.15 * size).to(x) for size in x.shape[2:]))
    smooth = smooth / smooth.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    identity = torch.eye(2, 3).to(x).expand(len(x), 2, 3)
    grid = functional.affine_grid(identity, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid + 2 * strength * smooth.permute(0, 2, 3, 1), align_corners=False)


# The family, the function and the five strengths of each corruption.
CORRUPTIONS: dict[str, tuple[str, Corruption, tuple[float, ...]]] = {
    "gaussian_noise": ("noise", gaussian_noise, (0.05, 0.1, 0.2, 0.3, 0.4)),
    "shot_noise": ("noise", shot_noise, (0.1, 0.2, 0.3, 0.45, 0.6)),
    "speckle_noise": ("noise", speckle_noise, (0.15, 0.3, 0.45, 0.6, 0.8)),
    "impulse_noise": ("noise", impulse_noise, (0.02, 0.05, 0.1, 0.2, 0.3)),
    "gaussian_blur": ("blur", gaussian_blur, (0.03, 0.05, 0.07, 0.09, 0.12)),
    "box_blur": ("blur", box_blur, (0.07, 0.12, 0.17, 0.24, 0.32)),
    "motion_blur": ("blur", motion_blur, (0.1, 0.18, 0.28, 0.38, 0.48)),
    "contrast": ("detail", contrast, (0.3, 0.5, 0.65, 0.8, 0.9)),
    "brightness": ("detail", brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "pixelate": ("detail", pixelate, (0.4, 0.5, 0.6, 0.75, 0.85)),
    "block_rounding": ("detail", block_rounding, (0.1, 0.2, 0.3, 0.45, 0.6)),
    "scramble": ("displacement", scramble, (0.15, 0.3, 0.5, 0.75, 1.0)),
    "rotate": ("displacement", rotate, (0.15, 0.3, 0.45, 0.6, 0.8)),
    "translate": ("displacement", translate, (0.03, 0.06, 0.1, 0.14, 0.18)),
    "elastic": ("displacement", elastic, (0.01, 0.02, 0.035, 0.05, 0.07)),
}


def _normal(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x)


def _signs(count: int, generator: torch.Generator) -> Tensor:
    return 2 * torch.randint(2, (count,), generator=generator) - 1


def _gaussian_averages(size: int, width: float) -> Tensor:
    """Return the matrix `(size, size)` of averages with Gaussian weights, which are those inside the image alone."""
    offsets = torch.arange(size, dtype=torch.float64)
    weights = torch.exp(-0.5 * ((offsets[:, None] - offsets) / width) ** 2)
    return weights / weights.sum(1, keepdim=True)


def _box_averages(size: int, length: float) -> Tensor:
    """Return the matrix `(size, size)` of averages over a length in pixels, whose ends count in part."""
    offsets = torch.arange(size, dtype=torch.float64)
    half = length / 2
    weights = (half + 0.5 - (offsets[:, None] - offsets).abs()).clamp(0, 1)
    return weights / weights.sum(1, keepdim=True)


def _along_axes(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return `rows @ x @ columns^T` of each channel."""
    return rows @ x @ columns.T
