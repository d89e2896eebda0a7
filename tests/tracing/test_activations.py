"""Every curve lies between its lines on every interval, and touches what it should touch."""

import pytest
import torch

from dimple.tensors import generator
from dimple.tracing.activations import Curve, clip, enclosing_lines, gelu, rectifier, sigmoid, silu, softplus, tanh

pytestmark = pytest.mark.usefixtures("double")
CURVES = {
    "relu": rectifier(),
    "leaky": rectifier(0.1),
    "abs": rectifier(-1.0),
    "hard tanh": clip(-1.0, 1.0),
    "floor": clip(low=0.5),
    "ceiling": clip(high=-0.5),
    "tanh": tanh(),
    "sigmoid": sigmoid(),
    "softplus": softplus(2.0),
    "gelu": gelu(),
    "silu": silu(),
}
every_curve = pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)


@every_curve
@pytest.mark.parametrize("width", [1e-6, 0.1, 1.0, 5.0, 30.0])
def test_the_curve_lies_between_its_lines(curve: Curve, width: float) -> None:
    stream = generator(0, "intervals")
    low = 4 * torch.randn(200, 1, generator=stream) - width / 2
    high = low + width * torch.rand(200, 1, generator=stream)
    lines = enclosing_lines(curve, low, high)
    u = low + (high - low) * torch.linspace(0, 1, 1001)
    value = curve.value(u)
    assert bool((lines.low_slope * u + lines.low_offset <= value + 1e-12 * (1 + u.abs())).all())
    assert bool((lines.high_slope * u + lines.high_offset >= value - 1e-12 * (1 + u.abs())).all())


@every_curve
def test_the_lines_close_in_quadratically_on_small_intervals(curve: Curve) -> None:
    centre = torch.tensor([[0.3], [1.7], [-2.1]])
    gaps = []
    for half in (0.02, 0.01):
        lines = enclosing_lines(curve, centre - half, centre + half)
        gaps.append(((lines.high_slope - lines.low_slope) * centre + lines.high_offset - lines.low_offset).squeeze(1))
    assert bool((gaps[1] <= gaps[0] / 3.5 + 1e-12).all())


@every_curve
def test_slope_bend_and_turns_are_those_of_the_value(curve: Curve) -> None:
    u = torch.linspace(-6, 6, 2400) + 1e-4
    u = u[torch.stack([(u - kink).abs() > 0.01 for kink in (*curve.kinks, 100.0)]).all(0)]
    step = 1e-4
    before, here, after = curve.value(u - step), curve.value(u), curve.value(u + step)
    torch.testing.assert_close(curve.slope(u, here), (after - before) / (2 * step), atol=1e-7, rtol=1e-6)
    second = (after - 2 * here + before) / step**2
    assert float(second.abs().max()) <= curve.bend * (1 + 1e-6) + 1e-6
    curved = second.abs() > 1e-4
    assert torch.equal(second[curved] < 0, curve.bends_down(u)[curved])
