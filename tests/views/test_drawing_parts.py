"""The parts of a picture: colors, markers, fonts and the timeline."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dimple.views.charts.charts_by_unit import charts_by_unit
from dimple.views.charts.timeline import LINE_COLORS, draw_chart, plot_timeline
from dimple.views.content.frame import Chart, ChartCurve, Timeline
from dimple.views.style.colors import BACKGROUND_COLOR, CLASS_COLORS, FOREGROUND_COLOR, depth_colors
from dimple.views.style.fonts import font_file, load_font
from dimple.views.style.markers import draw_marker, paste_marker
from tests.views.material import timeline

SIZE = (1280, 164)


@given(st.floats(0.001, 1.0))
def test_depth_colors_are_equally_strong_for_both_classes(depth: float) -> None:
    blue, pale, orange = depth_colors(np.array([-depth, 0.0, depth]), 1.0).astype(int)

    def strength(color: np.ndarray, full: tuple[int, int, int]) -> float:
        difference = np.array(full) - pale
        return float((color - pale) @ difference / (difference @ difference))

    assert strength(blue, CLASS_COLORS[0]) == pytest.approx(strength(orange, CLASS_COLORS[1]), abs=0.01)
    assert 0 <= strength(orange, CLASS_COLORS[1]) <= 1.001


def test_classes_differ_in_lightness_or_shape() -> None:
    gray_markers = {np.asarray(draw_marker(label, 15).convert("L")).tobytes() for label in range(4)}
    assert len(gray_markers) == 4


@pytest.mark.parametrize("label", range(4))
def test_a_visible_marker_is_filled_and_a_hidden_one_is_not(label: int) -> None:
    visible = draw_marker(label, 13)
    hidden = draw_marker(label, 13, hidden=True)
    middle = visible.width // 2
    assert visible.getpixel((middle, middle)) == (*CLASS_COLORS[label], 255)
    assert min(hidden.getpixel((middle, middle))[:3]) > 200
    assert visible.getpixel((0, 0))[3] == 0


def test_a_marker_is_pasted_at_its_position() -> None:
    picture = Image.new("RGB", (60, 40), BACKGROUND_COLOR)
    paste_marker(picture, draw_marker(0, 9), 40.2, 12.9)
    rows, columns = np.nonzero((np.asarray(picture) == CLASS_COLORS[0]).all(2))
    assert (columns.mean(), rows.mean()) == pytest.approx((40.0, 12.5), abs=0.6)


def test_a_marker_may_extend_beyond_the_picture() -> None:
    picture = Image.new("RGB", (20, 20), BACKGROUND_COLOR)
    paste_marker(picture, draw_marker(1, 9), 0.0, 0.0)
    assert picture.getpixel((0, 0)) == CLASS_COLORS[1]


def test_the_font_exists_in_several_sizes_and_bold() -> None:
    small, medium, bold = (
        font.getlength("dimple") for font in (load_font(10), load_font(20), load_font(20, bold=True))
    )
    assert bold > medium > small
    assert font_file().is_file()


def test_the_cursor_goes_through_the_curve_at_every_snapshot() -> None:
    plotted = plot_timeline(timeline(), SIZE)
    assert plotted.image.size == SIZE
    for cursor_x in plotted.cursor_x:
        assert (np.diff(cursor_x) > 0).all()
    assert [int(np.isfinite(pixels).all(1).sum()) for pixels, _ in plotted.curve_markers] == [3, 4]
    for index in range(4):
        picture = plotted.draw_cursor(index)
        for (pixels, color), cursor_x in zip(plotted.curve_markers, plotted.cursor_x, strict=True):
            x, y = pixels[index]
            if np.isfinite(y):
                assert x == pytest.approx(cursor_x[index])
                assert picture.getpixel((round(x), round(y))) == color


def test_markers_lie_on_the_plotted_line() -> None:
    plotted = plot_timeline(timeline(), SIZE)
    pixels, color = plotted.curve_markers[1]
    assert color == LINE_COLORS[0] == FOREGROUND_COLOR
    for (x0, y0), (x1, y1) in itertools.pairwise(pixels):
        row = round((y0 + y1) / 2)
        neighborhood = np.asarray(plotted.image)[row - 2 : row + 3, round((x0 + x1) / 2)]
        assert neighborhood.sum(1).min() < 250


def test_larger_values_are_higher() -> None:
    plotted = plot_timeline(timeline(), SIZE)
    pixels, _ = plotted.curve_markers[1]
    _, bottom = plotted.chart_spans[1]
    assert (np.diff(pixels[:, 1]) < 0).all()
    assert (pixels[:, 1] <= bottom).all()


def test_a_chart_contains_values_below_zero_and_of_several_decades() -> None:
    steps = np.array([0, 1, 2], dtype=np.int64)
    for logarithmic in (False, True):
        signed = Chart("signed", (ChartCurve("x", np.array([-50.0, 0.0, 100.0])),), logarithmic=logarithmic)
        plotted = plot_timeline(Timeline(steps, (signed,)), SIZE)
        top, bottom = plotted.chart_spans[0]
        assert (plotted.curve_markers[0][0][:, 1] > top).all()
        assert (plotted.curve_markers[0][0][:, 1] < bottom).all()


def draw(chart: Chart, steps: list[int]) -> Any:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    draw_chart(axes, chart, Timeline(np.array(steps, dtype=np.int64), (chart,)))
    return axes


@pytest.mark.parametrize(
    ("values", "text"),
    [([0.1, 0.5, 3.0], "log axis"), ([0.0, 0.2, 3.0], "linear up to"), ([-2.0, 0.1, 300.0], "log axis")],
)
def test_a_logarithmic_axis_says_so_and_has_ticks_where_the_data_lie(values: list[float], text: str) -> None:
    chart = Chart("x", (ChartCurve("x", np.array(values)),), "l2", logarithmic=True)
    axes = draw(chart, [0, 1, 100])
    assert text in axes.get_title(loc="left").replace("\n", " ")
    ticks = [tick for tick in axes.get_yticks() if min(values) <= tick <= max(values)]
    assert len([tick for tick in ticks if tick > 0.5 * max(values) / 10]) >= 1 and len(ticks) >= 3


@pytest.mark.parametrize(
    ("steps", "scale", "text"),
    [([0, 1, 100], "symlog", "x, log steps"), ([1, 6, 12], "linear", "x"), ([10, 100, 5000], "log", "x, log steps")],
)
def test_curves_begin_at_the_first_step(steps: list[int], scale: str, text: str) -> None:
    axes = draw(Chart("x", (ChartCurve("x", np.array([1.0, 2.0, 3.0])),)), steps)
    low, high = axes.get_xlim()
    width = axes.bbox.width
    assert axes.get_xscale() == scale and low <= steps[0] and steps[-1] <= high
    pixels = axes.transData.transform([(steps[0], 1.0), (steps[-1], 1.0)])[:, 0]
    assert pixels[1] - pixels[0] > 0.9 * width
    assert axes.get_title(loc="left") == text


def test_intervals_and_bands_of_nulls_are_drawn_and_named_differently() -> None:
    values = np.array([1.0, 2.0, 3.0])
    curve = ChartCurve("x", values, values / 2, (values - 0.5, values + 0.5), (values / 4, values))
    axes = draw(Chart("x", (curve,)), [0, 1, 2])
    handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    assert handles.keys() == {"x", "dashed: comparison", "dotted: band of the null", "area: 95 % interval"}
    assert len(axes.collections) == 2 and sum(line.get_linestyle() == ":" for line in axes.lines) == 3


def test_charts_of_a_table_have_titles_of_their_own_and_constants_come_last() -> None:
    steps = np.arange(3)
    columns = {"step": steps, "a": np.ones(3)} | dict.fromkeys("bcdefg", steps * 1.0) | {"h": np.zeros(3)}
    charts = charts_by_unit(columns, dict.fromkeys("abcdefgh", "l2"))
    assert len({chart.title for chart in charts}) == len(charts) == 2
    assert [curve.name for chart in charts for curve in chart.curves] == [*"bcdefg", "a", "h"]


def test_a_chart_without_a_finite_number_is_drawn_without_a_curve() -> None:
    empty = Chart("empty", (ChartCurve("x", np.array([np.nan])),))
    plotted = plot_timeline(Timeline(np.zeros(1, dtype=np.int64), (empty,)), SIZE)
    assert plotted.draw_cursor(0).tobytes() != Image.new("RGB", SIZE, BACKGROUND_COLOR).tobytes()


@pytest.mark.parametrize(("size", "stacked"), [(SIZE, False), ((470, 526), True)])
@pytest.mark.parametrize(
    "names", [("manifold to boundary", "dimple depth"), ("off-manifold fraction", "training accuracy")]
)
def test_no_legend_is_cut_off(size: tuple[int, int], stacked: bool, names: tuple[str, str]) -> None:
    steps = np.array([0, 1, 2], dtype=np.int64)
    values = np.array([0.2, 0.5, 0.9])
    chart = Chart("fractions", tuple(ChartCurve(name, values, values) for name in names), limits=(0.0, 1.0))
    picture = np.asarray(plot_timeline(Timeline(steps, (chart, chart)), size, stacked=stacked).image)
    assert (picture[:, [0, -3, -2, -1]] == BACKGROUND_COLOR).all()
