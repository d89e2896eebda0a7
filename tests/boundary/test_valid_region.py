"""The valid region of a slice against polygons that are known."""

import numpy as np
import pytest
import torch

from dimple.boundary import AffineSlice
from dimple.boundary.valid_region import valid_fraction, valid_region_vertices
from dimple.tensors import Box, generator

UNIT = Box(0.0, 1.0)


def test_cube_cut_across_its_diagonal_is_a_regular_hexagon() -> None:
    affine_slice = AffineSlice(torch.full((3,), 0.5), torch.tensor([[1.0, 1.0], [-1.0, 1.0], [0.0, -2.0]]))
    vertices = valid_region_vertices(affine_slice, UNIT, (-2, -2), (2, 2))
    assert len(vertices) == 6
    sides = np.linalg.norm(vertices - np.roll(vertices, 1, axis=0), axis=1)
    assert sides == pytest.approx(np.full(6, 0.5**0.5), rel=1e-4)
    assert 16 * valid_fraction(vertices, (-2, -2), (2, 2)) == pytest.approx(1.5 * 3**0.5 / 2, rel=1e-4)


def test_slice_of_full_dimension_has_the_cube_itself() -> None:
    affine_slice = AffineSlice(torch.full((3,), 0.5), torch.eye(3))
    vertices = valid_region_vertices(affine_slice, UNIT, (-1.0,) * 3, (1.0,) * 3)
    assert len(vertices) == 8
    assert valid_fraction(vertices, (-1.0,) * 3, (1.0,) * 3) == pytest.approx(1 / 8, rel=1e-4)


def test_images_lie_in_the_valid_region_of_their_plane() -> None:
    images = torch.rand(3, 1, 5, 5, generator=generator(0, "images")).round(decimals=1)
    affine_slice = AffineSlice.from_points(images)
    low, high = affine_slice.bounding_box(images)
    vertices = valid_region_vertices(affine_slice, UNIT, low, high)
    edges = np.diff(np.concatenate([vertices, vertices[:1]]), axis=0)
    # The vertices are in counterclockwise order: every image is to the left of every edge, or on it.
    for point in affine_slice.coordinates(images).double().numpy():
        offset = point - vertices
        assert (edges[:, 0] * offset[:, 1] - edges[:, 1] * offset[:, 0]).min() > -1e-6


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_random_slice_through_image_on_the_bounds_has_no_valid_region(dim: int, value: float) -> None:
    image = torch.full((1, 8, 8), value)
    affine_slice = AffineSlice(image, torch.randn(64, dim, generator=generator(1, "axes")))
    low, high = (-3.0,) * dim, (3.0,) * dim
    assert valid_fraction(valid_region_vertices(affine_slice, UNIT, low, high), low, high) == 0


def test_slice_outside_the_bounds_has_no_valid_region() -> None:
    affine_slice = AffineSlice(torch.full((4,), 3.0), torch.eye(4)[:, :2])
    vertices = valid_region_vertices(affine_slice, UNIT, (-1, -1), (1, 1))
    assert vertices.shape == (0, 2)
    assert valid_fraction(vertices, (-1, -1), (1, 1)) == 0
