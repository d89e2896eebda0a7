"""The verb gallery: a whole site of two short scenes, its links, its pages in a browser, and what is not made twice."""

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
from dimple.experiment.outputs import gallery as static_site
from dimple.runs import Run
from tests.views.browser import Browser, needs_browser

SCENES = ("line_in_2d", "four.yaml")
CHANGES = ("training.steps=6", "snapshots.count=4", "data.test_points=20", "data.probe_points=20")
FOUR = """\
# A flat torus in four dimensions <b>, beside line_in_2d.
#
# What to look for: <script>alert(1)</script>, as in line_in_2d.
manifold: {kind: clifford_torus}
data: {sampling: {kind: spread, count: 12}}
probes: [{kind: margin, method: deepfool}, {kind: onoff, draws: 2}, {kind: offset, draws: 2}]
levelset: {kind: none}
"""
COMPLETE = "location.protocol === 'file:' && document.readyState === 'complete'"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gallery")
    (folder / "four.yaml").write_text(FOUR)
    return folder


def made(folder: Path, **options: object) -> Path:
    scenes = [str(folder / name) if name.endswith(".yaml") else name for name in SCENES]
    return experiment.gallery(folder / "site", scenes, CHANGES, device="cpu", **options)


@pytest.fixture(scope="module")
def site(folder: Path) -> Path:
    return made(folder).parent


@pytest.fixture
def without_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """A site made in a third of the time."""
    monkeypatch.setattr(static_site, "write_reference", lambda folder: None)


class Page(HTMLParser):
    """What a page names by `src`, `href` and `poster`, its places, and the policy it is under."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.places: set[str] = set()
        self.policy = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attributes}
        self.targets += [named[name] for name in ("src", "href", "poster") if name in named]
        self.places |= {named["id"]} if "id" in named else set()
        if named.get("http-equiv") == "Content-Security-Policy":
            self.policy = named["content"]


def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html")) if "runs" not in path.relative_to(site).parts}


def test_every_link_leads_to_a_file_and_a_place(site: Path) -> None:
    found = pages(site)
    assert len(found) == 1 + 2 * 3 + 5 + 14
    for path, page in found.items():
        for target in page.targets:
            if target.startswith("data:"):
                continue
            name, _, place = target.partition("#")
            assert ":" not in name, f"{path}: {target} is not in the site"
            other = (path.parent / unquote(name)).resolve() if name else path
            assert other.is_file() and other.is_relative_to(site), f"{path}: {target}"
            assert "runs" not in other.relative_to(site).parts, f"{path}: {target}; the site does without its runs"
            assert not place or place in found[other].places, f"{path}: {target}"


def test_no_page_may_ask_the_network(site: Path) -> None:
    for path, page in pages(site).items():
        redirect = path == site / "api" / "index.html"
        assert redirect or page.policy.startswith("default-src 'none'; "), path
        assert "http" not in page.policy


def test_what_a_scene_file_says_is_never_markup(site: Path) -> None:
    for path in (site / "index.html", site / "scenes" / "four" / "index.html"):
        assert "in four dimensions &lt;b&gt;" in path.read_text()
    text = (site / "scenes" / "four" / "index.html").read_text()
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text
    assert '<a href="../line_in_2d/index.html">line_in_2d</a>' in text


def test_pages_say_what_was_changed(site: Path) -> None:
    for path in (site / "index.html", *(site / "scenes").glob("*/index.html")):
        assert all(f"<code>{change}</code>" in path.read_text() for change in CHANGES)
    text = (site / "scenes" / "line_in_2d" / "index.html").read_text()
    assert "dimple simulate line_in_2d --set training.steps=6" in text


def test_a_scene_has_its_film_or_its_curves(site: Path) -> None:
    line, four = (Page(site / "scenes" / name / "index.html").targets for name in ("line_in_2d", "four"))
    assert {"page.html", "film.mp4", "film.png", "report.html"} <= set(line)
    assert {"page.html", "report.html"} <= set(four) and "film.mp4" not in four
    assert (site / "scenes" / "four" / "index.html").read_text().count("<svg") == 2


def test_the_reference_has_the_public_names(site: Path) -> None:
    import dimple

    package = Page(site / "api" / "dimple.html")
    assert set(dimple.__all__) <= package.places
    text = (site / "api" / "dimple" / "manifolds.html").read_text()
    sphere = re.search(r'<section id="Sphere">(.*?)</section>', text, re.DOTALL).group(1)
    assert "The sphere S^d of a given radius" in sphere
    assert 'href="#Manifold.sample"' in sphere
    assert "Annotated" not in sphere


def test_nothing_is_made_again_that_is_there(site: Path, folder: Path, without_reference: None) -> None:
    kept = [*(site / "runs").glob("*/run.json"), *(site / "scenes").glob("*/moving.webp")]
    before = [path.stat().st_mtime_ns for path in kept]
    made(folder)
    assert len(kept) == 4 and [path.stat().st_mtime_ns for path in kept] == before


def test_another_scene_under_the_same_name_is_made_anew(tmp_path: Path, without_reference: None) -> None:
    (tmp_path / "four.yaml").write_text(FOUR)
    steps = []
    for count in (2, 3):
        changes = (*CHANGES, f"training.steps={count}")
        experiment.gallery(tmp_path / "site", [str(tmp_path / "four.yaml")], changes, device="cpu")
        steps.append(Run.open(tmp_path / "site" / "runs" / "four").steps[-1])
    assert steps == [2, 3]


def test_an_interrupted_run_goes_on(tmp_path: Path, without_reference: None) -> None:
    (tmp_path / "four.yaml").write_text(FOUR)
    scene = [str(tmp_path / "four.yaml")]
    experiment.gallery(tmp_path / "site", scene, CHANGES, device="cpu")
    run = Run.open(tmp_path / "site" / "runs" / "four")
    trained = (run.path / "snapshots" / "00000006.safetensors").stat().st_mtime_ns
    run.info["status"] = "interrupted"
    del run.info["seconds"]["report"]
    run.save()
    (run.path / "report.html").unlink()
    experiment.gallery(tmp_path / "site", scene, CHANGES, device="cpu")
    assert (run.path / "report.html").is_file() and Run.open(run.path).info["status"] == "complete"
    assert (run.path / "snapshots" / "00000006.safetensors").stat().st_mtime_ns == trained


@pytest.mark.parametrize(
    ("out", "scenes", "options", "error", "sentence"),
    [
        ("site", ["sphere_in_3"], {}, SceneError, "did you mean 'sphere_in_3d'"),
        ("site", ["line_in_2d"], {"changes": ["training.stepz=1"]}, SceneError, "training.stepz"),
        ("site", ["line_in_2d"], {"jobs": 0}, UsageError, "--jobs is 0"),
        ("site", ["line_in_2d"], {"device": "gpu"}, DeviceError, "'gpu'"),
        ("site", ["line_in_2d", "line_in_2d.yaml"], {}, UsageError, "two scenes have the name line_in_2d"),
        ("mine", ["line_in_2d"], {}, RunError, "mine: holds 'thesis.tex', so it is no gallery"),
        ("home", ["line_in_2d"], {}, RunError, "home: holds 'index.html', so it is no gallery"),
        ("a_file", ["line_in_2d"], {}, RunError, "a_file: cannot be made"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_anything_is_written(
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
        experiment.gallery(out, scenes, **options)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("package", ["markdown_it", "pdoc"])
def test_a_missing_extra_is_named_in_one_sentence(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(sys, "argv", ["dimple", "gallery", str(tmp_path / "site")])
    with pytest.raises(SystemExit) as stop:
        main()
    shown = capsys.readouterr()
    assert (stop.value.code, shown.out) == (7, "")
    assert shown.err == f"dimple: a gallery needs the package {package}; pip install 'dimple[docs]' brings it\n"
    assert not (tmp_path / "site").exists()


def test_the_command_prints_where_the_index_is(
    site: Path,
    folder: Path,
    without_reference: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["dimple", "gallery", str(site), "--device", "cpu", "--scene", "line_in_2d", "--jobs", "1"]
    monkeypatch.setattr(sys, "argv", words + [word for change in CHANGES for word in ("--set", change)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert (stop.value.code or 0, capsys.readouterr().out) == (0, f"{site / 'index.html'}\n")
    made(folder)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def browser(opened: Browser) -> Iterator[Browser]:
    opened.errors.clear()
    opened.show_as("screen", "light")
    opened.resize(1280, 800)
    yield opened
    assert opened.errors == []


def looks(browser: Browser) -> np.ndarray:
    browser.settle()
    return np.asarray(Image.open(io.BytesIO(browser.picture())).convert("RGB")).astype(int)


def focus(browser: Browser) -> str:
    """What has the focus, in words."""
    return browser.run("(document.activeElement.getAttribute('href') || document.activeElement.id)")


@needs_browser
def test_every_page_opens_from_disk_and_fits(browser: Browser, site: Path) -> None:
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    # The index of the reference leads on to the package's page at once.
    for path in pages(site).keys() - {site / "api" / "index.html"}:
        browser.open(path, ready=COMPLETE)
        assert browser.run(wide) <= 0, path
        assert looks(browser).std() > 5, path


@needs_browser
def test_pages_fit_a_phone_and_go_dark(browser: Browser, site: Path) -> None:
    shown = [site / "index.html", site / "tutorials" / "1_first_scene.html", site / "api" / "dimple.html"]
    shown += [site / "scenes" / name / "index.html" for name in ("line_in_2d", "four")]
    browser.resize(390, 844, 2.0, mobile=True)
    for path in shown:
        browser.show_as("screen", "dark")
        browser.open(path, ready=COMPLETE)
        assert browser.run("document.documentElement.scrollWidth") <= 390, path
        # The film is on a page of its own here; on this one there is the video.
        assert browser.run("[...document.querySelectorAll('iframe')].every(frame => !frame.offsetWidth)")
        assert np.median(looks(browser)) < 60, path


@needs_browser
def test_cards_show_moving_pictures_that_can_be_stilled(browser: Browser, site: Path) -> None:
    browser.open(site / "index.html", ready=COMPLETE)
    seen = "[...document.querySelectorAll('.{}')].filter(one => one.offsetWidth > 0 && one.naturalWidth > 0).length"
    browser.run("document.querySelector('#scenes').scrollIntoView()")
    browser.wait(seen.format("moving") + " === 2")
    assert browser.run(seen.format("still")) == 0
    # What the cards show is no blank.
    for place in browser.run(
        "[...document.querySelectorAll('.moving')].map(p => (({x, y, width, height}) => [x, y, x + width, y + height])"
        "(p.getBoundingClientRect()))"
    ):
        left, top, right, bottom = (round(v) for v in place)
        if bottom < 800:
            assert looks(browser)[top:bottom, left:right].std() > 8
    browser.run("document.querySelector('#moving').focus()")
    browser.key(" ")
    assert (browser.run(seen.format("moving")), browser.run(seen.format("still"))) == (0, 2)
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.ask("Emulation.setEmulatedMedia", media="screen", features=features)
    browser.open(site / "index.html", ready=COMPLETE)
    assert (browser.run(seen.format("moving")), browser.run(seen.format("still"))) == (0, 2)


@needs_browser
def test_the_keyboard_goes_through_the_site(browser: Browser, site: Path) -> None:
    browser.open(site / "index.html", ready=COMPLETE)
    browser.key("Tab")
    assert focus(browser) == "#main"
    stops = []
    while len(stops) < 30 and "scenes/" not in (stops or [""])[-1]:
        browser.key("Tab")
        stops.append(focus(browser))
    assert {"index.html#scenes", "tutorials/1_first_scene.html", "api/dimple.html", "moving"} <= set(stops)
    browser.key("Enter")
    browser.wait(f"location.pathname.includes('{stops[-1]}') && {COMPLETE}")
    browser.run("document.querySelector('[rel=next]').focus()")
    browser.key("Enter")
    browser.wait(f"location.pathname.endsWith('scenes/four/index.html') && {COMPLETE}")


@needs_browser
def test_the_film_page_plays_within_the_page(browser: Browser, site: Path) -> None:
    browser.open(site / "scenes" / "line_in_2d" / "index.html", ready=COMPLETE)
    browser.run("document.querySelector('iframe').scrollIntoView()")
    left, top, right, bottom = browser.run(
        "(({x, y, width, height}) => [x, y, x + width, y + height].map(Math.round))"
        "(document.querySelector('iframe').getBoundingClientRect())"
    )

    def film() -> np.ndarray:
        return looks(browser)[max(top, 0) : bottom, left:right]

    first = film()
    # Orange and blue regions: the embedded page has drawn itself.
    assert ((first[..., 0] - first[..., 2]) > 30).mean() > 0.02
    browser.mouse("mousePressed", left + 200, top + 200, button="left", buttons=1, clickCount=1)
    browser.mouse("mouseReleased", left + 200, top + 200, button="left", clickCount=1)
    browser.key("Home")
    assert np.abs(film() - first).mean() > 0.5


@needs_browser
def test_print_has_the_sheet_and_the_stills(browser: Browser, site: Path) -> None:
    browser.show_as("print", "light")
    browser.open(site / "scenes" / "line_in_2d" / "index.html", ready=COMPLETE)
    assert browser.run("document.querySelector('.printed img').offsetWidth > 300")
    assert browser.run("[...document.querySelectorAll('iframe, video, nav')].every(part => !part.offsetWidth)")
    browser.open(site / "index.html", ready=COMPLETE)
    assert browser.run("[...document.querySelectorAll('.still')].every(picture => picture.naturalWidth > 0)")


@needs_browser
def test_the_reference_can_be_searched(browser: Browser, site: Path) -> None:
    browser.open(site / "api" / "dimple.html", ready=COMPLETE)
    browser.run("document.querySelector('input[type=search]').focus()")
    for letter in "tangent":
        browser.key(letter)
    browser.wait("document.querySelectorAll('.search-result').length > 3")
    name, _, place = browser.run("document.querySelector('.search-result a').getAttribute('href')").partition("#")
    assert place in Page(site / "api" / name).places
