"""Images that a measurement saves with their perturbations, for viewers and reports."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from dimple.errors import RunError
from dimple.probes import ProbeResult
from dimple.tensors import Box

Arrays = dict[str, NDArray[Any]]
# The largest number of images of a split, and of numbers in one array of them.
MAX_IMAGES = 256
MAX_ELEMENTS = 2**23


def select_image_rows(total: int, chunk_rows: slice, x: Tensor) -> Tensor:
    """Return the rows of a chunk whose images are saved: of all `total` samples every k-th, so that all fit.

    Args:
        chunk_rows: the rows of the samples that the chunk holds.
        x: the chunk, `(B, *shape)`.

    Example:
        >>> select_image_rows(512, slice(32, 36), torch.zeros(4, 1, 8, 8)).tolist()
        [0, 2]
    """
    max_saved = max(1, min(MAX_IMAGES, MAX_ELEMENTS // x[0].numel()))
    stride = -(-total // max_saved)
    return torch.tensor([row for row in range(len(x)) if (chunk_rows.start + row) % stride == 0], dtype=torch.long)


def pixel_range(bounds: Any, pixels: NDArray[Any]) -> tuple[float, float]:
    """Return the values of a run's images that are shown black and white.

    Args:
        bounds: of the settings of the run: a pair, or two nested lists; a word for images from 0 to 1; or None, where
            the range is that of the images.
        pixels: the images.

    Raises:
        RunError: if the bounds are none of these.

    Example:
        >>> import numpy as np
        >>> pixel_range([0.0, 255.0], np.zeros(1)), pixel_range("data", np.zeros(1)), pixel_range(None, np.arange(3))
        ((0.0, 255.0), (0.0, 1.0), (0.0, 2.0))
    """
    if isinstance(bounds, str):
        return 0.0, 1.0
    try:
        low, high = (pixels.min(), pixels.max()) if bounds is None else Box(*bounds).range
    except (TypeError, ValueError, OverflowError) as error:
        raise RunError(f"bounds of the run is no pair of low and high ({error})") from None
    return float(low), float(high)


def collect_image_arrays(indices: Tensor, x: Tensor, result: ProbeResult, rows: Tensor) -> Arrays:
    """Return images of a chunk, float32, with their shortest perturbations and the two parts of these.

    Args:
        indices: `(B,)`, the numbers of the samples in their split.
        x: the chunk, `(B, *shape)`.
        rows: the rows of the chunk that are saved.

    Returns:
        Arrays by name; empty where the samples have not one or three channels, or no probe gives a perturbation.
    """
    details = result.details
    parts: dict[str, Tensor] = {name: details[name] for name in ("on_part", "off_part") if name in details}
    if x.dim() != 4 or x.shape[1] not in (1, 3) or not (parts or "boundary_point" in details):
        return {}
    perturbation = torch.stack(list(parts.values())).sum(0) if parts else details["boundary_point"] - x
    tensors: dict[str, Tensor] = {"image": x, "perturbation": perturbation, **parts}
    arrays: Arrays = {"index": indices[rows].numpy()}
    for name, values in tensors.items():
        arrays[name] = values.cpu()[rows].float().numpy()
    return arrays
