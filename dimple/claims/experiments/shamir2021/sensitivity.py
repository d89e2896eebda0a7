"""Clinging of one scene under changed conditions."""

from typing import ClassVar, final

from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.boundary_distance import follow_distance
from dimple.claims.experiments.trained_scene import prepare_scene, train_together
from dimple.settings import Count, settings

# By name, what is changed in `sphere_in_3d`.
CONDITIONS: dict[str, tuple[str, ...]] = {
    "shipped": (),
    "no_logit_bias": ("network.initial_logit_bias=0.0",),
    "first_weights_halved": ("network.first_layer_weight_scale=1.0",),
    "first_weights_doubled": ("network.first_layer_weight_scale=4.0",),
    "radius_1": ("manifold.radius=1.0",),
    "random_labels": ("data.labels={kind: random}",),
    "sgd": ("training.optimizer.kind=sgd", "training.optimizer.momentum=0.9", "training.lr=0.02"),
    "tanh": ("network.activation=tanh",),
    "codimension_8": ("manifold={kind: embed, base: {kind: sphere, dim: 2, radius: 0.3}, ambient_dim: 10}",),
}


@final
@settings
class ClingingConditions(Experiment):
    """A sphere in space, trained as it ships and with one condition changed at a time.

    Columns: for each condition `fall_<condition>`, the fall of the mean distance from the manifold to the boundary that
    is left at the last snapshot before the training points are right; `fall_least`, the smallest of all, and
    `conditions`, the fraction of the conditions with a fall of at least 2.

    Args:
        snapshots: how many there are.
        heldout: held-out points at which the distance is measured.
    """

    version: ClassVar[int] = 1

    snapshots: Count = 16
    heldout: Count = 100

    @property
    def scenes(self) -> tuple[str, ...]:
        return ("sphere_in_3d",)

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        base = [f"snapshots.count={self.snapshots}", f"data.heldout_points={self.heldout}"]
        arms = {
            name: prepare_scene("sphere_in_3d", [*base, *changes], seed, resources)
            for name, changes in CONDITIONS.items()
        }
        falls = {}
        together = [name for name in arms if name not in ("sgd", "tanh", "codimension_8")]
        for names in (together, ["sgd"], ["tanh"], ["codimension_8"]):
            chosen = [arms[name] for name in names]
            trained = train_together(chosen, [arm.initial_network() for arm in chosen])
            for name, arm, trajectory in zip(names, chosen, trained, strict=True):
                falls[name] = follow_distance(arm, trajectory).curve.last_reduction
        return {"": describe_falls(falls)}


def describe_falls(falls: dict[str, float]) -> Row:
    """Return the row of falls by condition."""
    return {
        **{f"fall_{name}": fall for name, fall in falls.items()},
        "fall_least": min(falls.values()),
        "conditions": sum(fall >= 2 for fall in falls.values()) / len(falls),
    }
