"""The speed of the boundary against half-spaces that know theirs, and against the difference quotient."""

import math

import pytest
import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.errors import ModelError, ShapeError
from dimple.networks import MLP
from dimple.probes import Margin, Speed, descent, difference, moved, random_direction, speed_shares
from dimple.probes.weight_directions import rates_along
from dimple.tensors import Box, generator
from tests.oracles import drawn

pytestmark = pytest.mark.usefixtures("double")
ORDERS = {"l1": torch.inf, "l2": 2.0, "linf": 1.0}


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def half_space(normal: Tensor, level: float) -> nn.Linear:
    """Class 1 where normal . x > level, as a layer whose weights can move."""
    layer = nn.Linear(len(normal), 2).double().eval().requires_grad_(False)
    layer.weight.copy_(torch.stack([-normal, normal]))
    layer.bias.copy_(torch.tensor([level, -level]))
    return layer


def smooth_network() -> nn.Module:
    net = MLP(widths=(16, 16), activation="tanh", input_scale=2.0).build(3, generator(3, "network"))
    return net.double().eval().requires_grad_(False)


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_a_half_space_moves_as_its_formula_says(norm: str) -> None:
    normal, turn, x = gaussian(6, seed=1), gaussian(6, seed=2), gaussian(40, 6)
    layer, y = half_space(normal, 0.3), torch.ones(40, dtype=torch.long)
    direction = {"weight": torch.stack([-turn, turn]), "bias": torch.tensor([0.7, -0.7])}
    probe = Speed(search=Margin(norm=norm, starts=3), draws=0)  # type: ignore[arg-type]
    found = probe(Boundary(layer), x, y, direction).columns

    def margin(time: Tensor) -> Tensor:
        moving = normal + time * turn
        return (x @ moving - 0.3 - 0.7 * time) / torch.linalg.vector_norm(moving, ord=ORDERS[norm])

    exact = torch.autograd.functional.jacobian(margin, torch.tensor(0.0))
    torch.testing.assert_close(found["speed"], exact, rtol=1e-5, atol=1e-5)
    quotients = [
        (probe.by_difference(Boundary(layer), x, y, direction, h) - exact).abs().median() for h in (2e-2, 1e-2)
    ]
    assert 1.8 < float(quotients[0] / quotients[1]) < 2.2


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_a_box_that_holds_coordinates_leaves_the_others_to_move(norm: str) -> None:
    # The first coordinate is near a wall that the shortest way would cross.
    layer = half_space(torch.tensor([3.0, 1.0, 0.5]), 1.2)
    x, y = torch.tensor([[0.05, 0.9, 0.9]]), torch.tensor([1])
    boundary, direction = Boundary(layer, Box()), {"bias": torch.tensor([0.1, -0.1])}
    probe = Speed(search=Margin(norm=norm, budget=60.0, starts=3), draws=0)  # type: ignore[arg-type]
    found = probe(boundary, x, y, direction).columns
    quotient = probe.by_difference(boundary, x, y, direction, 1e-4)
    torch.testing.assert_close(found["speed"], quotient, rtol=1e-3, atol=0)
    free = Speed(search=Margin(norm=norm, starts=1), draws=0)(Boundary(layer), x, y, direction).columns  # type: ignore[arg-type]
    assert abs(float(found["speed"] / free["speed"])) > 1.01


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_walls_hold_what_the_way_to_the_soft_boundary_of_a_wrong_sample_runs_into(norm: str) -> None:
    # Class 0 against two that are equal everywhere: its soft boundary is a plane.
    layer = nn.Linear(2, 3).double().eval().requires_grad_(False)
    layer.weight.copy_(torch.tensor([[2.0, 1.0], [0.0, 0.0], [0.0, 0.0]]))
    layer.bias.copy_(torch.tensor([-2.3, 0.0, 0.0]))
    # Wrong ones, and one that is right: its way leads from the same wall into the box.
    x, y = torch.tensor([[0.9, 0.1], [0.95, 0.3], [0.95, 0.9]]), torch.zeros(3, dtype=torch.long)
    boundary, direction = Boundary(layer, Box()), {"bias": torch.tensor([0.3, 0.0, 0.0])}
    probe = Speed(search=Margin(norm=norm), beta=5.0, draws=0)  # type: ignore[arg-type]
    found = probe(boundary, x, y, direction).columns
    assert (found["margin"] > 0).tolist() == [False, False, True]
    quotient = probe.by_difference(boundary, x, y, direction, 1e-3)
    torch.testing.assert_close(found["speed"], quotient, rtol=1e-3, atol=0)


@pytest.mark.parametrize("beta", [None, 5.0])
def test_the_difference_quotient_of_a_network_approaches_the_speed_in_first_order(beta: float | None) -> None:
    net, x = smooth_network(), gaussian(16, 3)
    boundary = Boundary(net)
    y = (x[:, 0] > 0).long()
    direction = descent(net, x, y)
    probe = Speed(search=Margin(budget=120.0, starts=2), beta=beta, draws=9)
    found = probe(boundary, x, y, direction).columns
    good = found["margin_found"] & (found["margin_residual"] < 1e-2)
    assert int(good.sum()) > 6
    errors = []
    for h in (1e-3, 1e-4):
        quotient = probe.by_difference(boundary, x, y, direction, h)[good]
        errors.append((quotient - found["speed"][good]).abs().median())
        assert float((quotient.sign() == found["speed"][good].sign()).double().mean()) > 0.95
    assert 6 < float(errors[0] / errors[1]) < 16
    # A step of training moves the boundary faster than a random one of the same length.
    random = torch.maximum(found["speed_null_high"].abs(), found["speed_null_low"].abs())
    assert bool(found["speed"][good].abs().median() > random[good].median())


def test_the_soft_margin_lies_below_the_exact_one_by_at_most_its_formula() -> None:
    layer = nn.Linear(4, 5).double().eval().requires_grad_(False)
    layer.weight.copy_(gaussian(5, 4, seed=1))
    layer.bias.copy_(gaussian(5, seed=2))
    x, direction = gaussian(12, 4), {"bias": torch.ones(5)}
    boundary = Boundary(layer)
    y = boundary.predict(x)
    # The nearest of the planes between the predicted class and each other one.
    gaps = boundary.scores(x).gather(1, y[:, None]) - boundary.scores(x)
    slopes = (layer.weight[y][:, None] - layer.weight).norm(dim=2)
    own = torch.nn.functional.one_hot(y, 5).bool()
    exact = (gaps / slopes).masked_fill(own, torch.inf).amin(1)
    for beta in (4.0, 16.0):
        columns = Speed(search=Margin(starts=2), beta=beta, draws=0)(boundary, x, y, direction).columns
        most = math.log(4) / beta / slopes.masked_fill(own, torch.inf).amin(1)
        found = columns["margin_found"]
        assert int(found.sum()) >= 10
        # Above it only by what the search leaves.
        assert bool((columns["margin"] <= exact + 1e-2)[found].all())
        assert bool((columns["margin"] >= exact - most - 1e-2)[found].all())
        # All scores move alike, so nothing moves.
        assert float(columns["speed"][found].abs().max()) < 1e-9


def test_the_speed_does_not_depend_on_batch_mates_or_the_order() -> None:
    net, x = smooth_network(), gaussian(12, 3)
    y, boundary = (x[:, 1] > 0).long(), Boundary(net)
    direction = descent(net, x, y)
    probe = Speed(search=Margin(starts=2), draws=3)
    whole = probe(boundary, x, y, direction).columns
    parts = probe(boundary, x.flip(0), y.flip(0), direction, chunk=5).columns
    for name, values in whole.items():
        torch.testing.assert_close(parts[name].flip(0), values, rtol=1e-6, atol=1e-6, equal_nan=True)


def test_moving_statistics_of_batch_norm_count_as_autograd_cannot_see() -> None:
    net = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 2))
    net = drawn(net).train()
    net(gaussian(50, 3))
    before = net.eval().requires_grad_(False)
    after = moved(before, {name: gaussian(*value.shape, seed=4) * 0.1 for name, value in before.named_parameters()}, 1)
    after[1].running_var += 0.3  # type: ignore[index, operator]
    after[1].running_mean -= 0.2  # type: ignore[index, operator]
    direction, x, h = difference(before, after), gaussian(10, 3), 1e-5

    def output(tensors: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(before, tensors, (x,))[:, 0]

    rates = rates_along(output, before, [direction]).squeeze(1)
    central = (moved(before, direction, h)(x) - moved(before, direction, -h)(x))[:, 0] / (2 * h)
    torch.testing.assert_close(rates, central, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(moved(before, direction, 1.0)(x), after(x))


def test_a_random_direction_is_as_long_in_every_tensor_and_its_own() -> None:
    direction = {"a": gaussian(4, 5), "b": torch.zeros(3)}
    first, second = (random_direction(direction, 0, draw) for draw in (0, 1))
    assert all(torch.allclose(first[name].norm(), direction[name].norm()) for name in direction)
    assert not torch.allclose(first["a"], second["a"])


def test_shares_of_signs_for_each_interval_of_the_margin() -> None:
    margin = torch.tensor([0.1, 0.1, 0.1, 0.6, 0.6, 2.0, 0.2])
    speed = torch.tensor([-1.0, -1.0, 1.0, 1.0, 1.0, -1.0, torch.nan])
    first, second, empty = speed_shares(margin, speed, [0.0, 0.5, 1.0, 1.5])
    assert (first["samples"], first["negative"], second["positive"]) == (3, pytest.approx(2 / 3), 1)
    assert first["negative_low"] < 0.5 < first["negative_high"]
    assert empty["samples"] == 0 and empty["negative"] != empty["negative"]
    with pytest.raises(ShapeError, match="rising edges"):
        speed_shares(margin, speed, [1.0, 0.0])


def test_what_cannot_move_is_refused_with_the_way_out() -> None:
    x, y, layer = torch.zeros(1, 2), torch.tensor([0]), nn.Linear(2, 2)
    with pytest.raises(ModelError, match=r"eval\(\)"):
        Speed()(Boundary(layer), x, y, {})
    with pytest.raises(ModelError, match=r"nn\.Module"):
        Speed()(Boundary(lambda x: x), x, y, {})
    with pytest.raises(ModelError, match="descent or difference"):
        Speed(search=Margin(starts=1))(Boundary(layer.eval()), x, y, {"weight": torch.zeros(3)})
    with pytest.raises(ModelError, match="one network"):
        difference(layer, nn.Linear(3, 2))
