"""Reports in a real browser: tables are sorted by mouse and keys, charts take the page's colours, all of it prints."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dimple.views.report.simulation import write_report
from tests.views.browser import Browser, needs_browser
from tests.views.material import write_run

pytestmark = needs_browser
LOADED = "document.readyState === 'complete'"
VALUES = "[...document.querySelectorAll('table.figures td.value')].map(cell => cell.textContent)"
NAMES = "[...document.querySelectorAll('table.figures tbody td:first-child')].map(cell => cell.textContent)"
HEADS = "[...document.querySelectorAll('table.figures th')].map(head => head.getAttribute('aria-sort'))"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("report") / "run", name="<b>ball</b>")
    metrics = run.metrics()
    metrics["dimple_depth"] = np.array([np.inf, 0.2, 0.02, np.nan])
    metrics["loss"] = np.array([0.7, 0.5, 0.1, np.inf])
    run.write_metrics(metrics, run.units())
    return write_report(run, run.path / "report.html")


@pytest.fixture
def usual(browser: Browser) -> Iterator[Browser]:
    yield browser
    browser.show_as("", "light")
    browser.resize(1280, 800)


def test_a_click_on_a_head_sorts_and_a_third_one_puts_it_back(usual: Browser, page: Path) -> None:
    usual.open(page, ready=LOADED)
    click = "document.querySelectorAll('table.figures th button')[1].click()"
    before = usual.run(VALUES)
    orders = []
    for _ in range(3):
        usual.run(click)
        orders.append((usual.run(HEADS)[1], usual.run(VALUES)))
    (up, rising), (down, falling), (none, back) = orders
    assert (up, down, none) == ("ascending", "descending", None)
    # What was not measured stays at the end either way.
    assert rising[-1] == falling[-1] == "not measured"
    numbers = [float(value.replace("none found", "inf")) for value in rising[:-1]]
    assert numbers == sorted(numbers) and numbers[-1] == np.inf and falling[:-1] == rising[-2::-1]
    assert back == before != rising


def test_a_table_is_sorted_by_keys_alone(usual: Browser, page: Path) -> None:
    usual.open(page, ready=LOADED)
    usual.run("document.querySelector('table.figures th button').focus()")
    usual.key("Enter")
    names = usual.run(NAMES)
    assert names == sorted(names, key=str.lower) and usual.run(HEADS)[0] == "ascending"
    usual.key("Tab")
    assert usual.run("document.activeElement.textContent") == "value"


def brightness(browser: Browser, what: str, property_: str) -> float:
    colour = browser.run(f"getComputedStyle({what}).{property_}")
    red, green, blue = (int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
    return (0.21 * red + 0.72 * green + 0.07 * blue) / 255


@pytest.mark.parametrize(("media", "scheme"), [("screen", "light"), ("screen", "dark"), ("print", "dark")])
def test_lines_and_letters_of_charts_stand_out_from_the_paper(
    usual: Browser, page: Path, media: str, scheme: str
) -> None:
    usual.show_as(media, scheme)
    usual.open(page, ready=LOADED)
    paper = brightness(usual, "document.body", "backgroundColor")
    line = brightness(usual, "document.querySelector('.charts svg path[style*=\"--ink\"]')", "stroke")
    letters = brightness(usual, "document.querySelector('.charts svg text[style*=\"--ink\"]')", "fill")
    dark = (media, scheme) == ("screen", "dark")
    assert paper < 0.2 if dark else paper > 0.9
    assert min(abs(paper - line), abs(paper - letters)) > 0.6


def test_a_printed_report_shows_the_scene_and_no_buttons(usual: Browser, page: Path) -> None:
    usual.show_as("print", "light")
    usual.open(page, ready=LOADED)
    assert usual.run("document.querySelector('details pre').getBoundingClientRect().height") > 20
    usual.show_as("", "light")
    assert usual.pdf().startswith(b"%PDF")


def test_nothing_is_wider_than_a_phone(usual: Browser, page: Path) -> None:
    usual.resize(390, 844, 2.0, mobile=True)
    usual.open(page, ready=LOADED)
    assert usual.run("document.documentElement.scrollWidth") <= 390
