"""Clinging and dimpling of scenes along their training, with the controls of the fall."""

import dataclasses
import math
from typing import ClassVar, final

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.boundary_distance import describe_clinging, follow_distance, offset_probe
from dimple.claims.experiments.trained_scene import RecordedTraining, prepare_scene, train_together
from dimple.experiment.simulation.controls import permute_labels, shift_onto_data
from dimple.experiment.simulation.dimple_shape import measure_widths
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.manifolds import Manifold
from dimple.networks.wrappers import freeze
from dimple.settings import Count, Flag, settings
from dimple.stats.aggregate import lower_median

NULL_DRAWS = 5


@final
@settings
class Clinging(Experiment):
    """Scenes trained as they ship, measured along the normals of their manifolds at every snapshot.

    Columns: those of `describe_clinging`, and

    - `fall_permuted`, the fall with permuted labels, and `fall_on_data`, from a start whose mean logit at the data is
      zero;
    - `depth`: the depth of the dimples at the last snapshot over half the geodesic distance to the next point of
      another label, median over the points; `depth_null`, along normals of random subspaces; `width`, the width of the
      dimples at half their depth over that distance, inf where most have none.

    Args:
        names: built-in scenes, the parts.
        snapshots: how many there are.
        heldout: held-out points at which the distance is measured.
        controls: whether the two controls are trained.
        set: changes of every scene.
    """

    version: ClassVar[int] = 2

    names: tuple[str, ...]
    snapshots: Count = 24
    heldout: Count = 100
    controls: Flag = True
    set: tuple[str, ...] = ()

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        changes = [*self.set, f"snapshots.count={self.snapshots}", f"data.heldout_points={self.heldout}"]
        rows = {}
        for name in self.names:
            arms = {"": prepare_scene(name, changes, seed, resources)}
            networks = [arms[""].initial_network()]
            if self.controls:
                samples = arms[""].samples
                labels = permute_labels(samples.train_labels, seed)
                permuted = dataclasses.replace(samples, train_labels=labels)
                arms |= {"permuted": dataclasses.replace(arms[""], samples=permuted), "on_data": arms[""]}
                networks += [arms[""].initial_network(), arms[""].initial_network()]
                shift_onto_data(networks[2], samples.train.float().to(resources.device))
            trained = train_together(list(arms.values()), networks)
            row = describe_training(arms[""], trained[0])
            for (arm, prepared), trajectory in list(zip(arms.items(), trained, strict=True))[1:]:
                row[f"fall_{arm}"] = follow_distance(prepared, trajectory).curve.fall
            rows[name] = row
        return rows


def describe_training(prepared: PreparedScene, trajectory: RecordedTraining) -> Row:
    """Return the columns of one training of a scene, without those of its controls."""
    course = follow_distance(prepared, trajectory)
    return {**describe_clinging(course, trajectory), **describe_dimples(prepared, trajectory)}


def describe_dimples(prepared: PreparedScene, trajectory: RecordedTraining) -> Row:
    """Return the depth and the width of the dimples at the last snapshot over the spacing of labels."""
    probe = offset_probe(prepared, NULL_DRAWS)
    manifold = prepared.scene.require_manifold()
    half = torch.from_numpy(half_spacing(prepared))
    x = prepared.samples.train.double()
    y = prepared.samples.train_labels
    boundary = Boundary(freeze(trajectory.networks[-1]).cpu().double())
    found = probe(boundary, x, y, manifold, chunk_size=4096)
    width = measure_widths(boundary, manifold, x, found.details["offset_step"], probe.limit)
    columns = {"depth": found.columns["offset"], "depth_null": found.columns["offset_null"], "width": width / 2}
    return {name: _median(np.asarray((values / half)[half.isfinite()])) for name, values in columns.items()}


def half_spacing(prepared: PreparedScene) -> NDArray[np.float64]:
    """Return half the geodesic distance from each training point to the nearest one of another label, `(N,)`."""
    manifold: Manifold = prepared.scene.require_manifold()
    x = prepared.samples.train
    y = prepared.samples.train_labels
    distance = manifold.geodesic_distance(x, x)
    nearest = distance.masked_fill(y[:, None] == y, math.inf).min(dim=1).values
    return np.asarray(nearest.numpy() / 2)


def _median(values: NDArray[np.float64]) -> float:
    """Return the median; nan where no other label can be reached along the manifold."""
    return lower_median(values) if len(values) else math.nan
