"""Images of which only the shape or only the texture tells the class: silhouettes, contours, swapped textures.

They stand in for images of the literature that are made by segmentation and style transfer, by plain means.

Reference: Geirhos et al. 2019, ImageNet-trained CNNs are biased towards texture; Agarwal, Chen and Nguyen 2020.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from dimple.data.corruptions import scramble

# Levels at which a threshold between foreground and background is tried.
LEVELS = 64
# Width of the blur and thresholds of the gradient for contours, those of the authors' script.
CONTOUR_WIDTH = 0.4
CONTOUR_THRESHOLDS = (0.35, 0.9)
# Patches along each side whose mean a stylized image keeps.
STYLE_PATCHES = 8


def silhouettes(x: Tensor) -> Tensor:
    """Return white silhouettes on black of images `(B, C, H, W)` in [0, 1], in their shape.

    The foreground is the side of Otsu's threshold of the mean over the channels that the frame of the image has less
    of. An image of one value has no foreground.

    Example:
        >>> x = torch.zeros(1, 1, 4, 4)
        >>> x[0, 0, 1:3, 1:3] = 0.6
        >>> silhouettes(x)[0, 0, 1]
        tensor([0., 1., 1., 0.])
    """
    gray = x.mean(1, keepdim=True)
    is_bright = gray > _otsu_threshold(gray)
    frame = torch.ones_like(is_bright)
    frame[:, :, 1:-1, 1:-1] = False
    bright_frame = (is_bright & frame).sum(dim=(1, 2, 3), keepdim=True) / frame.sum(dim=(1, 2, 3), keepdim=True)
    foreground = torch.where(bright_frame > 0.5, ~is_bright, is_bright)
    return foreground.to(x).expand_as(x).clone()


def _otsu_threshold(gray: Tensor) -> Tensor:
    """Return the level with the largest variance between the two sides, `(B, 1, 1, 1)`; the largest value if none has.

    Between two levels without values all thresholds are equal, and the lowest is taken.
    """
    values = gray.flatten(1)
    levels = (torch.arange(LEVELS) / LEVELS).to(x := values)
    above = (x[:, None] > levels[:, None]).to(x)
    fraction = above.mean(2)
    total = x.mean(1, keepdim=True)
    mean_above = (above * x[:, None]).mean(2)
    between = (mean_above - fraction * total) ** 2 / (fraction * (1 - fraction)).clamp(min=1e-12)
    best = levels[between.argmax(1)]
    return torch.where(between.amax(1) > 1e-9, best, 1.0)[:, None, None, None]


def contours(x: Tensor) -> Tensor:
    """Return white contours on black of images `(B, C, H, W)` in [0, 1], by the edge detector of Canny.

    Pixels at the frame of an image are no edges.

    Reference: Canny 1986; the settings are those of the authors' script, and the algorithm that of scikit-image.
    """
    gray = x.mean(1).double().cpu().numpy()
    edges = torch.from_numpy(np.stack([_canny(image) for image in gray]))
    return edges[:, None].to(x).expand_as(x).clone()


def _canny(image: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the edges of an image `(H, W)`."""
    low, high = CONTOUR_THRESHOLDS
    # Outside the image is nothing, so the average is over the part inside.
    inside = ndimage.gaussian_filter(np.ones_like(image), CONTOUR_WIDTH, mode="constant") + np.finfo(float).eps
    smooth = ndimage.gaussian_filter(image, CONTOUR_WIDTH, mode="constant") / inside
    slope = np.stack([ndimage.sobel(smooth, axis=0), ndimage.sobel(smooth, axis=1)])
    size = np.sqrt((slope**2).sum(0))
    # The neighbors up and down the slope lie on the square around the pixel.
    step = slope / np.maximum(np.abs(slope).max(0), np.finfo(float).tiny)
    places = np.indices(image.shape)
    neighbors = [ndimage.map_coordinates(size, places + sign * step, order=1, mode="nearest") for sign in (1, -1)]
    is_ridge = (size >= low) & (size >= neighbors[0]) & (size >= neighbors[1])
    is_ridge[[0, -1], :] = False
    is_ridge[:, [0, -1]] = False
    labels, count = ndimage.label(is_ridge, np.ones((3, 3)))
    is_strong = np.zeros(count + 1, dtype=bool)
    is_strong[labels[is_ridge & (size >= high)]] = True
    is_strong[0] = False
    edges: NDArray[np.bool_] = is_strong[labels]
    return edges


def stylize(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return images that keep the means of their patches, with waves in place of the detail within.

    Each image gets waves of a random direction, wavelength and phase, with the contrast that the detail of each patch
    had, and at least a tenth.

    Args:
        x: images `(B, C, H, W)` in [0, 1].
        generator: of the waves, on the CPU.
    """
    height, width = x.shape[2:]
    sizes = min(STYLE_PATCHES, max(1, height // 2)), min(STYLE_PATCHES, max(1, width // 2))
    means = functional.interpolate(functional.adaptive_avg_pool2d(x, sizes), size=(height, width), mode="nearest")
    detail = functional.adaptive_avg_pool2d((x - means).square(), sizes).sqrt().clamp(min=0.1)
    detail = functional.interpolate(detail, size=(height, width), mode="nearest")
    return (means + detail * waves(len(x), height, width, generator).to(x)).clamp(0, 1)


def waves(count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Return waves `(count, 1, H, W)` of root mean square about 1, of random direction, phase and 2.5 to 5 pixels."""
    angle, phase, length = torch.rand(3, count, generator=generator)
    frequency = 2 * math.pi / (2.5 + 2.5 * length)
    rows = torch.arange(height)[:, None] * (frequency * angle.mul(2 * math.pi).sin())[:, None, None]
    columns = torch.arange(width) * (frequency * angle.mul(2 * math.pi).cos())[:, None, None]
    return math.sqrt(2) * torch.sin(rows + columns + 2 * math.pi * phase[:, None, None])[:, None]


def cue_conflict(shape: Tensor, texture: Tensor, generator: torch.Generator) -> Tensor:
    """Return images with the outline of one image and the texture of another, both at half contrast.

    The texture is that of the scrambled patches of the second image, which have no outline any more.

    Args:
        shape: images `(B, C, H, W)` in [0, 1] that give the outlines.
        texture: images of other classes.
        generator: of the order of the patches, on the CPU.
    """
    return (silhouettes(shape) + scramble(texture, 1.0, generator)) / 2
