"""Certified radii against exact margins, against the margins found, and against published certified defenses."""

from pathlib import Path

import pytest
import torch
from torch import nn

from dimple.boundary import Boundary
from dimple.data import load_images
from dimple.networks import MLP, load_model
from dimple.probes import CertifiedRadius, Margin
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
