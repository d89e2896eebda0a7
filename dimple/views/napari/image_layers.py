"""Images and their shortest perturbations as napari layers, one sample at each position of the slider."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.views.napari.boundary_layers import diverging_colormap
from dimple.views.napari.layout import LayerData, NapariLayout

PixelArray = NDArray[np.floating[Any]]
IMAGE_AXIS_LABELS = ("sample", "y", "x")
# Names of the saved arrays of a measurement, and of their layers.
PERTURBATION_NAMES = {"perturbation": "perturbation", "on_part": "on the manifold", "off_part": "off the manifold"}
# Fraction of the samples whose largest pixel change lies in the color range.
COLOR_RANGE_QUANTILE = 0.9


def make_image_layout(
    images: Mapping[str, PixelArray], captions: Sequence[str], low: float = 0.0, high: float = 1.0
) -> NapariLayout:
    """Return layers for the image, the image at the boundary, and the perturbation with its two parts.

    All perturbations have one color scale, which is centered at zero and the same for every sample, so that strong
    colors indicate a robust image. With three color channels gray stands for zero.

    Args:
        images: `image` with pixels in [low, high] and `perturbation`, both `(S, C, H, W)` with C = 1 or 3; with known
            tangents also `on_part` and `off_part`, the parts of the perturbation along and off the manifold.
        captions: one for each sample.
        low, high: the values of a black and of a white pixel.
    """
    image = images["image"]
    span = high - low or 1.0
    perturbation = images["perturbation"]
    largest = np.abs(perturbation).reshape(len(perturbation), -1).max(1)
    limit = float(np.quantile(largest, COLOR_RANGE_QUANTILE)) or 1.0
    differences = {name: images[key] for key, name in PERTURBATION_NAMES.items() if key in images}
    shown = {"image": image, "at the boundary": image + perturbation}
    layers = [_image_layer(name, (pixels - low) / span) for name, pixels in shown.items()]
    layers += [_difference_layer(name, difference, limit) for name, difference in differences.items()]
    scale_note = f"full color: a pixel changes by {limit:.2g}"
    return NapariLayout(
        tuple(layers),
        tuple(f"{caption}\n{scale_note}" for caption in captions),
        start_index=0,
        active_layer="image",
        y_axis_up=False,
        side_by_side=True,
        linked_layers=tuple(differences),
    )


def _image_layer(name: str, pixels: PixelArray) -> LayerData:
    levels = np.rint(np.clip(pixels, 0.0, 1.0) * 255).astype(np.uint8)
    options: dict[str, Any] = {"name": name, "axis_labels": IMAGE_AXIS_LABELS}
    if levels.shape[1] == 3:
        return np.ascontiguousarray(levels.transpose(0, 2, 3, 1)), options | {"rgb": True}, "image"
    return levels[:, 0], options | {"colormap": "gray", "contrast_limits": (0, 255)}, "image"


def _difference_layer(name: str, difference: PixelArray, limit: float) -> LayerData:
    if difference.shape[1] == 3:
        return _image_layer(name, 0.5 + difference / (2 * limit))
    options = {
        "name": name,
        "axis_labels": IMAGE_AXIS_LABELS,
        "colormap": diverging_colormap("less to more"),
        "contrast_limits": (-limit, limit),
    }
    return np.asarray(difference[:, 0], dtype=np.float32), options, "image"
