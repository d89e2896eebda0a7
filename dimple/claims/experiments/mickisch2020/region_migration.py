"""Linear regions of a ReLU network near its training points and near its boundary, long after it fits the points."""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.final_network import predict, samples_on_device
from dimple.claims.experiments.mickisch2020.margins import Epochs, closest_distances, collect_epochs
from dimple.claims.experiments.trained_scene import prepare_scene, train
from dimple.data import DataSplits
from dimple.networks import freeze
from dimple.probes import Margin
from dimple.settings import Count, Positive, settings
from dimple.tensors import flatten, generator, unit_vectors


@final
@settings
class RegionMigration(Experiment):
    """A scene of images, trained far beyond the snapshot at which it fits them.

    Columns, where "late" is the last snapshot and "fitted" the first one with a training accuracy of 0.99:
    `robust_rise`, the fraction of test images that are right with a boundary farther than `radius`, late minus fitted;
    `density_fall`, the kinks per unit length on segments around training points, late over fitted; `density_boundary`,
    the same around the points of the boundary that are nearest to them; `migration`, the density at the boundary over
    that at the points, late over fitted; `density_at_boundary`, the density at the boundary over that at the points,
    late; `step_ratio`, the number of steps over that at which the points were fitted.

    Args:
        scene: a built-in scene with a network of linear layers and ReLU.
        steps: of training.
        images: training images that are measured, and test images.
        radius: half the length of a segment, and the distance that counts as robust.
        segments: through each image.
        set: further changes of the scene.
    """

    scene: str = "digits"
    steps: Count = 4000
    images: Count = 60
    radius: Positive = 0.3
    segments: Count = 3
    set: tuple[str, ...] = ("data.subset=200", "training.batch_size=null", "network.widths=[64, 64]")

    version: ClassVar[int] = 1

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        end = [
            f"training.stop={{steps: {self.steps}, epochs: null}}",
            "snapshots.count=40",
            f"data.measured={self.images}",
        ]
        prepared = prepare_scene(self.scene, [*self.set, *end], seed, resources)
        samples = samples_on_device(prepared)
        trajectory = train(prepared)
        epochs = collect_epochs(trajectory, samples)
        return {"": describe_migration(epochs, trajectory.steps, samples, self.radius, self.segments, seed)}


def describe_migration(
    epochs: Epochs, steps: Sequence[int], samples: DataSplits, radius: float, segments: int, seed: int
) -> Row:
    """Return the columns of a training with snapshots at the steps."""
    if epochs.fitted is None:
        names = ("robust_rise", "density_fall", "density_boundary", "migration", "density_at_boundary", "step_ratio")
        return dict.fromkeys(names, math.nan)
    fitted, late = (
        _Snapshot.measure(epochs.networks[index], samples, radius, segments, seed) for index in (epochs.fitted, -1)
    )
    return {
        "robust_rise": late.robust - fitted.robust,
        "density_fall": _divide(late.density, fitted.density),
        "density_boundary": _divide(late.boundary_density, fitted.boundary_density),
        "migration": _divide(late.boundary_density * fitted.density, late.density * fitted.boundary_density),
        "density_at_boundary": _divide(late.boundary_density, late.density),
        "step_ratio": _divide(steps[-1], steps[epochs.fitted]),
    }


def _divide(a: float, b: float) -> float:
    if b == 0:
        return math.inf if a > 0 else math.nan
    return a / b


@final
@dataclasses.dataclass(frozen=True)
class _Snapshot:
    """The robust accuracy of a network, and its kinks per unit length at training points and at the boundary."""

    robust: float
    density: float
    boundary_density: float

    @classmethod
    def measure(cls, network: nn.Module, samples: DataSplits, radius: float, segments: int, seed: int) -> "_Snapshot":
        x = samples.train[samples.train_rows]
        x_test = samples.test[samples.test_rows]
        right = (predict(network, x_test) == samples.test_labels[samples.test_rows]).cpu().numpy()
        robust = float((right & (closest_distances(network, x_test, None) > radius)).mean())
        boundary = Boundary(freeze(network))
        found = Margin().search(boundary, x, boundary.predict(x))
        points = found.points[found.found].reshape(-1, *x.shape[1:])
        densities = [
            kink_density(network, centers, radius, segments, seed) if len(centers) else math.nan
            for centers in (x, points)
        ]
        return cls(robust, *densities)


def kink_density(network: nn.Module, centers: Tensor, radius: float, segments: int, seed: int) -> float:
    """Return the mean number of kinks per unit length on segments of random directions around points, exactly."""
    shape = (len(centers), segments, centers[0].numel())
    directions = unit_vectors(torch.randn(shape, generator=generator(seed, "segments"), dtype=torch.float64))
    precise = freeze(network).double().cpu()
    rows = flatten(centers).double().cpu()
    counts = [
        count_kinks(precise, (row - radius * direction).reshape(centers.shape[1:]), 2 * radius * direction)
        for row, block in zip(rows, directions, strict=True)
        for direction in block
    ]
    return float(np.mean(counts)) / (2 * radius)


def count_kinks(network: nn.Module, start: Tensor, displacement: Tensor) -> int:
    """Return the number of points of a segment at which a unit of a sequential ReLU network changes its sign.

    Between two zeros of all units of the layers before, the inputs of a ReLU are linear along the segment, so that its
    zeros are found exactly, layer by layer.

    Args:
        network: a sequence of modules, in the precision of the segment.
        start: one sample.
        displacement: the vector to the end of the segment.

    Example:
        >>> relu = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 2)).double()
        >>> count_kinks(relu, torch.tensor([-1.0]).double(), torch.tensor([3.0]).double())
        2
    """
    modules = list(network.children())
    times: NDArray[np.float64] = np.array([0.0, 1.0])
    count = 0
    for end in (index for index, module in enumerate(modules) if isinstance(module, nn.ReLU)):
        offsets = torch.from_numpy(times)[:, None] * displacement.flatten()
        values = start + offsets.reshape(-1, *start.shape)
        with torch.no_grad():
            for module in modules[:end]:
                values = module(values)
        inputs = values.numpy()
        before = inputs[:-1]
        after = inputs[1:]
        interval, unit = np.nonzero((before > 0) != (after > 0))
        fraction = before[interval, unit] / (before[interval, unit] - after[interval, unit])
        zeros = times[interval] + fraction * (times[interval + 1] - times[interval])
        count += len(zeros)
        times = np.sort(np.concatenate([times, zeros]))
    return count
