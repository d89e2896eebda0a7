"""Bounds against dense sampling of the region, against the exact answer where there is one, and against themselves."""

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dimple.networks import Normalised, frozen
from dimple.networks.resnet import ResNet
from dimple.tensors import generator, norm
from dimple.tracing.affine_graph import circuit
from dimple.tracing.piecewise_linear import Abs
from dimple.verification.linear_bounds import Region, relaxed

pytestmark = pytest.mark.usefixtures("double")


def network(seed: int, activation: Any, widths: tuple[int, ...] = (5, 16, 16, 3)) -> nn.Sequential:
    layers: list[nn.Module] = []
    stream = generator(seed, "network")
    for before, after in itertools.pairwise(widths):
        layer = nn.Linear(before, after)
        with torch.no_grad():
            layer.weight.copy_(2 * torch.randn(after, before, generator=stream) / before**0.5)
            layer.bias.copy_(torch.randn(after, generator=stream))
        layers += [layer, activation()]
    return nn.Sequential(*layers[:-1]).requires_grad_(False)


def within(centre: Tensor, radius: float, kind: str, seed: int) -> Tensor:
    """Points of a ball, most of them near its rim and its corners."""
    step = torch.randn(4000, *centre.shape, generator=generator(seed, "ball"))
    step[::2] = step[::2].sign() if kind == "linf" else step[::2]
    step[1::4] *= (torch.rand(step[1::4].shape, generator=generator(seed, "sparse")) < 0.3) + 1e-3
    return centre + radius * step / norm(step, kind).reshape(-1, *[1] * centre.dim())


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    radius=st.sampled_from([0.01, 0.1, 0.5, 2.0]),
    kind=st.sampled_from(["l1", "l2", "linf"]),
    activation=st.sampled_from([nn.ReLU, nn.LeakyReLU, Abs, nn.Hardtanh, nn.Tanh, nn.Sigmoid, nn.GELU, nn.Softplus]),
    widths=st.sampled_from([(5, 3), (5, 16, 3), (5, 16, 16, 3), (5, 8, 8, 8, 3)]),
)
def test_no_point_of_the_ball_lies_beyond_the_bounds(
    seed: int, radius: float, kind: str, activation: Any, widths: tuple[int, ...]
) -> None:
    net = network(seed, activation, widths)
    centre = torch.randn(5, generator=generator(seed, "centre"))
    region = Region.ball(centre[None], torch.tensor([radius]), kind)
    bounds = relaxed(circuit(net, centre), region)
    rows = torch.randn(1, 4, 3, generator=generator(seed, "rows"))
    sampled = net(within(centre, radius, kind, seed)) @ rows[0].T
    assert bool((sampled >= bounds.least(rows)).all())
    assert bool((sampled <= -bounds.least(-rows)).all())


def test_an_affine_network_and_a_network_without_open_units_are_bounded_exactly() -> None:
    net, centre = network(0, nn.ReLU), torch.randn(5, generator=generator(0, "centre"))
    _, gradient = torch.func.vjp(lambda x: net(x)[0] - net(x)[1], centre)
    slope = gradient(torch.tensor(1.0))[0]
    rows = torch.tensor([[[1.0, -1.0, 0.0]]])
    for kind, dual in (("l1", "linf"), ("l2", "l2"), ("linf", "l1")):
        bounds = relaxed(circuit(net, centre), Region.ball(centre[None], torch.tensor([1e-4]), kind))
        expected = net(centre) @ rows[0, 0] - 1e-4 * norm(slope[None], dual)
        torch.testing.assert_close(bounds.least(rows)[0], expected, rtol=1e-7, atol=1e-7)


def test_larger_regions_have_looser_bounds_and_bounds_of_scaled_scores_scale() -> None:
    net, centre = network(1, nn.Tanh), torch.zeros(5)
    rows = torch.eye(3)[None]
    read = circuit(net, centre)
    radii = torch.tensor([0.0, 0.01, 0.03, 0.1, 0.3, 1.0])
    least = relaxed(read, Region.ball(centre.expand(6, -1), radii, "l2")).least(rows)
    assert bool((least.diff(dim=0) < 0).all())
    torch.testing.assert_close(least[0], net(centre), rtol=1e-7, atol=1e-7)
    region = Region.ball(centre.expand(6, -1), radii, "l2")
    scaled = relaxed(circuit(lambda x: 50 * net(x), centre), region).least(rows)
    torch.testing.assert_close(scaled, 50 * least, rtol=1e-7, atol=1e-7)


def test_walls_are_used() -> None:
    net, centre = network(2, nn.ReLU), torch.full((5,), 0.5)
    read, rows, radius = circuit(net, centre), torch.eye(3)[None], torch.tensor([2.0])
    free = relaxed(read, Region.ball(centre[None], radius, "l2")).least(rows)
    walled = relaxed(read, Region.ball(centre[None], radius, "l2", 0.0, 1.0)).least(rows)
    assert bool((walled >= free - 1e-9).all())
    assert bool((walled > free + 1e-3).any())


def test_assumed_sides_narrow_the_bounds_to_the_samples_that_keep_them() -> None:
    net, centre = network(3, nn.ReLU, (2, 8, 3)), torch.zeros(2)
    first = net[0]
    assert isinstance(first, nn.Linear)
    units = first(within(centre, 1.0, "l2", 0))
    unit = int((units > 0).double().mean(0).sub(0.5).abs().argmin())
    region, rows = Region.ball(centre[None], torch.tensor([1.0]), "l2"), torch.eye(3)[None]
    free = relaxed(circuit(net, centre), region).least(rows)
    for side in (1, -1):
        sides = torch.zeros(1, 8, dtype=torch.int8)
        sides[0, unit] = side
        assumed = relaxed(circuit(net, centre), region, (sides,)).least(rows)
        x = within(centre, 1.0, "l2", 0)
        kept = x[side * units[:, unit] >= 0]
        assert bool((net(kept) >= assumed).all())
        assert float((assumed - free).max()) > 1e-3


@pytest.mark.parametrize("kind", ["l2", "linf"])
def test_convolutions_and_residual_blocks_are_bounded(kind: str) -> None:
    blocks = frozen(Normalised((0.5,) * 3, (0.2,) * 3, ResNet(8))).double()
    stream = generator(4, "convolutions")
    centre = torch.rand(3, 4, 4, generator=stream)
    rows = torch.eye(10)[None]
    for radius in (1e-3, 0.02):
        region = Region.ball(centre.reshape(1, -1), torch.tensor([radius]), kind)
        bounds = relaxed(circuit(blocks, centre), region)
        scores = blocks(within(centre, radius, kind, 5)[:500])
        assert bool((scores >= bounds.least(rows) - 1e-12).all())
        assert bool((scores <= -bounds.least(-rows) + 1e-12).all())
