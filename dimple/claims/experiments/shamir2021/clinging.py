"""Clinging and dimpling of scenes along their training, with the controls of the fall."""

import dataclasses
import math
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.trained_scene import (
    RecordedTraining,
    measure,
    prepare_scene,
    summarize,
    train,
    weight_path,
)
from dimple.experiment.simulation.controls import permute_labels, shift_onto_data
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.manifolds import Manifold
from dimple.probes import Offset
from dimple.settings import Count, Flag, settings
from dimple.stats.aggregate import lower_median


@final
@settings
class Clinging(Experiment):
    """Scenes trained as they ship, measured along the normals of their manifolds at every snapshot.

    Columns, where "before" means the last snapshot before the training points are right and stay right:

    - `fall`: the largest fall of the mean distance from the manifold to the boundary before; `fall_permuted` with
      permuted labels, `fall_on_data` from a start whose mean logit at the data is zero;
    - `angle_change`: the fall of the angle between the boundary and the manifold from the start to the nearest
      snapshot before, in degrees; `angle_start` and `angle_null`, the angle of a random direction;
    - `rotation_fraction`: the share of the fall of the mean squared distance that is no translation;
    - `cling_over_dimple`: the step at which the boundary is near for good over the step at which the points are right;
      inf where it never is near; `cling_over_dimple_path`, the same in lengths of the path of the weights;
    - `depth`: the depth of the dimples at the last snapshot over half the geodesic distance to the next point of
      another label, median over the points; `depth_null`, along normals of random subspaces.

    Args:
        names: built-in scenes, the parts.
        snapshots: how many there are.
        controls: whether the two controls are trained.
        set: changes of every scene.
    """

    version: ClassVar[int] = 1

    names: tuple[str, ...]
    snapshots: Count = 24
    controls: Flag = True
    set: tuple[str, ...] = ()

    @property
    def scenes(self) -> tuple[str, ...]:
        return self.names

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        changes = [*self.set, f"snapshots.count={self.snapshots}"]
        rows = {}
        for name in self.names:
            prepared = prepare_scene(name, changes, seed, resources)
            row = describe_training(prepared, train(prepared))
            if self.controls:
                row |= {f"fall_{control}": fall for control, fall in _control_falls(prepared).items()}
            rows[name] = row
        return rows


def describe_training(prepared: PreparedScene, trajectory: RecordedTraining) -> Row:
    """Return the columns of one training of a scene, without those of its controls."""
    snapshots = measure(prepared, trajectory, (_offset(prepared),))
    metrics, summary = summarize(snapshots)
    fall = summary["fall"]
    cling = summary["cling_step"]
    dimple = summary["dimple_step"]
    path = dict(zip(trajectory.steps, weight_path(trajectory).tolist(), strict=True))
    before = [step for step in trajectory.steps if dimple is None or step < dimple]
    nearest = int(np.argmin(metrics["boundary_distance"][: len(before)])) if before else 0
    angles = metrics["boundary_angle"]
    points = snapshots[-1].points
    half = half_spacing(prepared)
    depth, depth_null = (_depth(points[name][points["split"] == "train"], half) for name in ("offset", "offset_null"))
    return {
        "fall": summary["distance_fall"],
        "angle_start": float(angles[0]),
        "angle_change": float(angles[0] - angles[nearest]),
        "angle_null": fall["angle_null"],
        "rotation_fraction": math.nan if fall["translation_fraction"] is None else 1 - fall["translation_fraction"],
        "cling_over_dimple": _ratio(cling, dimple, lambda step: step),
        "cling_over_dimple_path": _ratio(cling, dimple, path.__getitem__),
        "depth": depth,
        "depth_null": depth_null,
        "final_accuracy": float(metrics["train_accuracy"][-1]),
    }


def half_spacing(prepared: PreparedScene) -> NDArray[np.float64]:
    """Return half the geodesic distance from each training point to the nearest one of another label, `(N,)`."""
    manifold: Manifold = prepared.scene.require_manifold()
    x = prepared.samples.train
    y = prepared.samples.train_labels
    distance = manifold.geodesic_distance(x, x)
    nearest = distance.masked_fill(y[:, None] == y, math.inf).min(dim=1).values
    return np.asarray(nearest.numpy() / 2)


def _depth(offset: NDArray[np.float64], half: NDArray[np.float64]) -> float:
    """Return the median depth over half the spacing; nan where no other label can be reached along the manifold."""
    is_reachable = np.isfinite(half)
    return lower_median(offset[is_reachable] / half[is_reachable]) if is_reachable.any() else math.nan


def _ratio(cling: int | None, dimple: int | None, size: Any) -> float:
    """Return the size of the clinging over that of all up to the dimpling; nan where the points never are right."""
    if dimple is None:
        return math.nan
    return math.inf if cling is None else size(cling) / size(dimple)


def _offset(prepared: PreparedScene) -> Offset:
    """Return the probe of the scene, or the default one."""
    return next((probe for probe in prepared.scene.probes if isinstance(probe, Offset)), Offset())


def _control_falls(prepared: PreparedScene) -> dict[str, float]:
    """Return the fall with permuted labels, and from a start on the data."""
    samples = prepared.samples
    labels = permute_labels(samples.train_labels, prepared.scene.seed)
    permuted = dataclasses.replace(prepared, samples=dataclasses.replace(samples, train_labels=labels))
    on_data = prepared.initial_network()
    shift_onto_data(on_data, samples.train.float().to(prepared.device))
    falls = {}
    for name, control, trajectory in (
        ("permuted", permuted, train(permuted)),
        ("on_data", prepared, train(prepared, on_data)),
    ):
        _, summary = summarize(measure(control, trajectory, (_offset(prepared),)))
        falls[name] = summary["distance_fall"]
    return falls
