"""Transfer of adversarial changes between networks and between disjoint halves of the training images."""

from collections.abc import Mapping
from typing import ClassVar, final

import numpy as np
from torch import nn

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.final_network import train_network
from dimple.claims.experiments.szegedy2013.table_networks import LINEAR, table_networks
from dimple.data import DataSplits
from dimple.networks import freeze
from dimple.probes import find_boundary_points, transfer
from dimple.settings import Count, Natural, Positive, settings

# The same network, trained on the other half.
OTHER_HALF = "fc100_other_half"
AUTOENCODER = "ae400"


@final
@settings
class NetworkTransfer(Experiment):
    """The networks of table 1 on one half of the training images, and one of them on the other, at test images.

    Columns, over test images that both networks classify correctly, where an excess is the error rate at the changed
    images minus that at noise of the same size: `excess_halves`, between the two halves, the smaller of both
    directions; `excess_networks`, the mean over all ordered pairs of networks on the same half; both with `_amplified`
    at a root mean square of `rms`; `error_halves`, `noise_halves` and their amplified twins, the rates themselves;
    `resilience`, the mean error that the changes of all other networks cause in the network on an autoencoder, minus
    the smallest one among the other networks of that half; `asymmetry`, the error of the sigmoid network at the changes
    of a linear one minus the reverse.

    Args:
        set: changes of the scene `digits` that give the data.
        epochs: as in `table_networks`.
        widths: as in `table_networks`.
        units: as in `table_networks`.
        images: test images.
        rms: the larger size.
        noise_draws: of the comparison.
    """

    set: tuple[str, ...] = ()
    epochs: Count = 8
    widths: tuple[Count, Count] = (50, 100)
    units: Count = 100
    images: Count = 80
    rms: Positive = 0.1
    noise_draws: Natural = 5

    version: ClassVar[int] = 1

    @property
    def scenes(self) -> tuple[str, ...]:
        return ("digits",)

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        tables = table_networks("half", self.epochs, self.widths, self.units)
        networks: dict[str, nn.Module] = {}
        for name, changes in [*tables.items(), (OTHER_HALF, tables["fc100"])]:
            half = "second" if name == OTHER_HALF else "first"
            settings = [*self.set, f"data.half={half}", f"data.measured={self.images}", *changes]
            networks[name], samples = train_network("digits", settings, seed, resources)
        return {"": describe_transfer(networks, samples, self.rms, self.noise_draws, seed)}


def describe_transfer(
    networks: Mapping[str, nn.Module], samples: DataSplits, rms: float, noise_draws: int, seed: int
) -> Row:
    """Return the columns of networks by name, over the test images that are measured."""
    boundaries = {name: Boundary(freeze(network), samples.bounds) for name, network in networks.items()}
    x = samples.test[samples.test_rows]
    y = samples.test_labels[samples.test_rows]
    points = find_boundary_points(boundaries, x)
    names = list(networks)
    first = names.index("fc100")
    other = names.index(OTHER_HALF)
    same_half = [index for index in range(len(names)) if index != other]
    row: Row = {}
    for suffix, size in (("", None), ("_amplified", rms)):
        found = transfer(boundaries, x, y, points, rms=size, noise_draws=noise_draws, seed=seed)
        error = found.error.double().cpu().numpy()
        noise = found.noise_error.double().cpu().numpy()
        excess = error - noise
        pairs = [(a, b) for a in same_half for b in same_half if a != b]
        row |= {
            f"excess_halves{suffix}": float(min(excess[first, other], excess[other, first])),
            f"excess_networks{suffix}": float(np.mean([excess[pair] for pair in pairs])),
            f"error_halves{suffix}": float(error[first, other] + error[other, first]) / 2,
            f"noise_halves{suffix}": float(noise[first, other] + noise[other, first]) / 2,
        }
        if not suffix:
            suffered = {names[b]: float(np.mean([error[a, b] for a in same_half if a != b])) for b in same_half}
            others = [rate for name, rate in suffered.items() if name != AUTOENCODER]
            linear = names.index(LINEAR[0])
            row["resilience"] = suffered[AUTOENCODER] - min(others)
            row["asymmetry"] = float(error[linear, first] - error[first, linear])
    return row
