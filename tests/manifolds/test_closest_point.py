"""Closest points in hard cases: extreme sizes, many waves, near the medial axis, singular charts."""

import math

import pytest
import torch

from dimple.errors import SceneError
from dimple.manifolds import (
    DecoderManifold,
    Ellipse,
    Embedding,
    FourierCurve,
    Helix,
    IntertwinedRolls,
    KleinBottle,
    Manifold,
    Moebius,
    Paraboloid,
    Segment,
    Sphere,
    Spiral,
    Warp,
    Waves,
)
from dimple.manifolds.geometry.closest_point import require_own_points
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


def rippled(z: torch.Tensor) -> torch.Tensor:
    """A decoder of two latent variables with short waves."""
    ripple = 0.05 * (30 * z[:, :1]).sin() * (20 * z[:, 1:]).cos()
    return torch.cat([z, ripple, 0.1 * (8 * z[:, :1] * z[:, 1:]).sin()], dim=1)


MANY_WAVES = {
    "spiral of 60 turns": Spiral(inner=0.1, outer=1.0, turns=60.0),
    "spiral of 150 turns": Spiral(inner=0.25, outer=1.0, turns=150.0),
    "helix of 200 turns": Helix(radius=1.0, pitch=0.01, turns=200.0),
    "steep waves": Waves(amplitude=0.1, wavelength=0.1),
    "steep bowl": Paraboloid(bend=60.0),
    "rolls": IntertwinedRolls(rolls=3, turns=12.0),
    "harmonics": FourierCurve(ambient_dim=3, amplitude=0.2, frequency=60),
    "warped sphere": Warp(Sphere(), strength=0.9, frequency=12.0),
    "warped segment": Warp(Segment((0.0, 0.0), (6.0, 0.0)), strength=0.9, frequency=80.0),
    "decoder": DecoderManifold(rippled, dim=2, low=-2.0, high=2.0),
    "embedded spiral": Embedding(Spiral(outer=3.0, turns=80.0), ambient_dim=9),
}


@pytest.mark.parametrize("name", MANY_WAVES)
def test_the_starts_suffice_for_many_turns_and_waves(name: str) -> None:
    """The own samples of a manifold lie on it, and no other point of it is nearer than the closest one."""
    manifold = MANY_WAVES[name]
    assert float(manifold.distance(manifold.sample(400, generator(3, "own"))).max()) < 1e-9
    for fraction in (0.02, 0.3, 4.0):
        x = points_around(manifold, 40, fraction)
        assert float((manifold.distance(x) - sampled_distance(manifold, x, 20_000)).max()) < 1e-9


def test_far_above_waves_the_nearest_hill_is_found() -> None:
    wavelength = 0.2
    waves = Waves(amplitude=0.1, wavelength=wavelength)
    i, j = torch.meshgrid(torch.arange(-25, 25.0).double(), torch.arange(-25, 25.0).double(), indexing="ij")
    tops = torch.stack([(i / 2 + 0.25) * wavelength, (j / 2 + 0.25) * wavelength, 0 * i + 0.1], dim=2)
    tops = tops[((i + j) % 2 == 0) & (tops[:, :, :2].abs().amax(2) <= 1)]
    x = 1.4 * torch.rand(100, 3, generator=generator(0), dtype=torch.float64) - 0.7
    x[:, 2] = 100.0
    nearest = torch.cdist(x, tops, compute_mode="donot_use_mm_for_euclid_dist").amin(1)
    assert float((waves.distance(x) - nearest).max()) < 1e-9


def test_too_many_waves_are_refused_in_one_sentence() -> None:
    with pytest.raises(SceneError, match="waves along an axis; a search for closest points") as caught:
        Waves(wavelength=0.004).project(torch.zeros(1, 3))
    assert "\n" not in str(caught.value)


def test_own_points_off_the_manifold_are_told() -> None:
    """A chart with waves that are too rare for its samples to show."""
    spike = DecoderManifold(lambda z: torch.cat([z, torch.exp(-((1e4 * (z - 0.12345)) ** 2))], 1), dim=1)
    x = spike.chart(torch.tensor([[0.0], [0.12345 + 4e-5]], dtype=torch.float64))
    with pytest.raises(SceneError, match="finds 1 of 2 points of the manifold up to"):
        require_own_points(spike, x)


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
