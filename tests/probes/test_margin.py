"""The margin against boundaries whose distance is known."""

import math

import pytest
import torch

from dimple.boundary import Boundary
from dimple.errors import ShapeError
from dimple.probes import Margin
from dimple.tensors import Box
from tests.oracles import ball, half_space, wedge

pytestmark = pytest.mark.usefixtures("double")


def gaussian(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("norm", "dual"), [("l1", torch.inf), ("l2", 2.0), ("linf", 1.0)])
def test_half_space(norm: str, dual: float) -> None:
    normal = gaussian(12, seed=1)
    x = gaussian(60, 12)
    signed = (x @ normal - 0.3) / torch.linalg.vector_norm(normal, ord=dual)
    result = Margin(norm=norm)(half_space(normal, 0.3), x, torch.ones(60, dtype=torch.long))  # type: ignore[arg-type]
    assert (result.columns["margin"] - signed).abs().max() < 1e-6


def test_ball_from_inside_and_outside() -> None:
    x = gaussian(60, 5)
    result = Margin()(ball(2.0), x, torch.ones(60, dtype=torch.long))
    assert (result.columns["margin"] - (2 - x.norm(dim=1))).abs().max() < 1e-4


def test_the_nearer_of_two_classes_is_found_although_the_other_has_a_higher_score() -> None:
    result = Margin()(wedge(near=0.5, far=2.0), torch.zeros(1, 2), torch.tensor([0]))
    assert abs(float(result.columns["margin"]) - 0.5) < 1e-6
    assert int(result.columns["adversarial_class"]) == 1


def test_every_boundary_point_is_misclassified_at_the_reported_distance() -> None:
    boundary = ball()
    x = gaussian(40, 3)
    result = Margin()(boundary, x, torch.ones(40, dtype=torch.long))
    points = result.details["boundary_point"]
    assert bool((boundary.predict(points) != boundary.predict(x)).all())
    assert torch.allclose((points - x).norm(dim=1), result.columns["margin"].abs())


def test_without_a_boundary_the_margin_is_infinite_and_not_found() -> None:
    nowhere = half_space(torch.tensor([0.0, 0.0]), -1.0)
    result = Margin()(nowhere, gaussian(3, 2), torch.tensor([1, 1, 0]))
    assert result.columns["margin"].tolist() == [float("inf"), float("inf"), -float("inf")]
    assert not result.columns["margin_found"].any()


def test_boundary_points_stay_within_the_bounds() -> None:
    boundary = half_space(torch.tensor([1.0, 0.2]), 1.1, Box(0.0, 1.0))
    points = Margin()(boundary, torch.tensor([[0.5, 0.5]]), torch.tensor([0])).details["boundary_point"]
    assert bool(((points >= 0) & (points <= 1)).all())
    assert bool((boundary.predict(points) == 1).all())


@pytest.mark.parametrize("kind", ["l1", "l2", "linf"])
def test_the_stationarity_angle_at_a_half_space_is_zero(kind: str) -> None:
    normal = gaussian(12, seed=1)
    x = gaussian(20, 12)
    result = Margin(norm=kind)(half_space(normal, 0.3), x, torch.ones(20, dtype=torch.long))  # type: ignore[arg-type]
    assert float(result.columns["stationarity_angle"].max()) < 1e-3
    assert not result.columns["margin_multiple_minima"].any() and not result.columns["margin_status"].any()
    unit = normal / normal.norm() * torch.where(x @ normal > 0.3, 1.0, -1.0)[:, None]
    torch.testing.assert_close(result.details["boundary_normal"], unit)


def test_the_stationarity_angle_of_a_first_crossing_is_the_angle_to_the_normal() -> None:
    x = torch.tensor([[0.5, 0.0], [0.3, 0.2]])
    slanted = Boundary(lambda z: torch.stack([z[:, 0] - 1 + z[:, 1] ** 2, 1 - z[:, 0] - z[:, 1] ** 2], dim=1))
    result = Margin(method="deepfool")(slanted, x, torch.ones(2, dtype=torch.long))
    step = result.details["boundary_point"] - x
    normal = result.details["boundary_normal"]
    angle = torch.rad2deg(torch.acos(-(step * normal).sum(1) / step.norm(dim=1)))
    torch.testing.assert_close(result.columns["stationarity_angle"], angle, rtol=1e-6, atol=1e-5)


def test_coordinates_at_a_bound_are_left_out_of_the_stationarity_angle() -> None:
    boundary = half_space(torch.tensor([1.0, 0.2]), 1.1, Box(0.0, 1.0))
    result = Margin()(boundary, torch.tensor([[0.2, 0.1]]), torch.tensor([0]))
    assert float(result.columns["stationarity_angle"]) < 1.0


@pytest.mark.parametrize("kind", ["l2", "linf"])
def test_coordinates_close_to_their_bounds_count_as_active(kind: str) -> None:
    normal = gaussian(20, seed=1)
    x = torch.rand(30, 20, generator=torch.Generator().manual_seed(0))
    x = torch.where(x < 0.4, 0.0, x**2)
    boundary = half_space(normal, 0.4 * float(normal.sum()), Box(0.0, 1.0))
    y = boundary.predict(x)
    found = Margin(norm=kind, max_passes=20, restarts=1)(boundary, x, y).columns  # type: ignore[arg-type]
    height = x @ normal - 0.4 * normal.sum()
    # The multiplier by bisection: each coordinate moves in proportion to its rate, up to its bound.
    limit = torch.where(normal * height[:, None] > 0, x, 1 - x)
    rate = normal.abs() if kind == "l2" else torch.ones(20)
    low = torch.zeros(30)
    high = torch.full((30,), 10.0)
    for _ in range(60):
        middle = (low + high) / 2
        short = torch.minimum(middle[:, None] * rate, limit) @ normal.abs() < height.abs()
        low = torch.where(short, middle, low)
        high = torch.where(short, high, middle)
    order = 2.0 if kind == "l2" else torch.inf
    exact = torch.linalg.vector_norm(torch.minimum(high[:, None] * rate, limit), ord=order, dim=1)
    torch.testing.assert_close(found["margin"], exact, rtol=1e-2, atol=0)
    assert float(found["stationarity_angle"].max()) < 1.0


@pytest.mark.parametrize("kind", ["l1", "l2", "linf"])
def test_the_margin_to_each_class_and_to_a_chosen_class(kind: str) -> None:
    corner = wedge(near=0.5, far=2.0)
    x = torch.tensor([[0.0, 0.0], [-1.5, 0.3], [0.8, 0.0]])
    y = torch.tensor([0, 0, 1])
    each = Margin(norm=kind, max_passes=100.0, adversarial_class="each")(corner, x, y)  # type: ignore[arg-type]
    # Class 2 wins left of x1 = -2 and class 1 right of x1 = .5, each exactly.
    exact = torch.tensor([[torch.inf, 0.5, 2.0], [torch.inf, 2.0, 0.5], [0.3, torch.inf, 2.8]])
    torch.testing.assert_close(each.details["margin_by_class"], exact)
    torch.testing.assert_close(each.columns["margin"], exact.min(dim=1).values)
    assert each.columns["adversarial_class"].tolist() == [1, 2, 0]
    second = Margin(norm=kind, adversarial_class=2)(corner, x, y)  # type: ignore[arg-type]
    torch.testing.assert_close(second.columns["margin"], exact[:, 2])
    assert bool((corner.predict(second.details["boundary_point"] - torch.tensor([1e-6, 0.0])) == 2).all())
    own = Margin(norm=kind, adversarial_class=0)(corner, x, y)  # type: ignore[arg-type]
    assert own.columns["margin_found"].tolist() == [False, False, True]


@pytest.mark.parametrize("method", ["closest", "deepfool", "fab", "lbfgs", "pgd"])
def test_samples_of_the_target_class_have_no_crossing_towards_it(method: str) -> None:
    x = torch.tensor([[0.0, 0.5], [0.1, 0.5]])
    y = torch.tensor([0, 1])
    boundary = half_space(torch.tensor([1.0, 0.0]), 2.0)
    toward = Margin(method=method, max_passes=100, adversarial_class=0)(boundary, x, y)  # type: ignore[arg-type]
    assert toward.columns["margin"].tolist() == [math.inf, -math.inf] and toward.columns["margin_status"].tolist() == [
        2,
        2,
    ]
    each = Margin(method=method, max_passes=100, adversarial_class="each")(
        half_space(torch.tensor([1.0, 0.0]), 2.0), x, y
    )  # type: ignore[arg-type]
    torch.testing.assert_close(each.details["margin_by_class"][:, 1], torch.tensor([2.0, 1.9]), atol=1e-3, rtol=0)
    assert each.details["margin_by_class"][:, 0].tolist() == [math.inf, math.inf]


@pytest.mark.parametrize("kind", ["l1", "l2", "linf"])
def test_a_sample_on_the_boundary_has_margin_and_angle_zero(kind: str) -> None:
    boundary = half_space(torch.tensor([1.0, 0.0]), 0.0)
    found = Margin(norm=kind)(boundary, torch.zeros(1, 2), torch.tensor([0])).columns  # type: ignore[arg-type]
    assert float(found["margin"]) == 0 and float(found["stationarity_angle"]) == 0


def test_a_missing_class_is_refused() -> None:
    with pytest.raises(ShapeError, match="classes 0 to 2"):
        Margin(adversarial_class=3)(wedge(near=0.5, far=2.0), torch.zeros(1, 2), torch.tensor([0]))


@pytest.mark.parametrize("method", ["closest", "deepfool"])
def test_scores_below_the_normal_numbers_are_not_taken_for_ties(method: str) -> None:
    x = torch.tensor([[0.5, 0.25], [-0.125, 0.75]], dtype=torch.float32)
    result = Margin(method=method)(Boundary(lambda z: 2.0**-130 * torch.stack([z[:, 0], -z[:, 0]], 1)), x, x.argmin(1))
    torch.testing.assert_close(result.columns["margin"].abs(), x[:, 0].abs(), rtol=1e-3, atol=0)
