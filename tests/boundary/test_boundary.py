"""Values, gradients and pass counts of `Boundary`."""

import math
from typing import Any

import pytest
import torch

from dimple.boundary import Boundary
from dimple.errors import ShapeError, UsageError
from dimple.tensors import Box
from tests.oracles import half_space

pytestmark = pytest.mark.usefixtures("double")


def test_logit_margin_is_own_score_minus_best_other_score() -> None:
    scores = torch.tensor([[1.0, 4.0, 2.5], [3.0, 3.0, 0.0]])
    boundary = Boundary(lambda x: scores)
    assert boundary.logit_margin(torch.zeros(2, 1), torch.tensor([1, 0])).tolist() == [1.5, 0.0]
    assert boundary.logit_margin(torch.zeros(2, 1), torch.tensor([0, 2])).tolist() == [-3.0, -3.0]


def test_gradient_of_half_space_is_its_normal() -> None:
    normal = torch.tensor([3.0, -1.0])
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    _, gradient = half_space(normal).logit_margin_and_gradient(x, torch.ones(5, dtype=torch.long))
    assert torch.allclose(gradient, 2 * normal.expand(5, 2))


def test_passes_are_counted_in_samples() -> None:
    boundary = half_space(torch.ones(2))
    x = torch.ones(7, 2)
    y = torch.zeros(7, dtype=torch.long)
    boundary.logit_margin(x, y)
    boundary.logit_margin_and_gradient(x[:3], y[:3])
    assert (boundary.forwards, boundary.backwards) == (10, 3)


def test_two_numbers_are_bounds() -> None:
    assert Boundary(lambda x: x, (-1, 2.5)).bounds == Box(-1.0, 2.5)
    assert Boundary(lambda x: x).bounds is None


@pytest.mark.parametrize("bounds", [1, (0,), (0, 1, 2), ("low", "high"), (0, math.inf)])
def test_other_bounds_are_refused(bounds: Any) -> None:
    with pytest.raises(
        UsageError,
        match=r"give two numbers such as \(0, 1\)|give a number or an array|bounds=None for the full space",
    ):
        Boundary(lambda x: x, bounds)


def test_single_score_is_refused_with_a_way_out() -> None:
    with pytest.raises(ShapeError, match="add_second_logit"):
        Boundary(lambda x: x[:, :1]).scores(torch.zeros(2, 3))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda x: (x, x), "returned a tuple; scores are a tensor"),
        (lambda x: {"logits": x}, "returned a dict"),
        (lambda x: x.long(), "returned torch.int64; scores are a tensor of real numbers"),
    ],
)
def test_an_output_that_is_no_tensor_of_real_numbers_is_refused(output: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Boundary(output).scores(torch.zeros(3, 2))
