"""The speed of the boundary against formulas for half-spaces, and against the difference quotient."""

import math

import pytest
import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.errors import ModelError, ShapeError
from dimple.networks import MLP
from dimple.probes import (
    Margin,
    Speed,
    gradient_descent_direction,
    move_weights,
    random_direction,
    speed_sign_fractions,
    weight_difference,
)
from dimple.probes.weight_directions import directional_derivatives
from dimple.tensors import Box, generator
from tests.oracles import randomize_weights

pytestmark = pytest.mark.usefixtures("double")
ORDERS = {"l1": torch.inf, "l2": 2.0, "linf": 1.0}


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def half_space(normal: Tensor, level: float) -> nn.Linear:
    """Return a layer with class 1 where normal . x > level."""
    layer = nn.Linear(len(normal), 2).double().eval().requires_grad_(False)
    layer.weight.copy_(torch.stack([-normal, normal]))
    layer.bias.copy_(torch.tensor([level, -level]))
    return layer


def smooth_network() -> nn.Module:
    net = MLP(widths=(16, 16), activation="tanh", first_layer_weight_scale=2.0).build(3, generator(3, "network"))
    return net.double().eval().requires_grad_(False)


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_the_speed_of_a_half_space_equals_its_formula(norm: str) -> None:
    normal = gaussian(6, seed=1)
    turn = gaussian(6, seed=2)
    x = gaussian(40, 6)
    layer = half_space(normal, 0.3)
    y = torch.ones(40, dtype=torch.long)
    direction = {"weight": torch.stack([-turn, turn]), "bias": torch.tensor([0.7, -0.7])}
    probe = Speed(search=Margin(norm=norm, restarts=3), null_draws=0)  # type: ignore[arg-type]
    found = probe(Boundary(layer), x, y, direction).columns

    def margin(time: Tensor) -> Tensor:
        moving = normal + time * turn
        return (x @ moving - 0.3 - 0.7 * time) / torch.linalg.vector_norm(moving, ord=ORDERS[norm])

    exact = torch.autograd.functional.jacobian(margin, torch.tensor(0.0))
    torch.testing.assert_close(found["speed"], exact, rtol=1e-5, atol=1e-5)
    quotients = [
        (probe.finite_difference(Boundary(layer), x, y, direction, h) - exact).abs().median() for h in (2e-2, 1e-2)
    ]
    assert 1.8 < float(quotients[0] / quotients[1]) < 2.2


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_coordinates_at_a_bound_are_left_out_of_the_speed(norm: str) -> None:
    # The first coordinate is near a bound that the shortest step would cross.
    layer = half_space(torch.tensor([3.0, 1.0, 0.5]), 1.2)
    x = torch.tensor([[0.05, 0.9, 0.9]])
    y = torch.tensor([1])
    boundary = Boundary(layer, Box())
    direction = {"bias": torch.tensor([0.1, -0.1])}
    probe = Speed(search=Margin(norm=norm, max_passes=180.0, restarts=3), null_draws=0)  # type: ignore[arg-type]
    found = probe(boundary, x, y, direction).columns
    quotient = probe.finite_difference(boundary, x, y, direction, 1e-4)
    torch.testing.assert_close(found["speed"], quotient, rtol=1e-3, atol=0)
    free = Speed(search=Margin(norm=norm, restarts=1), null_draws=0)  # type: ignore[arg-type]
    free_speed = free(Boundary(layer), x, y, direction).columns["speed"]
    assert abs(float(found["speed"] / free_speed)) > 1.01


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_bounds_are_active_on_the_step_to_the_soft_boundary_of_a_misclassified_sample(norm: str) -> None:
    # The other two classes have equal scores everywhere: the soft boundary of class 0 is a plane.
    layer = nn.Linear(2, 3).double().eval().requires_grad_(False)
    layer.weight.copy_(torch.tensor([[2.0, 1.0], [0.0, 0.0], [0.0, 0.0]]))
    layer.bias.copy_(torch.tensor([-2.3, 0.0, 0.0]))
    # Two misclassified samples, and a correct one, whose step leads from the same bound into the box.
    x = torch.tensor([[0.9, 0.1], [0.95, 0.3], [0.95, 0.9]])
    y = torch.zeros(3, dtype=torch.long)
    boundary = Boundary(layer, Box())
    direction = {"bias": torch.tensor([0.3, 0.0, 0.0])}
    probe = Speed(search=Margin(norm=norm), beta=5.0, null_draws=0)  # type: ignore[arg-type]
    found = probe(boundary, x, y, direction).columns
    assert (found["margin"] > 0).tolist() == [False, False, True]
    quotient = probe.finite_difference(boundary, x, y, direction, 1e-3)
    torch.testing.assert_close(found["speed"], quotient, rtol=1e-3, atol=0)


@pytest.mark.parametrize("beta", [None, 5.0])
def test_the_difference_quotient_of_a_network_converges_in_first_order(beta: float | None) -> None:
    net = smooth_network()
    x = gaussian(16, 3)
    boundary = Boundary(net)
    y = (x[:, 0] > 0).long()
    direction = gradient_descent_direction(net, x, y)
    probe = Speed(search=Margin(max_passes=120.0, restarts=2), beta=beta, null_draws=9)
    found = probe(boundary, x, y, direction).columns
    good = found["margin_found"] & (found["stationarity_angle"] < 1e-2)
    assert int(good.sum()) > 6
    errors = []
    for h in (1e-3, 1e-4):
        quotient = probe.finite_difference(boundary, x, y, direction, h)[good]
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
    x = gaussian(12, 4)
    direction = {"bias": torch.ones(5)}
    boundary = Boundary(layer)
    y = boundary.predict(x)
    # The nearest of the planes between the predicted class and the other classes.
    logit_margins = boundary.scores(x).gather(1, y[:, None]) - boundary.scores(x)
    slopes = (layer.weight[y][:, None] - layer.weight).norm(dim=2)
    own = torch.nn.functional.one_hot(y, 5).bool()
    exact = (logit_margins / slopes).masked_fill(own, torch.inf).amin(1)
    for beta in (4.0, 16.0):
        columns = Speed(search=Margin(restarts=2), beta=beta, null_draws=0)(boundary, x, y, direction).columns
        max_difference = math.log(4) / beta / slopes.masked_fill(own, torch.inf).amin(1)
        found = columns["margin_found"]
        assert int(found.sum()) >= 10
        # It is above only by the error of the search.
        assert bool((columns["margin"] <= exact + 1e-2)[found].all())
        assert bool((columns["margin"] >= exact - max_difference - 1e-2)[found].all())
        # All scores change equally, so that the boundary does not move.
        assert float(columns["speed"][found].abs().max()) < 1e-9


def test_the_speed_does_not_depend_on_other_samples_or_their_order() -> None:
    net = smooth_network()
    x = gaussian(12, 3)
    y = (x[:, 1] > 0).long()
    boundary = Boundary(net)
    direction = gradient_descent_direction(net, x, y)
    probe = Speed(search=Margin(restarts=2), null_draws=3)
    full = probe(boundary, x, y, direction).columns
    parts = probe(boundary, x.flip(0), y.flip(0), direction, chunk_size=5).columns
    for name, values in full.items():
        torch.testing.assert_close(parts[name].flip(0), values, rtol=1e-6, atol=1e-6, equal_nan=True)


def test_changes_of_batch_norm_statistics_are_included() -> None:
    net = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 2))
    net = randomize_weights(net).train()
    net(gaussian(50, 3))
    before = net.eval().requires_grad_(False)
    after = move_weights(
        before, {name: gaussian(*value.shape, seed=4) * 0.1 for name, value in before.named_parameters()}, 1
    )
    after[1].running_var += 0.3  # type: ignore[index, operator]
    after[1].running_mean -= 0.2  # type: ignore[index, operator]
    direction = weight_difference(before, after)
    x = gaussian(10, 3)
    h = 1e-5

    def output(tensors: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(before, tensors, (x,))[:, 0]

    rates = directional_derivatives(output, before, [direction]).squeeze(1)
    central = (move_weights(before, direction, h)(x) - move_weights(before, direction, -h)(x))[:, 0] / (2 * h)
    torch.testing.assert_close(rates, central, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(move_weights(before, direction, 1.0)(x), after(x))


def test_a_random_direction_has_the_same_length_in_every_tensor() -> None:
    direction = {"a": gaussian(4, 5), "b": torch.zeros(3)}
    first, second = (random_direction(direction, 0, draw) for draw in (0, 1))
    assert all(torch.allclose(first[name].norm(), direction[name].norm()) for name in direction)
    assert not torch.allclose(first["a"], second["a"])


def test_fractions_of_signs_for_each_interval_of_the_margin() -> None:
    margin = torch.tensor([0.1, 0.1, 0.1, 0.6, 0.6, 2.0, 0.2])
    speed = torch.tensor([-1.0, -1.0, 1.0, 1.0, 1.0, -1.0, torch.nan])
    first, second, empty = speed_sign_fractions(margin, speed, [0.0, 0.5, 1.0, 1.5])
    assert (first["samples"], first["negative"], second["positive"]) == (3, pytest.approx(2 / 3), 1)
    assert first["negative_low"] < 0.5 < first["negative_high"]
    assert empty["samples"] == 0 and empty["negative"] != empty["negative"]
    with pytest.raises(ShapeError, match="increasing edges"):
        speed_sign_fractions(margin, speed, [1.0, 0.0])


def test_invalid_networks_and_directions_are_refused_with_a_remedy() -> None:
    x = torch.zeros(1, 2)
    y = torch.tensor([0])
    layer = nn.Linear(2, 2)
    with pytest.raises(ModelError, match=r"eval\(\)"):
        Speed()(Boundary(layer), x, y, {})
    with pytest.raises(ModelError, match=r"nn\.Module"):
        Speed()(Boundary(lambda x: x), x, y, {})
    with pytest.raises(ModelError, match="gradient_descent_direction or weight_difference"):
        Speed(search=Margin(restarts=1))(Boundary(layer.eval()), x, y, {"weight": torch.zeros(3)})
    with pytest.raises(ModelError, match="one network"):
        weight_difference(layer, nn.Linear(3, 2))
