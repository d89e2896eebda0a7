"""The documentation site: built without a warning, read from files without a network, complete."""

import base64
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

import dimple
from dimple.names import DATASETS
from dimple.scene import load_scene, shipped_scenes
from tests.views.browser import Browser, needs_browser

CHECKOUT = Path(__file__).resolve().parents[2]
GENERATED = ("api", "gallery", "examples")
# A picture of one pixel, as the result of a cell of a notebook.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
COMPLETE = "location.protocol === 'file:' && document.readyState === 'complete'"


def notebook() -> dict:
    """Return a notebook that would fail if it were run, with a text and a picture as the results of its cell."""
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["the stored result\n"]},
        {"output_type": "display_data", "data": {"image/png": PIXEL}, "metadata": {}},
    ]
    code = {"cell_type": "code", "execution_count": 1, "metadata": {}, "source": ["1 / 0"], "outputs": outputs}
    title = {"cell_type": "markdown", "metadata": {}, "source": ["# A stored notebook"]}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [{**cell, "id": f"cell{place}"} for place, cell in enumerate((title, code))]
    return {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built from a copy of its sources beside the notebooks of the checkout and one more."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(CHECKOUT / "docs", folder / "docs", ignore=lambda at, _: GENERATED if at.endswith("docs") else ())
    (folder / "examples").mkdir()
    for file in (CHECKOUT / "examples").glob("*.ipynb"):
        shutil.copy(file, folder / "examples")
    (folder / "examples" / "stored.ipynb").write_text(json.dumps(notebook()))
    options = ["-W", "--keep-going", "-q", "-d", str(folder / "doctrees")]
    # No proxy answers at this address, so that an attempt to use the network is an error.
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    answer = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(folder / "docs"), str(folder / "site")],
        env={**os.environ, **nowhere, "PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (answer.returncode, answer.stderr) == (0, "")
    return folder / "site"


class Page(HTMLParser):
    """The addresses that a page loads, those that it links to, and its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.anchors |= {values["id"]} if "id" in values else set()
        self.loaded += [values[name] for name in ("src", "poster", "data", "srcset") if name in values]
        if "href" in values:
            (self.links if tag == "a" else self.loaded).append(values["href"])


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts}


def test_nothing_is_loaded_from_outside(site: Path, pages: dict[Path, Page]) -> None:
    outside = re.compile(r"(?:[a-z]+:)?//", re.IGNORECASE)
    for path, page in pages.items():
        assert [address for address in page.loaded if outside.match(address)] == [], path
    styles = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.css")}
    assert len(styles) > 3
    for path, text in styles.items():
        addresses = re.findall(r"""(?:url\(|@import)\s*["']?([^"')\s]+)""", text)
        assert [address for address in addresses if outside.match(address)] == [], path
        for address in addresses:
            target = (path.parent / address.partition("#")[0].partition("?")[0]).resolve()
            assert address.startswith(("data:", "#")) or target.is_file(), f"{path}: {address}"


def test_every_link_leads_to_a_file_and_an_anchor(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        for address in (*page.links, *page.loaded):
            name, _, anchor = address.partition("#")
            name = name.partition("?")[0]
            if re.match("[a-z]+:", name):
                continue
            target = (path.parent / unquote(name)).resolve() if name else path
            assert target.is_file() and target.is_relative_to(site), f"{path}: {address}"
            assert not anchor or target not in pages or unquote(anchor) in pages[target].anchors, f"{path}: {address}"


def test_every_public_name_is_described(site: Path, pages: dict[Path, Page]) -> None:
    described = set().union(*(page.anchors for path, page in pages.items() if path.parent == site / "api"))
    links = pages[site / "api" / "index.html"].links
    for name in dimple.__all__:
        described_there = [link for link in links if re.fullmatch(rf"dimple\.\w+\.html#dimple\.\w+\.{name}", link)]
        assert described_there, f"dimple.{name}: add its module to PUBLIC_MODULES in docs/conf.py"
    for path in (site / "api").glob("dimple.*.html"):
        module = importlib.import_module(path.stem)
        public = [name for name in getattr(module, "__all__", ()) if callable(getattr(module, name))]
        assert {f"{path.stem}.{name}" for name in public} <= described


def text_of(page: Path) -> str:
    """Return the words of a page, without its markup."""
    return re.sub(r"\s+", " ", re.sub("<.*?>", "", page.read_text()))


def test_signatures_have_short_annotations(site: Path) -> None:
    probes, meshes = (text_of(site / "api" / f"dimple.{name}.html") for name in ("probes", "levelsets"))
    assert "max_passes: Passes = 40.0" in probes
    assert "vertices: NDArray[float64], faces: NDArray[int64]" in meshes
    assert not any("Annotated[" in text_of(path) for path in (site / "api").glob("*.html"))


def test_the_sentence_of_a_property_is_not_its_type(site: Path) -> None:
    assert not any("Type: " in text_of(path) for path in (site / "api").glob("*.html"))


def test_names_in_signatures_are_links(site: Path) -> None:
    text = (site / "api" / "dimple.experiment.html").read_text()
    measure = text[text.index('id="dimple.experiment.measure"') :]
    signature = measure[: measure.index("</dt>")]
    assert 'href="dimple.probes.html#dimple.probes.Probe"' in signature
    assert 'href="index.html#dimple.settings.Positive"' in (site / "api" / "dimple.probes.html").read_text()
    assert 'href="https://docs.pytorch.org/docs/stable/tensors.html#torch.Tensor"' in signature


def test_every_scene_has_a_page_and_a_picture(site: Path, pages: dict[Path, Page]) -> None:
    for name in shipped_scenes():
        assert (site / "gallery" / f"{name}.html") in pages
        # Scenes of data that have to be fetched are drawn where they are at hand.
        if load_scene(name).data.dataset in DATASETS:
            continue
        pictures = [
            address for address in pages[site / "gallery" / f"{name}.html"].loaded if f"/{name}.webp" in address
        ]
        assert pictures, f"{name}: no picture; DIMPLE_DOCS_SCENES=1 python3 dev.py docs draws it"
        assert f"{name}.html" in pages[site / "gallery" / "index.html"].links


def test_notebooks_are_shown_with_their_stored_results(site: Path) -> None:
    text = (site / "examples" / "stored.html").read_text()
    assert "the stored result" in text and "ZeroDivisionError" not in text
    (picture,) = re.findall(r'src="\.\./(_images/\w+\.png)"', text)
    assert (site / picture).read_bytes() == base64.b64decode(PIXEL)


def test_formulas_need_no_script(site: Path) -> None:
    assert "<math" in (site / "pitfalls.html").read_text()


def test_the_first_page_answers_the_four_questions(site: Path, pages: dict[Path, Page]) -> None:
    cards = re.findall(r'class="sd-card-title.*?>\s*(.*?)\s*</div>', (site / "index.html").read_text(), re.DOTALL)
    assert cards == ["See it", "Measure mine", "Compare two", "Make my own scene"]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def browser(opened: Browser) -> Iterator[Browser]:
    """Yield a browser, and check at the end of the test that nothing failed and nothing asked the network."""
    opened.errors.clear()
    yield opened
    assert opened.errors == []


@needs_browser
@pytest.mark.parametrize(
    "name", ["index", "pitfalls", "tutorials/1_first_scene", "gallery/index", "api/dimple.probes", "migration"]
)
def test_pages_fit_a_phone_and_have_a_dark_mode(name: str, browser: Browser, site: Path) -> None:
    color = "getComputedStyle(document.documentElement).getPropertyValue('--pst-color-background')"
    for width, scheme, background in ((1280, "light", "#fcfbf8"), (390, "dark", "#17181a")):
        browser.resize(width, 844, mobile=width < 500)
        browser.show_as("screen", scheme)
        browser.open(site / f"{name}.html", ready=COMPLETE)
        assert browser.run(color).strip() == background
        assert browser.run("document.documentElement.scrollWidth") <= width


@needs_browser
def test_the_site_can_be_searched_from_disk(browser: Browser, site: Path) -> None:
    browser.ask("Page.navigate", url=(site / "search.html").as_uri() + "?q=masked")
    browser.wait("document.querySelectorAll('#search-results li a').length > 0")
    targets = browser.run(
        "[...document.querySelectorAll('#search-results li a')].map(link => link.getAttribute('href'))"
    )
    assert any(target.startswith("pitfalls.html") for target in targets)
