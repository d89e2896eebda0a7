"""The rank correlation of confidence and distance from the boundary, of right and of wrong images."""

import math
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor, nn

from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.final_network import predict, predict_confidence, train_network
from dimple.claims.experiments.mickisch2020.margins import closest_distances, deepfool_distances
from dimple.probes import rank_correlation
from dimple.settings import Count, settings
from dimple.tensors import Box, generator

NULL_DRAWS = 199
# Fewest images of either kind that are compared.
MIN_IMAGES = 10


@final
@settings
class ConfidenceAndMargin(Experiment):
    """A scene of images, trained on few of them so that many test images are wrong.

    Columns: `spearman`, the rank correlation of confidence and DeepFool distance over all test images; `spearman_right`
    and `spearman_wrong`, over those that are classified correctly and the others; `difference`, the former minus the
    latter; `difference_null`, the median over random divisions into sets of these sizes; `difference_closest`, with
    distances that are refined to the closest point; `confidence_excess`, the mean confidence of the wrong images minus
    that of the right ones with the nearest distance; `wrong_count`.

    Args:
        scene: a built-in scene.
        epochs: of training.
        set: further changes of the scene.
    """

    scene: str = "digits"
    epochs: Count = 60
    set: tuple[str, ...] = ("data.subset=100", "training.batch_size=32")

    version: ClassVar[int] = 1

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        network, samples = train_network(self.scene, [*self.set, f"training.epochs={self.epochs}"], seed, resources)
        return {"": describe_confidence(network, samples.test, samples.test_labels, samples.bounds, seed)}


def describe_confidence(network: nn.Module, x: Tensor, y: Tensor, bounds: Box | None, seed: int) -> Row:
    """Return the columns of labeled images."""
    right = (predict(network, x) == y).cpu()
    confidence = predict_confidence(network, x).cpu().double()
    distance, closest = (torch.from_numpy(find(network, x, bounds)) for find in (deepfool_distances, closest_distances))
    count = int((~right).sum())
    if min(count, len(right) - count) < MIN_IMAGES:
        names = ("spearman_right", "spearman_wrong", "difference", "difference_null", "difference_closest")
        missing = dict.fromkeys((*names, "confidence_excess"), math.nan)
        return {"spearman": _correlate(confidence, distance), **missing, "wrong_count": float(count)}
    stream = generator(seed, "right or wrong")
    draws = [right[torch.randperm(len(right), generator=stream)] for _ in range(NULL_DRAWS)]
    right_value, wrong_value = (_correlate(confidence[rows], distance[rows]) for rows in (right, ~right))
    # The nearest of the right images, for each wrong one.
    partners = (distance[~right][:, None] - distance[right]).abs().nan_to_num(nan=math.inf).argmin(1)
    return {
        "spearman": _correlate(confidence, distance),
        "spearman_right": right_value,
        "spearman_wrong": wrong_value,
        "difference": right_value - wrong_value,
        "difference_null": float(np.median([_difference(confidence, distance, draw) for draw in draws])),
        "difference_closest": _difference(confidence, closest, right),
        "confidence_excess": float((confidence[~right] - confidence[right][partners]).mean()),
        "wrong_count": float(count),
    }


def _difference(confidence: Tensor, distance: Tensor, right: Tensor) -> float:
    first, second = (_correlate(confidence[rows], distance[rows]) for rows in (right, ~right))
    return first - second


def _correlate(confidence: Tensor, distance: Tensor) -> float:
    return rank_correlation(confidence, distance, null_draws=1).value
