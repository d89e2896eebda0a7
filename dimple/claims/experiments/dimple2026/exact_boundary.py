"""The exact boundary of a piecewise linear network over a flat manifold, along training."""

from typing import ClassVar, final

import numpy as np
from torch import nn

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.boundary_distance import follow_distance
from dimple.claims.experiments.trained_scene import RecordedTraining, prepare_scene, train
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.levelsets import Exact
from dimple.networks.wrappers import freeze
from dimple.settings import Count, Positive, settings

# Cells of the grid of seeds; components smaller than an eighth of a cell can be missed.
RESOLUTION = 12


@final
@settings
class ExactBoundary(Experiment):
    """A scene on a plane in space, with the polygons of its boundary over the plane at three moments.

    The columns are those of `describe_polygons`.

    Args:
        name: a built-in scene on a plane in space, parallel to the first two axes.
        height: how far above and below the plane the boundary is measured.
        snapshots: how many there are; the distance is measured at all of them.
        heldout: held-out points at which the distance is measured.
        set: changes of the scene.
    """

    version: ClassVar[int] = 1

    name: str = "plane_in_3d"
    height: Positive = 0.4
    snapshots: Count = 24
    heldout: Count = 100
    set: tuple[str, ...] = ()

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        changes = [*self.set, f"snapshots.count={self.snapshots}", f"data.heldout_points={self.heldout}"]
        prepared = prepare_scene(self.name, changes, seed, resources)
        return {self.name: describe_polygons(prepared, train(prepared), self.height)}


def describe_polygons(prepared: PreparedScene, trajectory: RecordedTraining, height: float) -> Row:
    """Return what the exact boundary over the manifold is at the start, where it clings, and at the end.

    The moments are `start`, the first snapshot; `near`, the snapshot before the points are right at which the boundary
    is nearest; and `end`, the last snapshot.

    Returns:
        For each moment `area_<moment>`, the area of the boundary over the manifold in areas of the manifold,
        `polygons_<moment>`, the number of its polygons, and `distance_<moment>`, the mean distance of held-out points
        to the nearest point of it, capped at the height, over that along the normals, capped too; `area_growth` and
        `polygons_growth`, from near to end, inf from nothing.
    """
    course = follow_distance(prepared, trajectory)
    moments = {"start": 0, "near": course.nearest, "end": len(trajectory.networks) - 1}
    row: Row = {}
    for moment, index in moments.items():
        along_normals = min(float(course.columns["boundary_distance"][index]), height)
        area, polygons, distance = _measure_polygons(prepared, trajectory.networks[index], height)
        row[f"area_{moment}"] = area
        row[f"polygons_{moment}"] = polygons
        row[f"distance_{moment}"] = distance / along_normals
    for name in ("area", "polygons"):
        with np.errstate(divide="ignore", invalid="ignore"):
            row[f"{name}_growth"] = float(np.divide(row[f"{name}_end"], row[f"{name}_near"]))
    return row


def _measure_polygons(prepared: PreparedScene, network: nn.Module, height: float) -> tuple[float, float, float]:
    """Return area over that of the manifold, number of polygons, and mean distance of held-out points."""
    from dimple.levelsets.closest_points import closest_points_on_mesh

    manifold = prepared.scene.require_manifold()
    heldout = prepared.samples.heldout.double().numpy()
    corners = manifold.regular_grid(2)
    assert corners is not None, "a plane has corners"
    low = corners.double().amin(0).tolist()
    high = corners.double().amax(0).tolist()
    low[2] -= height
    high[2] += height
    boundary = Boundary(freeze(network).cpu())
    found = Exact(resolution=RESOLUTION).extract_polygons(boundary, 1, low, high)
    count = len(found.corner_counts)
    if count == 0:
        return 0.0, 0.0, height
    nearest = closest_points_on_mesh(found.to_mesh(), heldout)
    distance = np.minimum(np.linalg.norm(nearest - heldout, axis=1), height)
    return float(found.areas.sum()) / manifold.volume, float(count), float(distance.mean())
