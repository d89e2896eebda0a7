"""The split of vectors against a sphere, whose normal is the point itself."""

import math

import pytest
import torch

from dimple.errors import ShapeError
from dimple.manifolds import Sphere
from dimple.tangents import RandomSubspace, split
from dimple.tensors import dot, generator

pytestmark = pytest.mark.usefixtures("double")


def test_on_a_sphere_the_off_part_is_the_radial_one() -> None:
    sphere = Sphere(dim=3)
    x = sphere.sample(50, generator(0, "x"))
    v = torch.randn(50, 4, generator=generator(1, "v"))
    result = split(v, sphere, x)
    radial = dot(v, x)[:, None] * x
    torch.testing.assert_close(result.off, radial)
    torch.testing.assert_close(result.on, v - radial)
    torch.testing.assert_close(result.on_share + result.off_share, torch.ones(50))
    torch.testing.assert_close(result.angle, torch.asin(dot(v, x).abs() / v.norm(dim=1)))
    assert dot(result.on, result.off).abs().max() < 1e-14
    assert result.null == 0.75


def test_images_are_split_in_their_own_shape() -> None:
    field = RandomSubspace(dim=4, seed=0, draw=0)
    v = torch.randn(5, 3, 2, 2, generator=generator(0, "v"))
    images, rows = split(v, field, v), split(v.flatten(1), field, v.flatten(1))
    assert torch.equal(images.on.flatten(1), rows.on) and torch.equal(images.on_share, rows.on_share)
    assert images.off.shape == v.shape


def test_random_vectors_lie_on_any_field_by_its_null() -> None:
    field = RandomSubspace(dim=6, seed=0, draw=0)
    v = torch.randn(4000, 20, generator=generator(2, "v"))
    result = split(v, field, v)
    # Beta(3, 7): variance 0.21 / 11.
    assert abs(float(result.on_share.mean()) - result.null) < 4 * math.sqrt(0.21 / 11 / 4000)


def test_the_zero_vector_has_no_direction() -> None:
    result = split(torch.zeros(1, 3), Sphere(), torch.tensor([[0.0, 0.0, 1.0]]))
    assert result.angle.isnan().all() and result.on_share.isnan().all() and result.off_share.isnan().all()
    assert torch.equal(result.on, torch.zeros(1, 3))


def test_vectors_and_samples_of_different_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match="one a sample"):
        split(torch.zeros(2, 3), Sphere(), torch.zeros(1, 3))
