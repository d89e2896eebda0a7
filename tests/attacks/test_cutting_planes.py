"""Vertices of the boundary, against quadratic programming and solids whose closest points are known."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from dimple.attacks.closest import closest_point
from dimple.attacks.cutting_planes import search_vertices, shortest_step_into_halfspaces
from dimple.attacks.search import SearchProblem, SearchState
from dimple.boundary import Boundary
from dimple.tensors import generator, norm
from dimple.verification.branch_and_bound import smallest_l2_step

pytestmark = pytest.mark.usefixtures("double")


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed, "gaussian"))


def search_from(boundary: Boundary, x: Tensor, y: Tensor, points: Tensor, known: Tensor, max_steps: int) -> SearchState:
    """Search the vertices from adversarial points where they are known, elsewhere from the samples."""
    state = SearchState(SearchProblem(boundary, x, y), 100.0)
    state.record(state.problem.all_rows, points, torch.where(known, -1.0, 1.0))
    search_vertices(state, torch.nonzero(state.distance > 0).squeeze(1), max_steps)
    return state


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_shortest_step_into_halfspaces_is_that_of_least_squares(n: int) -> None:
    normals = torch.nn.functional.normalize(gaussian(60, 4, n), dim=2)
    normals[::5, 2] = 0.0
    levels = gaussian(60, 4, seed=1) - 0.5
    steps = shortest_step_into_halfspaces(normals, levels)
    limits = np.full(n, 1e3)
    for row in range(60):
        faces = normals[row].any(1)
        step, length = smallest_l2_step(normals[row, faces].numpy(), levels[row, faces].numpy(), -limits, limits, 100.0)
        if math.isinf(length):
            assert bool(steps[row].isnan().all())
        else:
            torch.testing.assert_close(steps[row], torch.from_numpy(step), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_edges_and_vertices_of_an_octahedron_are_found_from_any_of_its_points(n: int) -> None:
    octahedron = Boundary(lambda z: torch.stack([z.abs().sum(1) - 1, 1 - z.abs().sum(1)], dim=1))
    x = 2 * gaussian(80, n)
    x = x[x.abs().sum(1) > 1.1]
    y = torch.zeros(len(x), dtype=torch.long)
    inside = 0.05 * gaussian(*x.shape, seed=1).clamp(-2, 2)
    found = search_from(octahedron, x, y, inside, torch.ones_like(y, dtype=torch.bool), max_steps=40)
    # The closest point shrinks every coordinate by the same amount, to zero at most.
    sizes = x.abs().sort(dim=1, descending=True).values
    shrinkage = (sizes.cumsum(1) - 1) / torch.arange(1, n + 1)
    shrunk = (x.abs() - shrinkage.amax(1, keepdim=True)).clamp(min=0)
    exact = norm(x - x.sign() * shrunk)
    assert bool((found.distance >= exact * (1 - 1e-9)).all())
    if n <= 3:
        torch.testing.assert_close(found.distance, exact, rtol=1e-6, atol=0)
    assert bool((octahedron.logit_margin(found.points, y) <= 0).all())


def test_on_a_single_face_the_distance_stays_and_few_passes_are_spent() -> None:
    boundary = Boundary(lambda z: torch.stack([1 - z[:, 0], z[:, 0] - 1], dim=1))
    x = torch.tensor([[0.0, 0.0], [0.0, 0.0], [2.0, 0.0]])
    y = torch.zeros(3, dtype=torch.long)
    known = torch.tensor([[1.0, 0.0], [0.0, 0.0], [2.0, 0.0]])
    found = search_from(boundary, x, y, known, torch.tensor([True, False, True]), max_steps=10)
    torch.testing.assert_close(found.distance, torch.tensor([1.0, 1.0, 0.0]), rtol=1e-6, atol=0)
    assert found.passes.tolist() == [1.0, 2.0, 0.0]


def test_edge_across_which_a_descent_oscillates_is_found() -> None:
    """Class 1 lies beyond both faces: its closest point is on the edge, and a descent oscillates between the faces."""
    slopes = torch.tensor([[1.0, 3.0, 0.0], [1.0, -3.0, 0.2]])
    boundary = Boundary(lambda z: torch.stack([(1 - z @ slopes.T).amax(1), -(1 - z @ slopes.T).amax(1)], dim=1))
    x = 0.1 * gaussian(40, 3)
    limits = np.full(3, 9.0)
    steps = [smallest_l2_step(-slopes.numpy(), (slopes @ row - 1).numpy(), -limits, limits, 9.0) for row in x]
    exact = torch.tensor([length for _, length in steps])
    found = closest_point(SearchProblem(boundary, x, torch.zeros(40, dtype=torch.long)), 120.0)
    torch.testing.assert_close(found.distance, exact, rtol=1e-6, atol=0)
