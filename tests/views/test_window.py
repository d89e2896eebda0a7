"""The window, driven without a hand: its keys, its slider, its clock, and one true window on a virtual display."""

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dimple.errors import DeviceError, RunError
from dimple.views.window import Viewer, caption, open_window
from tests.views.material import plane_frames, space_frames

CHECKOUT = Path(__file__).resolve().parents[2]
TRUE_WINDOW = """
import sys
from dimple.views.window import Viewer
from tests.views.material import space_frames
viewer = Viewer(space_frames(), size=(500, 400))
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
def viewer(rendering: None) -> Iterator[Viewer]:
    viewer = Viewer(space_frames(), off_screen=True, size=(500, 400))
    yield viewer
    viewer.close()


def press(viewer: Viewer, key: str) -> None:
    interactor = viewer.plotter.iren.interactor
    interactor.SetKeySym(key)
    interactor.InvokeEvent("KeyPressEvent")


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
        pictures.append(viewer.plotter.screenshot(return_img=True).astype(int))
    changes = [np.abs(a - b).mean() for a, b in itertools.pairwise(pictures)]
    assert min(changes) > 0.5


def test_one_can_see_through_the_boundary(viewer: Viewer) -> None:
    viewer.show(1)
    opaque = viewer.plotter.screenshot(return_img=True).astype(int)
    press(viewer, "o")
    assert np.abs(viewer.plotter.screenshot(return_img=True) - opaque).mean() > 1
    press(viewer, "o")
    assert np.array_equal(viewer.plotter.screenshot(return_img=True), opaque)


def test_a_scene_of_the_plane_and_a_single_snapshot_can_be_shown(rendering: None) -> None:
    viewer = Viewer(plane_frames()[:1], off_screen=True, size=(400, 300))
    viewer.step(1)
    assert viewer.index == 0
    assert viewer.plotter.screenshot(return_img=True).std() > 1
    viewer.close()


def test_the_caption_has_the_figures_and_their_nulls() -> None:
    text = caption(space_frames()[2])
    assert text.splitlines() == ["ball", "step 10   clung", "train accuracy 0.833  [null 0.500]", "loss 0.1"]


def test_without_a_display_the_film_and_the_page_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dimple.views.window.has_display", lambda: False)
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(DeviceError) as caught:
        open_window(space_frames(), "runs/ball-0")
    message = (
        "no display for a window (DISPLAY is not set); look at runs/ball-0/film.mp4 or runs/ball-0/report.html instead"
    )
    assert str(caught.value) == message
    monkeypatch.setenv("DISPLAY", ":9")
    with pytest.raises(DeviceError, match="DISPLAY :9 does not answer"):
        open_window(space_frames(), "runs/ball-0")


def test_a_run_without_snapshots_has_no_window() -> None:
    with pytest.raises(RunError, match="has no snapshots to show"):
        open_window([], "runs/ball-0")


def test_a_true_window_plays_on_a_virtual_display(tmp_path: Path) -> None:
    if shutil.which("Xvfb") is None:
        pytest.skip("no virtual display: Xvfb is not installed")
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=(writing,), stderr=subprocess.DEVNULL) as server:
        try:
            os.close(writing)
            with os.fdopen(reading) as pipe:
                display = f":{pipe.readline().strip()}"
            environment = {k: v for k, v in os.environ.items() if k != "VTK_DEFAULT_OPENGL_WINDOW"}
            environment |= {"DISPLAY": display, "PYTHONPATH": str(CHECKOUT)}
            picture = tmp_path / "window.png"
            done = subprocess.run(
                [sys.executable, "-c", TRUE_WINDOW, str(picture)],
                env=environment, capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
        finally:
            server.terminate()
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["vtkXOpenGLRenderWindow", "1", "2", "3", "False"]
    assert np.asarray(Image.open(picture)).std() > 5
