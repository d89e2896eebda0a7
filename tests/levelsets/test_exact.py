"""Tests of the exact level set on hand-built solids, by an enumeration of all corners, and by signs of the network."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from dimple.boundary import AffineSlice, Boundary, restrict_to_slice
from dimple.errors import ModelError, SceneError
from dimple.levelsets import Dense, Exact, PolygonComplex
from dimple.networks import add_second_logit
from dimple.tensors import generator
from dimple.tracing.piecewise_linear import is_piecewise_linear, read_piecewise_linear
from tests.oracles import Abs, randomize_weights

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
    # All scores are equal at a point near the center, so that there is a boundary to find.
    point = torch.rand(1, inputs, generator=stream) - 0.5
    with torch.no_grad():
        network[-1].bias -= network(point)[0]
    return network


def octahedron() -> nn.Sequential:
    return nn.Sequential(linear(np.eye(3), [0] * 3), Abs(), linear([[0] * 3, [1] * 3], [0, -1]))


def octahedron_of_pairs() -> nn.Sequential:
    """The same with two ReLUs for every absolute value, so that every hyperplane belongs to two units."""
    pairs = np.concatenate([np.eye(3), -np.eye(3)])
    return nn.Sequential(linear(pairs, [0] * 6), nn.ReLU(), linear([[0] * 6, [1] * 6], [0, -1]))


def cube() -> nn.Sequential:
    """max(|x|, |y|, |z|) = 1: four hyperplanes of the network meet in every corner of the cube."""
    maximum = linear([[1, -1, 0], [0, 1, 0], [0, 0, 1]], [0] * 3), nn.ReLU(), linear([[1, 1, -1], [0, 0, 1]], [0, 0])
    return nn.Sequential(linear(np.eye(3), [0] * 3), Abs(), *maximum, nn.ReLU(), linear([[0, 0], [1, 1]], [0, -1]))


def check_closed(network: Any, label: Any, found: PolygonComplex) -> None:
    assert found.num_open_edges == 0
    assert found.num_unclosed_polygons == 0
    level = read_piecewise_linear(network, torch.zeros(3), label).logit_margin(torch.from_numpy(found.vertices))
    assert float(level.abs().max()) < 1e-10
    # Every polygon faces the side where the class wins.
    triangles = found.to_mesh().faces
    a, b, c = np.moveaxis(found.vertices[triangles], 1, 0)
    polygon = np.repeat(np.arange(len(found.corner_counts)), found.corner_counts - 2)
    assert bool(((np.cross(b - a, c - a) * found.level_maps[polygon, :3]).sum(1) > -1e-12).all())


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
    found = Exact().extract_polygons(Boundary(network), 1, (-2, -2, -2), (2, 2, 2))
    check_closed(network, 1, found)
    assert polygons is None or len(found.corner_counts) == polygons
    assert vertices is None or len(found.vertices) == vertices
    assert area is None or found.areas.sum() == pytest.approx(area, rel=1e-12)


def test_a_region_of_zeros_is_reported() -> None:
    """relu(x) - relu(y) is zero in an entire quadrant; the plane x = y and the border of the quadrant remain."""
    network = nn.Sequential(linear([[1, 0, 0], [0, 1, 0]], [0, 0]), nn.ReLU(), linear([[0, 1], [1, 0]], [0, 0]))
    with pytest.warns(UserWarning, match="exactly zero in an open region"):
        found = Exact().extract_polygons(Boundary(network), 1, (-2, -2, -2), (2, 2, 2))
    assert found.num_unclosed_polygons + found.num_open_edges > 0
    assert np.isclose(found.areas, 4 * 8**0.5).any()


def test_a_boundary_that_lies_in_a_hyperplane_of_a_unit_is_found_once() -> None:
    """A single unit with a last activation is zero where the logit margin is: both sides have every polygon."""
    inner = random_network((12,), 4, classes=1)
    plain = add_second_logit(inner)
    kinked = add_second_logit(nn.Sequential(*inner, nn.LeakyReLU(0.3)))
    one, other = (Exact().extract_polygons(Boundary(net), 1, *BOX) for net in (plain, kinked))
    assert len(one.corner_counts) == len(other.corner_counts) > 5
    assert other.areas.sum() == pytest.approx(one.areas.sum(), rel=1e-12)
    check_closed(kinked, 1, other)


def brute_force_corners(network: Any, low: Any, high: Any) -> np.ndarray:
    """Return all points on the boundary and on two hyperplanes, by trying every pattern with every pair."""
    net = read_piecewise_linear(network, torch.zeros(3), 1)
    units = net.num_units
    patterns = torch.tensor(list(itertools.product([False, True], repeat=units)))
    first = net.layers[0]
    maps = torch.cat([first.weight.T, first.bias[None]]).expand(len(patterns), -1, -1)
    unit_maps = [maps]
    start = 0
    for layer, next_layer in itertools.pairwise(net.layers):
        slopes = torch.where(patterns[:, start : start + len(layer.bias)], layer.positive_slope, layer.negative_slope)
        maps = torch.einsum("bik,bk,jk->bij", maps, slopes, next_layer.weight)
        maps[:, 3] += next_layer.bias
        unit_maps.append(maps)
        start += len(layer.bias)
    last = net.layers[-1]
    level = torch.einsum(
        "bik,bk,k->bi", maps, torch.where(patterns[:, start:], last.positive_slope, last.negative_slope), net.weight
    )
    level[:, 3] += net.bias
    box_planes = torch.zeros(6, 4, dtype=torch.float64)
    for axis in range(3):
        box_planes[2 * axis, [axis, 3]] = torch.tensor([1.0, -low[axis]], dtype=torch.float64)
        box_planes[2 * axis + 1, [axis, 3]] = torch.tensor([-1.0, high[axis]], dtype=torch.float64)
    planes = torch.cat([torch.cat(unit_maps, 2).transpose(1, 2), box_planes.expand(len(patterns), 6, 4)], dim=1)
    corners = []
    for i, j in itertools.combinations(range(units + 6), 2):
        system = torch.stack([level, planes[:, i], planes[:, j]], dim=1)
        regular = torch.linalg.det(system[:, :, :3]).abs() > 1e-12
        x = torch.linalg.solve(system[regular][:, :, :3], -system[regular][:, :, 3:]).squeeze(2)
        values = torch.einsum("bki,bi->bk", planes[regular][:, :, :3], x) + planes[regular][:, :, 3]
        expected = torch.cat([patterns[regular], torch.ones(len(x), 6, dtype=torch.bool)], dim=1)
        consistent = (values > 0) == expected
        consistent[:, [i, j]] = True
        corners.append(x[consistent.all(1)])
    return np.unique(np.round(torch.cat(corners).numpy(), 8), axis=0)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(widths=st.sampled_from([(8,), (10,), (4, 4), (5, 4), (3, 3, 3)]), seed=st.integers(0, 10**6))
def test_corners_equal_a_brute_force_enumeration(widths: Any, seed: Any) -> None:
    network = random_network(widths, seed)
    # Where all units of a layer are inactive, the logit margin can be zero, up to rounding, in an entire region.
    points = 2 * torch.rand(1000, 3, generator=generator(seed, "points")).double() - 1
    assume(bool((read_piecewise_linear(network, torch.zeros(3), 1).logit_margin(points).abs() > 1e-8).all()))
    found = Exact(resolution=16).extract_polygons(Boundary(network), 1, *BOX)
    expected = brute_force_corners(network, *BOX)
    assert len(found.vertices) == len(expected)
    if len(expected):
        distances = np.abs(found.vertices[:, None] - expected[None]).max(2)
        assert distances.min(1).max() < 1e-7
        check_closed(network, 1, found)


def crossing_heights(found: PolygonComplex, x: float, y: float) -> np.ndarray:
    """Return the heights at which a vertical line meets the triangles."""
    mesh = found.to_mesh()
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces], 1, 0)
    u = b[:, :2] - a[:, :2]
    v = c[:, :2] - a[:, :2]
    w = np.array([x, y]) - a[:, :2]
    det = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    det = np.where(det == 0, np.nan, det)
    s = (w[:, 0] * v[:, 1] - w[:, 1] * v[:, 0]) / det
    t = (u[:, 0] * w[:, 1] - u[:, 1] * w[:, 0]) / det
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
    found = Exact().extract_polygons(Boundary(network), 1, *BOX)
    if len(found.corner_counts):
        check_closed(network, 1, found)
    net = read_piecewise_linear(network, torch.zeros(3), 1)
    heights = np.linspace(-1, 1, 401)
    for x, y in 2 * torch.rand(12, 2, generator=generator(seed, "lines")).double().numpy() - 1:
        line = np.stack([np.full(401, x), np.full(401, y), heights], axis=1)
        sign = net.logit_margin(torch.from_numpy(line)).numpy() > 0
        crossings = crossing_heights(found, x, y) if len(found.corner_counts) else np.zeros(0)
        near = (np.abs(heights[:, None] - crossings) < 1e-9).any(1)
        below = (crossings[None] < heights[:, None]).sum(1)
        expected = sign[0] ^ (below % 2 == 1)
        assert bool(((sign == expected) | near).all())


def test_of_more_than_two_classes_the_margin_over_the_largest_other_score_counts() -> None:
    network = random_network((16,), 5, classes=5)
    boundary = Boundary(network)
    found = Exact().extract_polygons(boundary, 2, (-4,) * 3, (4,) * 3)
    check_closed(network, 2, found)
    scores = network(torch.from_numpy(found.vertices).float()).detach()
    assert float((scores[:, 2] - scores[:, [0, 1, 3, 4]].amax(1)).abs().max()) < 1e-4


class Branches(nn.Module):
    """A network with shortcuts, maxima, and activations with slopes other than those of ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 8)
        self.second = nn.Linear(8, 8)
        self.third = nn.Linear(11, 6)
        self.last = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = nn.functional.leaky_relu(self.first(x), 0.2)
        hidden = hidden + nn.functional.hardtanh(self.second(hidden), -0.5, 1.0)
        pooled = nn.functional.max_pool1d(self.third(torch.cat([hidden, x], dim=1))[:, None], 2, 1)[:, 0]
        return self.last(nn.functional.pad(pooled, (0, 1)) - self.third.bias.abs())


@pytest.mark.parametrize("seed", range(4))
def test_shortcuts_and_maxima_have_exact_level_sets(seed: int) -> None:
    network = randomize_weights(Branches(), seed)
    with torch.no_grad():
        network.last.bias -= network(torch.zeros(1, 3).double())[0]
    found = Exact().extract_polygons(Boundary(network.float()), 1, *BOX)
    assert len(found.corner_counts) > 5
    check_closed(network, 1, found)
    scores = network.double()(torch.from_numpy(found.vertices))
    assert float((scores[:, 1] - scores[:, [0, 2]].amax(1)).abs().max()) < 1e-9
    dense = Dense(resolution=64).extract(Boundary(network.float()), 1, *BOX, CPU)
    assert found.areas.sum() == pytest.approx(dense.area, rel=0.02)


def test_a_curve_in_the_plane_has_its_class_on_the_left() -> None:
    network = random_network((32, 32), 1, inputs=2)
    curve = Exact().extract(Boundary(network), 1, (-2, -2), (2, 2), CPU)
    dense = Dense(resolution=512).extract(Boundary(network), 1, (-2, -2), (2, 2), CPU)
    assert len(curve.faces) > 0
    assert curve.area == pytest.approx(dense.area, rel=5e-3)
    net = read_piecewise_linear(network, torch.zeros(2), 1)
    start, end = np.moveaxis(curve.vertices[curve.faces], 1, 0)
    assert float(net.logit_margin(torch.from_numpy(start)).abs().max()) < 1e-10
    left = (start + end) / 2 + 1e-6 * (end - start)[:, ::-1] * [-1, 1]
    assert bool((net.logit_margin(torch.from_numpy(left)) > 0).all())


def test_a_slice_of_a_larger_network_has_a_complete_boundary() -> None:
    network = random_network((24, 24), 3, inputs=12)
    stream = generator(0, "section")
    affine_slice = AffineSlice.from_points(torch.randn(4, 12, generator=stream))
    boundary = restrict_to_slice(Boundary(network), affine_slice)
    found = Exact().extract_polygons(boundary, 1, (-5,) * 3, (5,) * 3)
    assert len(found.corner_counts) > 10
    assert found.num_open_edges == 0
    x = affine_slice(torch.from_numpy(found.vertices)).float()
    assert float(Boundary(network).logit_margin(x, torch.ones(len(x), dtype=torch.long)).abs().max()) < 1e-5


def test_errors_name_the_layer_the_polygons_or_the_dimension() -> None:
    smooth = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    assert not is_piecewise_linear(smooth, torch.zeros(3))
    with pytest.raises(ModelError, match="tanh is not piecewise linear"):
        Exact().extract_polygons(Boundary(smooth), 1, *BOX)
    with pytest.raises(ModelError, match="nothing is proven about the operation linalg_vector_norm"):
        Exact().extract_polygons(Boundary(lambda x: torch.stack([x.norm(dim=1), x[:, 0]], dim=1)), 1, *BOX)
    with pytest.raises(SceneError, match=r"levelset\.max_polygons is 3: the boundary has more polygons"):
        Exact(max_polygons=3).extract_polygons(Boundary(random_network((16, 16), 0)), 1, *BOX)
    with pytest.raises(SceneError, match="2 or 3 dimensions, not 4"):
        Exact().extract(Boundary(smooth), 1, (0,) * 4, (1,) * 4, CPU)
