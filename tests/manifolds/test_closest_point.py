"""Closest points in hard cases: extreme sizes, many waves, near the medial axis, singular charts."""

import math

import pytest
import torch

from dimple.manifolds import DecoderManifold, Ellipse, KleinBottle, Manifold, Moebius, Waves
from dimple.tensors import generator


def points_around(manifold: Manifold, count: int, fraction: float) -> torch.Tensor:
    """Return points of the manifold with Gaussian noise of a fraction of its size."""
    x = manifold.sample(count, generator(0, "on"))
    noise = torch.randn(x.shape, generator=generator(1, "away"), dtype=torch.float64)
    return x + fraction * float((x.amax(0) - x.amin(0)).norm()) * noise


def sampled_distance(manifold: Manifold, x: torch.Tensor, count: int) -> torch.Tensor:
    """Return the minimum distance to `count` random points of the manifold."""
    cloud = manifold.sample(count, generator(2, "rivals"))
    return torch.cdist(x, cloud, compute_mode="donot_use_mm_for_euclid_dist").amin(1)


@pytest.mark.parametrize("size", [1e-12, 1e8])
def test_no_size_is_too_small_or_too_large(size: float) -> None:
    for small, unit in (
        (Ellipse(size, 0.5 * size), Ellipse(1.0, 0.5)),
        (KleinBottle(size, 0.4 * size), KleinBottle()),
    ):
        x = points_around(unit, 30, 0.2)
        torch.testing.assert_close(small.project(size * x) / size, unit.project(x), rtol=0, atol=1e-10)
        torch.testing.assert_close(
            small.medial_axis_distance(size * x) / size, unit.medial_axis_distance(x), rtol=1e-6, atol=1e-6
        )
        assert small.reach / size == pytest.approx(unit.reach, rel=1e-5)


def test_the_closest_of_many_waves_is_found() -> None:
    waves = Waves(amplitude=0.1, wavelength=0.2)
    for fraction in (0.02, 0.1, 0.5):
        x = points_around(waves, 150, fraction)
        assert float((waves.distance(x) - sampled_distance(waves, x, 60_000)).max()) < 1e-9


@pytest.mark.parametrize("manifold", [Moebius(), KleinBottle()], ids=lambda m: type(m).__name__)
def test_the_closer_of_two_almost_equally_close_points_is_found(manifold: Manifold) -> None:
    x = points_around(manifold, 100, 0.08)
    closest = manifold.project(x)
    remaining = manifold.medial_axis_distance(x)
    normal = torch.nn.functional.normalize(x - closest, dim=1)
    at_axis = (x + remaining[:, None] * normal)[remaining < 2]
    assert len(at_axis) > 30
    assert float((manifold.distance(at_axis) - sampled_distance(manifold, at_axis, 60_000)).max()) < 1e-7


def test_a_decoder_may_be_constant_or_singular() -> None:
    """The same happens where all units of a ReLU network are off."""
    ramp = DecoderManifold(lambda z: torch.cat([z.relu(), z.relu() ** 2, 0 * z], 1), dim=1, low=-1.0, high=1.0)
    x = torch.tensor([[-1.0, 0.0, 0.5], [0.5, 0.25, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    expected = torch.tensor([math.sqrt(1.25), 0.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(ramp.distance(x), expected, rtol=0, atol=1e-9)
    network = torch.nn.Sequential(torch.nn.Linear(2, 6), torch.nn.ReLU(), torch.nn.Linear(6, 5)).double()
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator(3, weight.shape), dtype=torch.float64))
    piecewise_linear = DecoderManifold(network, dim=2, low=-3.0, high=3.0)
    y = points_around(piecewise_linear, 40, 0.05)
    assert float((piecewise_linear.distance(y) - sampled_distance(piecewise_linear, y, 20_000)).max()) < 1e-9
