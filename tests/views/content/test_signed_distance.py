"""Distances on a lattice against formulas."""

import numpy as np
import pytest

from dimple.levelsets import Mesh
from dimple.views.content.grid import Lattice, lattice_over
from dimple.views.content.signed_distance import signed_distance
from tests.views.material import HIGH, LOW, ball_mesh, circle_mesh


def places(lattice: Lattice) -> np.ndarray:
    """The lattice points `(*reversed counts, n)`."""
    axes = [o + lattice.spacing * np.arange(c) for o, c in zip(lattice.origin, lattice.counts, strict=True)]
    return np.stack(np.meshgrid(*reversed(axes), indexing="ij")[::-1], axis=-1)


def error(mesh: Mesh, lattice: Lattice, radius: float, band: float) -> float:
    """The largest error in cells, at points within so many cells of a ball's or circle's rim."""
    exact = (radius - np.linalg.norm(places(lattice), axis=-1)) / lattice.spacing
    return float(np.abs(signed_distance(mesh, lattice) - exact)[np.abs(exact) < band].max())


def test_a_lattice_reaches_beyond_the_box() -> None:
    lattice = lattice_over((0.0, -1.0, 2.0), (1.0, 1.0, 2.5), 64**3)
    low, high = places(lattice)[0, 0, 0], places(lattice)[-1, -1, -1]
    assert (low < (0, -1, 2)).all()
    assert (high > (1, 1, 2.5)).all()
    assert 64**3 * 0.95 < np.prod(lattice.counts) < 64**3 * 1.3


def test_distances_of_a_ball() -> None:
    lattice = lattice_over(LOW, HIGH, 64**3)
    assert error(ball_mesh(0.4), lattice, 0.4, band=1.0) < 0.06
    assert error(ball_mesh(0.4), lattice, 0.4, band=6.0) < 0.25


def test_distances_of_a_circle() -> None:
    lattice = lattice_over((-2.0, -2.0), (2.0, 2.0), 128**2)
    assert error(circle_mesh(), lattice, 1.0, band=1.0) < 0.06
    assert error(circle_mesh(), lattice, 1.0, band=6.0) < 0.25


@pytest.mark.parametrize("degrees", range(0, 360, 7))
def test_far_from_a_line_across_the_box_the_side_is_right(degrees: int) -> None:
    """A front that goes round the end of the line at the rim comes later than that from the right side."""
    normal = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    along = np.array([-normal[1], normal[0]])
    lattice = lattice_over((-1.0, -1.0), (1.0, 1.0), 64**2)
    x = places(lattice)
    inside = (np.abs(x) < 1).all(-1)
    for level in (-0.6, -0.2, 0.35, 0.75):
        # Where the line through `level * normal` leaves the box.
        ends = [(side - level * normal[i]) / along[i] for i in (0, 1) for side in (-1, 1) if abs(along[i]) > 1e-9]
        within = [s for s in ends if np.abs(level * normal + s * along).max() < 1 + 1e-9]
        if len(within) < 2:
            continue
        line = level * normal + np.linspace(min(within), max(within), 40)[:, None] * along
        # The positive side is the left.
        mesh = Mesh(line[::-1], np.stack([np.arange(39), np.arange(1, 40)], axis=1))
        exact = x @ normal - level
        far = inside & (np.abs(exact) > lattice.spacing)
        field = signed_distance(mesh, lattice, most=6.0)
        assert np.array_equal(np.sign(field)[far], np.sign(exact)[far])


def test_far_distances_may_be_rough_and_the_near_ones_stay() -> None:
    lattice = lattice_over(LOW, HIGH, 48**3)
    whole, near = (signed_distance(ball_mesh(0.3), lattice, most=most) for most in (1e9, 5.0))
    # The outermost layers are continued from the two within.
    inner = (slice(1, -1),) * 3
    assert np.array_equal(np.clip(whole, -5.0, 5.0)[inner], np.clip(near, -5.0, 5.0)[inner])
    assert np.abs(whole).max() > 10 and np.array_equal(np.sign(whole), np.sign(near))


def test_the_side_that_normals_point_to_is_positive() -> None:
    lattice = lattice_over(LOW, HIGH, 32**3)
    inner = tuple(count // 2 for count in reversed(lattice.counts))
    assert signed_distance(ball_mesh(0.3, inside=1), lattice)[inner] > 0
    assert signed_distance(ball_mesh(0.3, inside=0), lattice)[inner] < 0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_without_a_mesh_all_points_are_far_on_one_side(sign: float) -> None:
    field = signed_distance(ball_mesh(None), lattice_over(LOW, HIGH, 10**3), sign)
    assert (sign * field > 1e6).all()


def test_a_wall_that_ends_at_the_box_goes_on_straight() -> None:
    corners = np.array([[0.3, 0.0, 0.0], [0.3, 1, 0], [0.3, 1, 1], [0.3, 0, 1]])
    lattice = lattice_over((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 12**3)
    field = signed_distance(Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]])), lattice)
    exact = (places(lattice)[..., 0] - 0.3) / lattice.spacing
    assert np.abs(field - exact).max() < 1e-3
