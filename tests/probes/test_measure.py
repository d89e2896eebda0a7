"""Several probes in one measurement: what each asked of the network is counted, and is what the network was asked."""

import pytest
import torch
from torch import Tensor

from dimple.boundary import Boundary
from dimple.networks import MLP
from dimple.probes import PROBES, Cost, Curvature, Margin, Offset, OnOff, Probe, measure
from dimple.tangents import RandomSubspace
from dimple.tensors import generator

pytestmark = pytest.mark.usefixtures("double")
TANGENTS = RandomSubspace(dim=2, seed=7, draw=0)


class Counted:
    """A network that counts the rows it is asked, and those that a gradient came back for."""

    def __init__(self) -> None:
        net = MLP(widths=(16,), activation="tanh", input_scale=2.0).build(4, generator(3, "network"))
        self.network = net.double().requires_grad_(False)
        self.rows = self.gradients = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        if x.requires_grad:
            x.register_hook(self._came_back)
        return self.network(x)

    def _came_back(self, gradient: Tensor) -> None:
        self.gradients += len(gradient)


@pytest.mark.parametrize("probe", [Margin(), OnOff(draws=3), Offset(draws=2)], ids=lambda probe: type(probe).__name__)
def test_the_cost_is_what_the_network_was_asked(probe: Probe) -> None:
    stream = generator(1, "samples")
    x, y = torch.randn(6, 4, generator=stream), torch.randint(0, 2, (6,), generator=stream)
    network = Counted()
    (cost,) = measure(Boundary(network), x, y, [probe], TANGENTS, chunk=4).costs
    # Looking at the samples themselves costs one row each, whatever is asked.
    assert (cost.samples, cost.forwards, cost.backwards) == (6, network.rows - 6, network.gradients)
    assert cost.forwards > 6


def test_each_probe_has_its_own_cost_and_costs_add_up() -> None:
    x, y = torch.randn(5, 4, generator=generator(1, "samples")), torch.zeros(5, dtype=torch.long)
    probes = [Margin(), Curvature()]
    network = Counted()
    together = measure(Boundary(network), x, y, probes, TANGENTS).costs
    apart = [measure(Boundary(Counted()), x, y, [probe], TANGENTS).costs[0] for probe in probes]
    assert list(together) == apart
    assert sum(apart, Cost()).forwards == network.rows - 5
    assert set(map(type, probes)) <= set(PROBES.values())
