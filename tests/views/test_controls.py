"""Every button and key of every page, pressed once in a real browser: no error in the console, no exception."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dimple import experiment
from dimple.experiment import SliceConfig
from dimple.runs.atomic_io import atomic_replace, write_bytes
from dimple.views.content.from_run import frames_from_run
from dimple.views.film.thumbnail import write_thumbnails
from dimple.views.report.comparison import Comparison, write_comparison
from dimple.views.report.measurement import write_measurement_report
from dimple.views.report.run_summary import summarize_run
from dimple.views.report.simulation import write_simulation_report
from dimple.views.site.gallery import GalleryScene, write_index_page, write_scene_page
from dimple.views.web.page import write_web_page
from tests.experiment.linear_network import NAME, write_checkpoints, write_images
from tests.views.browser import CODES, SHIFT, Browser, needs_browser
from tests.views.material import STEPS, write_flat_run, write_run
from tests.views.test_pages import UNITS, probe_picture

pytestmark = needs_browser
KEYS = (*CODES, "+", "=", "-", "r", "m", "b", "c", "r", "m", "b", "c", "x")
ARROWS = tuple(key for key in CODES if key.startswith("Arrow"))
BUTTONS = "[...document.querySelectorAll('button, summary, label, input')].filter(one => one.checkVisibility())"
LOADED = "document.readyState === 'complete'"
READY = "document.documentElement?.dataset.ready"


def write_space_page(folder: Path) -> Path:
    run = write_run(folder / "run")
    return write_web_page(run, frames_from_run(run), folder / "page.html")


def write_flat_page(folder: Path) -> Path:
    run = write_flat_run(folder / "run")
    return write_web_page(run, frames_from_run(run), folder / "page.html")


def write_curves_page(folder: Path) -> Path:
    return write_web_page(write_run(folder / "run"), [], folder / "page.html")


def write_slice(folder: Path) -> Path:
    config = SliceConfig(
        model=f"{NAME}:linear", data=write_images(folder), checkpoints=write_checkpoints(folder, (0, 1)),
        images=(0, 1, 2), resolution=32, null_draws=1,
    )  # fmt: skip
    return experiment.slice_network(config, folder / "slice", device="cpu").path / "page.html"


def write_report(folder: Path) -> Path:
    return write_simulation_report(write_run(folder / "run"), folder / "report.html")


def write_measurement(folder: Path) -> Path:
    columns = {"index": np.arange(3), "margin": np.array([0.1, np.inf, -0.2]), "margin_test": np.array([0.2, 0.3, 0.4])}
    rows = [{"step": step, "margin": 0.1, "margin_on_ratio": 3.0} for step in (0, 1)]
    pictures = [probe_picture(k, 0.1 + 0.1 * k) for k in range(4)]
    return write_measurement_report(folder / "report.html", "net", [("seed", "0")], columns, UNITS, rows, pictures)


def write_compared(folder: Path) -> Path:
    runs = [write_run(folder / name, name=name) for name in ("first", "second")]
    return write_comparison(Comparison.of([(summarize_run(run), "make it") for run in runs]), folder / "both.html")


def write_gallery(folder: Path) -> Path:
    """Write the index of a gallery, and the page of its scene in the subfolder `scenes/ball`."""
    run = write_run(folder / "run", name="ball")
    run.info["summary"]["distance_fall"] = 15.0
    write_bytes(run.path / "film.mp4", b"")
    write_bytes(run.path / "report.html", b"a report")
    with atomic_replace(run.path / "film.png") as picture:
        Image.new("RGB", (64, 36), "red").save(picture)
    write_web_page(run, frames_from_run(run), run.path / "page.html")
    (folder / "scenes" / "ball").mkdir(parents=True)
    write_thumbnails(run, [], folder / "scenes" / "ball")
    scene = GalleryScene(run, "# A ball.\n#\n# Round.\nmanifold: {kind: sphere}\n", 2, 3, "dimple simulate ball")
    write_scene_page(scene, [scene], [], folder / "scenes" / "ball")
    return write_index_page([scene], [], folder / "index.html")


PAGES: dict[str, Callable[[Path], Path]] = {
    "space": write_space_page,
    "plane": write_flat_page,
    "curves": write_curves_page,
    "slice": write_slice,
    "report": write_report,
    "measurement": write_measurement,
    "comparison": write_compared,
    "gallery": write_gallery,
}
# Pages that are written with another one, and their places.
PAGES_BESIDE = {
    "report of a slice": ("slice", "report.html"),
    "scene of a gallery": ("gallery", "scenes/ball/index.html"),
}
# Pages with a script that says when it is ready.
ACTIVE_PAGES = ("space", "plane", "curves", "slice")


Written = Callable[[str], Path]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Return a function that writes the page of a kind once."""

    @functools.cache
    def write(kind: str) -> Path:
        if kind in PAGES_BESIDE:
            other, name = PAGES_BESIDE[kind]
            return write(other).parent / name
        return PAGES[kind](tmp_path_factory.mktemp("page"))

    return write


def press_everything(browser: Browser) -> int:
    """Click every button in turn, then press every key; return the number of buttons."""
    count = int(browser.run(f"{BUTTONS}.length"))
    for number in range(count):
        browser.run(f"{BUTTONS}[{number}]?.click()")
        browser.settle()
    browser.run("document.activeElement.blur(); document.querySelector('[popover]')?.hidePopover()")
    for key in KEYS:
        browser.key(key)
    for key in ARROWS:
        browser.key(key, SHIFT)
    browser.settle()
    return count


@pytest.mark.parametrize("kind", [*PAGES, *PAGES_BESIDE])
def test_no_button_and_no_key_of_a_page_is_an_error(browser: Browser, written: Written, kind: str) -> None:
    browser.open(written(kind), ready=READY if kind in ACTIVE_PAGES else LOADED)
    count = press_everything(browser)
    assert count > 0 or kind in ("gallery", "scene of a gallery", "tutorial")
    # The page still answers.
    assert browser.run("document.readyState") == "complete"


@pytest.mark.parametrize("kind", ["space", "plane", "slice"])
def test_a_browser_without_webgl_shows_the_whole_page(
    browser_without_webgl: Browser, written: Written, kind: str
) -> None:
    browser = browser_without_webgl
    browser.open(written(kind))
    assert browser.run("scene.painter instanceof CanvasPainter")
    steps = browser.run("data.steps")
    assert browser.run("byId('step').textContent") == f"step {steps[-1]}"
    assert browser.run("byId('facts').tBodies[0].rows[0].cells[1].textContent")
    # The picture at rest is larger than the first one; its corners show the background alone.
    browser.wait("!view.moving")
    pixels = "byId('canvas').getContext('2d').getImageData(0, 0, byId('canvas').width, byId('canvas').height).data"
    assert browser.run(f"new Set(new Uint32Array({pixels}.buffer)).size") > 3
    browser.key("Home")
    assert browser.run("byId('step').textContent") == f"step {steps[0]}"
    browser.wait("charts[0].time === 0")
    press_everything(browser)


@pytest.mark.parametrize("kind", ["space", "plane"])
def test_both_painters_paint_the_same_scene(
    browser: Browser, browser_without_webgl: Browser, written: Written, kind: str
) -> None:
    page = written(kind)
    shares = []
    # The share of pixels that are blue or orange: regions, boundary and markers.
    count = (
        "(() => { const small = document.createElement('canvas'); small.width = small.height = 200;"
        "scene.draw(view, false); const context = small.getContext('2d');"
        "context.drawImage(byId('canvas'), 0, 0, 200, 200);"
        "const { data } = context.getImageData(0, 0, 200, 200); let blue = 0, orange = 0;"
        "for (let i = 0; i < data.length; i += 4) {"
        "blue += data[i + 2] - data[i] > 30; orange += data[i] - data[i + 2] > 30; }"
        "return [blue / 40000, orange / 40000]; })()"
    )
    for one in (browser, browser_without_webgl):
        one.open(page, "step=10")
        one.wait("!view.moving")
        shares.append(one.run(count))
    assert np.allclose(*shares, atol=0.01) and max(shares[0]) > 0.05


@pytest.mark.parametrize("how", ["click", "key"])
@pytest.mark.parametrize("step", [STEPS[-1], STEPS[1]])
def test_play_starts_at_the_end_and_in_the_middle(browser: Browser, written: Written, how: str, step: int) -> None:
    browser.open(written("plane"), f"step={step}")
    # The page is painted once more when it comes to rest.
    browser.wait("!view.moving && !waiting")
    # The time of a frame lies before that of the click where the frame was due before it.
    browser.run(
        "(() => { const now = performance.now.bind(performance); performance.now = () => now() + 50;"
        "window.times = []; const before = showMoment;"
        "showMoment = () => { times.push(view.time); before(); }; })()"
    )
    if how == "click":
        browser.run("byId('play').click()")
    else:
        browser.key(" ")
    browser.wait("view.time === LAST && !view.playing")
    times = browser.run("times")
    start = 0 if step == STEPS[-1] else 1
    assert min(times) == start and times == sorted(times)
