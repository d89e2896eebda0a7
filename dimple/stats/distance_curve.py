"""Distance of the boundary along training: its fall, and the intervals in which the boundary is near the manifold."""

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Literal, final

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.tensors import generator

# The boundary is near the manifold from a reduction of a given factor on, until one below this.
LEAVING_FACTOR = 2.0
# A snapshot that differs from the median of itself and its neighbors by more than this factor is a spike.
SPIKE_FACTOR = 2.0
RANDOM_CURVE_DRAWS = 1999
RANDOM_CURVE_CHUNKS = 100
# A fall begins and ends at two of at most as many snapshots.
MAX_KNOTS = 64
# The lowest values of a curve that count as one level, as a fraction of its range.
NEAR_FRACTION = 0.4


@final
@dataclasses.dataclass(frozen=True)
class FallFit:
    """The fall between two levels that fits a curve best.

    Attributes:
        begins: the snapshot at which the fall begins; 0 without a fall or with fewer than four snapshots.
        ends: the snapshot at which it ends.
        quality: 1 less the sum of absolute residuals over that of the median alone; 0 without a fall.
        times: the steps of the fitted snapshots.
        is_cut: whether further snapshots follow, the first of which is in the last running median.
    """

    begins: int
    ends: int
    quality: float
    times: tuple[int, ...]
    is_cut: bool

    def probability(self, random: Literal["walk", "noise"]) -> float:
        """Return the fraction of as long random curves, with running medians too, that a fall fits as well.

        Args:
            random: `walk`, sums of independent normal steps; `noise`, independent normal values.
        """
        if self.quality == 0:
            return 1.0
        qualities = _fit_random_curves(self.times, random, self.is_cut)
        return float((1 + np.count_nonzero(qualities >= self.quality)) / (1 + len(qualities)))


@final
class DistanceCurve:
    """A curve of distances over the recorded steps, on a logarithmic scale and without single spikes.

    Args:
        times: the steps of the snapshots, increasing.
        distance: a distance at each, the first one positive and finite.
        before: the number of snapshots before dimpling.
        factor: the reduction that counts as near.
    """

    def __init__(self, times: Sequence[int], distance: NDArray[np.float64], before: int, factor: float) -> None:
        self.times = tuple(times)
        self.before = before
        self.factor = factor
        with np.errstate(divide="ignore"):
            # The limits are for distances of zero, and for infinite ones.
            unfiltered = np.log(np.clip(distance / distance[0], 1e-12, 1e12))
        self.smooth_logs = _running_median(unfiltered)
        is_spike = np.abs(unfiltered - self.smooth_logs) > math.log(SPIKE_FACTOR)
        self.logs = np.where(is_spike, self.smooth_logs, unfiltered)
        self.fall = math.exp(-self.logs[: max(before, 1)].min())
        self.fall_at_dimpling = math.exp(-unfiltered[before]) if before < len(unfiltered) else math.nan
        self.last_reduction = math.exp(-self.logs[max(before, 1) - 1])
        self.near = list(find_runs(self._find_near()))
        lasting = [first for first, last in self.near if first < before <= last + 1]
        self.cling_step = self.times[lasting[0]] if lasting else None

    def _find_near(self) -> list[bool]:
        flags: list[bool] = []
        for value in self.logs:
            limit = LEAVING_FACTOR if flags and flags[-1] else self.factor
            flags.append(bool(value <= -math.log(limit) + 1e-12))
        return flags

    def fit_fall(self) -> FallFit:
        """Fit two levels joined by a fall to the running median of the log distance over the log step, before dimpling.

        Levels are medians, and the fit has the least sum of absolute residuals, so that few snapshots off it matter
        little.
        """
        times = self.times[: self.before]
        is_cut = self.before < len(self.times)
        if self.before >= 4:
            quality, begins, ends = (one[0] for one in _fit_falls(self.smooth_logs[None, : self.before], times))
            if quality > 0:
                return FallFit(int(begins), int(ends), float(quality), times, is_cut)
        return FallFit(0, 0, 0.0, times, is_cut)


@functools.lru_cache(maxsize=16)
def _fit_random_curves(times: tuple[int, ...], random: str, is_cut: bool) -> NDArray[np.float64]:
    """Return how well a fall fits random curves."""
    stream = generator(0, f"random {random}s")
    noise = torch.randn(RANDOM_CURVE_DRAWS, len(times) + is_cut, generator=stream, dtype=torch.float64)
    curves = _running_median((noise.cumsum(1) if random == "walk" else noise).numpy())[:, : len(times)]
    return np.concatenate([_fit_falls(few, times)[0] for few in np.array_split(curves, RANDOM_CURVE_CHUNKS)])


def _fit_falls(
    curves: NDArray[np.float64], times: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return how well a fall between two levels fits each of a few curves, and where the fall begins and ends.

    The lowest two fifths of the range of a curve count as one level, so that a distance may rise as dimples deepen. The
    quality is 1 less the sum of absolute residuals over that of the median alone; 0 where there is no fall.
    """
    x = np.log1p(np.asarray(times, dtype=float))
    low = curves.min(axis=1, keepdims=True)
    high = curves.max(axis=1, keepdims=True)
    curves = np.maximum(curves, low + NEAR_FRACTION * (high - low))
    candidates = np.unique(np.linspace(0, len(x) - 1, min(len(x), MAX_KNOTS)).astype(int))
    begins, ends = (candidates[index] for index in np.triu_indices(len(candidates), 1))
    progress = np.clip((x - x[begins, None]) / (x[ends] - x[begins])[:, None], 0, 1)
    first = np.stack([np.median(curves[:, : index + 1], axis=1) for index in range(len(x))], axis=1)[:, begins]
    last = np.stack([np.median(curves[:, index:], axis=1) for index in range(len(x))], axis=1)[:, ends]
    fitted = first[..., None] + np.minimum(last - first, 0)[..., None] * progress
    residuals = np.abs(curves[:, None] - fitted).sum(axis=2)
    best = residuals.argmin(axis=1)
    total = np.abs(curves - np.median(curves, axis=1, keepdims=True)).sum(axis=1)
    unexplained = np.divide(residuals.min(axis=1), total, out=np.ones_like(total), where=total > 0)
    return 1 - unexplained, begins[best], ends[best]


def _running_median(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return curves, over the last axis, in which each value but the ends is the median of itself and its neighbors."""
    result = curves.copy()
    if curves.shape[-1] > 2:
        result[..., 1:-1] = np.median([curves[..., :-2], curves[..., 1:-1], curves[..., 2:]], axis=0)
    return result


def find_runs(flags: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last index of each run of true flags.

    Example:
        >>> list(find_runs([True, False, True, True]))
        [(0, 0), (2, 3)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(flags, dtype=int), [0]])))
    for first, end in edges.reshape(-1, 2):
        yield int(first), int(end) - 1
