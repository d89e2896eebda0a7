"""Accuracies of a robust and of a standard network on images that keep only their texture, or only their shape."""

import torch
from torch import Tensor, nn

from dimple.claims.experiments.base import Row
from dimple.claims.experiments.final_network import accuracy, predict
from dimple.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from dimple.data.cues import contours, cue_conflict, silhouettes, stylize
from dimple.tensors import generator

# A difference of accuracies that counts.
NOTICEABLE = 0.01


def both_right(robust: nn.Module, standard: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the images, and their classes, that both networks classify correctly."""
    is_right = (predict(robust, x) == y) & (predict(standard, x) == y)
    return x[is_right], y[is_right]


def compare_distortions(robust: nn.Module, standard: nn.Module, x: Tensor, y: Tensor, seed: int) -> Row:
    """Return the errors on distorted images, over the images that both networks classify correctly.

    Columns: `relative_error`, the mean error of the robust network over that of the standard one, over all corruptions
    and severities, and `relative_error_FAMILY`; `no_better`, the fraction of the corruptions on which the robust
    network is not better by more than a point; `both_right`, the number of images.
    """
    x, y = both_right(robust, standard, x, y)
    errors = torch.zeros(len(CORRUPTIONS), 2, dtype=torch.float64)
    for number, name in enumerate(CORRUPTIONS):
        for severity in range(1, SEVERITIES + 1):
            distorted = corrupt(x, name, severity, generator(seed, name, severity))
            for column, network in enumerate((robust, standard)):
                errors[number, column] += (1 - accuracy(network, distorted, y)) / SEVERITIES
    families = [family for family, _, _ in CORRUPTIONS.values()]
    row = {
        f"relative_error_{family}": _ratio(errors[[family == other for other in families]])
        for family in dict.fromkeys(families)
    }
    no_better = errors[:, 0] > errors[:, 1] - NOTICEABLE
    return row | {
        "relative_error": _ratio(errors),
        "no_better": float(no_better.double().mean()),
        "both_right": float(len(x)),
    }


def _ratio(errors: Tensor) -> float:
    """Return the sum of the first column over that of the second; 1 where both are zero."""
    robust, standard = errors.sum(0)
    return float(robust / standard) if standard > 0 else (1.0 if robust == 0 else float("inf"))


def compare_textureless(robust: nn.Module, standard: nn.Module, x: Tensor, y: Tensor, seed: int) -> Row:
    """Return the accuracies on images without their texture, over the images that both networks classify correctly.

    Columns: for silhouettes, contours and stylized images `NAME_robust`, `NAME_standard` and `NAME_difference`.
    """
    x, y = both_right(robust, standard, x, y)
    sets = {
        "silhouettes": silhouettes(x),
        "contours": contours(x),
        "stylized": stylize(x, generator(seed, "stylized")),
    }
    row = {}
    for name, images in sets.items():
        row[f"{name}_robust"] = accuracy(robust, images, y)
        row[f"{name}_standard"] = accuracy(standard, images, y)
        row[f"{name}_difference"] = row[f"{name}_robust"] - row[f"{name}_standard"]
    return row


def compare_conflicts(robust: nn.Module, standard: nn.Module, x: Tensor, y: Tensor, seed: int) -> Row:
    """Return the shape bias: the decisions for the shape over those for shape or texture, on conflicting cues.

    Columns: `shape_bias_robust`, `shape_bias_standard`, `shape_bias_difference`; `decided_robust` and
    `decided_standard`, the fraction of images that are given either class.
    """
    x, y = both_right(robust, standard, x, y)
    row = {}
    for name, network in (("robust", robust), ("standard", standard)):
        row[f"shape_bias_{name}"], row[f"decided_{name}"] = shape_bias(network, x, y, seed)
    return row | {"shape_bias_difference": row["shape_bias_robust"] - row["shape_bias_standard"]}


def shape_bias(network: nn.Module, x: Tensor, y: Tensor, seed: int) -> tuple[float, float]:
    """Return the shape bias of a network on conflicting cues, and the fraction of images that are given either class.

    Each image gives its outline, and another one of another class the texture.

    Reference: Geirhos et al. 2019.
    """
    stream = generator(seed, "conflicting cues")
    partner = torch.randperm(len(x), generator=stream).to(x.device)
    is_conflict = y != y[partner]
    shape = y[is_conflict]
    texture = y[partner][is_conflict]
    predicted = predict(network, cue_conflict(x, x[partner], stream)[is_conflict])
    for_shape = float((predicted == shape).double().mean())
    for_texture = float((predicted == texture).double().mean())
    decided = for_shape + for_texture
    return (for_shape / decided if decided else float("nan")), decided
