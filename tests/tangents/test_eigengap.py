"""The dimension of a cloud by the eigengap of its neighborhoods, with noise and without codimension."""

import pytest
import torch

from dimple.manifolds import Sphere
from dimple.tangents import LocalPCA
from dimple.tangents.eigengap import isotropic_spectrum
from dimple.tensors import generator

pytestmark = pytest.mark.usefixtures("double")


def noisy_sphere(dim: int, ambient_dim: int, noise: float) -> torch.Tensor:
    points = noise * torch.randn(1000, ambient_dim, generator=generator(0, "noise"))
    points[:, : dim + 1] += Sphere(dim).sample(1000, generator(0, "sphere"))
    return points


@pytest.mark.parametrize("noise", [0.0, 0.003, 0.01, 0.02])
@pytest.mark.parametrize(("dim", "ambient_dim"), [(1, 2), (1, 3), (1, 10), (2, 3), (2, 20)])
def test_noise_does_not_add_to_the_dimension(dim: int, ambient_dim: int, noise: float) -> None:
    field = LocalPCA(noisy_sphere(dim, ambient_dim, noise), None, 50)
    assert field.dim == dim
    assert float(field.estimate(field.neighbor_search.points[:100]).reliable.double().mean()) > 0.9


@pytest.mark.parametrize(("noise", "neighbors"), [(0.01, 10), (0.03, 30), (0.1, 50)])
def test_a_gap_that_noise_may_hide_is_not_reliable(noise: float, neighbors: int) -> None:
    field = LocalPCA(noisy_sphere(1, 2, noise), None, neighbors)
    assert not field.estimate(field.neighbor_search.points[:100]).reliable.any()
    # Who gives the dimension has said that there is one.
    given = LocalPCA(noisy_sphere(1, 2, noise), 1, neighbors)
    assert given.estimate(given.neighbor_search.points[:100]).reliable.any()


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_a_cloud_without_codimension_fills_the_space(n: int) -> None:
    cloud = torch.rand(1000, n, generator=generator(0, "cube"))
    field = LocalPCA(cloud, None, 30)
    assert field.dim == n
    assert field.estimate(cloud[:100]).reliable.all()


def test_the_null_spectrum_of_a_plane_is_that_of_wishart_matrices() -> None:
    """Of m degrees of freedom, the two eigenvalues have the mean sum 2 m and the mean product m (m - 1)."""
    values = isotropic_spectrum(1001, 2)
    assert float(values.sum()) == pytest.approx(2 * 1000, rel=0.02)
    assert float(values.prod()) == pytest.approx(1000 * 999, rel=0.03)
