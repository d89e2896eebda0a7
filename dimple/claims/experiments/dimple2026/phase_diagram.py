"""Clinging over initial scale, codimension and length of training."""

import dataclasses
import math
from typing import ClassVar, final

import numpy as np

from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.boundary_distance import DistanceAlongTraining, follow_distance
from dimple.claims.experiments.trained_scene import prepare_scene, train_together
from dimple.settings import Count, Positive, settings
from dimple.stats.aggregate import lower_median

# The fall that counts as clinging, as in the claim of Shamir et al.
CLINGING_FALL = 2.0


@final
@settings
class PhaseDiagram(Experiment):
    """A sphere in spaces of several dimensions with alternating labels, learned from several initial scales.

    The parts are the cells of the diagram, named `scale S, codimension C, steps T`. Columns: `scale`, `codimension` and
    `steps` of the cell; those of `describe_cell`; and, the same in all cells, those of `compare_cells`.

    Args:
        scales: factors of the weights of the first layer.
        codimensions: of the sphere in its space.
        lengths: numbers of updates, in ascending order; shorter ones are the beginnings of the longest.
        snapshots: how many there are in the longest.
        heldout: held-out points at which the distance is measured.
    """

    version: ClassVar[int] = 1
    diagram: ClassVar[tuple[str, ...]] = ("scale", "codimension", "steps", "clings")

    scales: tuple[Positive, ...] = (0.5, 2.0, 8.0)
    codimensions: tuple[Count, ...] = (1, 8)
    lengths: tuple[Count, ...] = (100, 800)
    snapshots: Count = 16
    heldout: Count = 100

    @property
    def scenes(self) -> tuple[str, ...]:
        return ("sphere_in_3d",)

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        rows: dict[str, Row] = {}
        for codimension in self.codimensions:
            sphere = "{kind: sphere, dim: 2, radius: 0.3}"
            base = [
                f"snapshots.count={self.snapshots}",
                f"data.heldout_points={self.heldout}",
                f"training.steps={self.lengths[-1]}",
                f"manifold={{kind: embed, base: {sphere}, ambient_dim: {2 + codimension}}}",
            ]
            changes = [[*base, f"network.first_layer_weight_scale={scale}"] for scale in self.scales]
            arms = [prepare_scene("sphere_in_3d", change, seed, resources) for change in changes]
            trained = train_together(arms, [arm.initial_network() for arm in arms])
            for scale, arm, trajectory in zip(self.scales, arms, trained, strict=True):
                course = follow_distance(arm, trajectory)
                for length in self.lengths:
                    name = f"scale {scale:g}, codimension {codimension}, steps {length}"
                    cell = {"scale": scale, "codimension": float(codimension), "steps": float(length)}
                    rows[name] = cell | describe_cell(course, length)
        effects = compare_cells(rows)
        return {name: row | effects for name, row in rows.items()}


def describe_cell(course: DistanceAlongTraining, length: int) -> Row:
    """Return what a training that ends after some updates has shown.

    Returns:
        `fall`, the largest fall of the distance before the points are right, `fall_held`, what is left of it then or at
        the end; `clings`, 1 where that is at least 2, and `right`, 1 where the points are right by the end, else 0;
        `distance`, the mean distance at the end; `off_manifold_fraction`, of the squared gradient at the end.
    """
    count = int(np.searchsorted(course.steps, length, side="right"))
    columns = {name: values[:count] for name, values in course.columns.items()}
    part = dataclasses.replace(course, steps=course.steps[:count], columns=columns)
    return {
        "fall": part.curve.fall,
        "fall_held": part.curve.last_reduction,
        "clings": float(part.curve.last_reduction >= CLINGING_FALL),
        "right": float(part.dimple_index is not None),
        "distance": float(columns["boundary_distance"][-1]),
        "off_manifold_fraction": float(columns["gradient_off_manifold_fraction"][-1]),
    }


def compare_cells(rows: dict[str, Row]) -> Row:
    """Return the effect of each axis of the diagram.

    Returns:
        `scale_effect`, `codimension_effect` and `steps_effect`: the fall that is held at the largest value of the axis
        over that at the smallest one, median over the cells that differ in nothing else; `clinging`, the fraction of
        the cells that cling.
    """
    axes = ("scale", "codimension", "steps")
    falls = {tuple(row[axis] for axis in axes): row["fall_held"] for row in rows.values()}
    effects: Row = {"clinging": float(np.mean([row["clings"] for row in rows.values()]))}
    for index, axis in enumerate(axes):
        values = sorted({cell[index] for cell in falls})
        ratios = [
            fall / falls[(*cell[:index], values[0], *cell[index + 1 :])]
            for cell, fall in falls.items()
            if cell[index] == values[-1] and len(values) > 1
        ]
        effects[f"{axis}_effect"] = lower_median(np.array(ratios)) if ratios else math.nan
    return effects
