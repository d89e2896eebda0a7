"""The exact walk against hand-built solids, an independent enumeration of all corners, and the signs of the network."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dimple.boundary import Boundary, Section, restricted
from dimple.errors import ModelError, SceneError
from dimple.levelsets import Exact, Grid, Polyhedral
from dimple.networks import two_class
from dimple.tensors import generator
from dimple.tracing.piecewise_linear import Abs, folds, is_folded

CPU = torch.device("cpu")
BOX = (-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)


def linear(weight: Any, bias: Any) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight, dtype=torch.float32))
        layer.bias.copy_(torch.tensor(bias, dtype=torch.float32))
    return layer


def random_network(
    widths: Any, seed: Any, inputs: Any = 3, classes: Any = 2, activation: Any = nn.ReLU
) -> nn.Sequential:
    stream = generator(seed, "test")
    layers = []
    for fan_in, fan_out in itertools.pairwise([inputs, *widths, classes]):
        weight = torch.randn(fan_out, fan_in, generator=stream) / fan_in**0.5
        layers += [linear(weight.tolist(), (0.3 * torch.randn(fan_out, generator=stream)).tolist()), activation()]
    network = nn.Sequential(*layers[:-1])
    # All classes tie somewhere near the middle, so that there is a boundary to find.
    middle = torch.rand(1, inputs, generator=stream) - 0.5
    with torch.no_grad():
        network[-1].bias -= network(middle)[0]
    return network


def octahedron() -> nn.Sequential:
    return nn.Sequential(linear(np.eye(3), [0] * 3), Abs(), linear([[0] * 3, [1] * 3], [0, -1]))


def octahedron_of_pairs() -> nn.Sequential:
    """The same with two ReLUs for every absolute value: every fold is there twice."""
    pairs = np.concatenate([np.eye(3), -np.eye(3)])
    return nn.Sequential(linear(pairs, [0] * 6), nn.ReLU(), linear([[0] * 6, [1] * 6], [0, -1]))


def cube() -> nn.Sequential:
    """max(|x|, |y|, |z|) = 1: four folds of the network meet in every corner of the cube."""
    larger = linear([[1, -1, 0], [0, 1, 0], [0, 0, 1]], [0] * 3), nn.ReLU(), linear([[1, 1, -1], [0, 0, 1]], [0, 0])
    return nn.Sequential(linear(np.eye(3), [0] * 3), Abs(), *larger, nn.ReLU(), linear([[0, 0], [1, 1]], [0, -1]))


def check_closed(network: Any, label: Any, found: Polyhedral) -> None:
    assert found.open_edges == 0
    assert found.left_out == 0
    level = folds(network, label).level(torch.from_numpy(found.vertices))
    assert float(level.abs().max()) < 1e-10
    # Every polygon looks to where the class wins.
    triangles = found.mesh().faces
    a, b, c = np.moveaxis(found.vertices[triangles], 1, 0)
    piece = np.repeat(np.arange(len(found.counts)), found.counts - 2)
    assert bool(((np.cross(b - a, c - a) * found.levels[piece, :3]).sum(1) > -1e-12).all())


@pytest.mark.parametrize(
    ("network", "polygons", "vertices", "area"),
    [
        (octahedron(), 8, 6, 4 * 3**0.5),
        (octahedron_of_pairs(), 8, 6, 4 * 3**0.5),
        (nn.Sequential(linear([[0, 0, 0], [1, 2, 3]], [0, -1])), 1, None, None),
        (cube(), None, None, 24.0),
    ],
)
def test_known_solids(network: Any, polygons: Any, vertices: Any, area: Any) -> None:
    found = Exact().polygons(Boundary(network), 1, (-2, -2, -2), (2, 2, 2))
    check_closed(network, 1, found)
    assert polygons is None or len(found.counts) == polygons
    assert vertices is None or len(found.vertices) == vertices
    assert area is None or found.areas.sum() == pytest.approx(area, rel=1e-12)


def test_a_region_at_zero_is_reported_not_hidden() -> None:
    """relu(x) - relu(y) is zero in a whole quadrant; the wall x = y and the rim of the quadrant remain."""
    network = nn.Sequential(linear([[1, 0, 0], [0, 1, 0]], [0, 0]), nn.ReLU(), linear([[0, 1], [1, 0]], [0, 0]))
    found = Exact().polygons(Boundary(network), 1, (-2, -2, -2), (2, 2, 2))
    assert found.left_out + found.open_edges > 0
    assert np.isclose(found.areas, 4 * 8**0.5).any()


def test_a_boundary_that_is_a_fold_itself_is_found_once() -> None:
    """A last activation with one unit folds where the gap is zero: regions on both sides have every polygon."""
    inner = random_network((12,), 4, classes=1)
    plain, folded = two_class(inner), two_class(nn.Sequential(*inner, nn.LeakyReLU(0.3)))
    one, other = (Exact().polygons(Boundary(net), 1, *BOX) for net in (plain, folded))
    assert len(one.counts) == len(other.counts) > 5
    assert other.areas.sum() == pytest.approx(one.areas.sum(), rel=1e-12)
    check_closed(folded, 1, other)


def brute_force_corners(network: Any, low: Any, high: Any) -> np.ndarray:
    """All points where the gap and two folds or walls are zero: every pattern tried with every pair, nothing walked."""
    chain = folds(network, 1)
    units = chain.units
    patterns = torch.tensor(list(itertools.product([False, True], repeat=units)))
    first = chain.layers[0]
    maps = torch.cat([first.weight.T, first.bias[None]]).expand(len(patterns), -1, -1)
    found, start = [maps], 0
    for layer, after in itertools.pairwise(chain.layers):
        slopes = torch.where(patterns[:, start : start + len(layer.bias)], layer.high, layer.low)
        maps = torch.einsum("bik,bk,jk->bij", maps, slopes, after.weight)
        maps[:, 3] += after.bias
        found.append(maps)
        start += len(layer.bias)
    last = chain.layers[-1]
    level = torch.einsum("bik,bk,k->bi", maps, torch.where(patterns[:, start:], last.high, last.low), chain.weight)
    level[:, 3] += chain.bias
    walls = torch.zeros(6, 4, dtype=torch.float64)
    for axis in range(3):
        walls[2 * axis, [axis, 3]] = torch.tensor([1.0, -low[axis]], dtype=torch.float64)
        walls[2 * axis + 1, [axis, 3]] = torch.tensor([-1.0, high[axis]], dtype=torch.float64)
    planes = torch.cat([torch.cat(found, 2).transpose(1, 2), walls.expand(len(patterns), 6, 4)], dim=1)
    corners = []
    for i, j in itertools.combinations(range(units + 6), 2):
        system = torch.stack([level, planes[:, i], planes[:, j]], dim=1)
        sound = torch.linalg.det(system[:, :, :3]).abs() > 1e-12
        x = torch.linalg.solve(system[sound][:, :, :3], -system[sound][:, :, 3:]).squeeze(2)
        values = torch.einsum("bki,bi->bk", planes[sound][:, :, :3], x) + planes[sound][:, :, 3]
        wanted = torch.cat([patterns[sound], torch.ones(len(x), 6, dtype=torch.bool)], dim=1)
        fits = (values > 0) == wanted
        fits[:, [i, j]] = True
        corners.append(x[fits.all(1)])
    every = torch.cat(corners).numpy()
    return np.unique(np.round(every, 8), axis=0)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(widths=st.sampled_from([(8,), (10,), (4, 4), (5, 4), (3, 3, 3)]), seed=st.integers(0, 10**6))
def test_corners_equal_a_brute_force_enumeration(widths: Any, seed: Any) -> None:
    network = random_network(widths, seed)
    found = Exact(cells=16).polygons(Boundary(network), 1, *BOX)
    expected = brute_force_corners(network, *BOX)
    assert len(found.vertices) == len(expected)
    if len(expected):
        gap = np.abs(found.vertices[:, None] - expected[None]).max(2)
        assert gap.min(1).max() < 1e-7
        check_closed(network, 1, found)


def crossings_along(found: Polyhedral, x: float, y: float) -> np.ndarray:
    """The heights at which a vertical line meets the triangles."""
    mesh = found.mesh()
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces], 1, 0)
    u, v, w = b[:, :2] - a[:, :2], c[:, :2] - a[:, :2], np.array([x, y]) - a[:, :2]
    det = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    det = np.where(det == 0, np.nan, det)
    s, t = (w[:, 0] * v[:, 1] - w[:, 1] * v[:, 0]) / det, (u[:, 0] * w[:, 1] - u[:, 1] * w[:, 0]) / det
    hit = (s >= 0) & (t >= 0) & (s + t <= 1)
    return (a[:, 2] + s * (b[:, 2] - a[:, 2]) + t * (c[:, 2] - a[:, 2]))[hit]


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    widths=st.sampled_from([(8, 8), (16, 16), (32,), (32, 32), (16, 12, 8)]),
    seed=st.integers(0, 10**6),
    activation=st.sampled_from([nn.ReLU, lambda: nn.LeakyReLU(0.1), Abs, nn.Hardtanh]),
)
def test_signs_on_lines_change_exactly_where_the_polygons_are(widths: Any, seed: Any, activation: Any) -> None:
    network = random_network(widths, seed, activation=activation)
    found = Exact().polygons(Boundary(network), 1, *BOX)
    if len(found.counts):
        check_closed(network, 1, found)
    chain = folds(network, 1)
    heights = np.linspace(-1, 1, 401)
    for x, y in 2 * torch.rand(12, 2, generator=generator(seed, "lines")).double().numpy() - 1:
        line = np.stack([np.full(401, x), np.full(401, y), heights], axis=1)
        sign = chain.level(torch.from_numpy(line)).numpy() > 0
        meets = crossings_along(found, x, y) if len(found.counts) else np.zeros(0)
        near = (np.abs(heights[:, None] - meets) < 1e-9).any(1)
        below = (meets[None] < heights[:, None]).sum(1)
        expected = sign[0] ^ (below % 2 == 1)
        assert bool(((sign == expected) | near).all())


def test_more_than_two_classes_have_the_gap_to_the_largest_rival() -> None:
    network = random_network((16,), 5, classes=5)
    boundary = Boundary(network)
    found = Exact().polygons(boundary, 2, (-4,) * 3, (4,) * 3)
    check_closed(network, 2, found)
    scores = network(torch.from_numpy(found.vertices).float()).detach()
    own, others = scores[:, 2], scores[:, [0, 1, 3, 4]].amax(1)
    assert float((own - others).abs().max()) < 1e-4


def test_a_curve_in_the_plane_has_its_class_on_the_left() -> None:
    network = random_network((32, 32), 1, inputs=2)
    curve = Exact().extract(Boundary(network), 1, (-2, -2), (2, 2), CPU)
    dense = Grid(cells=512).extract(Boundary(network), 1, (-2, -2), (2, 2), CPU)
    assert len(curve.faces) > 0
    assert curve.area == pytest.approx(dense.area, rel=5e-3)
    chain = folds(network, 1)
    start, end = np.moveaxis(curve.vertices[curve.faces], 1, 0)
    assert float(chain.level(torch.from_numpy(start)).abs().max()) < 1e-10
    left = (start + end) / 2 + 1e-6 * (end - start)[:, ::-1] * [-1, 1]
    assert bool((chain.level(torch.from_numpy(left)) > 0).all())


def test_a_section_of_a_bigger_network_is_walked_too() -> None:
    network = random_network((24, 24), 3, inputs=12)
    stream = generator(0, "section")
    section = Section.through(torch.randn(4, 12, generator=stream))
    boundary = restricted(Boundary(network), section)
    found = Exact().polygons(boundary, 1, (-5,) * 3, (5,) * 3)
    assert len(found.counts) > 10
    assert found.open_edges == 0
    x = section(torch.from_numpy(found.vertices)).float()
    assert float(Boundary(network).gap(x, torch.ones(len(x), dtype=torch.long)).abs().max()) < 1e-5


def test_what_cannot_be_walked_says_so() -> None:
    smooth = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    assert not is_folded(smooth)
    with pytest.raises(ModelError, match="Tanh is no piecewise linear layer"):
        Exact().polygons(Boundary(smooth), 1, *BOX)
    with pytest.raises(ModelError, match=r"no nn\.Sequential"):
        Exact().polygons(Boundary(lambda x: x[:, :2]), 1, *BOX)
    with pytest.raises(SceneError, match=r"levelset\.most is 3"):
        Exact(most=3).polygons(Boundary(random_network((16, 16), 0)), 1, *BOX)
    with pytest.raises(SceneError, match="2 or 3 dimensions, not 4"):
        Exact().extract(Boundary(smooth), 1, (0,) * 4, (1,) * 4, CPU)
