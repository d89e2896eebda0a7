"""Landing: on the boundary, on its far side, wherever the segment began."""

import pytest
import torch

from dimple.boundary.root_finding import land
from tests.oracles import ball, half_space

pytestmark = pytest.mark.usefixtures("double")


def segments(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    stream = torch.Generator().manual_seed(1)
    inside = torch.randn(count, 3, generator=stream)
    inside = 0.9 * inside / inside.norm(dim=1, keepdim=True) * torch.rand(count, 1, generator=stream)
    outside = torch.randn(count, 3, generator=stream)
    return inside, 3 * outside / outside.norm(dim=1, keepdim=True)


def test_a_flat_boundary_is_landed_on_in_one_step() -> None:
    boundary = half_space(torch.tensor([1.0, 0.0, 0.0]))
    inside, outside = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[-3.0, 0.0, 0.0]])
    points, fraction, gap = land(boundary, inside, outside, torch.tensor([1]))
    assert abs(float(fraction) - 0.25) < 1e-9
    assert float(gap) <= 0
    assert torch.allclose(points, torch.tensor([[0.0, 1.5, 0.0]]), atol=1e-8)
    assert boundary.forwards == 3


def test_a_curved_boundary_is_landed_on_from_its_far_side() -> None:
    boundary = ball()
    inside, outside = segments(200)
    points, _, gap = land(boundary, inside, outside, torch.ones(200, dtype=torch.long))
    assert (points.norm(dim=1) - 1).abs().max() < 1e-8
    assert bool((gap <= 0).all()) and bool((boundary.predict(points) == 0).all())


def test_a_segment_that_does_not_cross_comes_back_with_its_positive_gap() -> None:
    inside, outside = torch.tensor([[0.1, 0.0, 0.0]]), torch.tensor([[0.5, 0.0, 0.0]])
    points, fraction, gap = land(ball(), inside, outside, torch.tensor([1]))
    assert torch.equal(points, outside)
    assert float(fraction) == 1.0 and float(gap) > 0


def test_rows_do_not_depend_on_their_batch_mates() -> None:
    inside, outside = segments(50)
    y = torch.ones(50, dtype=torch.long)
    together = land(ball(), inside, outside, y)[0]
    alone = torch.cat([land(ball(), inside[i : i + 1], outside[i : i + 1], y[:1])[0] for i in range(50)])
    assert torch.allclose(together, alone, rtol=0, atol=1e-12)
