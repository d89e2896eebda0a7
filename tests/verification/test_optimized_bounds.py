"""Optimized bounds against samples of the region, known minima, and bounds of each unit alone."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dimple.networks import NormalizedModel, ResNet, freeze
from dimple.tensors import Box, generator, norm
from dimple.tracing.affine_graph import trace_affine_graph
from dimple.verification.linear_bounds import InputRegion, compute_linear_bounds
from dimple.verification.optimized_bounds import compute_optimized_bounds, optimized_lower_bound
from tests.oracles import Abs
from tests.verification.test_linear_bounds import make_network, sample_ball

pytestmark = pytest.mark.usefixtures("double")
ENDLESS = torch.full((1,), math.inf)


def lower_bound(network: Any, center: Tensor, radius: float, kind: str, rows: Tensor, box: Box | None = None) -> Tensor:
    region = InputRegion.from_ball(center.reshape(1, -1), torch.tensor([radius]).double(), kind, box)
    bounds = compute_optimized_bounds(trace_affine_graph(network, center), region)
    return optimized_lower_bound(bounds, rows, ENDLESS)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    radius=st.sampled_from([0.01, 0.1, 0.5, 2.0]),
    kind=st.sampled_from(["l1", "l2", "l2", "l2", "linf"]),
    activation=st.sampled_from([nn.ReLU, nn.ReLU, nn.LeakyReLU, Abs, nn.Hardtanh, nn.Tanh, nn.GELU]),
    widths=st.sampled_from([(5, 3), (5, 16, 3), (5, 16, 16, 3), (5, 8, 140, 8, 3)]),
    is_bounded=st.booleans(),
)
def test_no_point_of_the_ball_is_outside_the_bounds(
    seed: int, radius: float, kind: str, activation: Any, widths: tuple[int, ...], is_bounded: bool
) -> None:
    network = make_network(seed, activation, widths)
    center = torch.randn(5, generator=generator(seed, "center")).clamp(-1, 1)
    box = Box(-1.0, 1.0) if is_bounded else None
    rows = torch.randn(1, 4, 3, generator=generator(seed, "rows"))
    x = sample_ball(center, radius, kind, seed)
    # Points that leave the box come back to it, which brings them nearer to the center.
    scores = network(x.clamp(-1, 1) if is_bounded else x) @ rows[0].T
    assert bool((scores >= lower_bound(network, center, radius, kind, rows, box) - 1e-12).all())
    assert bool((scores <= -lower_bound(network, center, radius, kind, -rows, box) + 1e-12).all())


@pytest.mark.parametrize("width", [4, 100, 400])
def test_a_sum_of_units_shares_the_radius(width: int) -> None:
    """The sum of relu(x_i) in a ball around zero is at most radius * sqrt(n); each unit alone allows more than n / 2.

    The parabola of Chiu et al. 2025 attains this maximum for equal units.
    """

    def network(x: Tensor) -> Tensor:
        total = torch.relu(x @ torch.eye(width)).sum(1, keepdim=True)
        return torch.cat([-total, total], dim=1)

    rows = torch.tensor([[[1.0, 0.0]]])
    region = InputRegion.from_ball(torch.zeros(1, width), torch.tensor([0.5]), "l2")
    alone = compute_linear_bounds(trace_affine_graph(network, torch.zeros(width)), region).lower_bound(rows)
    coupled = lower_bound(network, torch.zeros(width), 0.5, "l2", rows)
    least = -0.5 * math.sqrt(width)
    assert float(alone) == pytest.approx(least / 2 - width / 4, rel=1e-6)
    assert 1.1 * least < float(coupled) <= least * (1 - 1e-12)


def test_networks_without_open_units_are_bounded_exactly() -> None:
    network = make_network(0, nn.ReLU)
    center = torch.randn(5, generator=generator(0, "centre"))
    gradient = torch.autograd.functional.jacobian(lambda x: network(x)[0] - network(x)[1], center)
    rows = torch.tensor([[[1.0, -1.0, 0.0]]])
    for kind, dual in (("l1", "linf"), ("l2", "l2"), ("linf", "l1")):
        expected = network(center) @ rows[0, 0] - 1e-4 * norm(gradient[None], dual)
        torch.testing.assert_close(lower_bound(network, center, 1e-4, kind, rows)[0], expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("kind", ["l2", "linf"])
def test_convolutions_and_residual_blocks_are_bounded(kind: str) -> None:
    network = freeze(
        NormalizedModel((0.5,) * 3, (0.2,) * 3, ResNet(8).build((3, 4, 4), generator(0, "network"), 10))
    ).double()
    center = torch.rand(3, 4, 4, generator=generator(4, "convolutions"))
    rows = torch.eye(10)[None]
    for radius in (1e-3, 0.02):
        scores = network(sample_ball(center, radius, kind, 5)[:500])
        lowest = lower_bound(network, center, radius, kind, rows)
        assert bool((scores >= lowest - 1e-12).all())
        region = InputRegion.from_ball(center.reshape(1, -1), torch.tensor([radius]), kind)
        plain = compute_linear_bounds(trace_affine_graph(network, center), region).lower_bound(rows)
        assert float((lowest - plain).mean()) > -1e-9


def test_the_change_within_a_ball_that_a_box_cuts_is_bounded_tightly() -> None:
    stream = generator(0, "change")
    center = torch.rand(1, 6, generator=stream)
    region = InputRegion.from_ball(center, torch.tensor([0.6]), "l2", Box(0.0, 1.0))
    rows = torch.randn(1, 5, 6, generator=stream)
    curvature = torch.rand(1, 5, 6, generator=stream)
    steps = 0.6 * torch.randn(200_000, 6, generator=stream)
    # Steps in the box, drawn back to the ball.
    steps = torch.minimum(torch.maximum(steps, region.low - center), region.high - center)
    steps = steps * (0.6 / steps.norm(dim=1, keepdim=True)).clamp(max=1)
    linear = steps @ rows[0].T
    assert bool((linear.amin(0) >= region.lowest_change(rows)[0]).all())
    assert bool((linear.amin(0) <= 0.9 * region.lowest_change(rows)[0]).all())
    squares = linear - steps.square() @ curvature[0].T / 2
    assert bool((squares.amin(0) >= region.lowest_change(rows, curvature)[0]).all())
