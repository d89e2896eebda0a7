"""Tests of the adaptive level set against the dense grid, whose topology it must have, and against known surfaces."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.mesh_measures import euler_number, hausdorff_and_mean_distance, is_closed
from dimple.boundary import Boundary
from dimple.levelsets import LEVEL_SETS, Adaptive, Auto, Dense, Exact
from dimple.levelsets.base import level_function
from dimple.levelsets.continuation import SurfaceContinuation, marching_cubes_table
from dimple.levelsets.edge_roots import find_edge_roots
from dimple.levelsets.mesh import components
from dimple.levelsets.seed_cells import EvaluationGrid, find_seed_edges
from dimple.tensors import generator

CPU = torch.device("cpu")
BOX = (-1.5, -1.5, -1.5), (1.5, 1.5, 1.5)


def solid(level: Any) -> Boundary:
    return Boundary(lambda x: torch.stack([torch.zeros(len(x)), level(x)], dim=1))


def network(activation: Any, seed: Any = 0, width: Any = 32, scale: Any = 6.0, inputs: Any = 3) -> Boundary:
    stream = generator(seed, "test")
    layers: list[nn.Module] = []
    for fan_in, fan_out in ((inputs, width), (width, width), (width, 2)):
        layer = nn.Linear(fan_in, fan_out)
        with torch.no_grad():
            layer.weight.copy_(scale / 2 * torch.randn(fan_out, fan_in, generator=stream) / fan_in**0.5)
            layer.bias.copy_(torch.randn(fan_out, generator=stream))
        layers += [layer, activation()]
    return Boundary(nn.Sequential(*layers[:-1]).requires_grad_(False))


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.GELU])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_mesh_equals_that_of_the_dense_grid(activation: Any, seed: Any) -> None:
    boundary = network(activation, seed)
    dense = Dense(resolution=64).extract(boundary, 1, *BOX, CPU)
    before = boundary.forwards
    found = Adaptive(resolution=64, refine_vertices=False).extract(boundary, 1, *BOX, CPU)
    assert boundary.forwards - before < 65**3
    assert len(found.faces) == len(dense.faces) > 1000
    assert components(found)[0] == components(dense)[0]
    assert euler_number(found) == euler_number(dense)
    # The same triangles in another order.
    centers, expected = (np.sort(np.round(m.vertices[m.faces].mean(1), 4), axis=0) for m in (found, dense))
    assert np.abs(centers - expected).max() < 2e-3
    assert found.area == pytest.approx(dense.area, rel=1e-4)


def test_refined_vertices_lie_on_the_sphere_and_on_their_edges() -> None:
    ball = solid(lambda x: 1 - (x**2).sum(1))
    unrefined = Adaptive(resolution=32, refine_vertices=False).extract(ball, 1, *BOX, CPU)
    refined = Adaptive(resolution=32).extract(ball, 1, *BOX, CPU)
    assert np.abs(np.linalg.norm(refined.vertices, axis=1) - 1).max() < 1e-5
    assert np.abs(np.linalg.norm(unrefined.vertices, axis=1) - 1).max() > 1e-3
    assert np.array_equal(unrefined.faces, refined.faces)
    assert np.abs(unrefined.vertices - refined.vertices).max() < 3 / 32
    assert is_closed(refined)
    assert euler_number(refined) == 2


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_in_the_plane_the_curve_equals_that_of_the_dense_grid(activation: Any) -> None:
    boundary = network(activation, scale=12.0, inputs=2)
    assert isinstance(boundary.model, nn.Sequential)
    with torch.no_grad():
        boundary.model[-1].bias -= boundary.model(torch.zeros(1, 2))[0]
    dense = Dense(resolution=256).extract(boundary, 1, (-1.5, -1.5), (1.5, 1.5), CPU)
    found = Adaptive(resolution=256, refine_vertices=False).extract_with_statistics(
        boundary, 1, (-1.5, -1.5), (1.5, 1.5), CPU
    )
    assert found.evaluations < 257**2 / 4
    assert len(found.mesh.faces) == len(dense.faces) > 300
    assert components(found.mesh)[0] == components(dense)[0]
    centers, expected = (np.sort(np.round(m.vertices[m.faces].mean(1), 4), axis=0) for m in (found.mesh, dense))
    assert np.abs(centers - expected).max() < 1e-3


def test_in_the_plane_refined_vertices_lie_on_the_circle_with_the_class_on_the_left() -> None:
    disc = solid(lambda x: 1 - (x**2).sum(1))
    curve = Adaptive(resolution=64).extract(disc, 1, (-1.5, -1.5), (1.5, 1.5), CPU)
    assert np.abs(np.linalg.norm(curve.vertices, axis=1) - 1).max() < 1e-5
    assert is_closed(curve)
    start, end = np.moveaxis(curve.vertices[curve.faces], 1, 0)
    left = (start + end) / 2 + 1e-3 * (end - start)[:, ::-1] * [-1, 1]
    assert bool((np.linalg.norm(left, axis=1) < np.linalg.norm((start + end) / 2, axis=1)).all())


def test_the_level_is_evaluated_at_few_points() -> None:
    ball = solid(lambda x: 1 - x.norm(dim=1))
    unrefined = Adaptive(resolution=128, refine_vertices=False).extract_with_statistics(ball, 1, *BOX, CPU)
    assert ball.forwards == unrefined.evaluations < 4 * unrefined.num_crossed_cells
    # A cell has two triangles and one vertex; refining a vertex takes little more than one evaluation.
    assert unrefined.num_crossed_cells == pytest.approx(len(unrefined.mesh.faces) / 2, rel=0.02)
    refined = Adaptive(resolution=128).extract_with_statistics(ball, 1, *BOX, CPU)
    assert refined.evaluations - unrefined.evaluations < 1.5 * len(refined.mesh.vertices)
    assert unrefined.unrefined_fraction == 1
    assert refined.unrefined_fraction == 0


def test_a_component_between_the_corners_of_the_coarse_grid_is_found_by_descent() -> None:
    """A ball smaller than a coarse cell, next to a big one."""
    center = torch.tensor([1.265, 1.265, 1.265])

    def level(x: Any) -> Any:
        return torch.maximum(0.8 - x.norm(dim=1), 0.035 - (x - center).norm(dim=1))

    corners = torch.cartesian_prod(*[torch.linspace(-1.5, 1.5, 33)] * 3)
    assert not bool((level(corners)[(corners - center).norm(dim=1) < 0.3] > 0).any())
    assert components(Adaptive(resolution=128).extract(solid(level), 1, *BOX, CPU))[0] == 2


def test_a_component_without_a_minimum_on_the_coarse_grid_is_found_again_from_the_previous_mesh() -> None:
    """A cone so steep that the levels at the coarse grid do not show it."""

    def cone(height: float) -> Any:
        tip = torch.full((3,), 0.984375)
        return lambda x: torch.maximum(0.8 - x.norm(dim=1), 500 * (height - (x - tip).norm(dim=1)))

    steep = solid(cone(0.03))
    assert components(Adaptive(resolution=128).extract(steep, 1, *BOX, CPU))[0] == 1
    # The mesh of a slightly larger cone: the surface has moved within its cells.
    previous = Dense(resolution=128).extract(solid(cone(0.033)), 1, *BOX, CPU)
    assert components(previous)[0] == 2
    hinted = Adaptive(resolution=128).extract(steep, 1, *BOX, CPU, previous=previous)
    assert components(hinted)[0] == 2


def test_the_other_sheet_is_found_where_two_nearly_touch() -> None:
    """The hyperboloid of two sheets, one cell apart and without a common crossed edge, followed from one of them."""
    cell = 3 / 64
    boundary = solid(lambda x: x[:, 0] ** 2 - x[:, 1] ** 2 - x[:, 2] ** 2 - (0.7 * cell) ** 2)
    grid = EvaluationGrid(level_function(boundary, 1), *BOX, 64, CPU)
    crossed = find_seed_edges(grid, 64)
    right = crossed[crossed.start[:, 0] >= 40]
    surface = SurfaceContinuation(grid)
    surface.follow(right, np.zeros((0, 3), dtype=np.int64))
    assert surface.crossed_cells[:, 0].max() > 40
    assert surface.crossed_cells[:, 0].min() < 24
    expected = Adaptive(resolution=64).extract_with_statistics(boundary, 1, *BOX, CPU)
    assert len(surface.crossed_cells) == expected.num_crossed_cells


def test_the_table_of_cases_holds_complete_triangles() -> None:
    table = marching_cubes_table()
    num_edges = (table >= 0).sum(1)
    assert num_edges[0] == num_edges[255] == 0
    assert bool((num_edges % 3 == 0).all())
    assert num_edges[1] == 3
    assert num_edges[0b00001111] == 6


def test_edge_roots_converge_to_the_zero_of_a_steep_function() -> None:
    start = np.array([[0.0], [0.3], [0.85]])
    end = np.ones((3, 1))

    def level(x: Any) -> Any:
        return np.tanh(20 * (x[:, 0] - 0.9))

    values = np.stack([level(start), level(end)], axis=1)
    points, errors = find_edge_roots(level, start, end, values, max_steps=60, tolerance=0.0)
    assert points[:, 0] == pytest.approx([0.9] * 3, abs=1e-12)
    assert np.abs(errors).max() < 1e-10


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6])
def test_edge_roots_come_with_an_estimate_of_their_error(tolerance: Any) -> None:
    """Random cubics and functions with a kink, each with one known zero."""
    stream = generator(0, "landing")
    zeros, bends = torch.rand(2, 400, generator=stream).double().numpy()
    start = np.zeros((400, 2))
    end = np.stack([np.ones(400), np.arange(400.0)], axis=1)
    end[:, 1] = start[:, 1] = np.arange(400.0)

    def level(x: Any) -> Any:
        row = np.round(x[:, 1]).astype(int)
        d = x[:, 0] - zeros[row]
        return np.where(
            row % 2, d + bends[row] * d**3 + 0.5 * bends[row] * d**2, np.maximum(d, (1 + 9 * bends[row]) * d)
        )

    values = np.stack([level(start), level(end)], axis=1)
    points, errors = find_edge_roots(level, start, end, values, max_steps=30, tolerance=tolerance)
    assert errors.max() <= tolerance
    assert np.quantile(np.abs(points[:, 0] - zeros), 0.95) < 5 * tolerance
    # A kink of up to 1 : 10 at the zero itself can make both steps agree too early.
    assert np.abs(points[:, 0] - zeros).max() < 50 * tolerance
    early, estimates = find_edge_roots(level, start, end, values, max_steps=1, tolerance=tolerance)
    true_errors = np.abs(early[:, 0] - zeros)
    assert bool((estimates[1::2][true_errors[1::2] > 50 * tolerance] > tolerance).all())


def test_auto_chooses_the_level_set_by_the_network() -> None:
    piecewise_linear = network(nn.ReLU, width=8, scale=2.0)
    smooth = network(nn.Tanh, width=8)
    exact = Exact().extract(piecewise_linear, 1, *BOX, CPU)
    assert np.array_equal(Auto().extract(piecewise_linear, 1, *BOX, CPU).vertices, exact.vertices)
    adaptive = Adaptive(resolution=32).extract(smooth, 1, *BOX, CPU)
    assert np.array_equal(Auto(resolution=32).extract(smooth, 1, *BOX, CPU).vertices, adaptive.vertices)


def test_exact_and_adaptive_agree() -> None:
    boundary = network(nn.ReLU, seed=3, width=16, scale=3.0)
    exact = Exact().extract(boundary, 1, *BOX, CPU)
    adaptive = Adaptive(resolution=96).extract(boundary, 1, *BOX, CPU)
    largest, mean = hausdorff_and_mean_distance(exact, adaptive, 3000, generator(0, "samples"))
    cell = 3 / 96
    assert mean < cell / 20
    assert largest < 2 * cell


@pytest.mark.parametrize("kind", sorted(set(LEVEL_SETS) - {"none"}))
def test_every_level_set_of_an_empty_box_is_empty(kind: Any) -> None:
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([-50.0, 50.0]))
    for dim in (2, 3):
        sized = nn.Linear(dim, 2)
        with torch.no_grad():
            sized.bias.copy_(layer.bias)
        mesh = LEVEL_SETS[kind]().extract(Boundary(nn.Sequential(sized)), 1, (-1,) * dim, (1,) * dim, CPU)
        assert mesh.vertices.shape == (0, dim)
        assert mesh.faces.shape == (0, dim)


@pytest.mark.parametrize("resolution", range(1, 10))
def test_every_resolution_gives_the_mesh_of_the_dense_grid(resolution: int) -> None:
    boundary = Boundary(lambda x: torch.stack([x.norm(dim=1), torch.full((len(x),), 0.47)], dim=1))
    dense = Dense(resolution=resolution).extract(boundary, 1, (-1.0, -1.0), (1.0, 1.0), CPU)
    found = Adaptive(resolution=resolution).extract(boundary, 1, (-1.0, -1.0), (1.0, 1.0), CPU)
    assert len(found.faces) == len(dense.faces)
