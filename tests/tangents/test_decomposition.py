"""The decomposition of vectors on a sphere, whose normal is the point itself."""

import math

import pytest
import torch

from dimple.errors import ShapeError
from dimple.manifolds import Sphere
from dimple.tangents import RandomSubspace, decompose
from dimple.tensors import dot, generator

pytestmark = pytest.mark.usefixtures("double")


def test_the_normal_part_on_a_sphere_is_radial() -> None:
    sphere = Sphere(dim=3)
    x = sphere.sample(50, generator(0, "x"))
    v = torch.randn(50, 4, generator=generator(1, "v"))
    result = decompose(v, sphere, x)
    radial = dot(v, x)[:, None] * x
    torch.testing.assert_close(result.normal, radial)
    torch.testing.assert_close(result.tangent, v - radial)
    torch.testing.assert_close(result.tangent_fraction + result.normal_fraction, torch.ones(50))
    torch.testing.assert_close(result.angle, torch.asin(dot(v, x).abs() / v.norm(dim=1)))
    assert dot(result.tangent, result.normal).abs().max() < 1e-14
    assert result.isotropic_fraction == 0.75


def test_images_are_decomposed_in_their_own_shape() -> None:
    field = RandomSubspace(dim=4, seed=0, draw=0)
    v = torch.randn(5, 3, 2, 2, generator=generator(0, "v"))
    images = decompose(v, field, v)
    rows = decompose(v.flatten(1), field, v.flatten(1))
    assert torch.equal(images.tangent.flatten(1), rows.tangent) and torch.equal(
        images.tangent_fraction, rows.tangent_fraction
    )
    assert images.normal.shape == v.shape


def test_random_vectors_have_the_isotropic_fraction_on_average() -> None:
    field = RandomSubspace(dim=6, seed=0, draw=0)
    v = torch.randn(4000, 20, generator=generator(2, "v"))
    result = decompose(v, field, v)
    # Beta(3, 7): variance 0.21 / 11.
    assert abs(float(result.tangent_fraction.mean()) - result.isotropic_fraction) < 4 * math.sqrt(0.21 / 11 / 4000)


def test_the_zero_vector_has_no_direction() -> None:
    result = decompose(torch.zeros(1, 3), Sphere(), torch.tensor([[0.0, 0.0, 1.0]]))
    assert result.angle.isnan().all() and result.tangent_fraction.isnan().all() and result.normal_fraction.isnan().all()
    assert torch.equal(result.tangent, torch.zeros(1, 3))


def test_vectors_and_samples_of_different_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match="one a sample"):
        decompose(torch.zeros(2, 3), Sphere(), torch.zeros(1, 3))
