"""Tests of the verb `gallery` on a site of two short scenes: links, pages in a browser, and reuse of runs."""

import io
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from dimple import experiment
from dimple.cli import main
from dimple.errors import DeviceError, RunError, SceneError, UsageError
from dimple.experiment.run import Run
from tests.views.browser import Browser, needs_browser

SCENES = ("line_in_2d", "four.yaml")
OVERRIDES = ("training.steps=6", "snapshots.count=4", "data.test_points=20", "data.heldout_points=20")
FOUR = """\
# A flat torus in four dimensions <b>, beside line_in_2d.
#
# What to look for: <script>alert(1)</script>, as in line_in_2d.
manifold: {kind: clifford_torus}
data: {sampling: {kind: farthest_point, count: 12}}
probes: [{kind: margin, method: deepfool}, {kind: onoff, null_draws: 2}, {kind: offset, null_draws: 2}]
levelset: {kind: none}
"""
COMPLETE = "location.protocol === 'file:' && document.readyState === 'complete'"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gallery")
    (folder / "four.yaml").write_text(FOUR)
    return folder


def build_site(folder: Path, **options: object) -> Path:
    scenes = [str(folder / name) if name.endswith(".yaml") else name for name in SCENES]
    return experiment.build_gallery(folder / "site", scenes, OVERRIDES, device="cpu", **options)


@pytest.fixture(scope="module")
def site(folder: Path) -> Path:
    return build_site(folder).parent


class Page(HTMLParser):
    """The targets of `src`, `href` and `poster` in a page, its anchors, and its content security policy."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.policy = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.targets += [values[name] for name in ("src", "href", "poster") if name in values]
        self.anchors |= {values["id"]} if "id" in values else set()
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"]


def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html")) if "runs" not in path.relative_to(site).parts}


def test_every_link_leads_to_a_file_and_an_anchor(site: Path) -> None:
    found = pages(site)
    assert len(found) == 1 + 2 * 3
    for path, page in found.items():
        for target in page.targets:
            if target.startswith("data:"):
                continue
            name, _, anchor = target.partition("#")
            assert ":" not in name, f"{path}: {target} is not in the site"
            other = (path.parent / unquote(name)).resolve() if name else path
            assert other.is_file() and other.is_relative_to(site), f"{path}: {target}"
            assert "runs" not in other.relative_to(site).parts, f"{path}: {target}; the site must work without its runs"
            assert not anchor or anchor in found[other].anchors, f"{path}: {target}"


def test_no_page_may_load_from_the_network(site: Path) -> None:
    for path, page in pages(site).items():
        assert page.policy.startswith("default-src 'none'; "), path
        assert "http" not in page.policy


def test_the_text_of_a_scene_file_is_escaped(site: Path) -> None:
    for path in (site / "index.html", site / "scenes" / "four" / "index.html"):
        assert "in four dimensions &lt;b&gt;" in path.read_text()
    text = (site / "scenes" / "four" / "index.html").read_text()
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text
    assert '<a href="../line_in_2d/index.html">line_in_2d</a>' in text


def test_pages_name_the_overrides(site: Path) -> None:
    for path in (site / "index.html", *(site / "scenes").glob("*/index.html")):
        assert all(f"<code>{override}</code>" in path.read_text() for override in OVERRIDES)
    text = (site / "scenes" / "line_in_2d" / "index.html").read_text()
    assert "dimple simulate line_in_2d --set training.steps=6" in text


def test_the_page_of_a_scene_has_a_film_or_curves(site: Path) -> None:
    line, four = (Page(site / "scenes" / name / "index.html").targets for name in ("line_in_2d", "four"))
    assert {"page.html", "film.mp4", "film.png", "report.html"} <= set(line)
    assert {"page.html", "report.html"} <= set(four) and "film.mp4" not in four
    assert (site / "scenes" / "four" / "index.html").read_text().count("<svg") == 2


def test_finished_runs_are_used_again(site: Path, folder: Path) -> None:
    files = [*(site / "runs").glob("*/run.json"), *(site / "scenes").glob("*/moving.webp")]
    before = [path.stat().st_mtime_ns for path in files]
    build_site(folder)
    assert len(files) == 4 and [path.stat().st_mtime_ns for path in files] == before


def test_another_scene_of_the_same_name_is_simulated(tmp_path: Path) -> None:
    (tmp_path / "four.yaml").write_text(FOUR)
    steps = []
    for count in (2, 3):
        overrides = (*OVERRIDES, f"training.steps={count}")
        experiment.build_gallery(tmp_path / "site", [str(tmp_path / "four.yaml")], overrides, device="cpu")
        steps.append(Run.open(tmp_path / "site" / "runs" / "four").steps[-1])
    assert steps == [2, 3]


def test_an_interrupted_run_is_continued(tmp_path: Path) -> None:
    (tmp_path / "four.yaml").write_text(FOUR)
    scene = [str(tmp_path / "four.yaml")]
    experiment.build_gallery(tmp_path / "site", scene, OVERRIDES, device="cpu")
    run = Run.open(tmp_path / "site" / "runs" / "four")
    trained = (run.path / "snapshots" / "00000006.safetensors").stat().st_mtime_ns
    run.info["status"] = "interrupted"
    del run.info["seconds"]["report"]
    run.save()
    (run.path / "report.html").unlink()
    experiment.build_gallery(tmp_path / "site", scene, OVERRIDES, device="cpu")
    assert (run.path / "report.html").is_file() and Run.open(run.path).info["status"] == "complete"
    assert (run.path / "snapshots" / "00000006.safetensors").stat().st_mtime_ns == trained


@pytest.mark.parametrize(
    ("out", "scenes", "options", "error", "sentence"),
    [
        ("site", ["sphere_in_3"], {}, SceneError, "did you mean 'sphere_in_3d'"),
        ("site", ["line_in_2d"], {"overrides": ["training.stepz=1"]}, SceneError, "training.stepz"),
        ("site", ["line_in_2d"], {"jobs": 0}, UsageError, "jobs is 0"),
        ("site", ["line_in_2d"], {"device": "gpu"}, DeviceError, "'gpu'"),
        ("site", ["line_in_2d", "line_in_2d.yaml"], {}, UsageError, "two scenes have the name line_in_2d"),
        ("mine", ["line_in_2d"], {}, RunError, "mine: holds 'thesis.tex', so it is not a gallery"),
        ("home", ["line_in_2d"], {}, RunError, "home: holds 'index.html', so it is not a gallery"),
        ("a_file", ["line_in_2d"], {}, RunError, "a_file: cannot be made"),
    ],
)
def test_a_mistake_is_refused_before_anything_is_written(
    out: str,
    scenes: list[str],
    options: dict,
    error: type,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("line_in_2d.yaml").write_text("name: line_in_2d\nmanifold: {kind: flat}\n")
    for folder, file in (("mine", "thesis.tex"), ("home", "index.html")):
        Path(folder).mkdir()
        Path(folder, file).write_text("mine")
    Path("a_file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(error, match=re.escape(sentence)):
        experiment.build_gallery(out, scenes, **options)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_command_prints_the_index(
    site: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["dimple", "gallery", str(site), "--device", "cpu", "--scene", "line_in_2d", "--jobs", "1"]
    monkeypatch.setattr(sys, "argv", words + [word for override in OVERRIDES for word in ("--set", override)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert (stop.value.code or 0, capsys.readouterr().out) == (0, f"{site / 'index.html'}\n")
    build_site(folder)


@pytest.fixture(scope="module")
def open_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def browser(open_browser: Browser) -> Iterator[Browser]:
    open_browser.errors.clear()
    open_browser.show_as("screen", "light")
    open_browser.resize(1280, 800)
    yield open_browser
    assert open_browser.errors == []


def screenshot(browser: Browser) -> np.ndarray:
    browser.settle()
    return np.asarray(Image.open(io.BytesIO(browser.picture())).convert("RGB")).astype(int)


def focused_element(browser: Browser) -> str:
    """Return the target or the id of the element that has the focus."""
    return browser.run("(document.activeElement.getAttribute('href') || document.activeElement.id)")


@needs_browser
def test_every_page_opens_from_disk_and_fits(browser: Browser, site: Path) -> None:
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    for path in pages(site):
        browser.open(path, ready=COMPLETE)
        assert browser.run(overflow) <= 0, path
        assert screenshot(browser).std() > 5, path


@needs_browser
def test_pages_fit_a_phone_and_have_a_dark_mode(browser: Browser, site: Path) -> None:
    paths = [site / "index.html", *(site / "scenes" / name / "index.html" for name in ("line_in_2d", "four"))]
    browser.resize(390, 844, 2.0, mobile=True)
    for path in paths:
        browser.show_as("screen", "dark")
        browser.open(path, ready=COMPLETE)
        assert browser.run("document.documentElement.scrollWidth") <= 390, path
        # On a phone the page shows the video instead of the interactive page.
        assert browser.run("[...document.querySelectorAll('iframe')].every(frame => !frame.offsetWidth)")
        assert np.median(screenshot(browser)) < 60, path


@needs_browser
def test_cards_show_animated_images_that_can_be_stopped(browser: Browser, site: Path) -> None:
    browser.open(site / "index.html", ready=COMPLETE)
    visible = "[...document.querySelectorAll('.{}')].filter(one => one.offsetWidth > 0 && one.naturalWidth > 0).length"
    browser.run("document.querySelector('#scenes').scrollIntoView()")
    browser.wait(visible.format("moving") + " === 2")
    assert browser.run(visible.format("still")) == 0
    # The images on the cards are not blank.
    for box in browser.run(
        "[...document.querySelectorAll('.moving')].map(p => (({x, y, width, height}) => [x, y, x + width, y + height])"
        "(p.getBoundingClientRect()))"
    ):
        left, top, right, bottom = (round(v) for v in box)
        if bottom < 800:
            assert screenshot(browser)[top:bottom, left:right].std() > 8
    browser.run("document.querySelector('#moving').focus()")
    browser.key(" ")
    assert (browser.run(visible.format("moving")), browser.run(visible.format("still"))) == (0, 2)
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.ask("Emulation.setEmulatedMedia", media="screen", features=features)
    browser.open(site / "index.html", ready=COMPLETE)
    assert (browser.run(visible.format("moving")), browser.run(visible.format("still"))) == (0, 2)


@needs_browser
def test_the_site_can_be_used_with_the_keyboard(browser: Browser, site: Path) -> None:
    browser.open(site / "index.html", ready=COMPLETE)
    browser.key("Tab")
    assert focused_element(browser) == "#main"
    stops = []
    while len(stops) < 30 and "scenes/" not in (stops or [""])[-1]:
        browser.key("Tab")
        stops.append(focused_element(browser))
    assert {"index.html#scenes", "moving"} <= set(stops)
    browser.key("Enter")
    browser.wait(f"location.pathname.includes('{stops[-1]}') && {COMPLETE}")
    browser.run("document.querySelector('[rel=next]').focus()")
    browser.key("Enter")
    browser.wait(f"location.pathname.endsWith('scenes/four/index.html') && {COMPLETE}")


@needs_browser
def test_the_interactive_page_works_inside_the_page(browser: Browser, site: Path) -> None:
    browser.open(site / "scenes" / "line_in_2d" / "index.html", ready=COMPLETE)
    browser.run("document.querySelector('iframe').scrollIntoView()")
    left, top, right, bottom = browser.run(
        "(({x, y, width, height}) => [x, y, x + width, y + height].map(Math.round))"
        "(document.querySelector('iframe').getBoundingClientRect())"
    )

    def film() -> np.ndarray:
        return screenshot(browser)[max(top, 0) : bottom, left:right]

    first = film()
    # The embedded page shows orange and blue regions.
    assert ((first[..., 0] - first[..., 2]) > 30).mean() > 0.02
    browser.mouse("mousePressed", left + 200, top + 200, button="left", buttons=1, clickCount=1)
    browser.mouse("mouseReleased", left + 200, top + 200, button="left", clickCount=1)
    browser.key("Home")
    assert np.abs(film() - first).mean() > 0.5


@needs_browser
def test_a_print_has_the_sheet_and_the_stills(browser: Browser, site: Path) -> None:
    browser.show_as("print", "light")
    browser.open(site / "scenes" / "line_in_2d" / "index.html", ready=COMPLETE)
    assert browser.run("document.querySelector('.printed img').offsetWidth > 300")
    assert browser.run("[...document.querySelectorAll('iframe, video, nav')].every(element => !element.offsetWidth)")
    browser.open(site / "index.html", ready=COMPLETE)
    assert browser.run("[...document.querySelectorAll('.still')].every(image => image.naturalWidth > 0)")
