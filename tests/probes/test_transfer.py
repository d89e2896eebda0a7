"""Transfer of boundary points between half-spaces against geometry."""

import math

import pytest
import torch
from torch import Tensor

from dimple.boundary import Boundary
from dimple.errors import ShapeError
from dimple.probes import find_boundary_points, transfer
from dimple.probes.transfer import scale_to_rms
from dimple.tensors import Box
from tests.oracles import half_space

pytestmark = pytest.mark.usefixtures("double")


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_only_the_points_of_the_farther_of_two_parallel_planes_transfer() -> None:
    normal = gaussian(8, seed=1)
    models = {"near": half_space(normal, -1.0), "far": half_space(normal, -2.0)}
    x = gaussian(60, 8)
    x = x[x @ normal > -1]
    y = torch.ones(len(x), dtype=torch.long)
    found = transfer(models, x, y, find_boundary_points(models, x))
    assert found.error.tolist() == [[1.0, 0.0], [1.0, 1.0]]
    assert found.samples.tolist() == [[len(x)] * 2] * 2
    # Only one coordinate of the noise is along the normal, while the full perturbation is along it.
    assert float(found.noise_error_high.max()) < 0.5
    verdicts = {(row["source_model"], row["target_model"]): row["error_verdict"] for row in found.rows()}
    assert verdicts["near", "near"] == "above"


def test_pairs_are_evaluated_where_both_models_are_correct() -> None:
    x = torch.tensor([[1.0], [0.3], [2.0]])
    y = torch.ones(3, dtype=torch.long)
    models = {"all": half_space(torch.ones(1), 0.0), "some": half_space(torch.ones(1), 0.5)}
    found = transfer(models, x, y, find_boundary_points(models, x))
    assert found.samples.tolist() == [[3, 2], [2, 2]]
    # The points of "some" are at .5, where "all" is still correct.
    assert found.error.tolist() == [[1.0, 1.0], [0.0, 1.0]]


def test_the_noise_error_of_a_plane_follows_the_normal_distribution() -> None:
    n = 400
    size = 0.5
    x = torch.zeros(200, n)
    x[:, 0] = 0.6
    plane = {"plane": half_space(torch.eye(n)[0], 0.0)}
    found = transfer(plane, x, torch.ones(200, dtype=torch.long), find_boundary_points(plane, x), rms=size)
    expected = 0.5 * math.erfc(0.6 / size / math.sqrt(2))
    assert abs(float(found.noise_error) - expected) < 0.02
    assert float(found.noise_error_low) < expected < float(found.noise_error_high)
    assert float(found.error) == 1.0
    assert abs(float(found.rms) - size) < 1e-9 and abs(float(found.noise_rms) - size) < 1e-9


def test_the_size_is_that_of_the_clamped_step() -> None:
    box = Box(0.0, 1.0)
    stream = torch.Generator().manual_seed(0)
    x = torch.rand(50, 3, 4, 4, generator=stream)
    step = gaussian(50, 3, 4, 4)
    for rms in (0.05, 0.3):
        moved = scale_to_rms(x, step, rms, box)
        assert (
            torch.equal(box.clamp(x + moved), x + moved)
            or float((box.clamp(x + moved) - x - moved).abs().max()) < 1e-12
        )
        torch.testing.assert_close(moved.flatten(1).square().mean(1).sqrt(), torch.full((50,), rms))
        # It is a clamped multiple of the step, as found by bisection.
        low = torch.zeros(50, 1, 1, 1)
        high = torch.full((50, 1, 1, 1), 1e3)
        for _ in range(60):
            middle = (low + high) / 2
            short = (box.clamp(x + middle * step) - x).flatten(1).square().mean(1).sqrt() < rms
            low, high = (torch.where(short.reshape(low.shape), *pair) for pair in ((middle, low), (high, middle)))
        torch.testing.assert_close(moved, box.clamp(x + high * step) - x, rtol=0, atol=1e-6)
    far = scale_to_rms(x, step, 10.0, box)
    assert set((x + far).round(decimals=9).unique().tolist()) == {0.0, 1.0}


def test_a_step_of_few_coordinates_is_as_long_as_the_bounds_permit() -> None:
    x = torch.tensor([[0.9, 0.2, 0.5, 0.6]])
    step = torch.tensor([[0.0, 0.0, 0.0, 2.0]])
    torch.testing.assert_close(scale_to_rms(x, step, 10.0, Box()), torch.tensor([[0.0, 0.0, 0.0, 0.4]]))
    torch.testing.assert_close(scale_to_rms(x, step, 0.1, Box()), torch.tensor([[0.0, 0.0, 0.0, 0.2]]))


def test_samples_without_a_boundary_point_are_left_out() -> None:
    x = torch.tensor([[1.0, 0.0]])
    y = torch.tensor([1])
    models = {"plane": half_space(torch.tensor([1.0, 0.0]), 0.0), "nowhere": half_space(torch.zeros(2), -1.0)}
    found = transfer(models, x, y, find_boundary_points(models, x))
    assert found.samples.tolist() == [[1, 1], [0, 0]]
    assert bool(found.error[1].isnan().all()) and bool(found.rms[1].isnan())


def test_points_of_other_models_are_refused() -> None:
    models = {"a": Boundary(lambda x: x), "b": Boundary(lambda x: x)}
    with pytest.raises(ShapeError, match="find_boundary_points"):
        transfer(models, torch.zeros(1, 2), torch.tensor([0]), {"a": torch.zeros(1, 2)})
