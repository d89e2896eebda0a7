"""Printed pages keep their colors and the scene, and names in right-to-left letters stay in order."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dimple.views.content.from_run import frames_from_run
from dimple.views.report.comparison import Comparison, write_comparison
from dimple.views.report.run_summary import summarize_run
from dimple.views.report.simulation import write_simulation_report
from dimple.views.web.page import write_web_page
from tests.views.browser import Browser, needs_browser
from tests.views.material import write_run

pytestmark = needs_browser
LOADED = "document.readyState === 'complete'"
# Hebrew letters, with a bracket and a number, which take the direction of the text around them.
NAME = "\u05de\u05e2\u05d2\u05dc (2)"


@pytest.fixture
def dark_browser(browser: Browser) -> Iterator[Browser]:
    browser.show_as("screen", "dark")
    yield browser
    browser.show_as("", "light")


def test_a_printed_page_has_its_scene_on_white_paper_and_its_colors(dark_browser: Browser, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    dark_browser.open(write_web_page(run, frames_from_run(run), tmp_path / "page.html"), "step=10")
    dark_browser.wait("!view.moving")
    pixels = (
        "(() => { const { width, height } = byId('print'), context = byId('print').getContext('2d');"
        "const { data } = context.getImageData(0, 0, width, height); let white = 0;"
        "for (let i = 0; i < data.length; i += 4) white += data[i] > 250; return white / (width * height); })()"
    )
    dark_browser.run("dispatchEvent(new Event('beforeprint'))")
    assert 0.4 < dark_browser.run(pixels) < 0.95
    box = "(({ width, height }) => [width, height])(byId('print').getBoundingClientRect())"
    assert dark_browser.run(box) == dark_browser.run(box.replace("'print'", "'canvas'"))
    assert dark_browser.run("getComputedStyle(byId('legend').querySelector('.bar')).printColorAdjust") == "exact"
    dark_browser.run("dispatchEvent(new Event('afterprint'))")
    assert dark_browser.run("byId('print')") is None
    assert dark_browser.run("scene.colors.paper[0]") < 0.2
    assert dark_browser.pdf().startswith(b"%PDF")


def test_swatches_of_reports_are_printed(dark_browser: Browser, tmp_path: Path) -> None:
    dark_browser.open(write_simulation_report(write_run(tmp_path / "run"), tmp_path / "report.html"), ready=LOADED)
    assert dark_browser.run("getComputedStyle(document.querySelector('.verdict')).printColorAdjust") == "exact"


def test_a_name_from_right_to_left_keeps_its_order(browser: Browser, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", name=NAME)
    pages = [
        write_web_page(run, frames_from_run(run), tmp_path / "page.html"),
        write_simulation_report(run, tmp_path / "report.html"),
        write_comparison(Comparison.of([(summarize_run(run), "make it")]), tmp_path / "both.html"),
    ]
    # The closing bracket is to the left of the word, as in all text from right to left.
    order = (
        "(() => { const text = [...document.querySelectorAll('bdi')].find((one) => one.textContent.includes('(2)'))"
        ".firstChild, at = (offset) => { const range = document.createRange(); range.setStart(text, offset);"
        f"range.setEnd(text, offset + 1); return range.getBoundingClientRect().left; }};"
        f"return at({len(NAME) - 1}) < at(0); }})()"
    )
    for page in pages:
        browser.open(page, ready=LOADED)
        assert browser.run(order), page.name
