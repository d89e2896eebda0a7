"""The signs of the boundary's speed under several objectives, from a natural and from a partly robust start."""

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar, final

from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.trained_scene import prepare_scene, train
from dimple.experiment.probing.speed_along import RADIUS_EDGES, RANDOM, directions_along, make_losses
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.networks import freeze
from dimple.probes import Margin, Speed, speed_sign_fractions
from dimple.probes.weight_directions import WeightDirection
from dimple.settings import Count, Positive, settings
from dimple.training.objectives import Adversarial
from dimple.training.schedules import Constant, Stop

KINDS = ("adversarial", "clean", "boundary_aware")
# Of one search.
MAX_PASSES = 40.0


@final
@settings
class ConflictingSpeeds(Experiment):
    """Networks trained on clean and on adversarial images, `natural` and `robust`, and the next step of each.

    The next step is that of gradient descent on a batch of training images, of adversarial training, of clean training
    and of boundary-aware training with the settings of its authors in units of the radius, in l-infinity. "Vulnerable"
    are the images that are classified correctly, with a margin below the radius.

    Columns, each behind the name of its network, such as `natural_fell`, for the batch and, with `_unseen`, for as many
    test images:

    - `negative_OBJECTIVE`: the fraction of the vulnerable images with negative speed; `negative_random`, in a random
      direction of the weights;
    - `less_negative`: that of `adversarial` less that of `boundary_aware`;
    - `negative_OBJECTIVE_FROM_TO`: in a group of margins in units of the radius;
    - `vulnerable`: their fraction of all images;
    - `fell`: the fraction of the vulnerable images whose margin is smaller after a further epoch of adversarial
      training.

    Args:
        scene: a built-in scene of images.
        eps: the radius.
        natural_epochs: of the clean training.
        robust_epochs: of the adversarial training.
        images: of the batch.
        set: changes of the scene.
    """

    version: ClassVar[int] = 1

    scene: str = "digits"
    eps: Positive = 0.1
    natural_epochs: Count = 10
    robust_epochs: Count = 5
    images: Count = 200
    set: tuple[str, ...] = ()

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        changes = [f"data.measured={self.images}", f"training.epochs={self.natural_epochs}", "snapshots.count=2"]
        prepared = prepare_scene(self.scene, [*changes, *self.set], seed, resources)
        starts = {
            "natural": train(prepared).networks[-1],
            "robust": train(self._adversarial(prepared, self.robust_epochs)).networks[-1],
        }
        epoch = self._adversarial(prepared, 1)
        row: Row = {}
        for name, start in starts.items():
            found = describe_start(prepared, start, train(epoch, start).networks[-1], self.eps)
            row |= {f"{name}_{column}": value for column, value in found.items()}
        return {"": row}

    def _adversarial(self, prepared: PreparedScene, epochs: int) -> PreparedScene:
        """Return the scene with adversarial training."""
        objective = Adversarial(norm="linf", eps=self.eps)
        training = dataclasses.replace(
            prepared.scene.training, objective=objective, schedule=Constant(), stop=Stop(epochs=epochs)
        )
        return dataclasses.replace(prepared, scene=dataclasses.replace(prepared.scene, training=training))


def describe_start(prepared: PreparedScene, start: nn.Module, later: nn.Module, eps: float) -> Row:
    """Return the columns of one start.

    Args:
        prepared: the scene; its measured training images are the batch, its measured test images the unseen ones.
        start: the network.
        later: the same after a further epoch of adversarial training.
        eps: the radius.
    """
    samples = prepared.samples
    device = prepared.device
    sets = {
        "": (samples.train[samples.train_rows], samples.train_labels[samples.train_rows]),
        "_unseen": (samples.test[samples.test_rows], samples.test_labels[samples.test_rows]),
    }
    splits = {name: (x.float().to(device), y.to(device)) for name, (x, y) in sets.items()}
    network = freeze(start)
    losses = make_losses(KINDS, "linf", eps, splits[""], samples.bounds, prepared.scene.seed)
    directions = directions_along(network, losses, prepared.scene.seed)
    boundaries = [Boundary(one, samples.bounds) for one in (network, freeze(later))]
    row: Row = {}
    for name, (x, y) in splits.items():
        found = describe_signs(boundaries[0], boundaries[1], directions, x, y, eps)
        row |= {column + name: value for column, value in found.items()}
    return row


def describe_signs(
    boundary: Boundary,
    later: Boundary,
    directions: Mapping[str, WeightDirection],
    x: Tensor,
    y: Tensor,
    eps: float,
) -> Row:
    """Return the columns of one set of samples `x` `(B, *shape)` with labels `y` `(B,)`.

    Args:
        boundary: of the network whose weights would move.
        later: that after an epoch of adversarial training.
        directions: of the weights, by the name of their objective, with `random`.
        x: the samples.
        y: their labels.
        eps: the radius.
    """
    speed = Speed(search=Margin(norm="linf", max_passes=MAX_PASSES))
    found = speed.margin(boundary, x, y)
    margin = found.columns["margin"]
    rates = dict(zip(directions, speed.rates(boundary, x, y, found, list(directions.values())).unbind(1), strict=True))
    vulnerable = (margin > 0) & (margin < eps)
    row: Row = {"vulnerable": float(vulnerable.double().mean())}
    for name, rate in rates.items():
        row[f"negative_{name}"] = _fraction(rate[vulnerable & ~rate.isnan()] < 0)
        if name != RANDOM:
            groups = speed_sign_fractions(margin, rate, [eps * edge for edge in RADIUS_EDGES])
            for low, high, group in zip(RADIUS_EDGES[:-1], RADIUS_EDGES[1:], groups, strict=True):
                row[f"negative_{name}_{low:g}_{high:g}"] = group["negative"]
    after = speed.margin(later, x[vulnerable], y[vulnerable]).columns["margin"] if vulnerable.any() else margin[:0]
    row["fell"] = _fraction(after < margin[vulnerable])
    row["less_negative"] = row["negative_adversarial"] - row["negative_boundary_aware"]
    return row


def _fraction(mask: Tensor) -> float:
    return float(mask.double().mean()) if len(mask) else math.nan
