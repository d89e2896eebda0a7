"""Measurements of several probes: the counted costs equal the evaluations of the network."""

import pytest
import torch
from torch import Tensor

from dimple.boundary import Boundary
from dimple.networks import MLP
from dimple.probes import PROBES, Cost, Curvature, Margin, Offset, OnOff, Probe, run_probes
from dimple.tangents import RandomSubspace
from dimple.tensors import generator

pytestmark = pytest.mark.usefixtures("double")
TANGENTS = RandomSubspace(dim=2, seed=7, draw=0)


class CountingNetwork:
    """A network that counts its forward and backward evaluations of samples."""

    def __init__(self) -> None:
        net = MLP(widths=(16,), activation="tanh", first_layer_weight_scale=2.0).build(4, generator(3, "network"))
        self.network = net.double().requires_grad_(False)
        self.forwards = self.backwards = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        if x.requires_grad:
            x.register_hook(self._count_backwards)
        return self.network(x)

    def _count_backwards(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


@pytest.mark.parametrize(
    "probe", [Margin(), OnOff(null_draws=3), Offset(null_draws=2)], ids=lambda probe: type(probe).__name__
)
def test_the_cost_equals_the_evaluations_of_the_network(probe: Probe) -> None:
    stream = generator(1, "samples")
    x = torch.randn(6, 4, generator=stream)
    y = torch.randint(0, 2, (6,), generator=stream)
    network = CountingNetwork()
    (cost,) = run_probes(Boundary(network), x, y, [probe], TANGENTS, chunk_size=4).costs
    # The classification of the samples costs one forward each, in addition to the probes.
    assert (cost.samples, cost.forwards, cost.backwards) == (6, network.forwards - 6, network.backwards)
    assert cost.forwards > 6


def test_samples_without_scores_are_not_correct_whatever_their_label() -> None:
    def network(x: Tensor) -> Tensor:
        return torch.where(x[:, :1] > 0, x, torch.nan)

    x = torch.tensor([[1.0, 0.5, 0.0], [-1.0, 0.5, 0.0], [-1.0, 0.5, 0.0], [-1.0, 0.5, 0.0]])
    columns = run_probes(Boundary(network), x, torch.tensor([0, 0, 1, -1]), [Margin()]).columns
    assert columns["correct"].tolist() == [True, False, False, False]
    assert columns["margin"].isnan().tolist() == [False, True, True, True]


@pytest.mark.parametrize("kind", PROBES)
def test_no_probe_answers_where_the_scores_are_nan(kind: str) -> None:
    network = MLP(widths=(8,)).build(4, generator(3, "network")).double().requires_grad_(False)
    last = [module for module in network.modules() if isinstance(module, torch.nn.Linear)][-1]
    last.bias.data[0] = torch.nan
    x = torch.rand(4, 4, generator=generator(4, "samples"))
    # A bound or a robust radius is 0 where the prediction is wrong.
    answers = {"certified_radius", "robust_radius_upper", "robust_attack", "margin_passes", "logit_margin"}
    result = run_probes(Boundary(network, (0, 1)), x, torch.tensor([0, 0, 1, 1]), [PROBES[kind]()], TANGENTS)
    for name, values in result.columns.items():
        if values.is_floating_point() and name not in answers and "_null" not in name and "_analytic" not in name:
            assert values.isnan().all() or (name == "stationarity_angle" and values.isinf().all()), name
        if name.endswith("_found"):
            assert not values.any(), name


def test_each_probe_has_its_own_cost_and_costs_add_up() -> None:
    x = torch.randn(5, 4, generator=generator(1, "samples"))
    y = torch.zeros(5, dtype=torch.long)
    probes = [Margin(), Curvature()]
    network = CountingNetwork()
    together = run_probes(Boundary(network), x, y, probes, TANGENTS).costs
    separate = [run_probes(Boundary(CountingNetwork()), x, y, [probe], TANGENTS).costs[0] for probe in probes]
    assert list(together) == separate
    assert sum(separate, Cost()).forwards == network.forwards - 5
    assert set(map(type, probes)) <= set(PROBES.values())
