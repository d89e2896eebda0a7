"""Tests of the dense grid on the sphere and the circle, where it is of second order in the cell size."""

from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.mesh_measures import euler_number, is_closed
from dimple.boundary import Boundary
from dimple.errors import SceneError
from dimple.levelsets import Dense, NoLevelSet
from dimple.levelsets.base import level_function

CPU = torch.device("cpu")


def ball(x: torch.Tensor) -> torch.Tensor:
    return torch.stack([x.double().norm(dim=1), torch.ones(len(x), dtype=torch.float64)], dim=1)


@pytest.mark.parametrize("dim", [2, 3])
def test_area_and_distance_are_of_second_order(dim: Any) -> None:
    exact = 2 * np.pi if dim == 2 else 4 * np.pi
    area_errors = []
    distance_errors = []
    for cells in (20, 40, 80):
        mesh = Dense(resolution=cells).extract(Boundary(ball), 1, (-1.31,) * dim, (1.37,) * dim, CPU)
        centers = mesh.vertices[mesh.faces].mean(1)
        area_errors.append(abs(mesh.area - exact))
        distance_errors.append(np.abs(np.linalg.norm(centers, axis=1) - 1).mean())
    for errors in (area_errors, distance_errors):
        order = np.log2(errors[0] / errors[-1]) / 2
        assert 1.7 < order < 2.3


def test_a_curve_is_closed_within_the_box_and_open_where_it_leaves_it() -> None:
    closed, open_at_one_side = (
        Dense(resolution=30).extract(Boundary(ball), 1, low, (1.5, 1.5), CPU) for low in [(-1.4, -1.5), (0.0, -1.5)]
    )
    assert is_closed(closed)
    assert (euler_number(closed), euler_number(open_at_one_side)) == (0, 1)


def test_triangles_face_the_class() -> None:
    mesh = Dense(resolution=24).extract(Boundary(ball), 1, (-2.03,) * 3, (2.0,) * 3, CPU)
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces], 1, 0)
    assert bool(((np.cross(b - a, c - a) * a).sum(1) < 0).all())
    other = Dense(resolution=24).extract(Boundary(ball), 0, (-2.03,) * 3, (2.0,) * 3, CPU)
    a, b, c = np.moveaxis(other.vertices[other.faces], 1, 0)
    assert bool(((np.cross(b - a, c - a) * a).sum(1) > 0).all())


def test_boxes_need_not_be_cubes() -> None:
    mesh = Dense(resolution=60).extract(Boundary(ball), 1, (-2.0, -1.5, -1.2), (1.3, 1.1, 2.5), CPU)
    assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - 1).max() < 2e-3


def test_the_level_of_many_classes_is_the_margin_over_the_largest_other_score() -> None:
    def four(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[:, 0], -x[:, 0], x[:, 1], -x[:, 1]], dim=1)

    level = level_function(Boundary(four), 0)
    points = torch.tensor([[2.0, 1.0], [1.0, 3.0], [-1.0, 0.0]])
    assert level(points).tolist() == [1.0, -2.0, -2.0]


def test_a_grid_beyond_its_memory_raises_before_any_evaluation() -> None:
    boundary = Boundary(ball)
    with pytest.raises(
        SceneError, match=r"levelset.resolution is 1000: a dense grid takes 7.5 GiB, more than levelset.memory, 4;"
    ):
        Dense(resolution=1000).extract(boundary, 1, (-2,) * 3, (2,) * 3, CPU)
    assert boundary.forwards == 0


def test_other_dimensions_are_not_drawn() -> None:
    with pytest.raises(SceneError, match="in 2 or 3 dimensions, not 5"):
        Dense().extract(Boundary(ball), 1, (0,) * 5, (1,) * 5, CPU)
    assert len(NoLevelSet().extract(Boundary(ball), 1, (0,) * 5, (1,) * 5, CPU).faces) == 0
