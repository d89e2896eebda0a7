"""The update of Adam against torch's own."""

import pytest
import torch
from torch import nn

from dimple.networks import MLP
from dimple.tensors import generator
from dimple.training.adam import Adam


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_every_weight_is_that_of_torch_to_the_bit(decay: float) -> None:
    stream = generator(0, "points")
    x, y = torch.randn(20, 2, generator=stream), torch.randint(0, 2, (20,), generator=stream)
    networks = [MLP(widths=(8,)).build(2, generator(0, "network")) for _ in range(2)]
    ours = Adam(list(networks[0].parameters()), lr=0.01, weight_decay=decay)
    peer = torch.optim.Adam(networks[1].parameters(), lr=0.01, weight_decay=decay)
    for _ in range(50):
        for network, optimizer in zip(networks, (ours, peer), strict=True):
            network.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(networks[0].parameters(), networks[1].parameters(), strict=True))


def test_a_weight_without_a_gradient_stays() -> None:
    moved, still = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    moved.sum().backward()
    Adam([moved, still], lr=0.25).step()
    assert moved.tolist() == pytest.approx([0.75, 0.75])
    assert still.tolist() == [1.0, 1.0]
