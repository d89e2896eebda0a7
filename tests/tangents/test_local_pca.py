"""Local PCA against manifolds with known tangents."""

import pytest
import torch

from dimple.errors import ShapeError
from dimple.manifolds import Sphere
from dimple.tangents import LocalPCA
from dimple.tensors import generator

pytestmark = pytest.mark.usefixtures("double")


def largest_angle(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    cosine = torch.linalg.svdvals(a.transpose(1, 2) @ b).min(dim=1).values.clamp(max=1)
    return torch.arccos(cosine)


def test_a_plane_is_found_exactly_in_few_and_in_many_dimensions() -> None:
    for n in (4, 60):
        stream = generator(n, "plane")
        basis = torch.linalg.qr(torch.randn(n, 2, generator=stream)).Q
        cloud = torch.randn(200, 2, generator=stream) @ basis.T
        estimate = LocalPCA(cloud, dim=2, neighbors=20).tangent_basis(cloud[:30])
        eye = torch.eye(2).expand(30, 2, 2)
        torch.testing.assert_close(estimate.transpose(1, 2) @ estimate, eye, rtol=0, atol=1e-10)
        assert largest_angle(estimate, basis.expand(30, -1, -1)).max() < 1e-6


def test_the_error_on_a_sphere_falls_with_the_number_of_points() -> None:
    sphere = Sphere(dim=2)
    x = sphere.sample(100, generator(0, "where"))
    errors = []
    for count in (500, 8000):
        cloud = sphere.sample(count, generator(1, "cloud"))
        angle = largest_angle(LocalPCA(cloud, dim=2, neighbors=20).tangent_basis(x), sphere.tangent_basis(x))
        errors.append(float(angle.median()))
    assert errors[1] < errors[0] / 3


def test_a_sample_of_the_cloud_is_not_its_own_neighbor() -> None:
    cloud = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [0.0, 10.0]])
    field = LocalPCA(cloud, dim=1, neighbors=2)
    direction = field.tangent_basis(torch.tensor([[0.0, 0.0]])).squeeze()
    torch.testing.assert_close(direction.abs(), torch.tensor([1.0, 0.0]), rtol=0, atol=1e-9)


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ShapeError, match="ask for fewer"):
        LocalPCA(torch.zeros(10, 3), dim=2, neighbors=10)
    with pytest.raises(ShapeError, match="dim < neighbors"):
        LocalPCA(torch.zeros(10, 3), dim=5, neighbors=5)


def test_points_whose_squared_distances_overflow_are_refused() -> None:
    cloud = torch.rand(100, 3, generator=generator(0, "cloud"), dtype=torch.float64)
    with pytest.raises(ShapeError, match="whose squares overflow; scale the samples"):
        LocalPCA(cloud * 1e200, None, neighbors=10)
