"""The window without a user: its keys, its slider, its playback, and one real window on a virtual display."""

import dataclasses
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dimple.errors import DeviceError, RunError
from dimple.views.content.camera import camera_from_vtk
from dimple.views.drawing.axes import draw_axes, scale_bar
from dimple.views.drawing.info_panels import caption_content
from dimple.views.window.animation import RunView
from dimple.views.window.colorings import GRADIENT_NORM, MANIFOLD_DEPTH, MANIFOLD_DISTANCE, MOVEMENT, SIDE_CLASS
from dimple.views.window.window import Viewer, open_window
from tests.views.films import decoded
from tests.views.material import RADII, STEPS, ball_run_view, ball_statistics, plane_frames, space_frames
from tests.views.virtual_display import virtual_display

CHECKOUT = Path(__file__).resolve().parents[3]
REAL_WINDOW_SCRIPT = """
import sys
from dimple.views.window.window import Viewer
from tests.views.material import ball_run_view
viewer = Viewer([ball_run_view()], size=(500, 400), fps=20)
output = [viewer.plotter.render_window.GetClassName()]
play_next = viewer.play_next
def play_and_record():
    play_next()
    output.append(viewer.index)
    if viewer.index == 3:
        viewer.plotter.screenshot(sys.argv[1])
        viewer.plotter.iren.terminate_app()
viewer.play_next = play_and_record
viewer.toggle_playing()
viewer.start()
print(*output, viewer.playing)
"""


@pytest.fixture
def viewer(rendering: None, tmp_path: Path) -> Iterator[Viewer]:
    viewer = Viewer([ball_run_view(tmp_path / "ball-0")], off_screen=True, size=(560, 400))
    yield viewer
    viewer.close()


def press(viewer: Viewer, key: str) -> None:
    interactor = viewer.plotter.iren.interactor
    interactor.SetKeySym(key)
    interactor.InvokeEvent("KeyPressEvent")


def click(viewer: Viewer, x: float, y: float, drag: int = 0) -> None:
    viewer.plotter.render_window.Render()
    interactor = viewer.plotter.iren.interactor
    interactor.SetEventInformation(round(x), round(y))
    interactor.InvokeEvent("LeftButtonPressEvent")
    interactor.SetEventInformation(round(x) + drag, round(y))
    interactor.InvokeEvent("MouseMoveEvent")
    interactor.InvokeEvent("LeftButtonReleaseEvent")


def pixel(viewer: Viewer, point: int, panel: int = 0) -> tuple[float, float]:
    """Return the pixel at which VTK draws a training point."""
    renderer = viewer.multi_view.panels[panel].renderer
    renderer.SetWorldPoint(*viewer.multi_view.panels[panel].frame.drawing.points.positions[point], 1.0)
    renderer.WorldToDisplay()
    return renderer.GetDisplayPoint()[:2]


def render(viewer: Viewer) -> np.ndarray:
    viewer.plotter.render_window.Render()
    return viewer.plotter.screenshot(return_img=True).astype(int)


def finish(viewer: Viewer) -> None:
    while viewer.background_task.is_busy:
        viewer.on_timer()


def test_keys_step_and_stop_at_the_ends(viewer: Viewer) -> None:
    # Like the page, the window opens at the end of the training.
    indices = [viewer.index]
    for key in ("Home", "Left", "Right", "Right", "Left", "End", "Right"):
        press(viewer, key)
        indices.append(viewer.index)
    assert indices == [3, 0, 0, 1, 2, 1, 3, 3]


def test_space_plays_to_the_end_and_then_from_the_start(viewer: Viewer) -> None:
    press(viewer, "Home")
    viewer.play_next()
    assert viewer.index == 0
    press(viewer, "space")
    for _ in range(10):
        viewer.play_next()
    assert (viewer.index, viewer.playing) == (3, False)
    press(viewer, "space")
    assert (viewer.index, viewer.playing) == (0, True)
    press(viewer, "space")
    viewer.play_next()
    assert (viewer.index, viewer.playing) == (0, False)


def test_snapshots_are_played_at_the_given_rate(viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("dimple.views.window.window.time.monotonic", lambda: now)
    viewer.fps = 4
    # A quarter of a second each; at every timer event if drawing takes longer.
    for interval, expected in ((0.125, [0, 1, 1, 2, 2, 3, 3]), (0.375, [1, 2, 3, 3])):
        viewer.show_index(0)
        viewer.toggle_playing()
        indices = []
        for _ in expected:
            now += interval
            viewer.on_timer()
            indices.append(viewer.index)
        assert indices == expected


def test_the_slider_sets_the_snapshot_and_follows_it(viewer: Viewer) -> None:
    (slider,) = viewer.plotter.widgets.slider_widgets
    slider.GetRepresentation().SetValue(2.2)
    slider.InvokeEvent("InteractionEvent")
    assert viewer.index == 2
    press(viewer, "Home")
    assert slider.GetRepresentation().GetValue() == 0


def test_every_snapshot_looks_different(viewer: Viewer) -> None:
    images = []
    for index in range(4):
        viewer.show_index(index)
        images.append(render(viewer))
    changes = [np.abs(a - b).mean() for a, b in itertools.pairwise(images)]
    assert min(changes) > 0.5


@pytest.mark.parametrize("key", ["o", "m", "h"])
def test_a_key_changes_the_picture_and_changes_it_back(viewer: Viewer, key: str) -> None:
    viewer.show_index(1 if key == "o" else 0)
    before = render(viewer)
    press(viewer, key)
    assert np.abs(render(viewer) - before).mean() > 1
    press(viewer, key)
    assert np.array_equal(render(viewer), before)


def test_the_default_keys_of_vtk_do_nothing(viewer: Viewer) -> None:
    before = render(viewer)
    interactor = viewer.plotter.iren.interactor
    for letter in "wsp3":
        interactor.SetKeyCode(letter)
        interactor.InvokeEvent("CharEvent")
    assert np.array_equal(render(viewer), before)


def test_the_boundary_is_colored_by_one_quantity_after_another(viewer: Viewer) -> None:
    viewer.show_index(3)
    images = [render(viewer)]
    quantities = [viewer.quantity]
    for _ in range(4):
        press(viewer, "c")
        finish(viewer)
        images.append(render(viewer))
        quantities.append(viewer.quantity)
    assert quantities == [MANIFOLD_DEPTH, MANIFOLD_DISTANCE, GRADIENT_NORM, MOVEMENT, MANIFOLD_DEPTH]
    assert min(np.abs(a - b).mean() for a, b in itertools.combinations(images[:4], 2)) > 1
    assert np.array_equal(images[4], images[0])


def test_a_click_picks_the_point_that_is_visible_there(viewer: Viewer) -> None:
    (panel,) = viewer.multi_view.panels

    def pick_each_point() -> list[int | None]:
        found = []
        for point in range(6):
            press(viewer, "Escape")
            assert panel.picked_point is None
            x, y = pixel(viewer, point)
            click(viewer, x + 4, y - 4)
            found.append(None if panel.picked_point is None else panel.picked_point.index)
        return found

    # Three of the points on the axes face the camera. A boundary inside their sphere hides the other three, and one
    # around it hides all, unless it is translucent.
    viewer.show_index(3)
    assert pick_each_point() == [0, None, 2, None, 4, None]
    viewer.show_index(1)
    assert pick_each_point() == [None] * 6
    press(viewer, "o")
    # Neither the legend nor a caption covers one.
    assert pick_each_point() == [0, 1, 2, 3, 4, 5]


def test_a_click_next_to_a_point_and_a_turn_of_the_scene_pick_nothing(viewer: Viewer) -> None:
    (panel,) = viewer.multi_view.panels
    x, y = pixel(viewer, 2)
    before = viewer.multi_view.camera.position
    click(viewer, x, y + 30)
    assert panel.picked_point is None
    click(viewer, x, y, drag=60)
    assert panel.picked_point is None
    assert np.linalg.norm(viewer.multi_view.camera.position - before) > 0.1


def test_a_picked_point_has_its_statistics_and_arrows_that_end_on_the_boundary(viewer: Viewer) -> None:
    (panel,) = viewer.multi_view.panels
    click(viewer, *pixel(viewer, 4))
    table = ball_statistics()
    for index, radius in enumerate(RADII):
        before = render(viewer)
        viewer.show_index(index)
        row = (table["step"] == STEPS[index]) & (table["split"] == "train") & (table["index"] == 4)
        (margin,) = table["margin"][row]
        assert panel.picked_point.statistics["margin"] == margin
        # The lower median of the two test points.
        assert panel.picked_point.statistics["margin_test"] == pytest.approx(0.1)
        tips = panel.arrows.tips
        assert [np.linalg.norm(tip) for tip in tips] == pytest.approx([] if radius is None else [radius, 0.3, radius])
        assert index == 0 or np.abs(render(viewer) - before).mean() > 0.5


def test_a_close_up_shows_the_step_in_its_true_length_and_can_be_left(viewer: Viewer) -> None:
    (panel,) = viewer.multi_view.panels
    viewer.show_index(3)
    press(viewer, "z")
    assert panel.picked_point is None
    camera_before = viewer.multi_view.camera
    before = render(viewer)
    click(viewer, *pixel(viewer, 0))
    press(viewer, "z")
    camera = viewer.multi_view.camera
    step = panel.picked_point.total
    assert camera.forward @ step == pytest.approx(0.0, abs=1e-9)
    assert np.linalg.norm(camera.focal_point - (panel.picked_point.position + step / 2)) < 1e-9
    height = 2 * np.linalg.norm(camera.position - camera.focal_point) * np.tan(np.radians(12))
    assert height == pytest.approx(6 * np.linalg.norm(step))
    close_up = render(viewer)
    press(viewer, "z")
    assert viewer.multi_view.camera.position == pytest.approx(camera_before.position)
    press(viewer, "Escape")
    assert np.abs(render(viewer) - close_up).mean() > 5
    assert np.abs(render(viewer) - before).mean() < 0.01


def test_r_resets_the_camera(viewer: Viewer) -> None:
    before = viewer.multi_view.camera.position
    viewer.multi_view.panels[0].renderer.camera.zoom(3)
    viewer.multi_view.panels[0].renderer.camera.azimuth = 40
    press(viewer, "r")
    assert viewer.multi_view.camera.position == pytest.approx(before)


def test_a_screenshot_is_saved_next_to_the_run_and_replaces_no_file(viewer: Viewer, tmp_path: Path) -> None:
    viewer.show_index(2)
    press(viewer, "s")
    press(viewer, "s")
    names = ["ball-0-step-10.png", "ball-0-step-10-2.png"]
    assert viewer.written_files == [tmp_path / name for name in names]
    with Image.open(viewer.written_files[0]) as image:
        assert image.text["Settings"] == "name: ball-0"
    first, second = (np.asarray(Image.open(path), dtype=int) for path in viewer.written_files)
    assert np.array_equal(first, second)
    assert first.shape == (360, 560, 3)
    # The same as in the window, except for smoother edges and the missing key hint.
    assert first.std() > 10
    difference = np.abs(first - render(viewer)[:360]).mean()
    viewer.show_index(3)
    assert difference < 0.6 * np.abs(first - render(viewer)[:360]).mean()


def test_a_film_records_the_view_and_reports_progress(viewer: Viewer, tmp_path: Path) -> None:
    viewer.fps = 5
    messages = []
    viewer._controls.show_message = messages.append
    press(viewer, "c")
    finish(viewer)
    viewer.multi_view.panels[0].renderer.camera.azimuth = 30
    press(viewer, "f")
    finish(viewer)
    (film,) = viewer.written_files
    assert film == tmp_path / "ball-0-film.mp4"
    assert messages[-1] == f"wrote {film}"
    images = decoded(film, (560, 360))[1].astype(int)
    # The first and the last snapshot stay for a second, which is five images each.
    assert len(images) == 5 + 1 + 1 + 5
    assert np.abs(images[0] - images[4]).mean() < 1
    for index, image in ((1, images[5]), (2, images[6]), (3, images[11])):
        viewer.show_index(index)
        assert np.abs(image - render(viewer)[:360]).mean() < 4


def test_a_film_that_is_stopped_leaves_no_file(viewer: Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dimple.views.window.background_task.MAX_BLOCKING_SECONDS", 0.0)
    press(viewer, "f")
    viewer.on_timer()
    assert viewer.background_task.is_busy
    assert len(list(tmp_path.iterdir())) == 1
    press(viewer, "f")
    assert not viewer.background_task.is_busy
    assert viewer.written_files == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named_in_the_window(rendering: None, tmp_path: Path) -> None:
    viewer = Viewer([ball_run_view(tmp_path / "gone" / "ball-0")], off_screen=True, size=(400, 300))
    messages = []
    viewer._controls.show_message = messages.append
    press(viewer, "s")
    press(viewer, "f")
    finish(viewer)
    assert viewer.written_files == []
    assert len(messages) == 2
    assert all(str(tmp_path / "gone") in message and "cannot be written" in message for message in messages)
    viewer.close()


def test_two_runs_share_slider_camera_legend_and_picked_points(rendering: None, tmp_path: Path) -> None:
    short = ball_run_view(tmp_path / "ball-1")
    short = dataclasses.replace(short, frames=[short.frames[0], dataclasses.replace(short.frames[3], step=30)])
    viewer = Viewer([ball_run_view(tmp_path / "ball-0"), short], off_screen=True, size=(1500, 500))
    assert viewer.steps == [0, 1, 10, 30, 100]
    first, second = viewer.multi_view.panels
    steps = []
    for index in range(5):
        viewer.show_index(index)
        steps.append((first.frame.step, second.frame.step))
    assert steps == [(0, 0), (1, 0), (10, 0), (10, 30), (100, 30)]
    x, y = pixel(viewer, 4, panel=1)
    assert x > 750
    assert first.renderer.camera is second.renderer.camera
    short.evaluator.radius[30] = 0.28
    click(viewer, x, y)
    assert (first.picked_point.index, second.picked_point.index) == (4, 4)
    # Apart from captions and legend both sides show the same scene.
    left = render(viewer)[225:310, 275:475]
    right = render(viewer)[225:310, 1025:1225]
    assert np.abs(left - right).mean() < 1
    assert left.std() > 20
    press(viewer, "s")
    with Image.open(tmp_path / "ball-0-and-ball-1-step-100.png") as image:
        assert image.text["Seed"] == "3"
        assert image.text["Settings"] == "name: ball-0\n---\nname: ball-1"
    viewer.close()


def test_l_gives_each_run_a_camera_of_its_own_and_back(rendering: None, tmp_path: Path) -> None:
    runs = [ball_run_view(tmp_path / "ball-0"), ball_run_view(tmp_path / "ball-1")]
    viewer = Viewer(runs, off_screen=True, size=(1500, 500))
    first, second = viewer.multi_view.panels
    start = viewer.multi_view.camera
    press(viewer, "l")
    second.renderer.camera.azimuth = 90
    assert viewer.multi_view.camera.position == pytest.approx(start.position)
    assert viewer.multi_view.camera.forward @ camera_from_vtk(second.renderer.camera).forward < 0.9
    assert not np.array_equal(render(viewer)[100:300, 1200:1300], render(viewer)[100:300, 450:550])
    press(viewer, "s")
    with Image.open(viewer.written_files[0]) as image:
        saved = np.asarray(image.convert("RGB"), dtype=int)
    # Both scenes are as they are in the window; texts have smoother edges.
    for scene in (np.s_[100:300, 250:500], np.s_[100:300, 1000:1250]):
        assert np.abs(saved[scene] - render(viewer)[scene]).mean() < 2.5
    copy = viewer.multi_view.offscreen_copy((1500, 450))
    for panel, copied in zip(viewer.multi_view.panels, copy.panels, strict=True):
        position = camera_from_vtk(copied.renderer.camera).position
        assert position == pytest.approx(camera_from_vtk(panel.renderer.camera).position)
    copy.close()
    press(viewer, "l")
    assert first.renderer.camera is second.renderer.camera
    viewer.close()


def test_the_scale_bar_is_as_long_as_it_says_in_the_middle_of_the_view(viewer: Viewer) -> None:
    camera = viewer.multi_view.camera
    for zoom in (1.0, 0.37):
        near = dataclasses.replace(camera, position=camera.focal_point + zoom * (camera.position - camera.focal_point))
        length, pixels = scale_bar(near, 360)
        right = np.cross(near.forward, near.up)
        ends = near.focal_point + np.outer([0, length], right / np.linalg.norm(right))
        (left, _), (end, _) = near.project(ends, (560, 360))[0]
        assert end - left == pytest.approx(pixels)
        dark = np.asarray(draw_axes(near, 360, "input units").convert("L")) < 100
        # The bar is below its text and the axes.
        row = dark[np.flatnonzero(dark.any(axis=1))[-1]]
        assert np.ptp(np.flatnonzero(row)) == pytest.approx(pixels, abs=2)


def test_a_planar_scene_with_a_single_snapshot_can_be_shown(rendering: None) -> None:
    viewer = Viewer([RunView(plane_frames()[:1], Path("wall"))], off_screen=True, size=(400, 300))
    viewer.step(1)
    assert viewer.index == 0
    assert viewer.quantity == SIDE_CLASS
    assert render(viewer).std() > 1
    # From above, in the colors of the classes: orange to the right of the wall at 0.2, blue to its left.
    assert viewer.multi_view.camera.forward == pytest.approx([0, 0, -1])
    renderer = viewer.multi_view.panels[0].renderer
    for x, color in ((0.194, "blue"), (0.206, "orange")):
        renderer.SetWorldPoint(x, 0.8, 0.0, 1.0)
        renderer.WorldToDisplay()
        column, row = (round(value) for value in renderer.GetDisplayPoint()[:2])
        red, _, blue = render(viewer)[300 - 1 - row, column]
        assert (red > blue) == (color == "orange")
    viewer.close()


def test_the_caption_has_the_facts_and_their_baselines() -> None:
    heading, rows = caption_content(space_frames()[2], "ball")
    assert (heading.title, heading.note) == ("ball", "step 10\nnear the manifold, steps 10 to 100")
    assert [(fact.name, fact.value, fact.baseline) for fact, _ in rows] == [
        ("train accuracy", "0.833", "0.500"),
        ("loss", "0.1", ""),
    ]


def test_without_a_display_the_film_and_the_report_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dimple.views.window.window.has_display", lambda: False)
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(DeviceError) as caught:
        open_window([ball_run_view()])
    message = (
        "no display for a window (DISPLAY is not set); look at runs/ball-0/film.mp4 or runs/ball-0/report.html instead"
    )
    assert str(caught.value) == message
    monkeypatch.setenv("DISPLAY", ":9")
    with pytest.raises(DeviceError, match="DISPLAY :9 does not answer"):
        open_window([ball_run_view()])


def test_a_run_without_snapshots_has_no_window() -> None:
    with pytest.raises(RunError, match="runs/ball-0: has no snapshots to show"):
        open_window([RunView([], Path("runs/ball-0"))])


def test_a_real_window_plays_on_a_virtual_display(tmp_path: Path) -> None:
    screenshot = tmp_path / "window.png"
    environment = {k: v for k, v in os.environ.items() if k != "VTK_DEFAULT_OPENGL_WINDOW"}
    with virtual_display("800x600x24") as display:
        done = subprocess.run(
            [sys.executable, "-c", REAL_WINDOW_SCRIPT, str(screenshot)],
            env=environment | {"DISPLAY": display, "PYTHONPATH": str(CHECKOUT)},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["vtkXOpenGLRenderWindow", "1", "2", "3", "False"]
    assert np.asarray(Image.open(screenshot)).std() > 5


@pytest.mark.parametrize("size", [(1300, 720), (1300, 900), (1560, 800)])
def test_captions_and_legend_cover_no_boundary_of_two_runs(
    rendering: None, tmp_path: Path, size: tuple[int, int]
) -> None:
    viewer = Viewer([ball_run_view(tmp_path / "a"), ball_run_view(tmp_path / "b")], off_screen=True, size=size)
    try:
        viewer.show_index(3)
        for panel in viewer.multi_view.panels:
            width, height = panel.renderer.GetSize()
            matrix = panel.renderer.GetActiveCamera().GetCompositeProjectionTransformMatrix(width / height, 0.0, 1.0)
            transform = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
            boundary = panel.frame.drawing.layer("boundary")
            assert boundary is not None
            projected = np.insert(boundary.mesh.vertices, 3, 1.0, axis=1) @ transform.T
            x, y = ((projected[:, :2] / projected[:, 3:] + 1) / 2 * (width, height)).T
            assert x.min() >= 0 and x.max() <= width
            caption_width, caption_height = panel.caption_size
            legend_width, legend_height = viewer.multi_view._legend.size
            assert not ((x < caption_width) & (y > height - caption_height)).any()
            assert not ((x < legend_width) & (y < legend_height)).any()
    finally:
        viewer.close()
