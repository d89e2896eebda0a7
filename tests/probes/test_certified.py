"""Certified radii against exact margins, against the margins found, and against published certified defenses."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dimple.boundary import Boundary
from dimple.data import load_images
from dimple.errors import ModelError
from dimple.networks import MLP, load_model
from dimple.probes import CertifiedRadius, ExactMargin, Margin
from dimple.tensors import Box, generator, norm
from tests.oracles import half_space, randomize_weights


@pytest.mark.parametrize(("kind", "dual"), [("l1", "linf"), ("l2", "l2"), ("linf", "l1")])
def test_the_margin_of_a_half_space_is_certified(double: None, kind: str, dual: str) -> None:
    normal = torch.tensor([3.0, -1.0, 0.5])
    x = torch.randn(40, 3, generator=generator(0, "x"))
    exact = (x @ normal).abs() / norm(normal[None], dual)
    found = CertifiedRadius(norm=kind)(half_space(normal), x, (x @ normal > 0).long()).columns["certified_radius"]
    assert bool((found <= exact).all())
    assert bool((found >= 0.998 * exact).all())


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "softplus"])
@pytest.mark.parametrize("kind", ["l1", "l2", "linf"])
@pytest.mark.parametrize("box", [None, Box(-1.5, 1.5)])
def test_certified_radii_are_lower_bounds_close_to_the_margins(
    double: None, activation: str, kind: str, box: Box | None
) -> None:
    net = MLP(widths=(24, 24), activation=activation, first_layer_weight_scale=2.0).build(4, generator(1, "network"))
    net = net.double().requires_grad_(False)
    x = torch.randn(8, 4, generator=generator(2, "x")).clamp(-1.5, 1.5)
    last = net[-1]
    assert isinstance(last, nn.Linear)
    last.bias -= net(x).mean(0)
    boundary = Boundary(net, box)
    y = boundary.predict(x)
    found = Margin(norm=kind)(boundary, x, y).columns["margin"]
    lower = CertifiedRadius(norm=kind)(boundary, x, y).columns["certified_radius"]
    finite = torch.isfinite(found)
    assert bool((lower[finite] <= found[finite]).all())
    assert bool((lower > 0).all())
    assert float((lower[finite] / found[finite]).median()) > 0.5
    by_intervals = CertifiedRadius(norm=kind, method="ibp")(boundary, x, y).columns["certified_radius"]
    # Interval bounds are looser.
    assert bool((by_intervals > 0).all() and (by_intervals <= lower * (1 + 2e-3)).all())
    assert float((by_intervals / lower).nan_to_num(1.0).median()) > 0.3


def test_the_radius_is_zero_if_misclassified_and_infinite_without_a_boundary_in_the_box() -> None:
    x = torch.tensor([[0.5, 0.5]])
    assert float(CertifiedRadius()(half_space(torch.ones(2)), x, torch.tensor([0])).columns["certified_radius"]) == 0
    bounded = half_space(torch.ones(2), level=3.0, bounds=Box())
    assert float(CertifiedRadius()(bounded, x, torch.tensor([0])).columns["certified_radius"]) == torch.inf


def test_certified_radii_of_a_convnet_are_lower_bounds(double: None) -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 4, 2), nn.ReLU(), nn.Flatten())
    net.extend([nn.Linear(16, 3)])
    boundary = Boundary(randomize_weights(net), Box())
    x = torch.rand(5, 1, 7, 7, generator=generator(3, "x"))
    y = boundary.predict(x)
    lower, found = (probe(boundary, x, y).columns for probe in (CertifiedRadius(), Margin()))
    assert bool((lower["certified_radius"] <= found["margin"]).all())


POOLS = {
    "pairs": nn.MaxPool2d((1, 2)),
    "overlapping": nn.MaxPool2d(2, 1),
    "padded": nn.MaxPool2d(2, 2, 1, ceil_mode=True),
    "average": nn.AvgPool2d(2, 1, 1),
}
UNPROVEN = {
    "round": lambda x: (4 * x).round() / 4 + x,
    "where": lambda x: torch.where(x > 0.3, x, 2 * x),
    "sort": lambda x: x.sort(1)[0],
    "square": lambda x: x.square() + x,
    "branch": lambda x: x if float(x.sum()) > 0 else 2 * x,
}


class Then(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x)


def random_network(seed: int, widths: tuple[int, ...], layers: list[Any], pool: str | None) -> nn.Sequential:
    """Return a random network of the plane in float64 with two to four classes."""
    modules: list[nn.Module] = []
    for (inputs, outputs), layer in zip(itertools.pairwise((2, *widths)), layers, strict=False):
        modules += [nn.Linear(inputs, outputs), layer()]
    if pool is not None:
        modules += [nn.Linear(widths[-1], 6), nn.Unflatten(1, (1, 2, 3)), POOLS[pool], nn.Flatten()]
    size = nn.Sequential(*modules)(torch.zeros(1, 2)).shape[1]
    return randomize_weights(nn.Sequential(*modules, nn.Linear(size, 2 + seed % 3)), seed)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    widths=st.lists(st.integers(2, 8), min_size=1, max_size=3).map(tuple),
    layers=st.lists(
        st.sampled_from([nn.ReLU, nn.Tanh, nn.GELU, nn.Hardtanh, nn.PReLU, nn.SiLU, lambda: nn.LeakyReLU(2.0)]),
        min_size=3,
        max_size=3,
    ),
    pool=st.sampled_from([None, *POOLS]),
    kind=st.sampled_from(["l1", "l2", "linf"]),
)
def test_no_radius_of_a_random_network_exceeds_the_distance_of_another_class(
    seed: int, widths: tuple[int, ...], layers: list[Any], pool: str | None, kind: str
) -> None:
    network = random_network(seed, widths, layers, pool)
    x = torch.randn(6, 2, generator=generator(seed, "x"), dtype=torch.float64)
    boundary = Boundary(network)
    y = boundary.predict(x)
    radius = CertifiedRadius(norm=kind)(boundary, x, y).columns["certified_radius"]
    axis = torch.linspace(-3, 3, 301, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    classes = boundary.predict(points)
    for row in range(len(x)):
        nearest = norm(points[classes != y[row]] - x[row], kind).min() if bool((classes != y[row]).any()) else torch.inf
        assert float(radius[row]) <= float(nearest)
    found = Margin(norm=kind)(boundary, x, y).columns["margin"]
    assert bool((radius <= found).all())
    if kind != "l1" and all(layer in (nn.ReLU, nn.Hardtanh, nn.PReLU) for layer in layers):
        exact = ExactMargin(norm=kind, nodes=200)(boundary, x[:2], y[:2]).columns["margin_exact_upper"]
        assert bool((radius[:2] <= exact).all())


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), operation=st.sampled_from(sorted(UNPROVEN)), after=st.integers(0, 2))
def test_a_network_with_an_operation_without_a_rule_has_no_radius(seed: int, operation: str, after: int) -> None:
    modules = list(random_network(seed, (5, 4), [nn.ReLU, nn.Tanh], None))
    modules.insert(after, Then(UNPROVEN[operation]))
    network = nn.Sequential(*modules).eval()
    x = torch.randn(3, 2, generator=generator(seed, "x"), dtype=torch.float64)
    y = network(x).argmax(1)
    for probe in (CertifiedRadius(), ExactMargin()):
        with pytest.raises(ModelError, match="this network cannot be read"):
            probe(Boundary(network), x, y)


def test_scores_that_are_maxima_of_pairs_have_true_radii() -> None:
    """Max pooling passes a test of affinity at two random points for some weights."""
    for seed in range(20):
        layers = nn.Linear(2, 4), nn.Unflatten(1, (1, 2, 2)), nn.MaxPool2d((1, 2)), nn.Flatten()
        network = randomize_weights(nn.Sequential(*layers), seed)
        x = 2 * torch.rand(4, 2, generator=generator(seed, "x"), dtype=torch.float64) - 1
        y = network(x).argmax(1)
        boundary = Boundary(network)
        radius = CertifiedRadius(tolerance=1e-2)(boundary, x, y).columns["certified_radius"]
        exact = ExactMargin()(boundary, x, y).columns
        assert bool((radius <= exact["margin_exact_upper"]).all())
        assert bool(
            (radius >= 0.3 * exact["margin_exact_lower"]).all() or torch.isinf(exact["margin_exact_upper"]).any()
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_radius_of_a_network_in_half_precision_is_that_of_its_weights(dtype: torch.dtype) -> None:
    network = MLP(widths=(16,)).build(3, generator(4, "network")).requires_grad_(False).to(dtype)
    x = torch.randn(6, 3, generator=generator(5, "x"), dtype=torch.float64).to(dtype).double()
    in_double = MLP(widths=(16,)).build(3, generator(4, "network")).requires_grad_(False).to(dtype).double()
    y = Boundary(in_double).predict(x)
    expected = CertifiedRadius()(Boundary(in_double), x, y).columns["certified_radius"]
    found = CertifiedRadius()(Boundary(lambda z: network(z.to(dtype)).double()), x, y).columns["certified_radius"]
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
    assert bool((expected > 0).any())


@pytest.mark.parametrize(
    ("model", "weights", "key", "data", "kind", "radius", "fraction"),
    [
        # The paper of the defense certifies more than 90 % of all test images at 0.1.
        ("mnist_convnet", "mnist_certified_linf01.pth", None, "mnist:{}/mnist", "linf", 0.1, 0.6),
        (
            "cifar_convnet",
            "cifar10_small_certified_l2.pth",
            "state_dict[0]",
            "cifar10:{}/cifar10/cifar10-imagefolder.tar.xz",
            "l2",
            36 / 255,
            0.25,
        ),
    ],
)
def test_published_defenses_are_certified_without_contradiction_to_margins(
    shared_data: Path, model: str, weights: str, key: str | None, data: str, kind: str, radius: float, fraction: float
) -> None:
    images = load_images(data.format(shared_data), "test")
    x, y = images.batch(torch.arange(24))
    boundary = Boundary(load_model(model, shared_data / "checkpoints" / weights, key), images.bounds)
    lower = CertifiedRadius(norm=kind, tolerance=0.5)(boundary, x[:3], y[:3]).columns["certified_radius"]
    by_intervals = CertifiedRadius(norm=kind, method="ibp", tolerance=0.1)(boundary, x, y).columns["certified_radius"]
    found = Margin(norm=kind)(boundary, x, y).columns["margin"]
    correct = found > 0
    assert bool((lower <= found[:3])[correct[:3]].all())
    assert float((lower >= radius).float().mean()) >= fraction
    assert bool(((by_intervals > 0) & (by_intervals <= found))[correct].all())
