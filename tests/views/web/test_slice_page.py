"""The page of a slice in a real browser: class regions, the input at the pointer, steps, and no errors."""

import html
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dimple import experiment
from dimple.experiment import SliceConfig
from dimple.runs import RunFolder
from dimple.views.content.from_run import frames_from_run
from dimple.views.web.page import write_web_page
from tests.experiment.linear_network import NAME, weights, write_checkpoints, write_images
from tests.views.browser import Browser, needs_browser

pytestmark = needs_browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slice-page")


@pytest.fixture(scope="module")
def flat(folder: Path) -> RunFolder:
    config = SliceConfig(
        model=f"{NAME}:linear", data=write_images(folder), checkpoints=write_checkpoints(folder), images=(0, 1, 2),
        resolution=32, null_draws=1,
    )  # fmt: skip
    return experiment.slice_network(config, folder / "flat", device="cpu")


@pytest.fixture(scope="module")
def space(folder: Path, rendering: None) -> RunFolder:
    config = SliceConfig(
        model=f"{NAME}:linear",
        data=write_images(folder),
        weights="none",
        images=(0, 1, 2),
        dim=3,
        resolution=16,
        null_draws=1,
    )
    return experiment.slice_network(config, folder / "space", device="cpu")


def pixels(browser: Browser) -> np.ndarray:
    browser.settle()
    box = browser.run(
        "(({x, y, width, height}) => [x, y, x + width, y + height])(byId('view').getBoundingClientRect())"
    )
    return np.asarray(Image.open(io.BytesIO(browser.picture())).convert("RGB").crop(tuple(map(round, box)))).astype(int)


def screen_pixel(browser: Browser, u: Any) -> tuple[float, float]:
    """Return the pixel on the screen of a position of the slice."""
    x, y = browser.run(f"scene.camera.project([{u[0]}, {u[1]}, 0])")
    left, top = browser.run("(({x, y}) => [x, y])(byId('view').getBoundingClientRect())")
    return left + x, top + y


def test_class_input_and_distances_at_the_pointer_are_shown(flat: RunFolder, browser: Browser) -> None:
    arrays = flat.geometry()
    browser.open(flat.path / "page.html")
    low = arrays["low"]
    high = arrays["high"]
    for fractions in ((0.15, 0.2), (0.5, 0.5), (0.8, 0.7)):
        u = low + np.array(fractions) * (high - low)
        browser.mouse("mouseMoved", *screen_pixel(browser, u))
        browser.settle()
        sample = arrays["origin"].ravel() + arrays["axes"] @ u
        label = int(np.argmax(weights(2).numpy() @ sample))
        assert browser.run("document.querySelector('.here strong').textContent") == str(label)
        lines = browser.run("[...document.querySelectorAll('.here div div')].map(e => e.textContent)")
        valid = bool(((sample > -1e-3) & (sample < 1 + 1e-3)).all())
        if abs(sample.min()) > 0.02 and abs(sample.max() - 1) > 0.02:
            assert ("out of range" not in lines) == valid
        distances = [float(line.split(" from ")[0]) for line in lines if " from " in line]
        assert distances == pytest.approx(np.linalg.norm(arrays["train"] - u, axis=1), rel=5e-3)
        input_pixels = browser.run(
            "[...document.querySelector('.here canvas').getContext('2d').getImageData(0, 0, 2, 2).data]"
        )
        assert np.array(input_pixels).reshape(4, 4)[:, :3] == pytest.approx(
            (255 * sample.reshape(3, 4).T).clip(0, 255), abs=1.5
        )


def test_one_of_hundreds_of_classes_has_its_own_name(flat: RunFolder, folder: Path, browser: Browser) -> None:
    run = RunFolder.open(shutil.copytree(flat.path, folder / "many"))
    names = [f"kind {k}" for k in range(304)]
    run.info["slice"]["classes"] = names
    arrays = run.geometry()
    classes = {name: values for name, values in arrays.items() if "regions/" in name or "pairs/" in name}
    arrays |= {name: values.astype(np.int16) + 300 for name, values in classes.items()}
    run.write_geometry(arrays)
    browser.open(write_web_page(run, frames_from_run(run), run.path / "page.html"))
    low = arrays["low"]
    high = arrays["high"]
    for fractions in ((0.15, 0.2), (0.5, 0.5), (0.8, 0.7)):
        u = low + np.array(fractions) * (high - low)
        browser.mouse("mouseMoved", *screen_pixel(browser, u))
        browser.settle()
        label = int(np.argmax(weights(2).numpy() @ (arrays["origin"].ravel() + arrays["axes"] @ u)))
        assert browser.run("document.querySelector('.here strong').textContent") == names[300 + label]


def test_steps_change_the_regions_the_control_and_the_captions(flat: RunFolder, browser: Browser) -> None:
    browser.open(flat.path / "page.html", "step=2")
    last = pixels(browser)
    control = browser.run("byId('control').firstChild.getAttribute('src')")
    browser.key("Home")
    browser.wait("byId('step').textContent === 'step 0'")
    first = pixels(browser)
    assert (np.abs(first - last).max(2) > 30).mean() > 0.02
    assert browser.run("byId('control').firstChild.getAttribute('src')") != control
    assert browser.run("byId('between').textContent") == ""
    names = set(browser.run("[...document.querySelectorAll('.names span')].map(e => e.textContent)"))
    assert names and names <= {"0", "1", "2", "3"}
    assert browser.run("[...document.querySelectorAll('.image')].every(e => e.firstChild.naturalWidth > 0)")


def test_a_click_on_an_image_shows_its_distances_beside_the_null(flat: RunFolder, browser: Browser) -> None:
    browser.open(flat.path / "page.html", "step=0")
    browser.mouse("mouseMoved", *screen_pixel(browser, flat.geometry()["train"][1]))
    browser.wait("!byId('card').hidden")
    text = browser.run("byId('card').textContent")
    assert "in the slice" in text and "in any direction" in text and "null" in text


def test_regions_in_space_turn_and_hide_names_behind_boundaries(space: RunFolder, browser: Browser) -> None:
    browser.open(space.path / "page.html")
    before = pixels(browser)
    names = browser.run("document.querySelectorAll('.names span').length")
    assert names > 0
    hues = {tuple(hue) for hue in (before // 24).reshape(-1, 3)}
    assert len(hues) > 8
    for _ in range(6):
        browser.key("ArrowLeft", 8)
    after = pixels(browser)
    assert (np.abs(after - before).max(2) > 20).mean() > 0.1
    # A slice with one step has no controls for playing.
    assert browser.run("document.querySelector('footer').hidden")


def test_the_page_is_small_and_allows_no_requests(flat: RunFolder, space: RunFolder) -> None:
    for run in (flat, space):
        page = run.path / "page.html"
        assert page.stat().st_size < 6 * 2**20
        assert "default-src 'none'" in html.unescape(page.read_text())
