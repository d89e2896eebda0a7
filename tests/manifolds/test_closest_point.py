"""Nearest points where they are hard to find: at any size, among many waves, near the medial axis, on broken charts."""

import math

import pytest
import torch

from dimple.manifolds import Decoder, Ellipse, KleinBottle, Manifold, Moebius, Waves
from dimple.tensors import generator


def scattered(manifold: Manifold, count: int, share: float) -> torch.Tensor:
    """Points around the manifold, by a share of its size."""
    x = manifold.sample(count, generator(0, "on"))
    away = torch.randn(x.shape, generator=generator(1, "away"), dtype=torch.float64)
    return x + share * float((x.amax(0) - x.amin(0)).norm()) * away


def rivals(manifold: Manifold, x: torch.Tensor, count: int) -> torch.Tensor:
    """The least distance to many points of the manifold."""
    cloud = manifold.sample(count, generator(2, "rivals"))
    return torch.cdist(x, cloud, compute_mode="donot_use_mm_for_euclid_dist").amin(1)


@pytest.mark.parametrize("size", [1e-12, 1e8])
def test_no_size_is_too_small_or_too_large(size: float) -> None:
    for small, unit in (
        (Ellipse(size, 0.5 * size), Ellipse(1.0, 0.5)),
        (KleinBottle(size, 0.4 * size), KleinBottle()),
    ):
        x = scattered(unit, 30, 0.2)
        torch.testing.assert_close(small.project(size * x) / size, unit.project(x), rtol=0, atol=1e-10)
        torch.testing.assert_close(small.room(size * x) / size, unit.room(x), rtol=1e-6, atol=1e-6)
        assert small.reach / size == pytest.approx(unit.reach, rel=1e-5)


def test_no_wave_is_overlooked_among_many() -> None:
    waves = Waves(amplitude=0.1, wavelength=0.2)
    for share in (0.02, 0.1, 0.5):
        x = scattered(waves, 150, share)
        assert float((waves.distance(x) - rivals(waves, x, 60_000)).max()) < 1e-9


@pytest.mark.parametrize("manifold", [Moebius(), KleinBottle()], ids=lambda m: type(m).__name__)
def test_of_two_points_that_are_almost_as_near_the_nearer_one_is_found(manifold: Manifold) -> None:
    x = scattered(manifold, 100, 0.08)
    foot, room = manifold.project(x), manifold.room(x)
    away = torch.nn.functional.normalize(x - foot, dim=1)
    at_axis = (x + room[:, None] * away)[room < 2]
    assert len(at_axis) > 30
    assert float((manifold.distance(at_axis) - rivals(manifold, at_axis, 60_000)).max()) < 1e-7


def test_a_decoder_may_stand_still_or_lose_a_direction() -> None:
    """As where all units of a ReLU network are off."""
    ramp = Decoder(lambda z: torch.cat([z.relu(), z.relu() ** 2, 0 * z], 1), dim=1, low=-1.0, high=1.0)
    x = torch.tensor([[-1.0, 0.0, 0.5], [0.5, 0.25, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    expected = torch.tensor([math.sqrt(1.25), 0.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(ramp.distance(x), expected, rtol=0, atol=1e-9)
    network = torch.nn.Sequential(torch.nn.Linear(2, 6), torch.nn.ReLU(), torch.nn.Linear(6, 5)).double()
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator(3, weight.shape), dtype=torch.float64))
    folded = Decoder(network, dim=2, low=-3.0, high=3.0)
    y = scattered(folded, 40, 0.05)
    assert float((folded.distance(y) - rivals(folded, y, 20_000)).max()) < 1e-9
