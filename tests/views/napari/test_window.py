"""napari on a virtual display: its window, packed runs on its command line or dropped on it, and missing libraries."""

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
from dimple.experiment import ProbeConfig, pack, probe, simulate
from dimple.runs import RunFolder
from dimple.scene import load_scene
from dimple.views.napari import window as napari_window
from dimple.views.napari.window import require_napari
from tests.experiment.simulation.test_simulate_scene import SHORT
from tests.views.virtual_display import virtual_display

CHECKOUT = Path(__file__).resolve().parents[3]
SPACE_AXES = ["snapshot", "z", "y", "x"]
IMAGE_AXES = ["sample", "y", "x"]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("napari") is None, reason="napari is not installed: pip install '.[napari]'"
)


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """Start a display on which Qt can open a window; skip the tests if a library for it is missing."""
    with virtual_display() as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISPLAY", name)
        napari_window.find_window_error.cache_clear()
        try:
            require_napari()
        except DeviceError as error:
            pytest.skip(str(error))
        yield name
    napari_window.find_window_error.cache_clear()


@pytest.fixture(scope="module")
def sphere(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Simulate the sphere in space with a boundary in every snapshot."""
    folder = tmp_path_factory.mktemp("napari") / "sphere"
    return simulate(
        load_scene("sphere_in_3d", [*SHORT, "network.initial_logit_bias=0.0"]), folder, device="cpu", film=False
    )


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    config = ProbeConfig(samples=8, null_draws=2, dim=4, neighbors=12)
    return probe(config, tmp_path_factory.mktemp("napari") / "digits", device="cpu")


def run_session(method: str, run: Path, screenshot: Path, display: str) -> dict[str, Any]:
    """Return facts about the window. It opens in a second process, because errors of Qt end a process."""
    home = screenshot.parent / "home"
    environment = {k: v for k, v in os.environ.items() if k != "VTK_DEFAULT_OPENGL_WINDOW"}
    environment |= {"DISPLAY": display, "PYTHONPATH": str(CHECKOUT), "XDG_CONFIG_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.views.napari_session", method, str(run), str(screenshot)],
        cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return facts


def color_fractions(screenshot: Path) -> tuple[float, float]:
    """Return the fractions of clearly blue and clearly orange pixels."""
    red, _, blue = np.asarray(Image.open(screenshot).convert("RGB"), dtype=int).transpose(2, 0, 1)
    return float((blue - red > 40).mean()), float((red - blue > 40).mean())


def test_the_verb_opens_a_run_in_space(sphere: RunFolder, tmp_path: Path, display: str) -> None:
    screenshot = tmp_path / "window.png"
    facts = run_session("verb", sphere.path, screenshot, display)
    assert facts["layers"] == {
        "score": ["Image", SPACE_AXES],
        "box": ["Vectors", SPACE_AXES[1:]],
        "manifold": ["Surface", SPACE_AXES[1:]],
        "boundary": ["Surface", SPACE_AXES],
        "perturbations": ["Vectors", SPACE_AXES],
        "points": ["Points", SPACE_AXES],
    }
    assert facts["data"]["score"] == "Array"
    low, high = sphere.display_bounds
    assert np.allclose(facts["sizes"]["score"], [3, *(np.array(high) - low)[::-1]])
    assert (facts["labels"], facts["ndisplay"], facts["index"]) == (SPACE_AXES, 3, len(sphere.steps) - 1)
    assert (facts["active"], facts["color bars"], facts["dialogs"]) == ("points", ["boundary"], [])
    assert {"margin", "margin_on", "margin_off", "label", "prediction", "perturbation_on_manifold_fraction"} <= set(
        facts["features"]
    )
    assert facts["caption"].startswith("sphere_in_3d\nstep 12\ntraining accuracy")
    assert facts["first caption"].startswith("sphere_in_3d\nstep 0\n")
    assert min(color_fractions(screenshot)) > 0.005
    first, last = (
        np.asarray(Image.open(path), dtype=float) for path in (screenshot.with_name("window-first.png"), screenshot)
    )
    rows = min(len(first), len(last))
    assert np.abs(first[:rows] - last[:rows]).mean() > 1


def test_the_command_line_of_napari_opens_packed_images_without_a_dialog(
    digits: RunFolder, tmp_path: Path, display: str
) -> None:
    screenshot = tmp_path / "images.png"
    facts = run_session("command", pack(digits.path), screenshot, display)
    names = ["image", "at the boundary", "perturbation", "on the manifold", "off the manifold"]
    assert facts["layers"] == {name: ["Image", IMAGE_AXES] for name in names}
    assert (facts["dialogs"], facts["grid"], facts["labels"], facts["index"]) == ([], True, IMAGE_AXES, 0)
    assert facts["linked"] == names[2:]
    assert facts["caption"].startswith("test image ") and facts["caption"] == facts["first caption"]
    assert min(color_fractions(screenshot)) > 0.005


def test_a_packed_run_dropped_on_napari_opens_without_a_dialog(sphere: RunFolder, tmp_path: Path, display: str) -> None:
    screenshot = tmp_path / "dropped.png"
    facts = run_session("drop", pack(sphere.path), screenshot, display)
    assert list(facts["layers"]) == ["score", "box", "manifold", "boundary", "perturbations", "points"]
    assert (facts["dialogs"], facts["ndisplay"], facts["index"]) == ([], 3, 3)
    assert min(color_fractions(screenshot)) > 0.005


def test_the_manifest_is_valid_and_installed() -> None:
    command = [sys.executable, "-m", "npe2", "validate", "dimple-lab"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "valid" in done.stdout, done.stdout + done.stderr


def test_without_a_display_the_report_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    napari_window.find_window_error.cache_clear()
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(DeviceError, match=r"no display .*; look at the run's report\.html instead"):
        require_napari()
    monkeypatch.setenv("DISPLAY", ":987")
    with pytest.raises(DeviceError, match="DISPLAY :987 does not answer"):
        require_napari()
    napari_window.find_window_error.cache_clear()


def test_a_crash_of_qt_gives_an_error_message(monkeypatch: pytest.MonkeyPatch, display: str) -> None:
    napari_window.find_window_error.cache_clear()
    # Qt aborts for a platform that it cannot load, as it does for a missing system library.
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.setenv("QT_QPA_PLATFORM", "nonsense")
    with pytest.raises(DeviceError, match=r"cannot open a window here.*apt-get install .*libxcb-cursor0"):
        require_napari()
    napari_window.find_window_error.cache_clear()
