"""Looks around: a small ball nearer than the wall that a walk finds, seen in any direction, and only where it is."""

import pytest
import torch

from dimple.attacks.closest import closest
from dimple.attacks.sphere_search import ALL_OVER, AROUND, WITHIN, just_within
from dimple.attacks.subspace_constraint import Restriction
from dimple.boundary import Boundary
from dimple.tensors import Box, generator, norm

WALL, RADIUS, AWAY = 1.0, 0.35, 0.8
ONE = torch.zeros(1, dtype=torch.long)


def wall_and_ball(centre: torch.Tensor, radius: float = RADIUS) -> Boundary:
    """Class 1 beyond the wall `x_0 = 1`, and within a ball that hangs in the space of class 0."""

    def scores(x: torch.Tensor) -> torch.Tensor:
        gap = torch.minimum(WALL - x[:, 0], norm(x - centre) - radius)
        return torch.stack([gap, -gap], 1)

    return Boundary(scores)


def directions(n: int) -> torch.Tensor:
    """Some that lead away from the wall."""
    way = torch.randn(12, n, generator=generator(0, "ways", n), dtype=torch.float64)
    way[:, 0] = -way[:, 0].abs()
    return way / norm(way)[:, None]


@pytest.mark.parametrize("n", [2, 3])
def test_a_ball_on_the_other_side_is_seen_and_is_the_nearest(n: int) -> None:
    origin = torch.zeros(1, n, dtype=torch.float64)
    for way in directions(n):
        found = closest(wall_and_ball(AWAY * way), origin, ONE, starts=9)
        assert float(norm(found.points)) == pytest.approx(AWAY - RADIUS, rel=1e-4)


def test_what_is_seen_lies_just_within_and_across() -> None:
    wall = torch.tensor([[WALL, 0.0, 0.0]], dtype=torch.float64)
    for way in directions(3):
        boundary = wall_and_ball(AWAY * way)
        place, across, _ = just_within(boundary, torch.zeros_like(wall), ONE, wall, 0)
        assert bool(across) and float(boundary.gap(place, ONE)) <= 0
        assert float(norm(place)) == pytest.approx(WALL * (1 - WITHIN), rel=1e-12)
        assert boundary.forwards == ALL_OVER + AROUND + 1


@pytest.mark.parametrize("n", [2, 3])
def test_a_ball_too_small_for_the_looks_is_come_to_downhill(n: int) -> None:
    wall, radius = torch.eye(n, dtype=torch.float64)[:1], 0.002
    for way in directions(n):
        boundary = wall_and_ball((WALL - radius / 2) * way, radius)
        place, across, passes = just_within(boundary, torch.zeros_like(wall), ONE, wall, 0)
        assert bool(across) and float(boundary.gap(place, ONE)) <= 0
        assert float(passes) == pytest.approx(0.4 * (boundary.forwards - 1) + 0.6 * boundary.backwards)
        found = closest(boundary, torch.zeros_like(wall), ONE, starts=9)
        assert float(norm(found.points)) == pytest.approx(WALL - 1.5 * radius, rel=1e-4)


def test_nothing_is_seen_where_nothing_is_nearer() -> None:
    x = torch.randn(20, 3, generator=generator(1), dtype=torch.float64)
    half_space = Boundary(lambda z: torch.stack([WALL - z[:, 0], z[:, 0] - WALL], 1))
    y = half_space.predict(x)
    foot = x + (WALL - x[:, :1]) * torch.tensor([[1.0, 0.0, 0.0]])
    assert not just_within(half_space, x, y, foot, 0)[1].any()
    exact = (WALL - x[:, 0]).abs()
    torch.testing.assert_close(norm(closest(half_space, x, y, starts=9).points - x), exact, rtol=1e-9, atol=0)


def test_a_restricted_search_looks_along_its_directions_only() -> None:
    origin = torch.zeros(1, 3, dtype=torch.float64)
    plane = torch.eye(3, dtype=torch.float64)[:, :2]
    # In the plane, and above it.
    for centre, nearest in (([-0.5, 0.6, 0.0], 0.61**0.5 - RADIUS), ([-0.3, 0.0, 0.7], WALL)):
        boundary = wall_and_ball(torch.tensor(centre, dtype=torch.float64))
        found = closest(boundary, origin, ONE, starts=9, restriction=Restriction(plane))
        assert float(norm(found.points)) == pytest.approx(nearest, rel=1e-4)
        assert float(found.points[0, 2]) == 0


def test_no_look_leaves_the_box() -> None:
    seen: list[torch.Tensor] = []

    def scores(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.detach())
        return torch.stack([WALL - x[:, 0], x[:, 0] - WALL], 1)

    wall = torch.tensor([[WALL, 0.0]], dtype=torch.float64)
    just_within(Boundary(scores, Box(-0.4, 1.5)), torch.zeros_like(wall), ONE, wall, 0)
    places = torch.cat(seen)
    assert float(places.min()) == -0.4 and float(places.max()) <= 1
