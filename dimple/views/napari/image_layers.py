"""Images and their shortest perturbations as layers of an image viewer, a sample at every place of the slider."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.views.napari.boundary_layers import diverging
from dimple.views.napari.layout import Arrangement, LayerData

Pixels = NDArray[np.floating[Any]]
AXES = ("sample", "y", "x")
# What a measurement keeps of its images, and how a reader calls it.
PARTS = {"perturbation": "perturbation", "on_part": "on the manifold", "off_part": "off the manifold"}
# Of so many samples the largest change of a pixel lies within the range of the colours.
WITHIN = 0.9


def picture_layers(pictures: Mapping[str, Pixels], captions: Sequence[str]) -> Arrangement:
    """The image, the image at the boundary, and the way there with its parts along and off the data manifold.

    All ways are drawn on one scale, which is zero-centred and the same for every sample, so that a robust image shows
    by the strength of its colours. With three colour channels grey stands for zero.

    Args:
        pictures: `image` with pixels in [0, 1] and `perturbation`, `(S, C, H, W)` with C = 1 or 3, and where the
            tangents were known `on_part` and `off_part`.
        captions: one a sample.
    """
    image, step = pictures["image"], pictures["perturbation"]
    limit = float(np.quantile(np.abs(step).reshape(len(step), -1).max(1), WITHIN)) or 1.0
    shown = {name: pictures[part] for part, name in PARTS.items() if part in pictures}
    layers = [_photograph("image", image), _photograph("at the boundary", image + step)]
    layers += [_change(name, part, limit) for name, part in shown.items()]
    full = f"full colour: a pixel changes by {limit:.2g}"
    lines = tuple(f"{caption}\n{full}" for caption in captions)
    return Arrangement(tuple(layers), lines, 0, "image", upwards=False, side_by_side=True, linked=tuple(shown))


def _photograph(name: str, pixels: Pixels) -> LayerData:
    levels = np.rint(np.clip(pixels, 0.0, 1.0) * 255).astype(np.uint8)
    about = {"name": name, "axis_labels": AXES}
    return _colour_or_grey(levels, about | {"colormap": "gray", "contrast_limits": (0, 255)}, about)


def _change(name: str, part: Pixels, limit: float) -> LayerData:
    about = {"name": name, "axis_labels": AXES}
    if part.shape[1] == 3:
        return _photograph(name, 0.5 + part / (2 * limit))
    signed = {"colormap": diverging("less to more"), "contrast_limits": (-limit, limit)}
    return np.asarray(part[:, 0], dtype=np.float32), about | signed, "image"


def _colour_or_grey(levels: NDArray[np.uint8], grey: dict[str, Any], colour: dict[str, Any]) -> LayerData:
    if levels.shape[1] == 3:
        return np.ascontiguousarray(levels.transpose(0, 2, 3, 1)), colour | {"rgb": True}, "image"
    return levels[:, 0], grey, "image"
