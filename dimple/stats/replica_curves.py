"""Distance and accuracy along the training of one network or of replicas: their median, and resamples of it."""

import dataclasses
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from dimple.errors import ShapeError
from dimple.stats.distance_curve import DistanceCurve
from dimple.tensors import generator

# Training accuracy that counts as reached, and the fraction of the snapshots from then on at which it has to hold.
REACHED_ACCURACY = 0.99
HELD_FRACTION = 0.8
BOOTSTRAP_DRAWS = 400


@final
@dataclasses.dataclass(frozen=True)
class Resample:
    """The median of resampled replicas, with their points resampled too.

    Attributes:
        curve: the curve of distances.
        correct: the first snapshot at which the training points are correct, or None.
    """

    curve: DistanceCurve
    correct: int | None


@final
class ReplicaCurves:
    """Distances and accuracies of replicas, networks trained from different seeds, over the recorded steps.

    Args:
        steps: the recorded steps.
        distance: `(snapshots,)`, `(replicas, snapshots)` or `(replicas, snapshots, points)`.
        accuracy: `(snapshots,)` or `(replicas, snapshots)`.
        factor: the reduction of the distance that counts as near.

    Raises:
        ShapeError: if a shape is not one of these.
    """

    def __init__(self, steps: Sequence[int], distance: ArrayLike, accuracy: ArrayLike, factor: float) -> None:
        distances = np.asarray(distance, dtype=float)
        self._accuracies = np.atleast_2d(np.asarray(accuracy, dtype=float))
        self._factor = factor
        replicas = self._accuracies.shape[:1]
        expected = (len(steps),) if distances.ndim == 1 else (*replicas, len(steps), *distances.shape[2:])
        if distances.shape != expected or distances.ndim > 3 or self._accuracies.shape != (*replicas, len(steps)):
            raise ShapeError(
                f"distance has shape {distances.shape} and accuracy {np.shape(accuracy)} for {len(steps)} steps; they "
                "are (snapshots,) both, or (replicas, snapshots[, points]) and (replicas, snapshots)"
            )
        distances = distances.reshape(*replicas, len(steps), -1)
        self.median_distance = _median_of_means(distances)
        self.median_accuracy = np.median(self._accuracies, axis=0)
        self._observed = np.flatnonzero(~np.isnan(self.median_distance))
        self._distances = distances[:, self._observed]
        self.times = [int(steps[index]) for index in self._observed.tolist()]

    @property
    def curve(self) -> DistanceCurve:
        """The curve of the median, whose first distance has to be positive and finite."""
        return self._make_curve(self.median_distance[self._observed], find_correct(self.median_accuracy)[0])

    def resample(self) -> list[Resample]:
        """Return resamples of replicas and of points; none of a single replica without points."""
        replicas, _, points = self._distances.shape
        if replicas * points == 1:
            return []
        random = generator(0, "resampled points")
        result = []
        for _ in range(BOOTSTRAP_DRAWS):
            chosen = torch.randint(replicas, (replicas,), generator=random).numpy()
            columns = torch.randint(points, (replicas, 1, points), generator=random).numpy()
            means = _median_of_means(np.take_along_axis(self._distances[chosen], columns, axis=2))
            correct, _ = find_correct(np.median(self._accuracies[chosen], axis=0))
            if 0 < means[0] < np.inf:
                result.append(Resample(self._make_curve(means, correct), correct))
        return result

    def _make_curve(self, distance: NDArray[np.float64], correct: int | None) -> DistanceCurve:
        before = len(self.times) if correct is None else int(np.searchsorted(self._observed, correct))
        return DistanceCurve(self.times, distance, before, self._factor)


def _median_of_means(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median over replicas of the mean over points, `(snapshots,)`, of `(replicas, snapshots, points)`."""
    median: NDArray[np.float64] = np.median(distances.mean(axis=2), axis=0)
    return median


def find_correct(accuracy: NDArray[np.float64]) -> tuple[int | None, float]:
    """Return the first snapshot at which the accuracy is reached and held, and the fraction at which it holds.

    Where there is none it is None, with the largest fraction from any snapshot that reaches the accuracy.

    Example:
        >>> find_correct(np.array([0.5, 1.0, 0.5, 1.0, 1.0]))
        (3, 1.0)
    """
    reached = accuracy >= REACHED_ACCURACY
    held = [float(reached[index:].mean()) if reached[index] else 0.0 for index in range(len(reached))]
    index = next((index for index, value in enumerate(held) if value >= HELD_FRACTION), None)
    return index, max(held) if index is None else held[index]
