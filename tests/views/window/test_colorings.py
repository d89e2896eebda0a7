"""Quantities on spheres and walls with known distances, color scales, and the legend."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimple.views.content.color_scale import COVERED_FRACTION, ColorScale, fit_color_scale, round_down, round_up
from dimple.views.style.colors import CLASS_COLORS, MISSING_VALUE_COLOR, SEQUENTIAL_COLORS
from dimple.views.window.animation import Animation, RunView, make_animations
from dimple.views.window.colorings import (
    GRADIENT_NORM,
    MANIFOLD_DEPTH,
    MANIFOLD_DISTANCE,
    MOVEMENT,
    SIDE_CLASS,
    VIEWER_CLASS,
    Coloring,
    available_quantities,
)
from dimple.views.window.legend import draw_legend, scale_end_labels
from tests.views.material import RADII, RADIUS, ball_run_view, plane_frames, space_frames, sphere_points

pytestmark = pytest.mark.usefixtures("rendering")


@pytest.fixture(scope="module")
def ball() -> Animation:
    return Animation(ball_run_view())


@pytest.fixture(scope="module")
def wall() -> Animation:
    return Animation(RunView(plane_frames(), Path("wall")))


def test_a_sphere_that_shrinks_moves_by_the_difference_of_the_radii(ball: Animation) -> None:
    for index in (0, 1):
        assert np.isnan(MOVEMENT.measure(ball, index)).all()
    for index in (2, 3):
        movement = MOVEMENT.measure(ball, index)
        # Class 1 is inside, so class 0 gains. The triangles lie inside the sphere by at most their sagitta.
        assert movement == pytest.approx(np.full(len(movement), RADII[index] - RADII[index - 1]), abs=2e-3)


def test_a_wall_moves_by_the_distance_of_its_positions(wall: Animation) -> None:
    for index, movement in ((1, -0.2), (2, -0.2), (3, 0.0)):
        assert MOVEMENT.measure(wall, index) == pytest.approx(np.full(2, movement))


def test_distances_and_gradients_are_measured_at_the_vertices(ball: Animation) -> None:
    for index in (1, 2, 3):
        distances = MANIFOLD_DISTANCE.measure(ball, index)
        assert distances == pytest.approx(np.full(len(distances), abs(RADII[index] - RADIUS)), abs=1e-3)
    assert set(GRADIENT_NORM.measure(ball, 2)) == {11.0}


def test_quantities_that_cannot_be_measured_are_not_available(ball: Animation, wall: Animation) -> None:
    assert available_quantities(ball) == [MANIFOLD_DEPTH, MANIFOLD_DISTANCE, GRADIENT_NORM, MOVEMENT]
    assert available_quantities(wall) == [SIDE_CLASS, MOVEMENT]
    frame = space_frames()[2]
    layer = dataclasses.replace(frame.drawing.layer("boundary"), manifold_depth=None)
    bare = dataclasses.replace(frame, drawing=dataclasses.replace(frame.drawing, layers=(layer,)))
    assert available_quantities(Animation(RunView([bare], Path("ball")))) == [VIEWER_CLASS, MOVEMENT]


def test_a_coloring_changes_all_snapshots_and_the_original_colors_come_back(wall: Animation) -> None:
    ball = Animation(ball_run_view())
    original = [boundary.point_data["color"].copy() for boundary in ball.boundaries]
    gradient = Coloring(GRADIENT_NORM, [ball])
    assert list(gradient.measure_snapshots()) == [(1, 4), (2, 4), (3, 4), (4, 4)]
    gradient.apply()
    # 2, 11 and 101 on a logarithmic scale; the first snapshot has no boundary.
    expected = gradient.color_scale.colors(np.array([2.0, 11.0, 101.0]))
    for boundary, color in zip(ball.boundaries[1:], expected, strict=True):
        assert (boundary.point_data["color"] == color).all()
    depth = Coloring(MANIFOLD_DEPTH, [ball])
    assert list(depth.measure_snapshots()) == []
    depth.apply()
    for boundary, colors in zip(ball.boundaries, original, strict=True):
        assert np.array_equal(boundary.point_data["color"], colors)
    movement = Coloring(MOVEMENT, [wall])
    list(movement.measure_snapshots())
    movement.apply()
    # The first snapshot has no movement. Then the wall moves to the right, and class 0 gains on both ribbons.
    assert (wall.boundaries[0].point_data["color"] == MISSING_VALUE_COLOR).all()
    assert (wall.boundaries[1].point_data["color"] == CLASS_COLORS[0]).all()


def test_two_runs_have_one_scale() -> None:
    small = ball_run_view()
    large = ball_run_view()
    large.evaluator.radius = dict.fromkeys(large.evaluator.radius, 0.5)
    large.evaluator.gradient_norms = lambda step, points: np.full(len(points), 5000.0)
    coloring = Coloring(GRADIENT_NORM, make_animations([small, large]))
    list(coloring.measure_snapshots())
    assert coloring.color_scale == ColorScale("logarithmic", 2.0, 5000.0)


@given(st.floats(1e-6, 1e6))
def test_round_numbers_enclose_the_number(value: float) -> None:
    assert round_down(value) <= value * (1 + 1e-9) and value <= round_up(value) * (1 + 1e-9)
    assert round_up(value) <= 2 * value * (1 + 1e-9) or round_up(value) / value < 2.5
    assert f"{round_up(value):e}"[0] in "1235"


def test_signed_scales_are_symmetric_and_pale_at_zero() -> None:
    values = [np.linspace(-0.5, 0.3, 101), np.linspace(-0.4, 0.25, 11), np.array([np.nan])]
    scale = fit_color_scale("diverging", values)
    assert scale == ColorScale("diverging", -0.5, 0.5)
    low, middle, high = scale.colors(np.array([-9.0, 0.0, 9.0]))
    assert tuple(low) == CLASS_COLORS[0] and tuple(high) == CLASS_COLORS[1] and min(middle) > 230


def test_a_scale_contains_nearly_all_numbers_of_half_of_the_snapshots() -> None:
    large = np.linspace(0, 8, 1000)
    small = np.linspace(0, 0.08, 1000)
    assert fit_color_scale("linear", [large, small, small]) == ColorScale("linear", 0.0, 0.1)
    logarithmic = fit_color_scale("logarithmic", [large + 1e-9, small + 1e-9])
    values = np.concatenate([large, small])
    assert ((values >= logarithmic.low) & (values <= logarithmic.high)).mean() >= 2 * COVERED_FRACTION - 1
    assert fit_color_scale("diverging", [np.zeros(5), np.full(3, np.nan)]) == ColorScale("diverging", -1.0, 1.0)


@pytest.mark.parametrize("kind", ["linear", "logarithmic"])
def test_larger_values_are_darker(kind: str) -> None:
    scale = fit_color_scale(kind, [np.geomspace(0.01, 100, 500)])  # type: ignore[arg-type]
    colors = scale.colors(scale.spaced_values(50)).astype(int)
    assert (np.diff(colors @ [299, 587, 114]) < 0).all()
    assert tuple(colors[0]) == SEQUENTIAL_COLORS[0] and tuple(colors[-1]) == SEQUENTIAL_COLORS[-1]
    assert tuple(scale.colors(np.array([np.nan]))[0]) == MISSING_VALUE_COLOR


def test_the_legend_names_quantity_unit_and_both_ends() -> None:
    assert scale_end_labels(MOVEMENT, ColorScale("diverging", -0.02, 0.02)) == (
        "0.02 gained by class 0",
        "0.02 gained by class 1",
    )
    assert scale_end_labels(MANIFOLD_DISTANCE, ColorScale("linear", 0.0, 0.1)) == ("0", "0.1")
    drawing = space_frames()[1].drawing
    legend = np.asarray(draw_legend(MANIFOLD_DEPTH, ColorScale("diverging", -0.03, 0.03), [drawing])).astype(int)
    assert len(sphere_points().labels) == 6
    for color in (*CLASS_COLORS[:2], (28, 30, 33)):
        assert (np.abs(legend[..., :3] - color).max(2) < 30).sum() > 20
