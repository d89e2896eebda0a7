"""Intrinsic dimension of clouds of known dimension, and the estimators against their published formulas."""

import numpy as np
import pytest
import torch
from torch import Tensor

from dimple.errors import ShapeError
from dimple.manifolds import Embedding, Sphere
from dimple.tangents import intrinsic_dimension
from dimple.tensors import generator

pytestmark = pytest.mark.usefixtures("double")


def cube(dim: int, n: int, count: int = 2000) -> Tensor:
    stream = generator(dim, "cube", n)
    frame = torch.linalg.qr(torch.randn(n, dim, generator=stream)).Q
    return torch.rand(count, dim, generator=stream) @ frame.T


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_spheres_have_their_dimension(dim: int) -> None:
    cloud = Embedding(base=Sphere(dim=dim), ambient_dim=20).sample(3000, generator(dim, "sphere"))
    for name, value in intrinsic_dimension(cloud).items():
        assert abs(value - dim) < 0.1 * dim, name


@pytest.mark.parametrize("dim", [2, 4])
def test_cubes_have_their_dimension_or_slightly_less(dim: int) -> None:
    for name, value in intrinsic_dimension(cube(dim, 12)).items():
        assert 0.85 * dim < value < 1.06 * dim, name


def test_the_estimators_follow_their_formulas() -> None:
    cloud = torch.rand(150, 3, generator=generator(0, "cloud"))
    distance = torch.cdist(cloud, cloud).fill_diagonal_(torch.inf).sort(dim=1).values[:, :10].numpy()
    found = intrinsic_dimension(cloud, neighbors=10)
    # Levina and Bickel 2004, equation 8, its inverse averaged as MacKay and Ghahramani 2005 do.
    inverse = np.log(distance[:, -1:] / distance[:, :-1]).mean(1)
    np.testing.assert_allclose(found["mle"], 1 / inverse.mean())
    # Facco et al. 2017: log(r2 / r1) is exponential with rate d; the largest tenth enters as censored.
    ratio = np.sort(np.log(distance[:, 1] / distance[:, 0]))
    np.testing.assert_allclose(found["two_nn"], 134 / (ratio[:135].sum() + 15 * ratio[134]))


def test_estimates_of_noisy_data_depend_on_the_scale() -> None:
    cloud = Embedding(base=Sphere(dim=1), ambient_dim=20).sample(3000, generator(0, "circle"))
    cloud = cloud + 0.002 * torch.randn(cloud.shape, generator=generator(1, "noise"))
    found = intrinsic_dimension(cloud, 200)
    assert found["two_nn"] > 4 and found["mle"] < 2


def test_equal_points_count_as_one() -> None:
    cloud = cube(2, 3)
    assert intrinsic_dimension(torch.cat([cloud, cloud[:500], cloud[:500]])) == pytest.approx(
        intrinsic_dimension(cloud)
    )


def test_invalid_clouds_are_refused() -> None:
    with pytest.raises(ShapeError, match="1 of 50 points are different"):
        intrinsic_dimension(torch.zeros(50, 3))
    with pytest.raises(ShapeError, match="3 or more"):
        intrinsic_dimension(torch.rand(50, 3), neighbors=2)
    with pytest.raises(ShapeError, match="ask for fewer"):
        intrinsic_dimension(torch.rand(50, 3, generator=generator(0, "x")), neighbors=50)
