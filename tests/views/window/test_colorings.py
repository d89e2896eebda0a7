"""What a boundary is coloured by, on spheres and walls whose distances are known; and how numbers become colours."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimple.views.content.color_scale import HELD, Scale, round_down, round_up, scale_of
from dimple.views.style.colors import CLASSES, SEQUENCE, UNKNOWN
from dimple.views.window.animation import Reel, Show, reels_of
from dimple.views.window.colorings import DEPTH, DISTANCE, GRADIENT, MOVEMENT, SEEN, SIDES, Paint, quantities_of
from dimple.views.window.legend import ends_of, legend_card
from tests.views.material import RADII, RADIUS, ball_show, plane_frames, space_frames, sphere_points

pytestmark = pytest.mark.usefixtures("rendering")


@pytest.fixture(scope="module")
def ball() -> Reel:
    return Reel(ball_show())


@pytest.fixture(scope="module")
def wall() -> Reel:
    return Reel(Show(plane_frames(), Path("wall")))


def test_a_sphere_that_shrinks_moves_by_the_difference_of_the_radii(ball: Reel) -> None:
    for index in (0, 1):
        assert np.isnan(MOVEMENT.measure(ball, index)).all()
    for index in (2, 3):
        moved = MOVEMENT.measure(ball, index)
        # Class 1 lies within, and so it is class 0 that gains; a facet lies within its sphere by its sagitta.
        assert moved == pytest.approx(np.full(len(moved), RADII[index] - RADII[index - 1]), abs=2e-3)


def test_a_wall_moves_by_as_much_as_it_is_moved(wall: Reel) -> None:
    for index, way in ((1, -0.2), (2, -0.2), (3, 0.0)):
        assert MOVEMENT.measure(wall, index) == pytest.approx(np.full(2, way))


def test_distances_and_gradients_are_asked_for_at_the_vertices(ball: Reel) -> None:
    for index in (1, 2, 3):
        away = DISTANCE.measure(ball, index)
        assert away == pytest.approx(np.full(len(away), abs(RADII[index] - RADIUS)), abs=1e-3)
    assert set(GRADIENT.measure(ball, 2)) == {11.0}


def test_what_nobody_can_answer_is_not_offered(ball: Reel, wall: Reel) -> None:
    assert quantities_of(ball) == [DEPTH, DISTANCE, GRADIENT, MOVEMENT]
    assert quantities_of(wall) == [SIDES, MOVEMENT]
    frame = space_frames()[2]
    flat = dataclasses.replace(frame.drawing.layer("boundary"), relief=None)
    bare = dataclasses.replace(frame, drawing=dataclasses.replace(frame.drawing, layers=(flat,)))
    assert quantities_of(Reel(Show([bare], Path("ball")))) == [SEEN, MOVEMENT]


def test_painting_changes_the_colours_of_all_snapshots_and_the_relief_comes_back(wall: Reel) -> None:
    ball = Reel(ball_show())
    own = [boundary.point_data["colour"].copy() for boundary in ball.boundaries]
    gradient = Paint(GRADIENT, [ball])
    assert list(gradient.prepare()) == [(1, 4), (2, 4), (3, 4), (4, 4)]
    gradient.apply()
    # 2, 11 and 101 on a logarithmic scale; the first snapshot has no boundary.
    expected = gradient.scale.colours(np.array([2.0, 11.0, 101.0]))
    for boundary, colour in zip(ball.boundaries[1:], expected, strict=True):
        assert (boundary.point_data["colour"] == colour).all()
    relief = Paint(DEPTH, [ball])
    assert list(relief.prepare()) == []
    relief.apply()
    for boundary, colours in zip(ball.boundaries, own, strict=True):
        assert np.array_equal(boundary.point_data["colour"], colours)
    moved = Paint(MOVEMENT, [wall])
    list(moved.prepare())
    moved.apply()
    # A wall that moves to the right loses ground to class 0, on both of its sides; at first nothing is known.
    assert (wall.boundaries[0].point_data["colour"] == UNKNOWN).all()
    assert (wall.boundaries[1].point_data["colour"] == CLASSES[0]).all()


def test_two_runs_have_one_scale() -> None:
    small, large = ball_show(), ball_show()
    large.asked.radius = dict.fromkeys(large.asked.radius, 0.5)
    large.asked.gradient_norms = lambda step, points: np.full(len(points), 5000.0)
    paint = Paint(GRADIENT, reels_of([small, large]))
    list(paint.prepare())
    assert paint.scale == Scale("logarithmic", 2.0, 5000.0)


@given(st.floats(1e-6, 1e6))
def test_round_numbers_hold_what_they_round(value: float) -> None:
    assert round_down(value) <= value * (1 + 1e-9) and value <= round_up(value) * (1 + 1e-9)
    assert round_up(value) <= 2 * value * (1 + 1e-9) or round_up(value) / value < 2.5
    assert f"{round_up(value):e}"[0] in "1235"


def test_signed_scales_are_symmetric_and_pale_at_zero() -> None:
    values = [np.linspace(-0.5, 0.3, 101), np.linspace(-0.4, 0.25, 11), np.array([np.nan])]
    scale = scale_of("diverging", values)
    assert scale == Scale("diverging", -0.5, 0.5)
    low, middle, high = scale.colours(np.array([-9.0, 0.0, 9.0]))
    assert tuple(low) == CLASSES[0] and tuple(high) == CLASSES[1] and min(middle) > 230


def test_a_scale_holds_nearly_all_numbers_of_half_of_the_snapshots() -> None:
    leap, walk = np.linspace(0, 8, 1000), np.linspace(0, 0.08, 1000)
    assert scale_of("linear", [leap, walk, walk]) == Scale("linear", 0.0, 0.1)
    logarithmic = scale_of("logarithmic", [leap + 1e-9, walk + 1e-9])
    everything = np.concatenate([leap, walk])
    assert ((everything >= logarithmic.low) & (everything <= logarithmic.high)).mean() >= 2 * HELD - 1
    assert scale_of("diverging", [np.zeros(5), np.full(3, np.nan)]) == Scale("diverging", -1.0, 1.0)


@pytest.mark.parametrize("kind", ["linear", "logarithmic"])
def test_more_is_darker(kind: str) -> None:
    scale = scale_of(kind, [np.geomspace(0.01, 100, 500)])  # type: ignore[arg-type]
    colours = scale.colours(scale.along(50)).astype(int)
    assert (np.diff(colours @ [299, 587, 114]) < 0).all()
    assert tuple(colours[0]) == SEQUENCE[0] and tuple(colours[-1]) == SEQUENCE[-1]
    assert tuple(scale.colours(np.array([np.nan]))[0]) == UNKNOWN


def test_the_legend_names_quantity_unit_and_both_ends() -> None:
    assert ends_of(MOVEMENT, Scale("diverging", -0.02, 0.02)) == ("0.02 gained by class 0", "0.02 gained by class 1")
    assert ends_of(DISTANCE, Scale("linear", 0.0, 0.1)) == ("0", "0.1")
    drawing = space_frames()[1].drawing
    card = np.asarray(legend_card(DEPTH, Scale("diverging", -0.03, 0.03), [drawing])).astype(int)
    assert len(sphere_points().classes) == 6
    for colour in (*CLASSES[:2], (28, 30, 33)):
        assert (np.abs(card[..., :3] - colour).max(2) < 30).sum() > 20
