"""An affine slice in the window: class colors, names where visible, images at their points, and picked points."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dimple.views.style.colors import CLASS_COLORS, tint
from dimple.views.vtk.billboards import make_billboards
from dimple.views.window.animation import RunView
from dimple.views.window.picking import draw_picked_point
from dimple.views.window.window import Viewer
from tests.views.slices import NAMES, frame, images


def slice_view(dim: int, folder: Path) -> RunView:
    steps = np.repeat([0, 10], 3)
    points = {"step": steps, "split": np.full(6, "train"), "index": np.tile(np.arange(3), 2)}
    points |= {"margin": np.full(6, 0.25), "margin_in_slice": np.full(6, 0.5), "margin_in_slice_null": np.full(6, 0.75)}
    return RunView([frame(dim, 2, index) for index in range(2)], folder, points)


@pytest.fixture(params=[2, 3])
def viewer(request: pytest.FixtureRequest, rendering: None, tmp_path: Path) -> Iterator[Viewer]:
    viewer = Viewer([slice_view(request.param, tmp_path)], off_screen=True, size=(900, 700))
    yield viewer
    viewer.close()


def render(viewer: Viewer) -> np.ndarray:
    viewer.plotter.render_window.Render()
    return viewer.plotter.screenshot(return_img=True).astype(int)


def test_all_classes_are_visible_and_images_are_at_their_points(viewer: Viewer) -> None:
    screenshot = render(viewer)
    for label in range(3):
        color = np.array(tint(CLASS_COLORS[label], 0.3))
        ratio = screenshot / np.maximum(screenshot.sum(2, keepdims=True), 1)
        assert (np.abs(ratio - color / color.sum()).max(2) < 0.02).sum() > 1000
    (panel,) = viewer.multi_view.panels
    for position, pixels in zip(panel.frame.drawing.points.positions, images(2).images, strict=True):
        panel.renderer.SetWorldPoint(*position, 1.0)
        panel.renderer.WorldToDisplay()
        x, y, _ = panel.renderer.GetDisplayPoint()
        rows, columns = np.nonzero((screenshot == pixels[0, 0]).all(2))
        assert len(rows) > 30**2
        assert columns.mean() == pytest.approx(x, abs=6)
        assert 0 < (screenshot.shape[0] - y) - rows.mean() < 90


def test_names_move_to_visible_positions_when_the_camera_moves(viewer: Viewer) -> None:
    def inspect_names() -> list[tuple[int, tuple[float, float]]]:
        render(viewer)
        overlay = viewer.multi_view.panels[0]._billboards
        return [
            (actor.GetVisibility(), actor.GetPosition())
            for billboard, actor in overlay._billboards
            if not billboard.vertical_offset
        ]

    before = inspect_names()
    assert sum(is_visible for is_visible, _ in before) >= len(NAMES)
    viewer.multi_view.panels[0].renderer.camera.Azimuth(180)
    assert inspect_names() != before


def test_a_picked_point_shows_its_margins_and_no_step_without_an_evaluator(viewer: Viewer) -> None:
    viewer._update_options(picked_points=(2,))
    picked = viewer.multi_view.panels[0].picked_point
    assert (picked.name, picked.label, picked.prediction) == ("42: cat, predicted bird", 2, 1)
    assert (picked.statistics["margin"], picked.statistics["margin_in_slice"]) == (0.25, 0.5)
    # Two rows below the heading: the margin, and the margin in the slice.
    without_rows = dataclasses.replace(picked, statistics={})
    assert draw_picked_point(picked).height > draw_picked_point(without_rows).height
    assert np.isnan(picked.total).all()


def test_there_is_only_one_quantity(viewer: Viewer) -> None:
    before = render(viewer)
    viewer.next_quantity()
    assert (render(viewer) == before).mean() > 0.99


def test_only_frames_with_class_regions_have_billboards() -> None:
    from tests.views.material import space_frames

    assert make_billboards(space_frames()[0]) == []
