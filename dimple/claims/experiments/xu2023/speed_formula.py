"""The closed form of the boundary's speed against difference quotients, and the soft margin against the exact one."""

import math
from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias, final

import numpy as np
import torch
from torch import Tensor

from dimple.attacks.projections import dual_norm
from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.trained_scene import prepare_scene, train
from dimple.networks import freeze
from dimple.probes import Margin, Speed, random_direction
from dimple.probes.weight_directions import WeightDirection, descent_direction
from dimple.settings import Count, Positive, settings
from dimple.tensors import generator
from dimple.training.objectives import Adversarial, Batch

Norm: TypeAlias = Literal["l2", "linf"]
# The moves of the weights over which the margin is differenced, by the change of the margin relative to itself.
MOVES = (0.01, 0.001)
# Of one search.
MAX_PASSES = 80.0
# The largest angle, in degrees, of a point that passes the first-order condition of a closest one.
MAX_ANGLE = 1.0
# The relative precision of a margin that is found.
PRECISION = 1e-4
# The sharpness at which the soft margin is the exact one: they differ by at most log(K - 1) / beta of the logit.
EXACT_BETA = 1e4
# The soft margin is that of one class at a time, whose search costs as much for one image as for many.
SOFT_CLASSES = 4


@final
@settings
class SpeedFormula(Experiment):
    """A small smooth network of digits, measured in double precision in several norms.

    The weights move in the direction of a step of adversarial training. Points whose step to the boundary is more than
    a degree off the steepest one do not pass the test of optimality.

    Columns, each behind the name of its norm, such as `l2_order`:

    - `order`: the order of convergence of the difference quotient of the margin to the closed form, from moves of a
      hundredth and a thousandth of the median margin, median over the points that pass;
    - `agreement`: the fraction of these points at which the closed form has the sign of the smaller quotient;
      `agreement_random`, of the closed form for a random direction; `passing`, the fraction that passes;
    - `soft_below`: the fraction of soft margins that are at most the exact one, of the images of the first classes;
      `soft_slope`, the slope of the log of the median difference over log beta; `soft_within_bound`, the fraction of
      differences below log(K - 1) / beta over the dual norm of the gradient at the exact boundary. The exact margin is
      searched like the soft ones, with a beta of 10,000, so that they are ends of the same path.

    Args:
        norms: the norms.
        epochs: of training.
        images: how many test images are measured.
        eps: the radius of adversarial training.
        betas: the sharpnesses of the soft margin.
    """

    version: ClassVar[int] = 1

    norms: tuple[Norm, ...] = ("l2", "linf")
    epochs: Count = 10
    images: Count = 60
    eps: Positive = 0.1
    betas: tuple[Positive, ...] = (1.25, 2.5, 5.0)

    @property
    def scenes(self) -> tuple[str, ...]:
        return ("digits",)

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        changes = [
            "network={kind: mlp, widths: [64], activation: swish}", f"training.epochs={self.epochs}",
            f"data.measured={self.images}", "snapshots.count=2",
        ]  # fmt: skip
        prepared = prepare_scene("digits", changes, seed, resources)
        network = freeze(train(prepared).networks[-1]).double()
        samples = prepared.samples
        x, y = (split[samples.test_rows] for split in (samples.test.double(), samples.test_labels))
        seen = Batch(
            samples.train[samples.train_rows].double(),
            samples.train_labels[samples.train_rows],
            lambda: generator(seed, "step"),
            bounds=samples.bounds,
        )
        row: Row = {}
        for norm in self.norms:
            objective = Adversarial(norm=norm, eps=self.eps)
            direction = descent_direction(network, lambda moving, loss=objective.loss: loss(moving, seen))  # type: ignore[misc]
            boundary = Boundary(network, samples.bounds)
            few = y < SOFT_CLASSES
            found = describe_formula(boundary, x, y, direction, norm, seed)
            found |= describe_soft_margins(boundary, x[few], y[few], self.betas, norm)
            row |= {f"{norm}_{column}": value for column, value in found.items()}
        return {"": row}


def describe_formula(
    boundary: Boundary, x: Tensor, y: Tensor, direction: WeightDirection, norm: Norm, seed: int
) -> Row:
    """Return the columns of the closed form of the speed in a direction of the weights."""
    speed = Speed(search=Margin(norm=norm, max_passes=MAX_PASSES, restarts=1))
    found = speed.margin(boundary, x, y)
    rates = speed.rates(boundary, x, y, found, [direction, random_direction(direction, seed)])
    margin = found.columns["margin"]
    passes = (margin > 0) & found.columns["margin_found"] & (found.columns["stationarity_angle"] <= MAX_ANGLE)
    row = {
        "passing": float(passes.double().mean()),
        "order": math.nan,
        "agreement": math.nan,
        "agreement_random": math.nan,
    }
    if not passes.any():
        return row
    formula, random = rates[passes].unbind(1)
    # A formula that is zero everywhere has no time scale of its own.
    time = float(margin[passes].median() / formula.abs().median().clamp(min=PRECISION))
    large, small = (speed.finite_difference(boundary, x[passes], y[passes], direction, time * move) for move in MOVES)
    errors = [float((quotient - formula).abs().median()) for quotient in (large, small)]
    order = math.log(errors[0] / errors[1]) / math.log(MOVES[0] / MOVES[1]) if min(errors) > 0 else math.nan
    return row | {
        "order": order,
        "agreement": float((formula.sign() == small.sign()).double().mean()),
        "agreement_random": float((random.sign() == small.sign()).double().mean()),
    }


def describe_soft_margins(boundary: Boundary, x: Tensor, y: Tensor, betas: tuple[float, ...], norm: Norm) -> Row:
    """Return the columns of the soft margins with several sharpnesses, at the correct samples."""

    def margins(beta: float) -> tuple[Tensor, Tensor]:
        found = Speed(search=Margin(norm=norm, max_passes=MAX_PASSES, restarts=1), beta=beta).margin(boundary, x, y)
        return found.columns["margin"], found.details["boundary_point"]

    exact, points = margins(EXACT_BETA)
    soft = torch.stack([margins(beta)[0] for beta in betas])
    # The soft region of a class is smaller than the exact one.
    known = (exact > 0) & exact.isfinite() & soft.isfinite().all(0) & (soft > 0).all(0)
    if not known.any():
        return {"soft_below": math.nan, "soft_slope": math.nan, "soft_within_bound": math.nan}
    differences = (exact - soft)[:, known]
    allowance = PRECISION * exact[known]
    _, gradient = boundary.logit_margin_and_gradient(points[known], y[known])
    bound = (
        math.log(boundary.class_count(x) - 1)
        / torch.tensor(betas).to(x)[:, None]
        / dual_norm(gradient.flatten(1), norm)
    )
    return {
        "soft_below": float((differences >= -allowance).double().mean()),
        "soft_slope": _slope(betas, differences.median(1).values.tolist(), PRECISION**2 * float(exact[known].median())),
        "soft_within_bound": float((differences <= bound + allowance).double().mean()),
    }


def _slope(betas: Sequence[float], differences: Sequence[float], floor: float) -> float:
    """Return the slope of the log of the differences over log beta; those below the floor count as it."""
    if differences[0] <= floor:
        return math.nan
    return float(np.polyfit(np.log(betas), np.log(np.maximum(differences, floor)), 1)[0])
