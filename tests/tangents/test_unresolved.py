"""Waves that a neighborhood is too wide to resolve raise the error of its plane; noise and gentle curvature do not."""

import pytest
import torch
from torch import Tensor

from dimple.manifolds import Sphere
from dimple.tangents import LocalPCA, principal_angles
from dimple.tangents.unresolved import measure_roughness
from dimple.tensors import generator

pytestmark = pytest.mark.usefixtures("double")
TOLERANCE = 0.25


def uniform(count: int) -> Tensor:
    return torch.rand(count, 2, generator=generator(0, "square"))


def wave(points: Tensor, height: float, number: float) -> tuple[Tensor, Tensor]:
    """Return points of the graph of a wave over the plane, and its tangent bases."""
    u, v = (number * points).unbind(1)
    slope_u, slope_v = height * number * u.cos() * v.sin(), height * number * u.sin() * v.cos()
    one, zero = torch.ones_like(u), torch.zeros_like(u)
    columns = torch.stack([torch.stack([one, zero, slope_u], 1), torch.stack([zero, one, slope_v], 1)], 2)
    return torch.cat([points, (height * u.sin() * v.sin())[:, None]], 1), torch.linalg.qr(columns).Q


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(("count", "reliable"), [(2000, 0.05), (8000, 0.2)])
def test_waves_within_a_neighborhood_make_its_plane_unreliable(count: int, reliable: float, order: int) -> None:
    x, tangents = wave(uniform(count), 0.02, 50.0)
    estimate = LocalPCA(x, 2, 50, order=order).estimate(x[:300])
    true = principal_angles(estimate.basis, tangents[:300])[:, -1]
    # The spectrum alone calls all of them reliable, with an error of .05 to .07.
    assert float((true > TOLERANCE).double().mean()) > 0.8
    assert float(estimate.reliable.double().mean()) < reliable
    assert 0.6 < float(estimate.error.square().mean().sqrt() / true.square().mean().sqrt()) < 1.2


def test_waves_of_three_points_a_length_are_seen_in_part() -> None:
    x, tangents = wave(uniform(2000), 0.02, 100.0)
    estimate = LocalPCA(x, 2, 50).estimate(x[:300])
    true = principal_angles(estimate.basis, tangents[:300])[:, -1]
    assert 0.2 < float(estimate.error.square().mean().sqrt() / true.square().mean().sqrt()) < 1


def test_waves_in_noise_are_not_taken_for_noise() -> None:
    x, tangents = wave(uniform(8000), 0.03, 60.0)
    x = x + 0.005 * torch.randn(8000, 3, generator=generator(0, "noise"))
    estimate = LocalPCA(x, 2, 50).estimate(x[:300])
    true = principal_angles(estimate.basis, tangents[:300])[:, -1]
    # The nearest points in space have heights alike: with these alone, 94 % are called reliable.
    assert float((true > TOLERANCE).double().mean()) > 0.8
    assert float(estimate.reliable.double().mean()) < 0.6
    assert 0.5 < float(estimate.error.square().mean().sqrt() / true.square().mean().sqrt()) < 1.2


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_noise_and_curvature_keep_their_planes(scale: float) -> None:
    noise = 0.01 * torch.randn(2000, 3, generator=generator(0, "noise"))
    flat = torch.cat([uniform(2000), torch.zeros(2000, 1)], 1) + noise
    estimate = LocalPCA(scale * flat, 2, 50).estimate(scale * flat[:300])
    assert estimate.reliable.all() and float(estimate.error.max()) < 0.15
    ball = Sphere().sample(500, generator(0, "ball"))
    for points in (ball, Sphere().sample(2000, generator(0, "ball")) + noise):
        estimate = LocalPCA(scale * points, 2, 50).estimate(scale * points[:300])
        assert estimate.reliable.all()


@pytest.mark.parametrize(("count", "neighbors", "height"), [(3000, 50, 0.05), (8000, 50, 0.02), (1000, 20, 0.02)])
def test_gentle_waves_in_little_noise_raise_the_error(count: int, neighbors: int, height: float) -> None:
    x = uniform(count)
    phase = x[:, :1] * (1 / height)
    noise = 0.003 * torch.randn(count, 3, generator=generator(0, "noise"))
    points = torch.cat([x, height * phase.sin()], 1) + noise
    slope = torch.cat([torch.ones_like(phase), torch.zeros_like(phase), phase.cos()], 1)
    across = torch.tensor([0.0, 1.0, 0.0]).expand_as(slope)
    estimate = LocalPCA(points, 2, neighbors).estimate(points)
    true = principal_angles(estimate.basis, torch.linalg.qr(torch.stack([slope, across], 2)).Q)[:, -1]
    # By the spectrum and the differences of neighbors alone, the error is a quarter of the true one.
    assert 0.6 < float(estimate.error.square().mean().sqrt() / true.square().mean().sqrt()) < 1.5


@pytest.mark.parametrize("sigma", [0.003, 0.01, 0.03])
@pytest.mark.parametrize("neighbors", [20, 50])
def test_cubic_fits_find_no_slope_in_noise(sigma: float, neighbors: int) -> None:
    flat = torch.cat([uniform(1000), torch.zeros(1000, 1)], 1)
    noisy = flat + sigma * torch.randn(1000, 3, generator=generator(0, "noise"))
    assert LocalPCA(noisy, 2, neighbors)._cubic_slope_angle == 0
    assert LocalPCA(Sphere().sample(1000, generator(0, "ball")), 2, neighbors)._cubic_slope_angle < 0.05


def test_noise_on_a_circle_is_not_taken_for_waves() -> None:
    circle = Sphere(1).sample(1000, generator(0, "sphere"))
    points = circle + 0.003 * torch.randn(1000, 2, generator=generator(0, "noise"))
    estimate = LocalPCA(points, 1, 50).estimate(points)
    true = principal_angles(estimate.basis, Sphere(1).tangent_basis(circle))[:, -1]
    assert estimate.reliable.all()
    assert 0.7 < float(estimate.error.square().mean().sqrt() / true.square().mean().sqrt()) < 1.3


def test_the_noise_of_a_plane_is_its_variance() -> None:
    sigma = 0.01
    x = torch.cat([uniform(4000), sigma * torch.randn(4000, 3, generator=generator(0, "noise"))], 1)
    heights = LocalPCA(x, 2, 50)._roughness
    assert heights.noise == pytest.approx(2 * 3 * sigma**2, rel=0.1)
    assert heights.signal_fraction < 0.1


def test_a_plane_without_heights_has_no_slopes() -> None:
    x = torch.cat([uniform(200), torch.zeros(200, 1)], 1)
    assert float(LocalPCA(x, 2, 20).estimate(x).error.max()) < 1e-6
    # Few neighbors, one direction, points on top of each other, and a plane that is all of the space.
    assert LocalPCA(x[:, :1], 1, 2).estimate(x[:5, :1]).error.isfinite().all()
    assert LocalPCA(torch.cat([x, x, x]), 2, 4).estimate(x[:5]).error.isfinite().all()
    assert measure_roughness([]).signal_fraction == 0
