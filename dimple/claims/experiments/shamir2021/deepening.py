"""Dimples of a scene under adversarial training, against those of its clean twin of the same seed."""

import math
from typing import ClassVar, final

import numpy as np
from torch import nn

from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.boundary_distance import follow_distance
from dimple.claims.experiments.shamir2021.clinging import describe_dimples
from dimple.claims.experiments.trained_scene import RecordedTraining, prepare_scene, train
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.networks.wrappers import freeze
from dimple.probes import Margin
from dimple.probes.null_comparison import MarginNullComparison
from dimple.settings import Count, Positive, settings
from dimple.stats.aggregate import lower_median

# Passes of a search along the manifold for one point; four times as many change the median by less than a percent.
MAX_PASSES = 25.0


@final
@settings
class Deepening(Experiment):
    """A scene trained with small perturbations, and the same network trained as long without.

    Columns: those of `compare_dimples`, and `depth_ratio_longer`, the depth of the clean twin after as many passes
    through the network as the adversarial training has, over that of the clean twin.

    Args:
        name: a built-in scene.
        eps: largest l2 norm of a perturbation.
        steps: gradient steps of its search.
        snapshots: how many there are.
        heldout: held-out points at which the distance is measured.
    """

    version: ClassVar[int] = 1

    name: str
    eps: Positive
    steps: Count = 1
    snapshots: Count = 24
    heldout: Count = 100

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        changes = [f"snapshots.count={self.snapshots}", f"data.heldout_points={self.heldout}"]
        objective = f"{{kind: adversarial, norm: l2, eps: {self.eps}, steps: {self.steps}, random_start: false}}"
        clean = prepare_scene(self.name, [*changes, "training.objective={kind: standard}"], seed, resources)
        adversarial = prepare_scene(self.name, [*changes, f"training.objective={objective}"], seed, resources)
        length = clean.scene.training.last_step(len(clean.samples.train)) * (1 + self.steps)
        more = ["training.objective={kind: standard}", f"training.steps={length}", "snapshots.count=1"]
        longer = prepare_scene(self.name, more, seed, resources)
        trained = train(clean)
        row = compare_dimples(clean, trained, train(adversarial))
        depth = describe_dimples(longer, train(longer))["depth"]
        return {self.name: row | {"depth_ratio_longer": depth / row["depth_clean"]}}


def compare_dimples(prepared: PreparedScene, clean: RecordedTraining, adversarial: RecordedTraining) -> Row:
    """Return what adversarial training changes at the dimples, and elsewhere.

    Returns:
        `depth_ratio`, the median depth of the dimples at the last snapshot over that of the clean twin;
        `depth_clean` and `depth_adversarial`, over half the spacing of labels; `lateral_ratio`, the same ratio of the
        median distance of the boundary along the manifold; `near_ratio`, that of the smallest mean distance of the
        boundary before the points are right; `cling_ratio`, that of the step from which the boundary stays near, inf
        where only the clean twin clings and nan where neither does; `off_change`, the difference of the
        off-manifold fractions of the gradient at held-out points at the end; `accuracy_adversarial`.
    """
    courses = [follow_distance(prepared, trajectory) for trajectory in (clean, adversarial)]
    depths = [describe_dimples(prepared, trajectory)["depth"] for trajectory in (clean, adversarial)]
    lateral = [_lateral_distance(prepared, trajectory.networks[-1]) for trajectory in (clean, adversarial)]
    nearest = [float(course.columns["boundary_distance"][course.nearest]) for course in courses]
    clings = [math.inf if (step := course.curve.cling_step) is None else float(step) for course in courses]
    fractions = [float(course.columns["gradient_off_manifold_fraction"][-1]) for course in courses]
    with np.errstate(invalid="ignore"):
        ratios = {
            "depth_ratio": np.divide(depths[1], depths[0]),
            "lateral_ratio": np.divide(lateral[1], lateral[0]),
            "near_ratio": np.divide(nearest[1], nearest[0]),
            "cling_ratio": np.divide(clings[1], clings[0]),
        }
    return {
        **{name: float(value) for name, value in ratios.items()},
        "depth_clean": depths[0],
        "depth_adversarial": depths[1],
        "off_change": fractions[1] - fractions[0],
        "accuracy_adversarial": float(courses[1].columns["train_accuracy"][-1]),
    }


def _lateral_distance(prepared: PreparedScene, network: nn.Module) -> float:
    """Return the median distance from the training points to the boundary along the manifold."""
    x = prepared.samples.train.double()
    boundary = Boundary(freeze(network).cpu().double())
    comparison = MarginNullComparison(boundary, x, boundary.predict(x), Margin(max_passes=MAX_PASSES), 0, 0)
    basis = prepared.scene.require_manifold().tangent_basis(x)
    return lower_median(comparison.constrained_margin("on", SubspaceConstraint(basis))["margin_on"].numpy())
