"""Tests of linear relaxations: every activation lies between its lines on every interval."""

import pytest
import torch

from dimple.tensors import generator
from dimple.tracing.activations import (
    Activation,
    clip,
    gelu,
    rectifier,
    relax_activation,
    sigmoid,
    silu,
    softplus,
    tanh,
)

pytestmark = pytest.mark.usefixtures("double")
ACTIVATIONS = {
    "relu": rectifier(),
    "leaky": rectifier(0.1),
    "abs": rectifier(-1.0),
    "hard tanh": clip(-1.0, 1.0),
    "lower clip": clip(low=0.5),
    "upper clip": clip(high=-0.5),
    "tanh": tanh(),
    "sigmoid": sigmoid(),
    "softplus": softplus(2.0),
    "gelu": gelu(),
    "silu": silu(),
}
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)


@every_activation
@pytest.mark.parametrize("width", [1e-6, 0.1, 1.0, 5.0, 30.0])
def test_every_activation_lies_between_its_lines(activation: Activation, width: float) -> None:
    stream = generator(0, "intervals")
    low = 4 * torch.randn(200, 1, generator=stream) - width / 2
    high = low + width * torch.rand(200, 1, generator=stream)
    lines = relax_activation(activation, low, high)
    u = low + (high - low) * torch.linspace(0, 1, 1001)
    value = activation.value(u)
    assert bool((lines.lower_slope * u + lines.lower_intercept <= value + 1e-12 * (1 + u.abs())).all())
    assert bool((lines.upper_slope * u + lines.upper_intercept >= value - 1e-12 * (1 + u.abs())).all())


@every_activation
@pytest.mark.parametrize("fraction", [-0.5, 0.0, 0.2, 1.0])
def test_every_activation_lies_between_its_lines_wherever_a_tangent_touches_it(
    activation: Activation, fraction: float
) -> None:
    low = 3 * torch.randn(200, 1, generator=generator(0, "intervals")) - 1
    high = low + 2
    lines = relax_activation(activation, low, high, low + 2 * fraction)
    u = low + (high - low) * torch.linspace(0, 1, 1001)
    value = activation.value(u)
    assert bool((lines.lower_slope * u + lines.lower_intercept <= value + 1e-12 * (1 + u.abs())).all())
    assert bool((lines.upper_slope * u + lines.upper_intercept >= value - 1e-12 * (1 + u.abs())).all())


@every_activation
def test_the_distance_of_the_lines_is_quadratic_in_the_length_of_the_interval(activation: Activation) -> None:
    center = torch.tensor([[0.3], [1.7], [-2.1]])
    distances = []
    for half in (0.02, 0.01):
        lines = relax_activation(activation, center - half, center + half)
        intercept = lines.upper_intercept - lines.lower_intercept
        distances.append((lines.upper_slope - lines.lower_slope) * center + intercept)
    assert bool((distances[1] <= distances[0] / 3.5 + 1e-12).all())


@every_activation
def test_derivatives_and_inflection_points_are_those_of_the_value(activation: Activation) -> None:
    u = torch.linspace(-6, 6, 2400) + 1e-4
    u = u[torch.stack([(u - kink).abs() > 0.01 for kink in (*activation.kinks, 100.0)]).all(0)]
    step = 1e-4
    before = activation.value(u - step)
    here = activation.value(u)
    after = activation.value(u + step)
    torch.testing.assert_close(activation.derivative(u, here), (after - before) / (2 * step), atol=1e-7, rtol=1e-6)
    second = (after - 2 * here + before) / step**2
    assert float(second.abs().max()) <= activation.max_second_derivative * (1 + 1e-6) + 1e-6
    curved = second.abs() > 1e-4
    assert torch.equal(second[curved] < 0, activation.is_concave_at(u)[curved])
