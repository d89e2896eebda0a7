"""Scenes of Melamed et al. on a line and a plane, from ordinary and from smaller initial weights."""

import math
from collections.abc import Mapping
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from dimple.attacks.closest import closest_point
from dimple.attacks.search import SearchProblem
from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.trained_scene import prepare_scene, train
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.networks import freeze
from dimple.settings import Positive, settings
from dimple.stats.aggregate import lower_median
from dimple.tangents.decomposition import decompose_by_basis


@final
@settings
class InitialScale(Experiment):
    """A scene trained from weights of two initial scales until every logit is as large as its stop says.

    Columns, medians over the training points, where "growth" is the value at the smaller scale over that at the larger:

    - `off_growth`, `on_growth`: of the distance to the boundary off the manifold and along it;
    - `turn`: the off-manifold fraction of the boundary's normal where the boundary crosses the manifold next to a
      point, at the larger scale less at the smaller one;
    - `off_large`, `off_small`, `on_large`, `on_small`, `crossing_large`, `crossing_small`: these values; the fraction
      of a random direction is `crossing_random`.

    Args:
        scene: the built-in scene.
        scales: the larger and the smaller scale of the initial weights.
    """

    version: ClassVar[int] = 1

    scene: str
    scales: tuple[Positive, Positive] = (1.0, 1 / 3)

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        networks = {}
        for name, scale in zip(("large", "small"), self.scales, strict=True):
            changes = [f"network.init_scale={scale}", "snapshots.count=2"]
            prepared = prepare_scene(self.scene, changes, seed, resources)
            networks[name] = train(prepared).networks[-1]
        return {"": describe_scales(prepared, networks)}


def describe_scales(prepared: PreparedScene, networks: Mapping[str, nn.Module]) -> Row:
    """Return the columns of the trained networks `large` and `small`."""
    row: Row = {}
    for name, network in networks.items():
        row |= {f"{column}_{name}": lower_median(values) for column, values in measure(prepared, network).items()}
    manifold = prepared.scene.require_manifold()
    return row | {
        "off_growth": _growth(row["off_large"], row["off_small"]),
        "on_growth": _growth(row["on_large"], row["on_small"]),
        "turn": row["crossing_large"] - row["crossing_small"],
        "crossing_random": 1 - manifold.tangent_basis(prepared.samples.train[:1]).shape[2] / manifold.ambient_dim,
    }


def measure(prepared: PreparedScene, network: nn.Module) -> dict[str, NDArray[np.float64]]:
    """Return the distances off and along the manifold, and the off-manifold fraction at the crossing, `(N,)` each."""
    x = prepared.samples.train
    boundary = Boundary(freeze(network).to(x))
    basis = prepared.scene.require_manifold().tangent_basis(x)
    predicted = boundary.predict(x)
    off, on = (
        closest_point(SearchProblem(boundary, x, predicted, constraint=SubspaceConstraint(basis, orthogonal)))
        for orthogonal in (True, False)
    )
    found = on.found
    _, gradient = boundary.logit_margin_and_gradient(on.points, predicted)
    crossing = decompose_by_basis(basis, gradient).normal_fraction.where(found, math.nan).numpy()
    return {
        "off": off.distance.numpy(),
        "on": on.distance.numpy(),
        "crossing": crossing[~np.isnan(crossing)] if (~np.isnan(crossing)).any() else np.array([math.nan]),
    }


def _growth(before: float, after: float) -> float:
    """Return the ratio; nan where there was no boundary before."""
    return after / before if math.isfinite(before) else math.nan
