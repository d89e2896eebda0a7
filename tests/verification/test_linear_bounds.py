"""Linear bounds against dense samples of the region, against the exact answer where it is known, and each other."""

import itertools
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
from tests.oracles import Abs

pytestmark = pytest.mark.usefixtures("double")


def make_network(seed: int, activation: Any, widths: tuple[int, ...] = (5, 16, 16, 3)) -> nn.Sequential:
    layers: list[nn.Module] = []
    stream = generator(seed, "network")
    for inputs, outputs in itertools.pairwise(widths):
        layer = nn.Linear(inputs, outputs)
        with torch.no_grad():
            layer.weight.copy_(2 * torch.randn(outputs, inputs, generator=stream) / inputs**0.5)
            layer.bias.copy_(torch.randn(outputs, generator=stream))
        layers += [layer, activation()]
    return nn.Sequential(*layers[:-1]).requires_grad_(False)


def sample_ball(center: Tensor, radius: float, kind: str, seed: int) -> Tensor:
    """Return points of a ball, most of them on its surface or near its corners."""
    step = torch.randn(4000, *center.shape, generator=generator(seed, "ball"))
    step[::2] = step[::2].sign() if kind == "linf" else step[::2]
    step[1::4] *= (torch.rand(step[1::4].shape, generator=generator(seed, "sparse")) < 0.3) + 1e-3
    return center + radius * step / norm(step, kind).reshape(-1, *[1] * center.dim())


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    radius=st.sampled_from([0.01, 0.1, 0.5, 2.0]),
    kind=st.sampled_from(["l1", "l2", "linf"]),
    activation=st.sampled_from([nn.ReLU, nn.LeakyReLU, Abs, nn.Hardtanh, nn.Tanh, nn.Sigmoid, nn.GELU, nn.Softplus]),
    widths=st.sampled_from([(5, 3), (5, 16, 3), (5, 16, 16, 3), (5, 8, 8, 8, 3)]),
)
def test_no_point_of_the_ball_is_outside_the_bounds(
    seed: int, radius: float, kind: str, activation: Any, widths: tuple[int, ...]
) -> None:
    network = make_network(seed, activation, widths)
    center = torch.randn(5, generator=generator(seed, "centre"))
    region = InputRegion.from_ball(center[None], torch.tensor([radius]), kind)
    bounds = compute_linear_bounds(trace_affine_graph(network, center), region)
    rows = torch.randn(1, 4, 3, generator=generator(seed, "rows"))
    sampled = network(sample_ball(center, radius, kind, seed)) @ rows[0].T
    assert bool((sampled >= bounds.lower_bound(rows)).all())
    assert bool((sampled <= -bounds.lower_bound(-rows)).all())


def test_networks_without_open_units_are_bounded_exactly() -> None:
    network = make_network(0, nn.ReLU)
    center = torch.randn(5, generator=generator(0, "centre"))
    _, gradient = torch.func.vjp(lambda x: network(x)[0] - network(x)[1], center)
    slope = gradient(torch.tensor(1.0))[0]
    rows = torch.tensor([[[1.0, -1.0, 0.0]]])
    for kind, dual in (("l1", "linf"), ("l2", "l2"), ("linf", "l1")):
        region = InputRegion.from_ball(center[None], torch.tensor([1e-4]), kind)
        bounds = compute_linear_bounds(trace_affine_graph(network, center), region)
        expected = network(center) @ rows[0, 0] - 1e-4 * norm(slope[None], dual)
        torch.testing.assert_close(bounds.lower_bound(rows)[0], expected, rtol=1e-7, atol=1e-7)


def test_larger_regions_have_looser_bounds_and_bounds_scale_with_the_scores() -> None:
    network = make_network(1, nn.Tanh)
    center = torch.zeros(5)
    rows = torch.eye(3)[None]
    radii = torch.tensor([0.0, 0.01, 0.03, 0.1, 0.3, 1.0])
    region = InputRegion.from_ball(center.expand(6, -1), radii, "l2")
    lowest = compute_linear_bounds(trace_affine_graph(network, center), region).lower_bound(rows)
    assert bool((lowest.diff(dim=0) < 0).all())
    torch.testing.assert_close(lowest[0], network(center), rtol=1e-7, atol=1e-7)
    scaled = compute_linear_bounds(trace_affine_graph(lambda x: 50 * network(x), center), region).lower_bound(rows)
    torch.testing.assert_close(scaled, 50 * lowest, rtol=1e-7, atol=1e-7)


def test_input_bounds_tighten_the_score_bounds() -> None:
    network = make_network(2, nn.ReLU)
    center = torch.full((5,), 0.5)
    graph = trace_affine_graph(network, center)
    rows = torch.eye(3)[None]
    radius = torch.tensor([2.0])
    ball = InputRegion.from_ball(center[None], radius, "l2")
    clipped_ball = InputRegion.from_ball(center[None], radius, "l2", Box(0.0, 1.0))
    loose = compute_linear_bounds(graph, ball).lower_bound(rows)
    tight = compute_linear_bounds(graph, clipped_ball).lower_bound(rows)
    assert bool((tight >= loose - 1e-9).all())
    assert bool((tight > loose + 1e-3).any())


def test_assumed_signs_tighten_the_bounds_for_the_samples_that_satisfy_them() -> None:
    network = make_network(3, nn.ReLU, (2, 8, 3))
    center = torch.zeros(2)
    first = network[0]
    assert isinstance(first, nn.Linear)
    x = sample_ball(center, 1.0, "l2", 0)
    preactivations = first(x)
    unit = int((preactivations > 0).double().mean(0).sub(0.5).abs().argmin())
    region = InputRegion.from_ball(center[None], torch.tensor([1.0]), "l2")
    rows = torch.eye(3)[None]
    free = compute_linear_bounds(trace_affine_graph(network, center), region).lower_bound(rows)
    for sign in (1, -1):
        signs = torch.zeros(1, 8, dtype=torch.int8)
        signs[0, unit] = sign
        assumed = compute_linear_bounds(trace_affine_graph(network, center), region, (signs,)).lower_bound(rows)
        selected = x[sign * preactivations[:, unit] >= 0]
        assert bool((network(selected) >= assumed).all())
        assert float((assumed - free).max()) > 1e-3


@pytest.mark.parametrize("kind", ["l2", "linf"])
def test_convolutions_and_residual_blocks_are_bounded(kind: str) -> None:
    network = freeze(
        NormalizedModel((0.5,) * 3, (0.2,) * 3, ResNet(8).build((3, 4, 4), generator(0, "network"), 10))
    ).double()
    stream = generator(4, "convolutions")
    center = torch.rand(3, 4, 4, generator=stream)
    rows = torch.eye(10)[None]
    for radius in (1e-3, 0.02):
        region = InputRegion.from_ball(center.reshape(1, -1), torch.tensor([radius]), kind)
        bounds = compute_linear_bounds(trace_affine_graph(network, center), region)
        scores = network(sample_ball(center, radius, kind, 5)[:500])
        assert bool((scores >= bounds.lower_bound(rows) - 1e-12).all())
        assert bool((scores <= -bounds.lower_bound(-rows) + 1e-12).all())
