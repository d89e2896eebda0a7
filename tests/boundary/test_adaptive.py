"""The adaptive level set against the dense grid, whose topology it owes, and against the surfaces themselves."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dimple.boundary import LEVEL_SETS, Adaptive, Automatic, Boundary, Exact, Grid
from dimple.boundary.adaptive import cases
from dimple.boundary.landing import landed
from dimple.boundary.measures import components, euler_number, is_closed, mesh_distances
from dimple.tensors import generator

CPU = torch.device("cpu")
BOX = (-1.5, -1.5, -1.5), (1.5, 1.5, 1.5)


def solid(level: Any) -> Boundary:
    return Boundary(lambda x: torch.stack([torch.zeros(len(x)), level(x)], dim=1))


def network(activation: Any, seed: Any = 0, width: Any = 32, scale: Any = 6.0) -> Boundary:
    stream = generator(seed, "test")
    layers = []
    for fan_in, fan_out in ((3, width), (width, width), (width, 2)):
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
    found = Adaptive(cells=64, snap=False, budget=3.0).extract(boundary, 1, *BOX, CPU)
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


def test_few_values_are_asked() -> None:
    ball = solid(lambda x: 1 - x.norm(dim=1))
    mesh = Adaptive(cells=128, snap=False, budget=0.0).extract(ball, 1, *BOX, CPU)
    crossed_cells = len(mesh.faces) / 2
    assert ball.forwards < 4 * crossed_cells


def test_a_part_smaller_than_the_coarse_cells_is_found_where_the_values_bend() -> None:
    """A ball smaller than a coarse cell beside a big one; the sweep with no suspicion passes it by."""
    speck = torch.tensor([1.265, 1.265, 1.265])

    def level(x: Any) -> Any:
        return torch.maximum(0.8 - x.norm(dim=1), 0.035 - (x - speck).norm(dim=1))

    blind = Adaptive(cells=128, budget=0.0, snap=False).extract(solid(level), 1, *BOX, CPU)
    wary = Adaptive(cells=128, budget=1.5, snap=False).extract(solid(level), 1, *BOX, CPU)
    assert components(blind)[0] == 1
    assert components(wary)[0] == 2
    hinted = Adaptive(cells=128, budget=0.0, snap=False).extract(solid(level), 1, *BOX, CPU, previous=wary)
    assert components(hinted)[0] == 2


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
