"""The margin against boundaries whose distance is known."""

import pytest
import torch

from dimple.probes import Margin
from dimple.tensors import Box
from tests.oracles import ball, half_space, wedge

pytestmark = pytest.mark.usefixtures("double")


def gaussian(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("norm", "dual"), [("l2", 2.0), ("linf", 1.0)])
def test_half_space(norm: str, dual: float) -> None:
    normal, x = gaussian(12, seed=1), gaussian(60, 12)
    signed = (x @ normal - 0.3) / torch.linalg.vector_norm(normal, ord=dual)
    result = Margin(norm=norm)(half_space(normal, 0.3), x, torch.ones(60, dtype=torch.long))  # type: ignore[arg-type]
    assert (result.columns["margin"] - signed).abs().max() < 1e-6


def test_ball_from_inside_and_outside() -> None:
    x = gaussian(60, 5)
    result = Margin()(ball(2.0), x, torch.ones(60, dtype=torch.long))
    assert (result.columns["margin"] - (2 - x.norm(dim=1))).abs().max() < 1e-4


def test_the_nearer_of_two_rivals_is_found_though_the_other_scores_higher() -> None:
    result = Margin()(wedge(near=0.5, far=2.0), torch.zeros(1, 2), torch.tensor([0]))
    assert abs(float(result.columns["margin"]) - 0.5) < 1e-6
    assert int(result.columns["rival"]) == 1


def test_every_reported_point_is_misclassified_and_as_far_as_reported() -> None:
    boundary = ball()
    x = gaussian(40, 3)
    result = Margin()(boundary, x, torch.ones(40, dtype=torch.long))
    points = result.details["boundary_point"]
    assert bool((boundary.predict(points) != boundary.predict(x)).all())
    assert torch.allclose((points - x).norm(dim=1), result.columns["margin"].abs())


def test_without_a_boundary_the_margin_is_infinite_and_says_so() -> None:
    nowhere = half_space(torch.tensor([0.0, 0.0]), -1.0)
    result = Margin()(nowhere, gaussian(3, 2), torch.tensor([1, 1, 0]))
    assert result.columns["margin"].tolist() == [float("inf"), float("inf"), -float("inf")]
    assert not result.columns["margin_found"].any()


def test_the_box_is_kept() -> None:
    boundary = half_space(torch.tensor([1.0, 0.2]), 1.1, Box(0.0, 1.0))
    points = Margin()(boundary, torch.tensor([[0.5, 0.5]]), torch.tensor([0])).details["boundary_point"]
    assert bool(((points >= 0) & (points <= 1)).all())
    assert bool((boundary.predict(points) == 1).all())
