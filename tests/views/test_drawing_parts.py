"""Colours, markers, letters and the strip: what a picture is put together from."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dimple.views.charts.timeline import LINES, plot_strip
from dimple.views.content.frame import Chart, Curve, Timeline
from dimple.views.style.colors import CLASSES, INK, PAPER, relief_colours
from dimple.views.style.fonts import font, font_file
from dimple.views.style.markers import marker, stamp
from tests.views.material import timeline

SIZE = (1280, 164)


@given(st.floats(0.001, 1.0))
def test_relief_fades_evenly_into_both_classes(depth: float) -> None:
    blue, pale, orange = relief_colours(np.array([-depth, 0.0, depth]), 1.0).astype(int)

    def towards(end: tuple[int, int, int], colour: np.ndarray) -> float:
        way = np.array(end) - pale
        return float((colour - pale) @ way / (way @ way))

    assert towards(CLASSES[0], blue) == pytest.approx(towards(CLASSES[1], orange), abs=0.01)
    assert 0 <= towards(CLASSES[1], orange) <= 1.001


def test_classes_differ_in_lightness_or_shape() -> None:
    looks = {(np.asarray(marker(label, 15).convert("L")).tobytes()) for label in range(4)}
    assert len(looks) == 4


@pytest.mark.parametrize("label", range(4))
def test_a_marker_is_filled_and_its_ghost_is_not(label: int) -> None:
    whole, ghost = marker(label, 13), marker(label, 13, ghost=True)
    middle = whole.width // 2
    assert whole.getpixel((middle, middle)) == (*CLASSES[label], 255)
    assert min(ghost.getpixel((middle, middle))[:3]) > 200
    assert whole.getpixel((0, 0))[3] == 0


def test_a_marker_is_stamped_on_its_place() -> None:
    paper = Image.new("RGB", (60, 40), PAPER)
    stamp(paper, marker(0, 9), 40.2, 12.9)
    rows, columns = np.nonzero((np.asarray(paper) == CLASSES[0]).all(2))
    assert (columns.mean(), rows.mean()) == pytest.approx((40.0, 12.5), abs=0.6)


def test_a_marker_may_stick_out() -> None:
    paper = Image.new("RGB", (20, 20), PAPER)
    stamp(paper, marker(1, 9), 0.0, 0.0)
    assert paper.getpixel((0, 0)) == CLASSES[1]


def test_the_typeface_is_there() -> None:
    assert font(20, bold=True).getlength("dimple") > font(20).getlength("dimple") > font(10).getlength("dimple")
    assert font_file().is_file()


def test_the_cursor_goes_through_the_curve_at_every_snapshot() -> None:
    strip = plot_strip(timeline(), SIZE)
    assert strip.picture.size == SIZE
    for cursors in strip.cursors:
        assert (np.diff(cursors) > 0).all()
    assert [int(np.isfinite(places).all(1).sum()) for places, _ in strip.dots] == [3, 4]
    for index in range(4):
        picture = strip.at(index)
        for (places, colour), cursors in zip(strip.dots, strip.cursors, strict=True):
            x, y = places[index]
            if np.isfinite(y):
                assert x == pytest.approx(cursors[index])
                assert picture.getpixel((round(x), round(y))) == colour


def test_dots_lie_on_the_plotted_line() -> None:
    strip = plot_strip(timeline(), SIZE)
    places, colour = strip.dots[1]
    assert colour == LINES[0] == INK
    for (x0, y0), (x1, y1) in itertools.pairwise(places):
        around = np.asarray(strip.picture)[round((y0 + y1) / 2) - 2 : round((y0 + y1) / 2) + 3, round((x0 + x1) / 2)]
        assert around.sum(1).min() < 250


def test_larger_values_stand_higher() -> None:
    (places, _), (_, bottom) = plot_strip(timeline(), SIZE).dots[1], plot_strip(timeline(), SIZE).spans[1]
    assert (np.diff(places[:, 1]) < 0).all()
    assert (places[:, 1] <= bottom).all()


def test_a_chart_holds_values_below_zero_and_decades() -> None:
    steps = np.array([0, 1, 2], dtype=np.int64)
    for logarithmic in (False, True):
        signed = Chart("signed", (Curve("x", np.array([-50.0, 0.0, 100.0])),), logarithmic=logarithmic)
        strip = plot_strip(Timeline(steps, (signed,)), SIZE)
        top, bottom = strip.spans[0]
        assert (strip.dots[0][0][:, 1] > top).all()
        assert (strip.dots[0][0][:, 1] < bottom).all()


def test_a_chart_without_a_finite_number_is_empty() -> None:
    blank = Chart("blank", (Curve("x", np.array([np.nan])),))
    strip = plot_strip(Timeline(np.zeros(1, dtype=np.int64), (blank,)), SIZE)
    assert strip.at(0).tobytes() != Image.new("RGB", SIZE, PAPER).tobytes()
