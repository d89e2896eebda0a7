"""Updates of Adam, compared with those of torch."""

import pytest
import torch
from torch import nn

from dimple.networks import MLP
from dimple.tensors import generator
from dimple.training.adam import Adam


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_parameters_equal_those_of_torch_to_the_last_bit(decay: float) -> None:
    stream = generator(0, "points")
    x = torch.randn(20, 2, generator=stream)
    y = torch.randint(0, 2, (20,), generator=stream)
    networks = [MLP(widths=(8,)).build(2, generator(0, "network")) for _ in range(2)]
    adam = Adam(list(networks[0].parameters()), lr=0.01, weight_decay=decay)
    torch_adam = torch.optim.Adam(networks[1].parameters(), lr=0.01, weight_decay=decay)
    for _ in range(50):
        for network, optimizer in zip(networks, (adam, torch_adam), strict=True):
            network.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(networks[0].parameters(), networks[1].parameters(), strict=True))


def test_a_parameter_without_a_gradient_is_not_changed() -> None:
    with_gradient = nn.Parameter(torch.ones(2))
    without_gradient = nn.Parameter(torch.ones(2))
    with_gradient.sum().backward()
    Adam([with_gradient, without_gradient], lr=0.25).step()
    assert with_gradient.tolist() == pytest.approx([0.75, 0.75])
    assert without_gradient.tolist() == [1.0, 1.0]
