"""The inputs in a section against polygons that are known."""

import numpy as np
import pytest
import torch

from dimple.boundary import Section
from dimple.boundary.valid_region import valid_corners, valid_share
from dimple.tensors import Box, generator

UNIT = Box(0.0, 1.0)


def test_the_cube_cut_across_its_diagonal_is_a_regular_hexagon() -> None:
    section = Section(torch.full((3,), 0.5), torch.tensor([[1.0, 1.0], [-1.0, 1.0], [0.0, -2.0]]))
    corners = valid_corners(section, UNIT, (-2, -2), (2, 2))
    assert len(corners) == 6
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
    assert sides == pytest.approx(np.full(6, 0.5**0.5), rel=5e-3)
    assert 16 * valid_share(corners, (-2, -2), (2, 2)) == pytest.approx(1.5 * 3**0.5 / 2, rel=5e-3)


def test_the_cube_itself_in_space() -> None:
    section = Section(torch.full((3,), 0.5), torch.eye(3))
    corners = valid_corners(section, UNIT, (-1.0,) * 3, (1.0,) * 3)
    assert len(corners) == 8
    assert valid_share(corners, (-1.0,) * 3, (1.0,) * 3) == pytest.approx(1 / 8, rel=1e-2)


def test_between_images_there_are_only_inputs() -> None:
    images = torch.rand(3, 1, 5, 5, generator=generator(0, "images")).round(decimals=1)
    section = Section.through(images)
    low, high = section.fitted_box(images)
    corners = valid_corners(section, UNIT, low, high)
    around = np.concatenate([corners, corners[:1]])
    # Walking round the polygon, every image lies on the left, or on the line.
    for place in section.coordinates(images).double().numpy():
        run, offset = np.diff(around, axis=0), place - corners
        assert (run[:, 0] * offset[:, 1] - run[:, 1] * offset[:, 0]).min() > -1e-6


def test_random_directions_leave_the_inputs_at_once_from_an_image_with_black_pixels() -> None:
    image = torch.zeros(1, 8, 8)
    section = Section(image, torch.randn(64, 2, generator=generator(1, "axes")))
    assert valid_share(valid_corners(section, UNIT, (-3, -3), (3, 3)), (-3, -3), (3, 3)) < 1e-4


def test_a_section_beside_the_inputs_has_none() -> None:
    section = Section(torch.full((4,), 3.0), torch.eye(4)[:, :2])
    corners = valid_corners(section, UNIT, (-1, -1), (1, 1))
    assert corners.shape == (0, 2)
    assert valid_share(corners, (-1, -1), (1, 1)) == 0
