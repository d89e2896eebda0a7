"""Image sets made of another one: corrupted images, and images of which only the shape or the texture is left."""

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from dimple.data.corruptions import corrupt
from dimple.data.cues import contours, cue_conflict, silhouettes, stylize
from dimple.errors import SceneError

# What shows the shape or the texture alone, and the corruptions.
Transform: TypeAlias = Literal[
    "silhouettes", "contours", "stylized", "cue_conflict",
    "gaussian_noise", "shot_noise", "speckle_noise", "impulse_noise", "gaussian_blur", "box_blur", "motion_blur",
    "contrast", "brightness", "pixelate", "block_rounding", "scramble", "rotate", "translate", "elastic",
]  # fmt: skip


def transform_images(x: Tensor, y: Tensor, name: Transform, severity: int, generator: torch.Generator) -> Tensor:
    """Return transformed images `(B, C, H, W)` in [0, 1], which keep their classes.

    Args:
        x: images `(B, C, H, W)` in [0, 1].
        y: `(B,)` their classes; those of `cue_conflict` get the texture of a random image of another class.
        name: the transform.
        severity: of a corruption, from 1 to 5.
        generator: of all random numbers, on the CPU.

    Raises:
        SceneError: if `cue_conflict` gets images of one class only.

    Example:
        >>> x = torch.zeros(2, 1, 8, 8)
        >>> x[:, :, 2:6, 2:6] = 0.5
        >>> transform_images(x, torch.tensor([0, 1]), "silhouettes", 1, torch.Generator()).unique()
        tensor([0., 1.])
    """
    if name == "silhouettes":
        return silhouettes(x)
    if name == "contours":
        return contours(x)
    if name == "stylized":
        return stylize(x, generator)
    if name == "cue_conflict":
        return cue_conflict(x, x[_other_class_rows(y, generator)], generator)
    return corrupt(x, name, severity, generator)


def _other_class_rows(y: Tensor, generator: torch.Generator) -> Tensor:
    """Return for each row `(B,)` a random row of another class."""
    rows = torch.empty_like(y)
    for number in y.unique():
        others = torch.nonzero(y != number)[:, 0]
        if len(others) == 0:
            raise SceneError(
                f"data.transform is cue_conflict, and all {len(y)} images of a split have one class; take more images"
            )
        here = torch.nonzero(y == number)[:, 0]
        rows[here] = others[torch.randint(len(others), (len(here),), generator=generator)]
    return rows
