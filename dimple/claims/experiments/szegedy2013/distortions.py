"""The distortion of Szegedy et al.: the root mean square over the pixels of the smallest change to a random class."""

import functools
import math
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dimple.attacks.closest import closest_point
from dimple.attacks.lbfgs import lbfgs
from dimple.attacks.search import MinimumNormAttack, SearchProblem
from dimple.boundary import Boundary
from dimple.networks import freeze
from dimple.tensors import Box, generator

Distortions: TypeAlias = NDArray[np.float64]
# Passes that bracket and bisect the weight of the distance for one target.
LBFGS_PASSES = 250.0
CLOSEST_PASSES = 40.0
# The paper minimizes the loss of the scores as they are.
ATTACKS: dict[str, tuple[MinimumNormAttack, float]] = {
    "lbfgs": (functools.partial(lbfgs, scaled_logit_margin=None), LBFGS_PASSES),
    "closest": (closest_point, CLOSEST_PASSES),
}


def random_targets(y: Tensor, predicted: Tensor, classes: int, seed: int) -> Tensor:
    """Return for each sample a random class that is neither its own nor the predicted one, `(B,)`.

    Example:
        >>> random_targets(torch.tensor([0, 1]), torch.tensor([0, 2]), 3, seed=0)[1]
        tensor(0)
    """
    keys = torch.rand(len(y), classes, generator=generator(seed, "targets"))
    rows = torch.arange(len(y))
    keys[rows, y.cpu()] = -1.0
    keys[rows, predicted.cpu()] = -1.0
    return keys.argmax(1).to(y.device)


def measure_distortions(
    network: nn.Module, x: Tensor, y: Tensor, bounds: Box | None, seed: int, method: Literal["lbfgs", "closest"]
) -> Distortions:
    """Return the distortions to random classes, `(B,)`; inf where none is found.

    Args:
        network: the network.
        x: `(B, *shape)` samples.
        y: `(B,)` their classes.
        bounds: the range of pixels.
        seed: of the classes.
        method: `lbfgs` is that of the paper, whose points are not refined to the boundary; `closest` finds nearer
            ones in a tenth of the time.
    """
    boundary = Boundary(freeze(network), bounds)
    predicted = boundary.predict(x)
    targets = random_targets(y, predicted, boundary.class_count(x), seed)
    attack, passes = ATTACKS[method]
    found = attack(SearchProblem(boundary, x, predicted, targets=targets), passes)
    distance = found.unrefined_distance if method == "lbfgs" else found.distance
    return distance.double().cpu().numpy() / math.sqrt(x[0].numel())


def mean_found(distortions: Distortions) -> float:
    """Return the mean of those that are found; inf where none is."""
    found = distortions[np.isfinite(distortions)]
    return float(found.mean()) if len(found) else math.inf
