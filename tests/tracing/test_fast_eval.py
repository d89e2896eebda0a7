"""Tests of the fast evaluation of small networks against the networks themselves, in double precision."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dimple.boundary import AffineSlice, Boundary, restrict_to_slice
from dimple.levelsets.base import level_function
from dimple.networks import add_second_logit
from dimple.tensors import generator
from dimple.tracing._fast_tanh import tanh_in_place
from dimple.tracing.fast_eval import ROWS_PER_CHUNK, make_fast_logit_margin
from tests.oracles import Abs

MODULES = [
    nn.ReLU,
    nn.ReLU6,
    lambda: nn.LeakyReLU(0.2),
    nn.Hardtanh,
    Abs,
    nn.Tanh,
    nn.Sigmoid,
    nn.GELU,
    nn.Softplus,
    nn.SiLU,
]


def network(activation: Any, classes: int = 2) -> nn.Sequential:
    stream = generator(0, "quick")
    layers: list[nn.Module] = []
    for fan_in, fan_out in ((3, 16), (16, 8), (8, classes)):
        layer = nn.Linear(fan_in, fan_out)
        with torch.no_grad():
            layer.weight.copy_(2 * torch.randn(fan_out, fan_in, generator=stream))
            layer.bias.copy_(torch.randn(fan_out, generator=stream))
        layers += [layer, activation()]
    return nn.Sequential(*layers[:-1]).requires_grad_(False)


@pytest.mark.parametrize("activation", MODULES)
@pytest.mark.parametrize("label", [0, 1])
def test_logit_margins_are_those_of_the_network(activation: Any, label: int) -> None:
    net = network(activation)
    x = 3 * torch.randn(2 * ROWS_PER_CHUNK + 3, 3, generator=generator(1, "points"))
    margin = make_fast_logit_margin(net, x[0], label)
    assert margin is not None
    scores = copy.deepcopy(net).double()(x.double())
    expected = scores[:, label] - scores[:, 1 - label]
    assert float((margin(x).double() - expected).abs().max()) < 2e-6 * float(expected.abs().max())


def test_the_hyperbolic_tangent_has_small_absolute_and_relative_errors() -> None:
    u = np.concatenate([np.linspace(-30, 30, 200_001), np.geomspace(1e-30, 1, 1000)]).astype(np.float32)
    found = u.copy()
    tanh_in_place(found)
    exact = np.tanh(u.astype(np.float64))
    assert np.abs(found - exact).max() < 4e-7
    assert np.abs(found / np.where(exact == 0, 1, exact) - 1)[exact != 0].max() < 5e-7


def test_wrappers_and_slices_are_read_and_passes_counted() -> None:
    net = network(nn.Tanh, classes=1)
    affine_slice = AffineSlice(torch.zeros(3), torch.randn(3, 2, generator=generator(2, "axes")))
    boundary = restrict_to_slice(Boundary(add_second_logit(net)), affine_slice)
    u = torch.randn(50, 2, generator=generator(3, "points"))
    found = level_function(boundary, 1)(u)
    assert torch.allclose(found, net(affine_slice(u)).squeeze(1), atol=2e-5)
    assert boundary.forwards == 50


@pytest.mark.parametrize(
    "classifier",
    [lambda x: x[:, :2].exp(), network(nn.ReLU, classes=3), network(nn.Softsign), nn.Sequential(nn.Conv2d(1, 2, 1))],
)
def test_unknown_networks_have_no_fast_evaluation(classifier: Any) -> None:
    assert make_fast_logit_margin(classifier, torch.zeros(3), 1) is None
