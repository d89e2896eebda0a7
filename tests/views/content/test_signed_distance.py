"""Signed distances on a grid compared with formulas."""

import numpy as np
import pytest

from dimple.levelsets import Mesh
from dimple.views.content.grid import UniformGrid, build_uniform_grid
from dimple.views.content.signed_distance import compute_signed_distance
from tests.views.material import HIGH, LOW, ball_mesh, circle_mesh


def grid_points(grid: UniformGrid) -> np.ndarray:
    """Return the points of a grid, `(*reversed counts, n)`."""
    axes = [o + grid.spacing * np.arange(c) for o, c in zip(grid.origin, grid.counts, strict=True)]
    return np.stack(np.meshgrid(*reversed(axes), indexing="ij")[::-1], axis=-1)


def max_error(mesh: Mesh, grid: UniformGrid, radius: float, band: float) -> float:
    """Return the largest error in cells, at grid points within `band` cells of a sphere or circle."""
    exact = (radius - np.linalg.norm(grid_points(grid), axis=-1)) / grid.spacing
    return float(np.abs(compute_signed_distance(mesh, grid) - exact)[np.abs(exact) < band].max())


def test_a_grid_extends_beyond_the_box() -> None:
    grid = build_uniform_grid((0.0, -1.0, 2.0), (1.0, 1.0, 2.5), 64**3)
    points = grid_points(grid)
    assert (points[0, 0, 0] < (0, -1, 2)).all()
    assert (points[-1, -1, -1] > (1, 1, 2.5)).all()
    assert 64**3 * 0.95 < np.prod(grid.counts) < 64**3 * 1.3


def test_distances_of_a_ball() -> None:
    grid = build_uniform_grid(LOW, HIGH, 64**3)
    assert max_error(ball_mesh(0.4), grid, 0.4, band=1.0) < 0.06
    assert max_error(ball_mesh(0.4), grid, 0.4, band=6.0) < 0.25


def test_distances_of_a_circle() -> None:
    grid = build_uniform_grid((-2.0, -2.0), (2.0, 2.0), 128**2)
    assert max_error(circle_mesh(), grid, 1.0, band=1.0) < 0.06
    assert max_error(circle_mesh(), grid, 1.0, band=6.0) < 0.25


@pytest.mark.parametrize("degrees", range(0, 360, 7))
def test_far_from_a_line_across_the_box_the_sign_is_right(degrees: int) -> None:
    """A front around the end of the line arrives later than the front from the correct side."""
    normal = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    along = np.array([-normal[1], normal[0]])
    grid = build_uniform_grid((-1.0, -1.0), (1.0, 1.0), 64**2)
    x = grid_points(grid)
    inside = (np.abs(x) < 1).all(-1)
    for level in (-0.6, -0.2, 0.35, 0.75):
        # Parameters at which the line through `level * normal` leaves the box.
        crossings = [(side - level * normal[i]) / along[i] for i in (0, 1) for side in (-1, 1) if abs(along[i]) > 1e-9]
        ends = [s for s in crossings if np.abs(level * normal + s * along).max() < 1 + 1e-9]
        if len(ends) < 2:
            continue
        line = level * normal + np.linspace(min(ends), max(ends), 40)[:, None] * along
        # The positive side is the left.
        mesh = Mesh(line[::-1], np.stack([np.arange(39), np.arange(1, 40)], axis=1))
        exact = x @ normal - level
        far = inside & (np.abs(exact) > grid.spacing)
        field = compute_signed_distance(mesh, grid, max_accurate_distance=6.0)
        assert np.array_equal(np.sign(field)[far], np.sign(exact)[far])


def test_far_distances_may_be_approximate_and_the_others_do_not_change() -> None:
    grid = build_uniform_grid(LOW, HIGH, 48**3)
    accurate, approximate = (
        compute_signed_distance(ball_mesh(0.3), grid, max_accurate_distance=distance) for distance in (1e9, 5.0)
    )
    # The outermost layers are extrapolated from the next two.
    inner = (slice(1, -1),) * 3
    assert np.array_equal(np.clip(accurate, -5.0, 5.0)[inner], np.clip(approximate, -5.0, 5.0)[inner])
    assert np.abs(accurate).max() > 10 and np.array_equal(np.sign(accurate), np.sign(approximate))


def test_the_side_that_normals_point_to_is_positive() -> None:
    grid = build_uniform_grid(LOW, HIGH, 32**3)
    center = tuple(count // 2 for count in reversed(grid.counts))
    assert compute_signed_distance(ball_mesh(0.3, inside=1), grid)[center] > 0
    assert compute_signed_distance(ball_mesh(0.3, inside=0), grid)[center] < 0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_without_a_mesh_all_points_are_far_on_one_side(sign: float) -> None:
    field = compute_signed_distance(ball_mesh(None), build_uniform_grid(LOW, HIGH, 10**3), sign)
    assert (sign * field > 1e6).all()


def test_a_wall_that_ends_at_the_box_is_extrapolated_linearly() -> None:
    corners = np.array([[0.3, 0.0, 0.0], [0.3, 1, 0], [0.3, 1, 1], [0.3, 0, 1]])
    grid = build_uniform_grid((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 12**3)
    field = compute_signed_distance(Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]])), grid)
    exact = (grid_points(grid)[..., 0] - 0.3) / grid.spacing
    assert np.abs(field - exact).max() < 1e-3
