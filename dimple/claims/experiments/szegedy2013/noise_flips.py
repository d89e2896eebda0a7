"""Gaussian noise against adversarial changes of the same size."""

import math
from collections.abc import Mapping
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor, nn

from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.final_network import accuracy, predict, train_network
from dimple.claims.experiments.szegedy2013.distortions import mean_found, measure_distortions
from dimple.claims.experiments.szegedy2013.table_networks import table_networks
from dimple.probes.transfer import scale_to_rms
from dimple.settings import Count, settings
from dimple.stats.intervals import proportion_interval
from dimple.tensors import Box, generator

STDDEVS = (0.1, 0.3, 1.0)


@final
@settings
class NoiseFlips(Experiment):
    """The six networks of table 1, with noise at test images that they classify correctly.

    Columns: `flip_rate`, the fraction of images whose class a random direction of the length of their distortion
    changes, within the range of pixels, the largest over the networks; `flip_rate_high`, the upper end of its exact
    interval of 95 %; `flip_rate_NAME` of each network; `accuracy_0.1`, `accuracy_0.3`, `accuracy_1.0`, the lowest
    accuracy of the networks on these images under clipped Gaussian noise of that standard deviation; `distortion`, the
    median over the networks of the mean distortion.

    Args:
        set: changes of the scene `digits` that give the data.
        epochs: as in `table_networks`.
        widths: as in `table_networks`.
        units: as in `table_networks`.
        images: test images.
        draws: of noise for each image.
    """

    set: tuple[str, ...] = ()
    epochs: Count = 8
    widths: tuple[Count, Count] = (50, 100)
    units: Count = 100
    images: Count = 80
    draws: Count = 10

    version: ClassVar[int] = 1

    @property
    def scenes(self) -> tuple[str, ...]:
        return ("digits",)

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        networks: dict[str, nn.Module] = {}
        for name, changes in table_networks("half", self.epochs, self.widths, self.units).items():
            settings = [*self.set, f"data.measured={self.images}", *changes]
            networks[name], samples = train_network("digits", settings, seed, resources)
        x = samples.test[samples.test_rows]
        y = samples.test_labels[samples.test_rows]
        return {"": describe_noise(networks, x, y, samples.bounds or Box(), self.draws, seed)}


def describe_noise(networks: Mapping[str, nn.Module], x: Tensor, y: Tensor, bounds: Box, draws: int, seed: int) -> Row:
    """Return the columns of networks by name over labeled images."""
    rates: dict[str, float] = {}
    highs: dict[str, float] = {}
    distortions = []
    accuracies: dict[float, list[float]] = {stddev: [] for stddev in STDDEVS}
    for name, network in networks.items():
        right = predict(network, x) == y
        found = measure_distortions(network, x[right], y[right], bounds, seed, "closest")
        distortions.append(mean_found(found))
        sizes = torch.from_numpy(found[np.isfinite(found)]).to(x)
        rows = torch.nonzero(right).squeeze(1)[torch.from_numpy(np.isfinite(found)).to(x.device)]
        flips = _count_flips(network, x[rows], y[rows], sizes, bounds, draws, seed)
        count = draws * len(rows)
        rates[name] = flips / count if count else math.nan
        highs[name] = proportion_interval(flips, count)[1] if count else math.nan
        for stddev, values in accuracies.items():
            noise = torch.randn(x[right].shape, generator=generator(seed, "noise", stddev)).to(x)
            values.append(accuracy(network, bounds.clamp(x[right] + stddev * noise), y[right]))
    return {
        "flip_rate": max(rates.values()),
        "flip_rate_high": max(highs.values()),
        **{f"flip_rate_{name}": rate for name, rate in rates.items()},
        **{f"accuracy_{stddev}": min(values) for stddev, values in accuracies.items()},
        "distortion": float(np.median(distortions)),
    }


def _count_flips(network: nn.Module, x: Tensor, y: Tensor, sizes: Tensor, bounds: Box, draws: int, seed: int) -> int:
    """Return the number of draws of noise of these sizes, one for each image and draw, that change the class."""
    count = 0
    for draw in range(draws):
        noise = torch.randn(x.shape, generator=generator(seed, "random directions", draw)).to(x)
        count += int((predict(network, x + scale_to_rms(x, noise, sizes, bounds.for_rows(x))) != y).sum())
    return count
