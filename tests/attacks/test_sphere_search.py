"""Sphere search: a small ball nearer than the wall that a descent finds, in any direction, and only where it is."""

import pytest
import torch

from dimple.attacks.closest import closest_point
from dimple.attacks.search import SearchProblem, SearchState
from dimple.attacks.sphere_search import NEARBY_DIRECTIONS, RADIUS_SHRINKAGE, UNIFORM_DIRECTIONS, search_sphere
from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary import Boundary
from dimple.tensors import Box, generator, norm

WALL_DISTANCE = 1.0
BALL_RADIUS = 0.35
BALL_DISTANCE = 0.8
# The class of the sample, as a batch of one.
CLASS_ZERO = torch.zeros(1, dtype=torch.long)


def make_wall_and_ball(center: torch.Tensor, radius: float = BALL_RADIUS) -> Boundary:
    """Return the boundary of a class 1 beyond the wall `x_0 = 1` and within a ball; the rest is class 0."""

    def scores(x: torch.Tensor) -> torch.Tensor:
        level = torch.minimum(WALL_DISTANCE - x[:, 0], norm(x - center) - radius)
        return torch.stack([level, -level], 1)

    return Boundary(scores)


def search_from(boundary: Boundary, x: torch.Tensor, y: torch.Tensor, points: torch.Tensor) -> SearchState:
    """Search the spheres through known adversarial points."""
    state = SearchState(SearchProblem(boundary, x, y), 1e3)
    state.record(state.problem.all_rows, points, -torch.ones(len(x), dtype=x.dtype))
    search_sphere(state, state.problem.all_rows, 0)
    return state


def make_directions(n: int) -> torch.Tensor:
    """Return unit vectors that lead away from the wall."""
    vectors = torch.randn(12, n, generator=generator(0, "ways", n), dtype=torch.float64)
    vectors[:, 0] = -vectors[:, 0].abs()
    return vectors / norm(vectors)[:, None]


@pytest.mark.parametrize("n", [2, 3])
def test_ball_opposite_the_wall_is_found_as_the_closest(n: int) -> None:
    origin = torch.zeros(1, n, dtype=torch.float64)
    for direction in make_directions(n):
        found = closest_point(SearchProblem(make_wall_and_ball(BALL_DISTANCE * direction), origin, CLASS_ZERO), 800.0)
        assert float(norm(found.points)) == pytest.approx(BALL_DISTANCE - BALL_RADIUS, rel=1e-4)


def test_point_found_is_adversarial_and_just_inside_the_sphere() -> None:
    wall = torch.tensor([[WALL_DISTANCE, 0.0, 0.0]], dtype=torch.float64)
    for direction in make_directions(3):
        boundary = make_wall_and_ball(BALL_DISTANCE * direction)
        state = search_from(boundary, torch.zeros_like(wall), CLASS_ZERO, wall)
        assert float(boundary.logit_margin(state.points, CLASS_ZERO)) <= 0
        assert float(norm(state.points)) == pytest.approx(WALL_DISTANCE * (1 - RADIUS_SHRINKAGE), rel=1e-12)
        assert boundary.forwards == UNIFORM_DIRECTIONS + NEARBY_DIRECTIONS + 1


@pytest.mark.parametrize("n", [2, 3])
def test_ball_between_the_sampled_directions_is_found_by_descent(n: int) -> None:
    wall = torch.eye(n, dtype=torch.float64)[:1]
    radius = 0.002
    for direction in make_directions(n):
        boundary = make_wall_and_ball((WALL_DISTANCE - radius / 2) * direction, radius)
        state = search_from(boundary, torch.zeros_like(wall), CLASS_ZERO, wall)
        assert float(state.distance) < WALL_DISTANCE and float(boundary.logit_margin(state.points, CLASS_ZERO)) <= 0
        assert float(state.passes) == pytest.approx(0.4 * (boundary.forwards - 1) + 0.6 * boundary.backwards)
        found = closest_point(SearchProblem(boundary, torch.zeros_like(wall), CLASS_ZERO), 2000.0)
        assert float(norm(found.points)) == pytest.approx(WALL_DISTANCE - 1.5 * radius, rel=1e-4)


def test_nothing_is_found_where_nothing_is_nearer() -> None:
    x = torch.randn(20, 3, generator=generator(1), dtype=torch.float64)
    half_space = Boundary(lambda z: torch.stack([WALL_DISTANCE - z[:, 0], z[:, 0] - WALL_DISTANCE], 1))
    y = half_space.predict(x)
    closest = x + (WALL_DISTANCE - x[:, :1]) * torch.tensor([[1.0, 0.0, 0.0]])
    torch.testing.assert_close(search_from(half_space, x, y, closest).points, closest, rtol=0, atol=0)
    exact = (WALL_DISTANCE - x[:, 0]).abs()
    torch.testing.assert_close(closest_point(SearchProblem(half_space, x, y), 800.0).distance, exact, rtol=1e-9, atol=0)


def test_constrained_search_evaluates_directions_of_its_subspace_only() -> None:
    origin = torch.zeros(1, 3, dtype=torch.float64)
    plane = torch.eye(3, dtype=torch.float64)[:, :2]
    # A ball with its center in the plane, and a ball above the plane.
    for center, nearest in (([-0.5, 0.6, 0.0], 0.61**0.5 - BALL_RADIUS), ([-0.3, 0.0, 0.7], WALL_DISTANCE)):
        boundary = make_wall_and_ball(torch.tensor(center, dtype=torch.float64))
        problem = SearchProblem(boundary, origin, CLASS_ZERO, constraint=SubspaceConstraint(plane))
        found = closest_point(problem, 800.0)
        assert float(norm(found.points)) == pytest.approx(nearest, rel=1e-4)
        assert float(found.points[0, 2]) == 0


def test_no_query_is_outside_the_bounds() -> None:
    queries: list[torch.Tensor] = []

    def scores(x: torch.Tensor) -> torch.Tensor:
        queries.append(x.detach())
        return torch.stack([WALL_DISTANCE - x[:, 0], x[:, 0] - WALL_DISTANCE], 1)

    wall = torch.tensor([[WALL_DISTANCE, 0.0]], dtype=torch.float64)
    search_from(Boundary(scores, Box(-0.4, 1.5)), torch.zeros_like(wall), CLASS_ZERO, wall)
    points = torch.cat(queries)
    assert float(points.min()) == -0.4 and float(points.max()) <= 1
