"""Which images of a measurement are kept with their perturbations, to be looked at later."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from dimple.probes import Measurement

Arrays = dict[str, NDArray[Any]]
# At most so many images of a split, and so many numbers in an array of them.
IMAGES, NUMBERS = 256, 2**23


def kept_rows(total: int, part: slice, x: Tensor) -> Tensor:
    """The rows of a chunk that are kept: of all `total` samples every one, or every second, ..., so that all fit.

    Args:
        part: which of the samples the chunk holds.
        x: the chunk, `(B, *shape)`.

    Example:
        >>> kept_rows(512, slice(32, 36), torch.zeros(4, 1, 8, 8)).tolist()
        [0, 2]
    """
    fitting = max(1, min(IMAGES, NUMBERS // x[0].numel()))
    every = -(-total // fitting)
    return torch.tensor([row for row in range(len(x)) if (part.start + row) % every == 0], dtype=torch.long)


def kept(indices: Tensor, x: Tensor, result: Measurement, rows: Tensor) -> Arrays:
    """Some of the images of a chunk, float32, with their shortest step to the boundary and its two parts.

    Empty where the images have not one or three channels, or no probe finds the step.
    """
    details = result.details
    parts: dict[str, Tensor] = {name: details[name] for name in ("on_part", "off_part") if name in details}
    if x.dim() != 4 or x.shape[1] not in (1, 3) or not (parts or "boundary_point" in details):
        return {}
    step = torch.stack(list(parts.values())).sum(0) if parts else details["boundary_point"] - x
    shown: dict[str, Tensor] = {"image": x, "perturbation": step, **parts}
    arrays: Arrays = {"index": indices[rows].numpy()}
    for name, values in shown.items():
        arrays[name] = values.cpu()[rows].float().numpy()
    return arrays
