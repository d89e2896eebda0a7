"""Exact margins against solids with known distances, against a dense grid, and against the search."""

import math
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dimple import measure
from dimple.boundary import Boundary
from dimple.errors import ModelError
from dimple.networks import MLP
from dimple.probes import ExactMargin, Margin
from dimple.tensors import Box, generator
from dimple.verification.branch_and_bound import smallest_l2_step, smallest_linf_step
from tests.oracles import half_space, randomize_weights

pytestmark = pytest.mark.usefixtures("double")


def octahedron(x: Tensor) -> Tensor:
    """Return scores of class 1 inside |x| + |y| + ... < 1."""
    return torch.stack([torch.zeros(len(x)), 1 - x.abs().sum(1)], dim=1)


def network(n: int, widths: tuple[int, ...], seed: int = 0, **settings: Any) -> nn.Sequential:
    net = MLP(widths=widths, first_layer_weight_scale=2.0, **settings).build(n, generator(seed, "network")).double()
    last = net[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.bias -= net(samples(n)).mean(0)
    return net.requires_grad_(False)


def samples(n: int, count: int = 12) -> Tensor:
    return torch.randn(count, n, generator=generator(1, "samples"))


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_the_margin_inside_an_octahedron_is_that_of_the_nearest_face(n: int) -> None:
    x = samples(n)
    x = 0.8 * x / x.abs().sum(1, keepdim=True) * torch.rand(len(x), 1, generator=generator(2, "depth"))
    depth = 1 - x.abs().sum(1)
    for kind, factor in (("l2", math.sqrt(n)), ("linf", n)):
        found = ExactMargin(norm=kind)(Boundary(octahedron), x, torch.ones(len(x), dtype=torch.long)).columns
        torch.testing.assert_close(found["margin_exact_upper"], depth / factor, rtol=1e-6, atol=0)
        torch.testing.assert_close(found["margin_exact_lower"], depth / factor, rtol=3e-6, atol=0)


def test_outside_an_octahedron_an_edge_or_a_vertex_may_be_nearest() -> None:
    x = torch.tensor([[3.0, 0.1, 0.0], [2.0, 2.0, 0.1], [1.0, 1.0, 1.0]])
    found = ExactMargin()(Boundary(octahedron), x, torch.zeros(3, dtype=torch.long)).columns["margin_exact_upper"]
    expected = torch.tensor([math.sqrt(4.01), math.sqrt(4.51), 2 / math.sqrt(3)])
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_bounds_and_signs() -> None:
    bounded = half_space(torch.tensor([1.0, 0.1]), level=1.08, bounds=Box())
    x = torch.tensor([[0.5, 0.5]])
    # Along the normal the bound x = 1 is reached first; then the second coordinate has to increase.
    expected = math.sqrt(0.5**2 + 0.3**2)
    for label, sign in ((0, 1.0), (1, -1.0)):
        found = ExactMargin()(bounded, x, torch.tensor([label])).columns["margin_exact_upper"]
        assert float(found) == pytest.approx(sign * expected, rel=1e-5)
    beyond = ExactMargin()(half_space(torch.ones(2), level=3.0, bounds=Box()), x, torch.tensor([0])).columns
    assert float(beyond["margin_exact_upper"]) == torch.inf == float(beyond["margin_exact_lower"])


@pytest.mark.parametrize("widths", [(8,), (16, 16), (12, 8, 8)])
def test_a_dense_grid_of_the_plane_has_no_nearer_point(widths: tuple[int, ...]) -> None:
    net = network(2, widths)
    x = samples(2)
    axis = torch.linspace(-6, 6, 1201)
    points = torch.cartesian_prod(axis, axis)
    classes = net(points).argmax(1)
    boundary = Boundary(net)
    found = ExactMargin()(boundary, x, boundary.predict(x)).columns
    spacing = 0.01 * math.sqrt(2)
    for row, predicted in enumerate(boundary.predict(x)):
        nearest = float((points[classes != predicted] - x[row]).norm(dim=1).min())
        assert float(found["margin_exact_upper"][row]) <= nearest + 1e-9
        assert nearest <= float(found["margin_exact_upper"][row]) + spacing or nearest > 4
    torch.testing.assert_close(found["margin_exact_lower"], found["margin_exact_upper"], rtol=3e-6, atol=0)


@pytest.mark.parametrize(("kind", "farther"), [("l2", 0.01), ("linf", 0.02)])
def test_the_search_is_never_closer_and_rarely_farther(kind: str, farther: float) -> None:
    boundary = Boundary(network(3, (12, 12)))
    x = samples(3)
    y = boundary.predict(x)
    found = Margin(norm=kind, max_passes=800.0)(boundary, x, y).columns["margin"]
    exact = ExactMargin(norm=kind)(boundary, x, y).columns["margin_exact_upper"]
    assert bool((exact <= found * (1 + 3e-6)).all())
    assert float((found <= (1 + farther) * exact).double().mean()) >= 0.95


def test_three_classes_and_clipped_units() -> None:
    net = nn.Sequential(nn.Linear(3, 10), nn.Hardtanh(), nn.Linear(10, 6), nn.ReLU(), nn.Linear(6, 3))
    boundary = Boundary(randomize_weights(net))
    x = samples(3, 2)
    y = boundary.predict(x)
    found = Margin(max_passes=1300.0)(boundary, x, y).columns["margin"]
    result = ExactMargin(nodes=20_000)(boundary, x, y).columns
    closed = result["margin_exact_lower"] >= result["margin_exact_upper"] * (1 - 3e-6)
    assert bool((result["margin_exact_upper"] <= found * (1 + 1e-9))[torch.isfinite(found)].all())
    assert bool((closed | torch.isinf(found)).all())


def test_the_exact_margin_is_given_only_where_the_bounds_meet() -> None:
    boundary = Boundary(network(4, (16, 16)))
    x = samples(4, 6)
    y = boundary.predict(x)
    full = ExactMargin(nodes=20_000)(boundary, x, y).columns
    assert bool(full["margin_exact_found"].all())
    for probe in (ExactMargin(nodes=60), ExactMargin(seconds=1e-9)):
        found = probe(boundary, x, y).columns
        proven = found["margin_exact_found"]
        assert not bool(proven.all())
        assert torch.equal(proven, found["margin_exact_lower"] >= found["margin_exact_upper"] * (1 - 1e-6))
        assert bool((found["margin_exact"].isnan() == ~proven).all())
        torch.testing.assert_close(found["margin_exact"][proven], full["margin_exact"][proven], rtol=2e-6, atol=0)
    found = measure(boundary.model.eval(), x, y, [ExactMargin(nodes=60)], bounds=None)
    assert f"proven for {int(found['margin_exact_found'].values.sum())} of 6" in found.summary()


def test_an_incomplete_search_returns_its_proven_lower_bound() -> None:
    boundary = Boundary(network(12, (24, 24)))
    x = samples(12, 2)
    y = boundary.predict(x)
    bounds = []
    for nodes in (1, 20, 100):
        found = ExactMargin(nodes=nodes)(boundary, x, y).columns
        assert bool((found["margin_exact_lower"] <= found["margin_exact_upper"]).all())
        bounds.append(found["margin_exact_lower"])
    assert bool((bounds[2] >= bounds[1]).all() and (bounds[1] >= bounds[0]).all())


def test_a_smooth_network_has_no_exact_margin() -> None:
    smooth = MLP(widths=(8,), activation="tanh").build(2, generator(0, "network")).double()
    with pytest.raises(ModelError, match="ReLU type"):
        ExactMargin()(Boundary(smooth), samples(2), torch.zeros(12, dtype=torch.long))


def euclidean(z: Any) -> Any:
    return z[:3] @ z[:3]


def highest(z: Any) -> Any:
    return z[3]


@pytest.mark.parametrize("solve", [smallest_l2_step, smallest_linf_step])
def test_a_step_that_nothing_limits_is_zero(solve: Any) -> None:
    free = np.full(3, np.inf)
    for rows in (np.zeros((0, 3)), np.zeros((2, 3))):
        step, length = solve(rows, np.ones(len(rows)), -free, free, 2.0)
        assert length == 0 and not step.any()
    _, length = solve(np.zeros((1, 3)), -np.ones(1), -free, free, 2.0)
    assert length == np.inf


@pytest.mark.parametrize("solve", [smallest_l2_step, smallest_linf_step])
def test_smallest_steps_against_a_general_solver(solve: Any) -> None:
    from scipy.optimize import LinearConstraint, minimize

    stream = generator(3, "half-spaces")
    order = 2 if solve is smallest_l2_step else np.inf
    for _ in range(10):
        rows = torch.randn(4, 3, generator=stream).numpy()
        level = -torch.rand(4, generator=stream).numpy() * [1, 0, 0, 0]
        step, length = solve(rows, level, -np.full(3, 5.0), np.full(3, 5.0), 8.0)
        if not np.isfinite(length):
            continue
        assert (rows @ step <= level + 1e-7).all()
        assert np.linalg.norm(step, order) == pytest.approx(length, rel=1e-6)
        # With the largest coordinate as an additional variable both problems are smooth.
        limits = [LinearConstraint(np.c_[rows, np.zeros(4)], ub=level)]
        if order == np.inf:
            limits.append(LinearConstraint(np.r_[np.eye(3, 4), -np.eye(3, 4)] - np.eye(4)[3], ub=np.zeros(6)))
        goal = minimize(
            euclidean if order == 2 else highest,
            np.append(step + 0.1, 5.0),
            constraints=limits,
            method="SLSQP",
        )
        assert length <= np.linalg.norm(goal.x[:3], order) * (1 + 1e-4)


@pytest.mark.parametrize("kind", ["l2", "linf"])
def test_the_proven_bound_is_below_the_margin_of_a_half_space_within_bounds(kind: Literal["l2", "linf"]) -> None:
    """The shortest step is a multiple of the normal, or of its signs, clamped to the bounds."""
    weight = torch.randn(5, generator=generator(0, "weight"))
    box = Box(*(sign * (0.1 + torch.rand(5, generator=generator(sign, "bounds"))) for sign in (-1, 1)))
    x = box.clamp(torch.randn(30, 5, generator=generator(1, "samples")))
    level = x @ weight
    direction = -level.sign()[:, None] * (weight if kind == "l2" else weight.sign())
    low, high = torch.zeros(30, 1), torch.full((30, 1), 1e4)
    for _ in range(200):
        middle = (low + high) / 2
        is_short = ((box.clamp(x + middle * direction) @ weight).sign() == level.sign())[:, None]
        low, high = torch.where(is_short, middle, low), torch.where(is_short, high, middle)
    margin = torch.linalg.vector_norm(box.clamp(x + high * direction) - x, ord=2 if kind == "l2" else math.inf, dim=1)
    boundary = Boundary(lambda x: torch.stack([x @ weight, -(x @ weight)], dim=1), box)
    found = ExactMargin(norm=kind)(boundary, x, boundary.predict(x)).columns
    assert bool((found["margin_exact_lower"] <= margin * (1 + 1e-12)).all())
    torch.testing.assert_close(found["margin_exact_lower"], margin, rtol=2e-6, atol=0)
    assert bool((found["margin_exact_upper"] >= margin * (1 - 1e-8)).all())
