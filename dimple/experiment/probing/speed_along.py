"""Speed of the boundary of one network in the directions in which several objectives would move its weights."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.experiment.probing.boundary_speed import SOFT_BOUNDARY_BETA, fraction_with_chance, quartile_edges
from dimple.probes import Margin, Speed, descent_direction, random_direction, speed_sign_fractions
from dimple.probes.weight_directions import WeightDirection
from dimple.tensors import Box, generator
from dimple.training.objectives import Adversarial, Batch, BoundaryAware, Objective, Standard, Trades

Row = dict[str, Any]
Samples = tuple[Tensor, Tensor]
RANDOM = "random"
# The edges of the groups of margins, in units of the training radius.
RADIUS_EDGES = (0.0, 0.5, 1.0, 1.5, 2.0, math.inf)


def objectives_along(norm: str, eps: float) -> dict[str, Objective]:
    """Return the objectives by their names in `--along`, for a training radius in the norm.

    Those of `boundary_aware` are the settings of its authors for a radius of 8/255 in l-infinity, in units of the
    radius: weight 1000, alpha 3 and cutoff 16/255.
    """
    kind: Any = norm
    return {
        "clean": Standard(),
        "adversarial": Adversarial(norm=kind, eps=eps, steps=10, random_start=False),
        "trades": Trades(norm=kind, eps=eps, steps=10),
        "boundary_aware": BoundaryAware(
            norm=kind, weight=1000 * 8 / 255 / eps, alpha=3 * 8 / 255 / eps, cutoff=2 * eps, max_passes=40.0
        ),
    }


def directions_along(
    network: nn.Module, losses: Mapping[str, Callable[[nn.Module], Tensor]], seed: int
) -> dict[str, WeightDirection]:
    """Return the direction of a step of gradient descent of each loss, and a random one as long as the first of them.

    Args:
        network: the network in eval mode.
        losses: by name, each a function of the network; `random` must be none of them.
        seed: of the random direction.
    """
    directions: dict[str, WeightDirection] = {name: descent_direction(network, loss) for name, loss in losses.items()}
    return directions | {RANDOM: random_direction(next(iter(directions.values())), seed)}


def measure_speeds_along(
    boundary: Boundary,
    directions: Mapping[str, WeightDirection],
    x: Tensor,
    y: Tensor,
    margin_probe: Margin,
    eps: float,
) -> tuple[Row, list[Row]]:
    """Measure the speed of the boundary at samples for each of several directions of the weights.

    Args:
        boundary: the boundary of the network whose weights would move.
        directions: by name.
        x: samples `(B, *shape)`.
        y: labels `(B,)`.
        margin_probe: the margin whose speed is measured.
        eps: the training radius.

    Returns:
        The fraction of negative speeds among the correctly classified samples for each direction, with the interval of
        a fair coin; and one row for each boundary (`exact` or `soft`), direction and group of margins: all that are
        positive, groups in units of the radius, and quarters.
    """
    statistics: Row = {}
    rows: list[Row] = []
    for name, beta in (("exact", None), ("soft", SOFT_BOUNDARY_BETA)):
        speed = Speed(search=margin_probe, beta=beta)
        found = speed.margin(boundary, x, y)
        margin = found.columns["margin"]
        rates = speed.rates(boundary, x, y, found, list(directions.values()))
        groups = {
            "correct": [0.0, math.inf],
            "radius": [eps * edge for edge in RADIUS_EDGES],
            "quarter": quartile_edges(margin),
        }
        for column, along in enumerate(directions):
            rate = rates[:, column]
            if beta is None:
                known = rate[(margin > 0) & ~rate.isnan()]
                statistics |= fraction_with_chance(f"speed_negative_fraction_{along}", known < 0)
            for group, edges in groups.items():
                fractions = speed_sign_fractions(margin, rate, edges)
                rows += [{"along": along, "boundary": name, "group": group, **fraction} for fraction in fractions]
    return statistics, rows


def make_losses(
    kinds: tuple[str, ...], norm: str, eps: float, samples: Samples, bounds: Box | None, seed: int
) -> dict[str, Callable[[nn.Module], Tensor]]:
    """Return the losses of the objectives named, on one batch, as functions of the network."""
    x, y = samples
    batch = Batch(x, y, lambda: generator(seed, "along"), bounds=bounds)
    objectives = objectives_along(norm, eps)

    def make_loss(objective: Objective) -> Callable[[nn.Module], Tensor]:
        return lambda network: objective.loss(network, batch)

    return {kind: make_loss(objectives[kind]) for kind in kinds}


def split_samples(indices: Mapping[str, Tensor], most: int) -> dict[str, tuple[str, Tensor]]:
    """Return the split and the rows of the batch and of the unseen samples, at most `most` of each.

    The batch comes from the first split and the unseen samples from the last; of one split each has every other row.

    Example:
        >>> split_samples({"test": torch.arange(6)}, 2)["unseen"]
        ('test', tensor([1, 5]))
    """
    first = next(iter(indices))
    last = list(indices)[-1]
    halves = {"batch": (first, indices[first]), "unseen": (last, indices[last])}
    if first == last:
        halves = {"batch": (first, indices[first][0::2]), "unseen": (last, indices[last][1::2])}
    return {
        name: (split, rows[torch.linspace(0, len(rows) - 1, min(most, len(rows))).round().long()])
        for name, (split, rows) in halves.items()
    }
