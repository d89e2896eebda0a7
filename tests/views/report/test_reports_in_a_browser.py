"""Reports in a real browser: sorting of tables by mouse and keys, colors of charts, and printing."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dimple.views.report.simulation import write_simulation_report
from tests.views.browser import Browser, needs_browser
from tests.views.material import write_run

pytestmark = needs_browser
LOADED = "document.readyState === 'complete'"
VALUES = "[...document.querySelectorAll('table.quantities td.value')].map(cell => cell.textContent)"
NAMES = "[...document.querySelectorAll('table.quantities tbody td:first-child')].map(cell => cell.textContent)"
HEADS = "[...document.querySelectorAll('table.quantities th')].map(head => head.getAttribute('aria-sort'))"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("report") / "run", name="<b>ball</b>")
    metrics = run.columns("metrics")
    metrics["dimple_depth"] = np.array([np.inf, 0.2, 0.02, np.nan])
    metrics["loss"] = np.array([0.7, 0.5, 0.1, np.inf])
    run.write_table("metrics", metrics, run.units("metrics"))
    return write_simulation_report(run, run.path / "report.html")


@pytest.fixture
def default_browser(browser: Browser) -> Iterator[Browser]:
    yield browser
    browser.show_as("", "light")
    browser.resize(1280, 800)


def test_clicks_on_a_heading_sort_and_the_third_restores_the_order(default_browser: Browser, page: Path) -> None:
    default_browser.open(page, ready=LOADED)
    click = "document.querySelectorAll('table.quantities th button')[1].click()"
    before = default_browser.run(VALUES)
    orders = []
    for _ in range(3):
        default_browser.run(click)
        orders.append((default_browser.run(HEADS)[1], default_browser.run(VALUES)))
    (up, rising), (down, falling), (none, back) = orders
    assert (up, down, none) == ("ascending", "descending", None)
    # Values that were not measured stay at the end in both orders.
    assert rising[-1] == falling[-1] == "not measured"
    numbers = [float(value.replace("none found", "inf")) for value in rising[:-1]]
    assert numbers == sorted(numbers) and numbers[-1] == np.inf and falling[:-1] == rising[-2::-1]
    assert back == before != rising


def test_a_table_is_sorted_with_the_keyboard(default_browser: Browser, page: Path) -> None:
    default_browser.open(page, ready=LOADED)
    default_browser.run("document.querySelector('table.quantities th button').focus()")
    default_browser.key("Enter")
    names = default_browser.run(NAMES)
    assert names == sorted(names, key=str.lower) and default_browser.run(HEADS)[0] == "ascending"
    default_browser.key("Tab")
    assert default_browser.run("document.activeElement.textContent") == "value"


def brightness(browser: Browser, element: str, property_: str) -> float:
    color = browser.run(f"getComputedStyle({element}).{property_}")
    red, green, blue = (int(value) for value in color.removeprefix("rgb(").removesuffix(")").split(","))
    return (0.21 * red + 0.72 * green + 0.07 * blue) / 255


@pytest.mark.parametrize(("media", "scheme"), [("screen", "light"), ("screen", "dark"), ("print", "dark")])
def test_lines_and_text_of_charts_contrast_with_the_background(
    default_browser: Browser, page: Path, media: str, scheme: str
) -> None:
    default_browser.show_as(media, scheme)
    default_browser.open(page, ready=LOADED)
    paper = brightness(default_browser, "document.body", "backgroundColor")
    line = brightness(default_browser, "document.querySelector('.charts svg path[style*=\"--ink\"]')", "stroke")
    letters = brightness(default_browser, "document.querySelector('.charts svg text[style*=\"--ink\"]')", "fill")
    dark = (media, scheme) == ("screen", "dark")
    assert paper < 0.2 if dark else paper > 0.9
    assert min(abs(paper - line), abs(paper - letters)) > 0.6


def test_a_printed_report_shows_the_scene_and_no_buttons(default_browser: Browser, page: Path) -> None:
    default_browser.show_as("print", "light")
    default_browser.open(page, ready=LOADED)
    assert default_browser.run("document.querySelector('details pre').getBoundingClientRect().height") > 20
    default_browser.show_as("", "light")
    assert default_browser.pdf().startswith(b"%PDF")


def test_nothing_is_wider_than_a_phone(default_browser: Browser, page: Path) -> None:
    default_browser.resize(390, 844, 2.0, mobile=True)
    default_browser.open(page, ready=LOADED)
    assert default_browser.run("document.documentElement.scrollWidth") <= 390


def test_every_cell_of_a_table_is_on_a_narrow_screen_beside_the_name_of_its_column(
    default_browser: Browser, page: Path
) -> None:
    cells = (
        "[...document.querySelectorAll('table.quantities td')].filter(cell => cell.offsetWidth)"
        ".map(cell => [cell.dataset.label, getComputedStyle(cell, '::before').content, "
        "cell.scrollWidth <= cell.clientWidth && cell.getBoundingClientRect().right <= innerWidth])"
    )
    default_browser.resize(390, 800)
    default_browser.open(page, ready=LOADED)
    narrow = default_browser.run(cells)
    assert {"quantity", "value", "95 % interval", "comparison", "unit"} <= {label for label, _, _ in narrow}
    assert all(is_inside for _, _, is_inside in narrow)
    assert all(label == "quantity" or label in content for label, content, _ in narrow)
    default_browser.resize(1280, 800)
    wide = default_browser.run(cells)
    assert {content for _, content, _ in wide} == {"none"}
