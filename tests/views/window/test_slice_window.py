"""A section in the window: names where they are seen, images at their points, what a click tells, and all in colour."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dimple.views.style.colors import CLASSES, tint
from dimple.views.vtk.billboards import tags_of
from dimple.views.window.animation import Show
from dimple.views.window.picking import picked_card
from dimple.views.window.window import Viewer
from tests.views.sections import NAMES, frame, images


def show(dim: int, folder: Path) -> Show:
    steps = np.repeat([0, 10], 3)
    points = {"step": steps, "split": np.full(6, "train"), "index": np.tile(np.arange(3), 2)}
    points |= {"margin": np.full(6, 0.25), "margin_section": np.full(6, 0.5), "margin_section_null": np.full(6, 0.75)}
    return Show([frame(dim, 2, index) for index in range(2)], folder, points)


@pytest.fixture(params=[2, 3])
def viewer(request: pytest.FixtureRequest, rendering: None, tmp_path: Path) -> Iterator[Viewer]:
    viewer = Viewer([show(request.param, tmp_path)], off_screen=True, size=(900, 700))
    yield viewer
    viewer.close()


def seen(viewer: Viewer) -> np.ndarray:
    viewer.plotter.render_window.Render()
    return viewer.plotter.screenshot(return_img=True).astype(int)


def test_all_classes_are_seen_and_images_stand_at_their_points(viewer: Viewer) -> None:
    picture = seen(viewer)
    for label in range(3):
        hue = np.array(tint(CLASSES[label], 0.3))
        ratio = picture / np.maximum(picture.sum(2, keepdims=True), 1)
        assert (np.abs(ratio - hue / hue.sum()).max(2) < 0.02).sum() > 1000
    renderer = viewer.exhibit.panels[0].renderer
    for place, pixels in zip(viewer.exhibit.panels[0].frame.drawing.points.positions, images(2).pictures, strict=True):
        renderer.SetWorldPoint(*place, 1.0)
        renderer.WorldToDisplay()
        x, y, _ = renderer.GetDisplayPoint()
        rows, columns = np.nonzero((picture == pixels[0, 0]).all(2))
        assert len(rows) > 30**2
        assert columns.mean() == pytest.approx(x, abs=6)
        assert 0 < (picture.shape[0] - y) - rows.mean() < 90


def test_names_go_where_they_are_seen_when_the_camera_moves(viewer: Viewer) -> None:
    seen(viewer)
    tags = viewer.exhibit.panels[0]._tags
    before = [(tag, actor.GetVisibility(), actor.GetPosition()) for tag, actor in tags._shown if not tag.lift]
    assert sum(visible for _, visible, _ in before) >= len(NAMES)
    viewer.exhibit.view.Azimuth(180)
    seen(viewer)
    after = [(tag, actor.GetVisibility(), actor.GetPosition()) for tag, actor in tags._shown if not tag.lift]
    assert [was[1:] for was in before] != [now[1:] for now in after]


def test_a_click_tells_the_distances_and_no_step_that_nobody_searched(viewer: Viewer) -> None:
    viewer._wear(points=(2,))
    picked = viewer.exhibit.panels[0].picked
    assert (picked.name, picked.label, picked.prediction) == ("42: cat, put into bird", 2, 1)
    assert (picked.figures["margin"], picked.figures["margin_section"]) == (0.25, 0.5)
    # Margin, and margin in the section: two rows beneath the heading, and no "none found".
    two, bare = picked_card(picked), picked_card(type(picked)(**{**vars(picked), "figures": {}}))
    assert two.height > bare.height
    assert np.isnan(picked.whole).all()


def test_the_next_quantity_is_the_same_one(viewer: Viewer) -> None:
    before = seen(viewer)
    viewer.next_quantity()
    assert (seen(viewer) == before).mean() > 0.99


def test_tags_are_for_sections_alone() -> None:
    from tests.views.material import space_frames

    assert tags_of(space_frames()[0]) == []
