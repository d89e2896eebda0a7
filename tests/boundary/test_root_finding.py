"""Refinement to the boundary: points on the boundary and on its far side, from any segment."""

import pytest
import torch

from dimple.boundary.root_finding import find_roots, refine_to_boundary
from tests.oracles import ball, half_space

pytestmark = pytest.mark.usefixtures("double")


def make_segments(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    stream = torch.Generator().manual_seed(1)
    inside = torch.randn(count, 3, generator=stream)
    inside = 0.9 * inside / inside.norm(dim=1, keepdim=True) * torch.rand(count, 1, generator=stream)
    outside = torch.randn(count, 3, generator=stream)
    return inside, 3 * outside / outside.norm(dim=1, keepdim=True)


def test_flat_boundary_is_found_in_one_step() -> None:
    boundary = half_space(torch.tensor([1.0, 0.0, 0.0]))
    inside = torch.tensor([[1.0, 2.0, 0.0]])
    outside = torch.tensor([[-3.0, 0.0, 0.0]])
    points, fraction, logit_margin = refine_to_boundary(boundary, inside, outside, torch.tensor([1]))
    assert abs(float(fraction) - 0.25) < 1e-9
    assert float(logit_margin) <= 0
    assert torch.allclose(points, torch.tensor([[0.0, 1.5, 0.0]]), atol=1e-8)
    assert boundary.forwards == 3


def test_points_on_curved_boundary_are_on_its_far_side() -> None:
    boundary = ball()
    inside, outside = make_segments(200)
    points, _, logit_margin = refine_to_boundary(boundary, inside, outside, torch.ones(200, dtype=torch.long))
    assert (points.norm(dim=1) - 1).abs().max() < 1e-8
    assert bool((logit_margin <= 0).all()) and bool((boundary.predict(points) == 0).all())


def test_segment_without_crossing_is_returned_with_its_positive_margin() -> None:
    inside = torch.tensor([[0.1, 0.0, 0.0]])
    outside = torch.tensor([[0.5, 0.0, 0.0]])
    points, fraction, logit_margin = refine_to_boundary(ball(), inside, outside, torch.tensor([1]))
    assert torch.equal(points, outside)
    assert float(fraction) == 1.0 and float(logit_margin) > 0


def test_rows_do_not_depend_on_the_rest_of_the_batch() -> None:
    inside, outside = make_segments(50)
    y = torch.ones(50, dtype=torch.long)
    together = refine_to_boundary(ball(), inside, outside, y)[0]
    alone = torch.cat([refine_to_boundary(ball(), inside[i : i + 1], outside[i : i + 1], y[:1])[0] for i in range(50)])
    assert torch.allclose(together, alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("confirm", [True, False])
def test_values_of_nan_count_as_the_near_side(confirm: bool) -> None:
    def nan_before(_: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.where(t < 0.8, torch.nan, 0.5 - t)

    roots = find_roots(nan_before, torch.tensor([0.5]).double(), torch.tensor([-0.5]).double(), 60, 1e-9, None, confirm)
    assert abs(float(roots.root) - 0.8) < 1e-8 and abs(float(roots.far) - 0.8) < 1e-8
    assert float(roots.error) < 1e-8
