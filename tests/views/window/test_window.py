"""The window, driven without a hand: its keys, its slider, its clock, and one true window on a virtual display."""

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
from dimple.views.drawing.info_panels import caption
from dimple.views.window.animation import Show
from dimple.views.window.colorings import DEPTH, DISTANCE, GRADIENT, MOVEMENT, SIDES
from dimple.views.window.window import Viewer, open_window
from tests.views.films import decoded
from tests.views.material import RADII, STEPS, ball_figures, ball_show, plane_frames, space_frames
from tests.views.virtual_display import virtual_display

CHECKOUT = Path(__file__).resolve().parents[3]
TRUE_WINDOW = """
import sys
from dimple.views.window.window import Viewer
from tests.views.material import ball_show
viewer = Viewer([ball_show()], size=(500, 400), fps=20)
kinds, beat = [viewer.plotter.render_window.GetClassName()], viewer.tick
def tick():
    beat()
    kinds.append(viewer.index)
    if viewer.index == 3:
        viewer.plotter.screenshot(sys.argv[1])
        viewer.plotter.iren.terminate_app()
viewer.tick = tick
viewer.toggle()
viewer.start()
print(*kinds, viewer.playing)
"""


@pytest.fixture
def viewer(rendering: None, tmp_path: Path) -> Iterator[Viewer]:
    viewer = Viewer([ball_show(tmp_path / "ball-0")], off_screen=True, size=(500, 400))
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
    """Where VTK itself says that a training point is drawn."""
    renderer = viewer.exhibit.panels[panel].renderer
    renderer.SetWorldPoint(*viewer.exhibit.panels[panel].frame.drawing.points.positions[point], 1.0)
    renderer.WorldToDisplay()
    return renderer.GetDisplayPoint()[:2]


def seen(viewer: Viewer) -> np.ndarray:
    viewer.plotter.render_window.Render()
    return viewer.plotter.screenshot(return_img=True).astype(int)


def finish(viewer: Viewer) -> None:
    while viewer.errand.busy:
        viewer.beat()


def test_keys_step_and_stop_at_the_ends(viewer: Viewer) -> None:
    seen = []
    for key in ("Right", "Right", "Left", "End", "Right", "Home", "Left"):
        press(viewer, key)
        seen.append(viewer.index)
    assert seen == [1, 2, 1, 3, 3, 0, 0]


def test_space_plays_to_the_end_and_then_from_the_start(viewer: Viewer) -> None:
    viewer.tick()
    assert viewer.index == 0
    press(viewer, "space")
    for _ in range(10):
        viewer.tick()
    assert (viewer.index, viewer.playing) == (3, False)
    press(viewer, "space")
    assert (viewer.index, viewer.playing) == (0, True)
    press(viewer, "space")
    viewer.tick()
    assert (viewer.index, viewer.playing) == (0, False)


def test_snapshots_go_by_at_the_rate_that_was_set(viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("dimple.views.window.window.time.monotonic", lambda: now)
    viewer.fps = 4
    # A quarter of a second each; one after the other where a drawing takes longer.
    for beat, expected in ((0.125, [0, 1, 1, 2, 2, 3, 3]), (0.375, [1, 2, 3, 3])):
        viewer.show(0)
        viewer.toggle()
        shown = []
        for _ in expected:
            now += beat
            viewer.beat()
            shown.append(viewer.index)
        assert shown == expected


def test_the_slider_goes_where_it_is_put_and_follows(viewer: Viewer) -> None:
    (slider,) = viewer.plotter.widgets.slider_widgets
    slider.GetRepresentation().SetValue(2.2)
    slider.InvokeEvent("InteractionEvent")
    assert viewer.index == 2
    press(viewer, "Home")
    assert slider.GetRepresentation().GetValue() == 0


def test_every_snapshot_looks_different(viewer: Viewer) -> None:
    pictures = []
    for index in range(4):
        viewer.show(index)
        pictures.append(seen(viewer))
    changes = [np.abs(a - b).mean() for a, b in itertools.pairwise(pictures)]
    assert min(changes) > 0.5


@pytest.mark.parametrize("key", ["o", "m", "h"])
def test_a_key_changes_the_picture_and_changes_it_back(viewer: Viewer, key: str) -> None:
    viewer.show(1 if key == "o" else 0)
    before = seen(viewer)
    press(viewer, key)
    assert np.abs(seen(viewer) - before).mean() > 1
    press(viewer, key)
    assert np.array_equal(seen(viewer), before)


def test_letters_of_vtk_do_nothing(viewer: Viewer) -> None:
    before = seen(viewer)
    interactor = viewer.plotter.iren.interactor
    for letter in "wsp3":
        interactor.SetKeyCode(letter)
        interactor.InvokeEvent("CharEvent")
    assert np.array_equal(seen(viewer), before)


def test_the_boundary_is_coloured_by_one_quantity_after_another(viewer: Viewer) -> None:
    viewer.show(3)
    shown, names = [seen(viewer)], [viewer.quantity]
    for _ in range(4):
        press(viewer, "c")
        finish(viewer)
        shown.append(seen(viewer))
        names.append(viewer.quantity)
    assert names == [DEPTH, DISTANCE, GRADIENT, MOVEMENT, DEPTH]
    assert min(np.abs(a - b).mean() for a, b in itertools.combinations(shown[:4], 2)) > 1
    assert np.array_equal(shown[4], shown[0])


def test_a_click_asks_about_the_point_that_is_seen_there(viewer: Viewer) -> None:
    (panel,) = viewer.exhibit.panels

    def asked() -> list[int | None]:
        found = []
        for point in range(6):
            press(viewer, "Escape")
            assert panel.picked is None
            x, y = pixel(viewer, point)
            click(viewer, x + 4, y - 4)
            found.append(None if panel.picked is None else panel.picked.index)
        return found

    # Of the points on the axes three face the camera; a boundary within their sphere hides the others, one around it
    # all, unless one can see through it.
    viewer.show(3)
    assert asked() == [0, None, 2, None, 4, None]
    viewer.show(1)
    assert asked() == [None] * 6
    press(viewer, "o")
    # The legend lies over the last.
    assert asked() == [0, 1, 2, 3, 4, None]


def test_a_click_beside_a_point_and_a_turn_of_the_scene_ask_nothing(viewer: Viewer) -> None:
    (panel,) = viewer.exhibit.panels
    x, y = pixel(viewer, 2)
    before = viewer.exhibit.camera.position
    click(viewer, x, y + 30)
    assert panel.picked is None
    click(viewer, x, y, drag=60)
    assert panel.picked is None
    assert np.linalg.norm(viewer.exhibit.camera.position - before) > 0.1


def test_a_picked_point_has_its_figures_and_arrows_that_end_on_the_boundary(viewer: Viewer) -> None:
    (panel,) = viewer.exhibit.panels
    click(viewer, *pixel(viewer, 4))
    table = ball_figures()
    for index, radius in enumerate(RADII):
        before = seen(viewer)
        viewer.show(index)
        row = (table["step"] == STEPS[index]) & (table["split"] == "train") & (table["index"] == 4)
        (margin,) = table["margin"][row]
        assert panel.picked.figures["margin"] == margin
        # Of the two unseen points the lower one, as in every figure.
        assert panel.picked.figures["margin_null"] == pytest.approx(0.1)
        tips = panel.arrows.tips
        assert [np.linalg.norm(tip) for tip in tips] == pytest.approx([] if radius is None else [radius, 0.3, radius])
        assert index == 0 or np.abs(seen(viewer) - before).mean() > 0.5


def test_a_close_look_shows_the_step_in_its_true_length_and_comes_back(viewer: Viewer) -> None:
    (panel,) = viewer.exhibit.panels
    viewer.show(3)
    press(viewer, "z")
    assert panel.picked is None
    afar, before = viewer.exhibit.camera, seen(viewer)
    click(viewer, *pixel(viewer, 0))
    press(viewer, "z")
    near, step = viewer.exhibit.camera, panel.picked.whole
    assert near.forward @ step == pytest.approx(0.0, abs=1e-9)
    assert np.linalg.norm(near.focus - (panel.picked.place + step / 2)) < 1e-9
    height = 2 * np.linalg.norm(near.position - near.focus) * np.tan(np.radians(12))
    assert height == pytest.approx(6 * np.linalg.norm(step))
    close = seen(viewer)
    press(viewer, "z")
    assert viewer.exhibit.camera.position == pytest.approx(afar.position)
    press(viewer, "Escape")
    assert np.abs(seen(viewer) - close).mean() > 5
    assert np.abs(seen(viewer) - before).mean() < 0.01


def test_r_looks_at_everything_again(viewer: Viewer) -> None:
    before = viewer.exhibit.camera.position
    viewer.exhibit.view.zoom(3)
    viewer.exhibit.view.azimuth = 40
    press(viewer, "r")
    assert viewer.exhibit.camera.position == pytest.approx(before)


def test_a_picture_is_saved_beside_the_run_and_never_over_another(viewer: Viewer, tmp_path: Path) -> None:
    viewer.show(2)
    press(viewer, "s")
    press(viewer, "s")
    names = ["ball-0-step-10.png", "ball-0-step-10-2.png"]
    assert viewer.written == [tmp_path / name for name in names]
    with Image.open(viewer.written[0]) as picture:
        assert picture.text["Settings"] == "name: ball-0"
    first, second = (np.asarray(Image.open(path), dtype=int) for path in viewer.written)
    assert np.array_equal(first, second)
    assert first.shape == (360, 500, 3)
    # The same as in the window, but for its smoother edges and the hint at a key.
    assert first.std() > 10
    away = np.abs(first - seen(viewer)[:360]).mean()
    viewer.show(3)
    assert away < 0.6 * np.abs(first - seen(viewer)[:360]).mean()


def test_a_film_is_made_of_what_is_shown_and_its_progress_told(viewer: Viewer, tmp_path: Path) -> None:
    viewer.fps = 5
    said = []
    viewer._controls.say = said.append
    press(viewer, "c")
    finish(viewer)
    viewer.exhibit.view.azimuth = 30
    press(viewer, "f")
    finish(viewer)
    (film,) = viewer.written
    assert film == tmp_path / "ball-0-film.mp4"
    assert said[-1] == f"wrote {film}"
    pictures = decoded(film, (500, 360))[1].astype(int)
    # The first and the last stay for a second, five pictures each.
    assert len(pictures) == 5 + 1 + 1 + 5
    assert np.abs(pictures[0] - pictures[4]).mean() < 1
    for index, picture in ((1, pictures[5]), (2, pictures[6]), (3, pictures[11])):
        viewer.show(index)
        assert np.abs(picture - seen(viewer)[:360]).mean() < 4


def test_a_film_that_is_stopped_leaves_no_file(viewer: Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dimple.views.window.background_task.PATIENCE", 0.0)
    press(viewer, "f")
    viewer.beat()
    assert viewer.errand.busy
    assert len(list(tmp_path.iterdir())) == 1
    press(viewer, "f")
    assert not viewer.errand.busy
    assert viewer.written == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_picture_is_named_in_the_window(rendering: None, tmp_path: Path) -> None:
    viewer = Viewer([ball_show(tmp_path / "gone" / "ball-0")], off_screen=True, size=(400, 300))
    said = []
    viewer._controls.say = said.append
    press(viewer, "s")
    press(viewer, "f")
    finish(viewer)
    assert viewer.written == []
    assert len(said) == 2
    assert all(str(tmp_path / "gone") in message and "cannot be written" in message for message in said)
    viewer.close()


def test_two_runs_share_slider_camera_legend_and_picked_points(rendering: None, tmp_path: Path) -> None:
    short = ball_show(tmp_path / "ball-1")
    short = dataclasses.replace(short, frames=[short.frames[0], dataclasses.replace(short.frames[3], step=30)])
    viewer = Viewer([ball_show(tmp_path / "ball-0"), short], off_screen=True, size=(1300, 500))
    assert viewer.steps == [0, 1, 10, 30, 100]
    first, second = viewer.exhibit.panels
    shown = []
    for index in range(5):
        viewer.show(index)
        shown.append((first.frame.step, second.frame.step))
    assert shown == [(0, 0), (1, 0), (10, 0), (10, 30), (100, 30)]
    x, y = pixel(viewer, 4, panel=1)
    assert x > 650
    assert first.renderer.camera is second.renderer.camera
    short.asked.radius[30] = 0.28
    click(viewer, x, y)
    assert (first.picked.index, second.picked.index) == (4, 4)
    # Without captions and legend the same scene is seen on both sides.
    left, right = seen(viewer)[225:310, 225:425], seen(viewer)[225:310, 875:1075]
    assert np.abs(left - right).mean() < 1
    assert left.std() > 20
    press(viewer, "s")
    with Image.open(tmp_path / "ball-0-and-ball-1-step-100.png") as picture:
        assert picture.text["Seed"] == "3"
        assert picture.text["Settings"] == "name: ball-0\n---\nname: ball-1"
    viewer.close()


def test_a_scene_of_the_plane_and_a_single_snapshot_can_be_shown(rendering: None) -> None:
    viewer = Viewer([Show(plane_frames()[:1], Path("wall"))], off_screen=True, size=(400, 300))
    viewer.step(1)
    assert viewer.index == 0
    assert viewer.quantity == SIDES
    assert seen(viewer).std() > 1
    # Straight from above, in the colours of the classes: orange to the right of the wall at .2, blue to its left.
    assert viewer.exhibit.camera.forward == pytest.approx([0, 0, -1])
    renderer = viewer.exhibit.panels[0].renderer
    for x, hue in ((0.194, "blue"), (0.206, "orange")):
        renderer.SetWorldPoint(x, 0.8, 0.0, 1.0)
        renderer.WorldToDisplay()
        column, row = (round(value) for value in renderer.GetDisplayPoint()[:2])
        red, _, blue = seen(viewer)[300 - 1 - row, column]
        assert (red > blue) == (hue == "orange")
    viewer.close()


def test_the_caption_has_the_figures_and_their_nulls() -> None:
    heading, rows = caption(space_frames()[2], "ball")
    assert (heading.title, heading.note) == ("ball", "step 10   clung")
    assert [(fact.name, fact.value, fact.null) for fact, _ in rows] == [
        ("train accuracy", "0.833", "0.500"),
        ("loss", "0.1", ""),
    ]


def test_without_a_display_the_film_and_the_page_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dimple.views.window.window.has_display", lambda: False)
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(DeviceError) as caught:
        open_window([ball_show()])
    message = (
        "no display for a window (DISPLAY is not set); look at runs/ball-0/film.mp4 or runs/ball-0/report.html instead"
    )
    assert str(caught.value) == message
    monkeypatch.setenv("DISPLAY", ":9")
    with pytest.raises(DeviceError, match="DISPLAY :9 does not answer"):
        open_window([ball_show()])


def test_a_run_without_snapshots_has_no_window() -> None:
    with pytest.raises(RunError, match="runs/ball-0: has no snapshots to show"):
        open_window([Show([], Path("runs/ball-0"))])


def test_a_true_window_plays_on_a_virtual_display(tmp_path: Path) -> None:
    picture = tmp_path / "window.png"
    environment = {k: v for k, v in os.environ.items() if k != "VTK_DEFAULT_OPENGL_WINDOW"}
    with virtual_display("800x600x24") as display:
        done = subprocess.run(
            [sys.executable, "-c", TRUE_WINDOW, str(picture)],
            env=environment | {"DISPLAY": display, "PYTHONPATH": str(CHECKOUT)},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["vtkXOpenGLRenderWindow", "1", "2", "3", "False"]
    assert np.asarray(Image.open(picture)).std() > 5
