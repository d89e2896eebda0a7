"""napari on a virtual display: its window, a packed run on its command line or dropped on it, and what is missing."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dimple.errors import DeviceError
from dimple.experiment import ProbeRequest, pack, probe, simulate
from dimple.runs import Run
from dimple.scene import load_scene
from dimple.views.napari import window as napari_window
from dimple.views.napari.window import require_napari
from tests.experiment.simulation.test_simulate_scene import SHORT
from tests.views.virtual_display import virtual_display

CHECKOUT = Path(__file__).resolve().parents[3]
SPACE = ["snapshot", "z", "y", "x"]
IMAGE = ["sample", "y", "x"]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("napari") is None, reason="napari is not installed: pip install 'dimple[napari]'"
)


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """A display on which Qt can open a window; skips where the machine has no library for it."""
    with virtual_display() as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISPLAY", name)
        napari_window.try_window.cache_clear()
        try:
            require_napari()
        except DeviceError as error:
            pytest.skip(str(error))
        yield name
    napari_window.try_window.cache_clear()


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A simulated run in space whose boundary is there from the first snapshot to the last."""
    folder = tmp_path_factory.mktemp("napari") / "plane"
    return simulate(load_scene("sphere_in_3d", [*SHORT, "network.offset=0.0"]), folder, device="cpu", film=False)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Run:
    asked = ProbeRequest(samples=8, draws=2, dim=4, neighbours=12)
    return probe(asked, tmp_path_factory.mktemp("napari") / "digits", device="cpu")


def session(way: str, run: Path, picture: Path, display: str) -> dict[str, Any]:
    """What the window showed, in a process of its own: Qt ends one at the slightest mishap."""
    home = picture.parent / "home"
    environment = {k: v for k, v in os.environ.items() if k != "VTK_DEFAULT_OPENGL_WINDOW"}
    environment |= {"DISPLAY": display, "PYTHONPATH": str(CHECKOUT), "XDG_CONFIG_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.views.napari_session", way, str(run), str(picture)],
        cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return facts


def shares(picture: Path) -> tuple[float, float]:
    """The shares of the pixels that are clearly blue, and clearly orange."""
    red, _, blue = np.asarray(Image.open(picture).convert("RGB"), dtype=int).transpose(2, 0, 1)
    return float((blue - red > 40).mean()), float((red - blue > 40).mean())


def test_the_verb_opens_a_run_in_space(plane: Run, tmp_path: Path, display: str) -> None:
    picture = tmp_path / "window.png"
    facts = session("verb", plane.path, picture, display)
    assert facts["layers"] == {
        "score": ["Image", SPACE],
        "box": ["Vectors", SPACE[1:]],
        "manifold": ["Surface", SPACE[1:]],
        "boundary": ["Surface", SPACE],
        "perturbations": ["Vectors", SPACE],
        "points": ["Points", SPACE],
    }
    assert facts["data"]["score"] == "Array"
    low, high = plane.box
    assert np.allclose(facts["sizes"]["score"], [3, *(np.array(high) - low)[::-1]])
    assert (facts["labels"], facts["ndisplay"], facts["place"]) == (SPACE, 3, len(plane.steps) - 1)
    assert (facts["active"], facts["legend"], facts["dialogs"]) == ("points", ["boundary"], [])
    assert {"margin", "margin_on", "margin_off", "label", "prediction", "on_share"} <= set(facts["features"])
    assert facts["caption"].startswith("sphere_in_3d\nstep 12\ntrain accuracy")
    assert facts["first caption"].startswith("sphere_in_3d\nstep 0\n")
    assert min(shares(picture)) > 0.005
    first, last = (
        np.asarray(Image.open(path), dtype=float) for path in (picture.with_name("window-first.png"), picture)
    )
    rows = min(len(first), len(last))
    assert np.abs(first[:rows] - last[:rows]).mean() > 1


def test_the_command_line_of_napari_opens_packed_images_without_a_question(
    digits: Run, tmp_path: Path, display: str
) -> None:
    picture = tmp_path / "images.png"
    facts = session("command", pack(digits.path), picture, display)
    names = ["image", "at the boundary", "perturbation", "on the manifold", "off the manifold"]
    assert facts["layers"] == {name: ["Image", IMAGE] for name in names}
    assert (facts["dialogs"], facts["grid"], facts["labels"], facts["place"]) == ([], True, IMAGE, 0)
    assert facts["linked"] == names[2:]
    assert facts["caption"].startswith("test image ") and facts["caption"] == facts["first caption"]
    assert min(shares(picture)) > 0.005


def test_a_packed_run_dropped_on_napari_opens_without_a_question(plane: Run, tmp_path: Path, display: str) -> None:
    picture = tmp_path / "dropped.png"
    facts = session("drop", pack(plane.path), picture, display)
    assert list(facts["layers"]) == ["score", "box", "manifold", "boundary", "perturbations", "points"]
    assert (facts["dialogs"], facts["ndisplay"], facts["place"]) == ([], 3, 3)
    assert min(shares(picture)) > 0.005


def test_the_manifest_is_valid_and_installed() -> None:
    command = [sys.executable, "-m", "npe2", "validate", "dimple"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "valid" in done.stdout, done.stdout + done.stderr


def test_without_a_display_the_report_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    napari_window.try_window.cache_clear()
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(DeviceError, match=r"no display .*; look at the run's report\.html instead"):
        require_napari()
    monkeypatch.setenv("DISPLAY", ":987")
    with pytest.raises(DeviceError, match="DISPLAY :987 does not answer"):
        require_napari()
    napari_window.try_window.cache_clear()


def test_what_ends_a_process_of_qt_ends_in_a_sentence(monkeypatch: pytest.MonkeyPatch, display: str) -> None:
    napari_window.try_window.cache_clear()
    # Qt aborts over a platform that it cannot load as it does over a missing system library.
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.setenv("QT_QPA_PLATFORM", "nonsense")
    with pytest.raises(DeviceError, match=r"cannot open a window here.*apt-get install .*libxcb-cursor0"):
        require_napari()
    napari_window.try_window.cache_clear()
