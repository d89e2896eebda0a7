"""Corners of the boundary, against quadratic programming and solids whose nearest points are known."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from dimple.attacks.closest import closest
from dimple.attacks.cutting_planes import cornered, shortest_beyond
from dimple.boundary import Boundary
from dimple.tensors import generator, norm
from dimple.verification.branch_and_bound import smallest_l2

pytestmark = pytest.mark.usefixtures("double")


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed, "gaussian"))


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_the_shortest_step_beyond_some_faces_is_that_of_least_squares(n: int) -> None:
    normals = torch.nn.functional.normalize(gaussian(60, 4, n), dim=2)
    normals[::5, 2] = 0.0
    levels = gaussian(60, 4, seed=1) - 0.5
    steps = shortest_beyond(normals, levels)
    for row in range(60):
        faces = normals[row].any(1)
        far = np.full(n, 1e3)
        step, length = smallest_l2(normals[row, faces].numpy(), levels[row, faces].numpy(), -far, far, 100.0)
        if math.isinf(length):
            assert bool(steps[row].isnan().all())
        else:
            torch.testing.assert_close(steps[row], torch.from_numpy(step), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_outside_an_octahedron_its_edges_and_corners_are_found_from_any_of_its_points(n: int) -> None:
    octahedron = Boundary(lambda z: torch.stack([z.abs().sum(1) - 1, 1 - z.abs().sum(1)], dim=1))
    x = 2 * gaussian(80, n)
    x = x[x.abs().sum(1) > 1.1]
    y, inside = torch.zeros(len(x), dtype=torch.long), 0.05 * gaussian(*x.shape, seed=1).clamp(-2, 2)
    found = cornered(octahedron, x, y, inside, torch.ones_like(y, dtype=torch.bool), steps=40)
    # The nearest point shrinks every coordinate by the same amount and no further than zero.
    sizes = x.abs().sort(dim=1, descending=True).values
    shrink = (sizes.cumsum(1) - 1) / torch.arange(1, n + 1)
    shrunk = (x.abs() - shrink.amax(1, keepdim=True)).clamp(min=0)
    exact = norm(x - x.sign() * shrunk)
    assert bool((found.distance >= exact * (1 - 1e-9)).all())
    if n <= 3:
        torch.testing.assert_close(found.distance, exact, rtol=1e-6, atol=0)
    assert bool((octahedron.gap(found.points, y) <= 0).all())


def test_on_one_face_nothing_is_gained_and_little_spent() -> None:
    plane = Boundary(lambda z: torch.stack([1 - z[:, 0], z[:, 0] - 1], dim=1))
    x, y = torch.tensor([[0.0, 0.0], [0.0, 0.0], [2.0, 0.0]]), torch.zeros(3, dtype=torch.long)
    known = torch.tensor([[1.0, 0.0], [0.0, 0.0], [2.0, 0.0]])
    found = cornered(plane, x, y, known, torch.tensor([True, False, True]), steps=10)
    torch.testing.assert_close(found.distance, torch.tensor([1.0, 1.0, 0.0]), rtol=1e-6, atol=0)
    assert found.passes.tolist() == [1.0, 2.0, 0.0]


def test_an_edge_that_a_walk_cannot_see_is_met() -> None:
    """Class 1 lies where both faces are passed: its nearest point is the edge, and a walk swings past it to and fro."""
    slopes = torch.tensor([[1.0, 3.0, 0.0], [1.0, -3.0, 0.2]])
    wedge = Boundary(lambda z: torch.stack([(1 - z @ slopes.T).amax(1), -(1 - z @ slopes.T).amax(1)], dim=1))
    x = 0.1 * gaussian(40, 3)
    walls = np.full(3, 9.0)
    steps = [smallest_l2(-slopes.numpy(), (slopes @ row - 1).numpy(), -walls, walls, 9.0) for row in x]
    exact = torch.tensor([distance for _, distance in steps])
    found = closest(wedge, x, torch.zeros(40, dtype=torch.long), starts=3)
    torch.testing.assert_close(norm(found.points - x), exact, rtol=1e-6, atol=0)
