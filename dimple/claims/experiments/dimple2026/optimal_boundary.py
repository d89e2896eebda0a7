"""The distance of a learned boundary from the Bayes-optimal one, which is known, along training."""

from typing import ClassVar, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.trained_scene import RecordedTraining, prepare_scene, train_together
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.networks.wrappers import freeze
from dimple.settings import Count, NonNegative, settings

SCENE = "plane_in_3d"
# The optimal boundary on the plane: the line on which the first coordinate has this value.
LEVEL = 0.5


@final
@settings
class OptimalBoundary(Experiment):
    """Points on a square in space, in two classes by half, with a fraction of the labels changed at random.

    The Bayes-optimal classifier ignores the changed labels, since each point has the right one more often than not: its
    boundary on the square is the line between the halves. Columns: those of `compare_with_optimum`, and those of
    `compare_twins` with a twin that has the same points and no label changed.

    Args:
        points: training points.
        flip: the fraction of the labels that is changed.
        steps: updates.
        snapshots: how many there are.
        grid: points on each side of the square at which the learned class is asked for.
    """

    version: ClassVar[int] = 1

    points: Count = 60
    flip: NonNegative = 0.15
    steps: Count = 1500
    snapshots: Count = 24
    grid: Count = 64

    @property
    def scenes(self) -> tuple[str, ...]:
        return (SCENE,)

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        base = [
            f"snapshots.count={self.snapshots}",
            f"training.steps={self.steps}",
            "network={widths: [128, 128]}",
            f"data.sampling={{kind: uniform, count: {self.points}}}",
        ]
        rule = f"{{kind: half_space, normal: [1.0, 0.0, 0.0], level: {LEVEL}}}"
        noisy = f"{{kind: noisy, base: {rule}, flip: {self.flip}}}"
        arms = [prepare_scene(SCENE, [*base, f"data.labels={labels}"], seed, resources) for labels in (noisy, rule)]
        trained = train_together(arms, [arm.initial_network() for arm in arms])
        row = compare_with_optimum(arms[0], trained[0], self.grid)
        clean = compare_with_optimum(arms[1], trained[1], self.grid)
        return {"": compare_twins(row, clean)}


def compare_twins(row: Row, clean: Row) -> Row:
    """Return the columns of both trainings, and `growth_excess`, the growth of the distance over that of the twin.

    The smallest of many distances is below the last one by chance too, as far as the twin shows.
    """
    excess = row["distance_growth"] / clean["distance_growth"]
    return row | {f"{name}_clean": value for name, value in clean.items()} | {"growth_excess": excess}


def compare_with_optimum(prepared: PreparedScene, trajectory: RecordedTraining, grid: int) -> Row:
    """Return how far the learned boundary on the square is from the optimal one.

    The distance is the mean over the crossings of the learned boundary by the edges of a grid on the square, inf
    without a crossing.

    Returns:
        `distance_best`, the smallest distance at any snapshot, and `distance_end`, that at the last one, in sides of
        the square; `distance_growth`, their ratio; `step_best`, the step of the smallest over the last one;
        `disagreement_best` and `disagreement_end`, the fraction of the square in which the class is not the optimal
        one.
    """
    found = [_distance_and_disagreement(prepared, network, grid) for network in trajectory.networks]
    distances, disagreements = (np.array(column) for column in zip(*found, strict=True))
    best = int(distances.argmin())
    # The crossings are known to half a cell of the grid.
    resolution = 0.5 / (grid - 1)
    growth = max(float(distances[-1]), resolution) / max(float(distances[best]), resolution)
    return {
        "distance_best": float(distances[best]),
        "distance_end": float(distances[-1]),
        "distance_growth": growth,
        "step_best": trajectory.steps[best] / max(trajectory.steps[-1], 1),
        "disagreement_best": float(disagreements[best]),
        "disagreement_end": float(disagreements[-1]),
    }


def _distance_and_disagreement(prepared: PreparedScene, network: nn.Module, grid: int) -> tuple[float, float]:
    positions = torch.linspace(0, 1, grid, dtype=torch.float64)
    x, y = torch.meshgrid(positions, positions, indexing="ij")
    height = float(prepared.samples.train[0, 2])
    points = torch.stack([x, y, torch.full_like(x, height)], dim=2).reshape(-1, 3)
    boundary = Boundary(freeze(network).to(prepared.device))
    predicted = boundary.predict(points.float().to(prepared.device)).cpu().reshape(grid, grid)
    disagreement = (predicted != (x > LEVEL)).double().mean()
    crossings = np.concatenate([_crossings(predicted, x, 0), _crossings(predicted, x, 1)])
    distance = float(np.abs(crossings - LEVEL).mean()) if len(crossings) else float("inf")
    return distance, float(disagreement)


def _crossings(predicted: Tensor, x: Tensor, axis: int) -> NDArray[np.float64]:
    """Return the first coordinates of the middles of the edges along an axis of the grid with two classes."""
    length = predicted.shape[axis] - 1
    first = predicted.narrow(axis, 0, length)
    second = predicted.narrow(axis, 1, length)
    middle = (x.narrow(axis, 0, length) + x.narrow(axis, 1, length)) / 2
    return np.asarray(middle[first != second].numpy())
