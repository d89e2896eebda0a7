"""The adaptive level set against the dense grid, whose topology it owes, and against the surfaces themselves."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dimple.boundary import Boundary
from dimple.levelsets import LEVEL_SETS, Adaptive, Automatic, Exact, Grid
from dimple.levelsets.base import level_function
from dimple.levelsets.continuation import Following, cases
from dimple.levelsets.edge_roots import landed
from dimple.levelsets.mesh_measures import components, euler_number, is_closed, mesh_distances
from dimple.levelsets.seed_cells import Lattice, sweep
from dimple.tensors import generator

CPU = torch.device("cpu")
BOX = (-1.5, -1.5, -1.5), (1.5, 1.5, 1.5)


def solid(level: Any) -> Boundary:
    return Boundary(lambda x: torch.stack([torch.zeros(len(x)), level(x)], dim=1))


def network(activation: Any, seed: Any = 0, width: Any = 32, scale: Any = 6.0, inputs: Any = 3) -> Boundary:
    stream = generator(seed, "test")
    layers = []
    for fan_in, fan_out in ((inputs, width), (width, width), (width, 2)):
        layer = nn.Linear(fan_in, fan_out)
        with torch.no_grad():
            layer.weight.copy_(scale / 2 * torch.randn(fan_out, fan_in, generator=stream) / fan_in**0.5)
            layer.bias.copy_(torch.randn(fan_out, generator=stream))
        layers += [layer, activation()]
    return Boundary(nn.Sequential(*layers[:-1]).requires_grad_(False))


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.GELU])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_mesh_is_the_one_of_the_dense_grid(activation: Any, seed: Any) -> None:
    boundary = network(activation, seed)
    dense = Grid(cells=64).extract(boundary, 1, *BOX, CPU)
    before = boundary.forwards
    found = Adaptive(cells=64, snap=False).extract(boundary, 1, *BOX, CPU)
    assert boundary.forwards - before < 65**3
    assert len(found.faces) == len(dense.faces) > 1000
    assert components(found)[0] == components(dense)[0]
    assert euler_number(found) == euler_number(dense)
    # The same triangles, in another order.
    ours, theirs = (np.sort(np.round(m.vertices[m.faces].mean(1), 4), axis=0) for m in (found, dense))
    assert np.abs(ours - theirs).max() < 2e-3
    assert found.area == pytest.approx(dense.area, rel=1e-4)


def test_vertices_land_on_the_sphere_and_keep_to_their_edges() -> None:
    ball = solid(lambda x: 1 - (x**2).sum(1))
    plain = Adaptive(cells=32, snap=False).extract(ball, 1, *BOX, CPU)
    snapped = Adaptive(cells=32).extract(ball, 1, *BOX, CPU)
    assert np.abs(np.linalg.norm(snapped.vertices, axis=1) - 1).max() < 1e-5
    assert np.abs(np.linalg.norm(plain.vertices, axis=1) - 1).max() > 1e-3
    assert np.array_equal(plain.faces, snapped.faces)
    assert np.abs(plain.vertices - snapped.vertices).max() < 3 / 32
    assert is_closed(snapped)
    assert euler_number(snapped) == 2


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_in_the_plane_the_curve_is_the_one_of_the_dense_grid(activation: Any) -> None:
    boundary = network(activation, scale=12.0, inputs=2)
    assert isinstance(boundary.classifier, nn.Sequential)
    with torch.no_grad():
        boundary.classifier[-1].bias -= boundary.classifier(torch.zeros(1, 2))[0]
    dense = Grid(cells=256).extract(boundary, 1, (-1.5, -1.5), (1.5, 1.5), CPU)
    found = Adaptive(cells=256, snap=False).followed(boundary, 1, (-1.5, -1.5), (1.5, 1.5), CPU)
    assert found.evaluations < 257**2 / 4
    assert len(found.mesh.faces) == len(dense.faces) > 300
    assert components(found.mesh)[0] == components(dense)[0]
    ours, theirs = (np.sort(np.round(m.vertices[m.faces].mean(1), 4), axis=0) for m in (found.mesh, dense))
    assert np.abs(ours - theirs).max() < 1e-3


def test_in_the_plane_vertices_land_on_the_circle_with_the_class_on_the_left() -> None:
    disc = solid(lambda x: 1 - (x**2).sum(1))
    curve = Adaptive(cells=64).extract(disc, 1, (-1.5, -1.5), (1.5, 1.5), CPU)
    assert np.abs(np.linalg.norm(curve.vertices, axis=1) - 1).max() < 1e-5
    assert is_closed(curve)
    start, end = np.moveaxis(curve.vertices[curve.faces], 1, 0)
    left = (start + end) / 2 + 1e-3 * (end - start)[:, ::-1] * [-1, 1]
    assert bool((np.linalg.norm(left, axis=1) < np.linalg.norm((start + end) / 2, axis=1)).all())


def test_few_values_are_asked() -> None:
    ball = solid(lambda x: 1 - x.norm(dim=1))
    plain = Adaptive(cells=128, snap=False).followed(ball, 1, *BOX, CPU)
    assert ball.forwards == plain.evaluations < 4 * plain.cells
    # Two triangles a cell, and a vertex; bringing one onto the level set takes little more than one value.
    assert plain.cells == pytest.approx(len(plain.mesh.faces) / 2, rel=0.02)
    snapped = Adaptive(cells=128).followed(ball, 1, *BOX, CPU)
    assert snapped.evaluations - plain.evaluations < 1.5 * len(snapped.mesh.vertices)
    assert plain.unsnapped == 1
    assert snapped.unsnapped == 0


def test_a_part_between_the_corners_of_the_coarse_grid_is_found_from_its_least_values() -> None:
    """A ball smaller than a coarse cell beside a big one."""
    speck = torch.tensor([1.265, 1.265, 1.265])

    def level(x: Any) -> Any:
        return torch.maximum(0.8 - x.norm(dim=1), 0.035 - (x - speck).norm(dim=1))

    corners = torch.cartesian_prod(*[torch.linspace(-1.5, 1.5, 33)] * 3)
    assert not bool((level(corners)[(corners - speck).norm(dim=1) < 0.3] > 0).any())
    assert components(Adaptive(cells=128).extract(solid(level), 1, *BOX, CPU))[0] == 2


def test_a_part_that_nothing_points_to_is_found_again_from_the_mesh_before() -> None:
    """A cone so steep that the coarse grid has no sign of it."""

    def cone(height: float) -> Any:
        tip = torch.full((3,), 0.984375)
        return lambda x: torch.maximum(0.8 - x.norm(dim=1), 500 * (height - (x - tip).norm(dim=1)))

    steep = solid(cone(0.03))
    assert components(Adaptive(cells=128).extract(steep, 1, *BOX, CPU))[0] == 1
    # The mesh of a slightly larger cone: the surface has moved within its cells.
    before = Grid(cells=128).extract(solid(cone(0.033)), 1, *BOX, CPU)
    assert components(before)[0] == 2
    hinted = Adaptive(cells=128).extract(steep, 1, *BOX, CPU, previous=before)
    assert components(hinted)[0] == 2


def test_the_other_sheet_is_found_where_two_nearly_touch() -> None:
    """The hyperboloid of two sheets, a cell apart and without a common crossed edge, followed from one of them."""
    cell = 3 / 64
    boundary = solid(lambda x: x[:, 0] ** 2 - x[:, 1] ** 2 - x[:, 2] ** 2 - (0.7 * cell) ** 2)
    lattice = Lattice(level_function(boundary, 1), *BOX, 64, CPU)
    crossed = sweep(lattice, 64)
    right = crossed[crossed.start[:, 0] >= 40]
    following = Following(lattice)
    following.follow(right, np.zeros((0, 3), dtype=np.int64))
    assert following.crossed[:, 0].max() > 40
    assert following.crossed[:, 0].min() < 24
    assert len(following.crossed) == Adaptive(cells=64).followed(boundary, 1, *BOX, CPU).cells


def test_the_cases_are_balanced_under_exchange_of_signs() -> None:
    table = cases()
    crossed = (table >= 0).sum(1)
    assert crossed[0] == crossed[255] == 0
    assert bool((crossed % 3 == 0).all())
    assert crossed[1] == 3
    assert crossed[0b00001111] == 6


def test_landing_reaches_the_zero_of_a_steep_function() -> None:
    start, end = np.array([[0.0], [0.3], [0.85]]), np.ones((3, 1))

    def level(x: Any) -> Any:
        return np.tanh(20 * (x[:, 0] - 0.9))

    values = np.stack([level(start), level(end)], axis=1)
    points, left = landed(level, start, end, values, steps=60, within=0.0)
    assert points[:, 0] == pytest.approx([0.9] * 3, abs=1e-12)
    assert np.abs(left).max() < 1e-10


@pytest.mark.parametrize("within", [1e-3, 1e-6])
def test_landing_tells_how_far_it_may_be_off(within: Any) -> None:
    """Random cubics with one zero each, known beforehand; kinked ones too."""
    stream = generator(0, "landing")
    zeros, bends = torch.rand(2, 400, generator=stream).double().numpy()
    start, end = np.zeros((400, 2)), np.stack([np.ones(400), np.arange(400.0)], axis=1)
    end[:, 1] = start[:, 1] = np.arange(400.0)

    def level(x: Any) -> Any:
        row = np.round(x[:, 1]).astype(int)
        d = x[:, 0] - zeros[row]
        return np.where(
            row % 2, d + bends[row] * d**3 + 0.5 * bends[row] * d**2, np.maximum(d, (1 + 9 * bends[row]) * d)
        )

    values = np.stack([level(start), level(end)], axis=1)
    points, left = landed(level, start, end, values, steps=30, within=within)
    assert left.max() <= within
    assert np.quantile(np.abs(points[:, 0] - zeros), 0.95) < 5 * within
    # A kink of up to 1 : 10 at the zero itself can make both steps agree too early.
    assert np.abs(points[:, 0] - zeros).max() < 50 * within
    early, told = landed(level, start, end, values, steps=1, within=within)
    off = np.abs(early[:, 0] - zeros)
    assert bool((told[1::2][off[1::2] > 50 * within] > within).all())


def test_auto_takes_what_fits_the_network() -> None:
    folded, smooth = network(nn.ReLU, width=8, scale=2.0), network(nn.Tanh, width=8)
    exact = Exact().extract(folded, 1, *BOX, CPU)
    assert np.array_equal(Automatic().extract(folded, 1, *BOX, CPU).vertices, exact.vertices)
    adaptive = Adaptive(cells=32).extract(smooth, 1, *BOX, CPU)
    assert np.array_equal(Automatic(cells=32).extract(smooth, 1, *BOX, CPU).vertices, adaptive.vertices)


def test_exact_and_adaptive_agree() -> None:
    boundary = network(nn.ReLU, seed=3, width=16, scale=3.0)
    exact = Exact().extract(boundary, 1, *BOX, CPU)
    adaptive = Adaptive(cells=96).extract(boundary, 1, *BOX, CPU)
    largest, mean = mesh_distances(exact, adaptive, 3000, generator(0, "samples"))
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
