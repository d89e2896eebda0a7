"""The distance of the boundary from a manifold along training, and the clinging that it shows."""

import dataclasses
import functools
import math
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Row
from dimple.claims.experiments.trained_scene import RecordedTraining, weight_path
from dimple.experiment.simulation.dimple_shape import last_before, summarize_position, translation_fraction
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.networks.wrappers import freeze
from dimple.probes import Offset
from dimple.stats.distance_curve import DistanceCurve
from dimple.stats.replica_curves import find_correct

# The boundary is near the manifold at this fraction of its initial distance, as in the phases of a simulation.
REDUCTION_FACTOR = 5.0


@final
@dataclasses.dataclass(frozen=True)
class DistanceAlongTraining:
    """The boundary as held-out points of a manifold see it at each recorded step.

    Attributes:
        steps: the recorded steps.
        columns: by name, one value for each step: the mean `boundary_distance` along the normals, with larger
            distances counted as the limit of the search; the fraction of points that have one within it,
            `boundary_distance_found`; the parts of its square, `boundary_translation` and `boundary_tilt`; the median
            angle between boundary and manifold `boundary_angle`, degrees, and that of a random direction,
            `boundary_angle_null`; `gradient_off_manifold_fraction`, of its squared length; and `train_accuracy`.
    """

    steps: tuple[int, ...]
    columns: dict[str, NDArray[Any]]

    @property
    def dimple_index(self) -> int | None:
        """The first snapshot from which the training points are right at most of the snapshots, or None."""
        return find_correct(self.columns["train_accuracy"])[0]

    @property
    def before(self) -> int:
        """The number of snapshots before that, all of them if there is none; at least one."""
        index = self.dimple_index
        return len(self.steps) if index is None else max(index, 1)

    @property
    def nearest(self) -> int:
        """The snapshot before dimpling at which the boundary is nearest."""
        return int(np.argmin(self.columns["boundary_distance"][: self.before]))

    @functools.cached_property
    def curve(self) -> DistanceCurve:
        """The curve of the distance."""
        return DistanceCurve(self.steps, self.columns["boundary_distance"], self.before, REDUCTION_FACTOR)


def offset_probe(prepared: PreparedScene, null_draws: int) -> Offset:
    """Return the probe of the scene, or the default one, up to the reach of the manifold."""
    probe = next((probe for probe in prepared.scene.probes if isinstance(probe, Offset)), Offset())
    limit = min(probe.limit, prepared.scene.require_manifold().reach)
    return dataclasses.replace(probe, limit=limit, null_draws=null_draws, seed=probe.seed + prepared.scene.seed)


def follow_distance(prepared: PreparedScene, trajectory: RecordedTraining) -> DistanceAlongTraining:
    """Measure every network of a trajectory at the held-out points of a scene."""
    probe = offset_probe(prepared, null_draws=1)
    samples = prepared.samples
    manifold = prepared.scene.require_manifold()
    x = samples.heldout.float().to(prepared.device)
    rows = []
    for network in trajectory.networks:
        boundary = Boundary(freeze(network).to(prepared.device))
        predicted = boundary.predict(x)
        found = probe(boundary, x, predicted, manifold, chunk_size=4096).columns
        columns = {name: values.cpu().double().numpy() for name, values in found.items()}
        columns["prediction"] = predicted.cpu().numpy()
        distance = np.abs(columns["offset"])
        fraction = columns["gradient_off_manifold_fraction"]
        train = boundary.predict(samples.train.float().to(prepared.device)).cpu()
        rows.append(
            {
                "boundary_distance": float(np.minimum(distance, probe.limit).mean()),
                "boundary_distance_found": float(np.isfinite(distance).mean()),
                "gradient_off_manifold_fraction": float(np.nanmean(fraction)) if fraction.any() else math.nan,
                "train_accuracy": float((train == samples.train_labels).double().mean()),
                **summarize_position(columns, probe.limit),
            }
        )
    return DistanceAlongTraining(
        trajectory.steps, {name: np.array([row[name] for row in rows], dtype=float) for name in rows[0]}
    )


def describe_clinging(course: DistanceAlongTraining, trajectory: RecordedTraining) -> Row:
    """Return what the course says about clinging.

    "Before" means at the snapshots before the training points are right and stay right.

    Returns:
        `fall`, the largest fall of the distance before; `fall_held`, what is left of it at the last snapshot before;
        `start_found`, the fraction of points that have a boundary within the limit of the search at the start; the
        angles `angle_start`, `angle_null` and `angle_excess`, that at the start less that of a random direction;
        `angle_change`, its fall from the start to the nearest snapshot before, degrees; `rotation_fraction`, the share
        of the fall of the mean squared distance that is no translation, nan where it does not fall or more than half
        of the points have no boundary at the start, so that their positions are unknown; `cling_over_dimple`, the step
        from which the boundary stays near over the step from which the points are right, inf where it is never near
        and nan where they never are right, and the same in lengths of the path of the weights; `final_accuracy`.
    """
    columns = course.columns
    curve = course.curve
    index = course.dimple_index
    dimple = None if index is None else course.steps[index]
    path = dict(zip(trajectory.steps, weight_path(trajectory).tolist(), strict=True))
    angles = columns["boundary_angle"]
    null = float(columns["boundary_angle_null"][0])
    translation = translation_fraction(columns, 0, last_before(np.array(course.steps), dimple))
    start_found = float(columns["boundary_distance_found"][0])
    return {
        "fall": curve.fall,
        "fall_held": curve.last_reduction,
        "start_found": start_found,
        "angle_start": float(angles[0]),
        "angle_null": null,
        "angle_excess": float(angles[0]) - null,
        "angle_change": float(angles[0] - angles[course.nearest]),
        "rotation_fraction": math.nan if translation is None or start_found < 0.5 else 1 - translation,
        "cling_over_dimple": _ratio(curve.cling_step, dimple, {step: float(step) for step in course.steps}),
        "cling_over_dimple_path": _ratio(curve.cling_step, dimple, path),
        "final_accuracy": float(columns["train_accuracy"][-1]),
    }


def _ratio(cling: int | None, dimple: int | None, sizes: dict[int, float]) -> float:
    """Return the size of the clinging over that of all up to the dimpling; nan where the points never are right."""
    if dimple is None:
        return math.nan
    return math.inf if cling is None else sizes[cling] / sizes[dimple]
