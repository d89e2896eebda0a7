"""What the boundary answers, and what it counts."""

import pytest
import torch

from dimple.boundary import Boundary
from dimple.errors import ShapeError
from tests.oracles import half_space

pytestmark = pytest.mark.usefixtures("double")


def test_the_gap_is_the_own_score_over_the_best_other() -> None:
    scores = torch.tensor([[1.0, 4.0, 2.5], [3.0, 3.0, 0.0]])
    boundary = Boundary(lambda x: scores)
    assert boundary.gap(torch.zeros(2, 1), torch.tensor([1, 0])).tolist() == [1.5, 0.0]
    assert boundary.gap(torch.zeros(2, 1), torch.tensor([0, 2])).tolist() == [-3.0, -3.0]


def test_the_gradient_of_a_half_space_is_its_normal() -> None:
    normal = torch.tensor([3.0, -1.0])
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    _, gradient = half_space(normal).gap_and_gradient(x, torch.ones(5, dtype=torch.long))
    assert torch.allclose(gradient, 2 * normal.expand(5, 2))


def test_passes_are_counted_in_samples() -> None:
    boundary = half_space(torch.ones(2))
    x, y = torch.ones(7, 2), torch.zeros(7, dtype=torch.long)
    boundary.gap(x, y)
    boundary.gap_and_gradient(x[:3], y[:3])
    assert (boundary.forwards, boundary.backwards) == (10, 3)


def test_one_score_is_refused_with_the_way_out() -> None:
    with pytest.raises(ShapeError, match="two_class"):
        Boundary(lambda x: x[:, :1]).scores(torch.zeros(2, 3))
