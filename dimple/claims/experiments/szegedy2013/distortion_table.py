"""The mean distortions of the six networks of table 1."""

from collections.abc import Mapping
from typing import ClassVar, Literal, final

import numpy as np
from torch import nn

from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.final_network import accuracy, train_network
from dimple.claims.experiments.szegedy2013.distortions import mean_found, measure_distortions
from dimple.claims.experiments.szegedy2013.table_networks import LINEAR, PAPER_DISTORTIONS, Penalty, table_networks
from dimple.data import DataSplits
from dimple.settings import Count, settings


@final
@settings
class DistortionTable(Experiment):
    """The six networks of table 1, and the changes of training images that give them random classes.

    Columns: for each network its mean distortion, over the images for which one is found, that over the paper's as
    `NAME_over_paper`, `NAME_closest`, that of the closest points that are found, `NAME_train_error` and
    `NAME_test_error`; `order`, the smaller one of the two quotients of the distortions of successive linear networks;
    `deviation`, the largest difference of a distortion from the paper's over the latter, and `deviation_linear`, that
    of the linear networks; `found`, the smallest fraction of images for which a change is found.

    Args:
        set: changes of the scene `digits` that give the data.
        penalty: as in `table_networks`.
        epochs: as in `table_networks`.
        widths: as in `table_networks`.
        units: as in `table_networks`.
        images: training images that are distorted.
        method: of the search.
    """

    set: tuple[str, ...] = ()
    penalty: Penalty = "half"
    epochs: Count = 30
    widths: tuple[Count, Count] = (100, 200)
    units: Count = 400
    images: Count = 100
    method: Literal["lbfgs", "closest"] = "closest"

    version: ClassVar[int] = 1

    @property
    def scenes(self) -> tuple[str, ...]:
        return ("digits",)

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        networks: dict[str, nn.Module] = {}
        for name, changes in table_networks(self.penalty, self.epochs, self.widths, self.units).items():
            settings = [*self.set, f"data.measured={self.images}", *changes]
            networks[name], samples = train_network("digits", settings, seed, resources)
        return {"": describe_distortions(networks, samples, seed, self.method)}


def describe_distortions(
    networks: Mapping[str, nn.Module], samples: DataSplits, seed: int, method: Literal["lbfgs", "closest"]
) -> Row:
    """Return the columns of networks by name, over the training images that are measured."""
    x = samples.train[samples.train_rows]
    y = samples.train_labels[samples.train_rows]
    row: Row = {}
    fractions = []
    for name, network in networks.items():
        found = measure_distortions(network, x, y, samples.bounds, seed, method)
        row[name] = mean_found(found)
        fractions.append(float(np.isfinite(found).mean()))
        closest = found if method == "closest" else measure_distortions(network, x, y, samples.bounds, seed, "closest")
        row[f"{name}_closest"] = mean_found(closest)
        row[f"{name}_over_paper"] = row[name] / PAPER_DISTORTIONS[name]
        row[f"{name}_train_error"] = 1 - accuracy(network, samples.train, samples.train_labels)
        row[f"{name}_test_error"] = 1 - accuracy(network, samples.test, samples.test_labels)
    weak, medium, strong = (row[name] for name in LINEAR)
    deviations = {name: abs(row[f"{name}_over_paper"] - 1) for name in networks}
    return row | {
        "order": min(medium / weak, strong / medium),
        "deviation": max(deviations.values()),
        "deviation_linear": max(deviations[name] for name in LINEAR),
        "found": min(fractions),
    }
