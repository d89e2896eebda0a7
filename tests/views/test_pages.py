"""Pages are one file without external addresses, and no text of a run or scene file becomes markup."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dimple.errors import RunError
from dimple.runs.atomic_io import atomic_replace, write_bytes
from dimple.stats.aggregate import is_comparison_column
from dimple.views.charts.charts_by_unit import charts_by_unit
from dimple.views.charts.distributions import empirical_cdf
from dimple.views.content.columns import spans_decades
from dimple.views.content.frame import ChartCurve
from dimple.views.content.labels import format_comparison, format_number
from dimple.views.report.measurement import PerturbedImage, pixels_to_image, series_charts, write_measurement_report
from dimple.views.report.simulation import write_simulation_report
from dimple.views.report.tables import statistic_rows
from dimple.views.web.page import write_web_page
from tests.views.material import write_run

NASTY = "</script><img src=x onerror=alert(1)>"
UNITS = {"margin": "l2, input units", "margin_on": "l2, input units"}


class Page(HTMLParser):
    """Tags, addresses, scripts and text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.labels: list[str] = []
        self.scripts: list[str] = []
        self.policy = ""
        self.text = ""
        self.inside = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = dict(attributes)
        self.tags.append(tag)
        self.inside = tag if tag in ("style", "script") else ""
        self.labels += [named["aria-label"] or ""] if tag == "figure" and "aria-label" in named else []
        self.addresses += [named[name] or "" for name in ("src", "href") if name in named]
        if named.get("http-equiv") == "Content-Security-Policy":
            self.policy = named["content"] or ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts.append(data)
        self.text += "" if self.inside else f" {data}"


def is_self_contained(page: Page) -> bool:
    """Return whether a page has no external addresses and only the script of its policy."""
    (script,) = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        all(address.startswith(("data:", "#")) for address in page.addresses)
        and page.policy.startswith("default-src 'none'; ")
        and page.policy.endswith(f"; script-src 'sha256-{digest}'")
        and page.tags.count("script") == 1
    )


def probe_picture(index: int, margin: float, channels: int = 3) -> PerturbedImage:
    image = np.full((channels, 4, 4), 0.5)
    step = np.zeros_like(image)
    step[:, index % 4, 0] = margin / np.sqrt(channels)
    return PerturbedImage(index, "cat", "dog", margin, image, step, 0.6 * step, 0.4 * step)


def test_the_report_of_a_run_has_its_results(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    page = Page(write_simulation_report(run, run.path / "report.html"))
    assert is_self_contained(page)
    text = " ".join(page.text.split())
    assert "Cling, then dimple: undecided. Training accuracy did not come to stay at 1." in text
    assert "clung 10 between 1 and 10 the distance has fallen to 1/5" in text
    assert "dimpled never" in text
    assert (
        "margin along the manifold / free margin 2.50 2.00 to 3.00 20 null 1.25 (1.00 to 1.50) isotropic 1.23 above"
        in text
    )
    assert run.settings_text.strip().splitlines()[1] in page.text
    assert "dimple simulate scene.yaml --seed 3 --out ball-again" in text
    assert "measure 2.0 s" in text
    assert "margin 24 1,200 800 40.0" in text


def test_phases_without_dates_are_not_reported_as_never(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    run.info["summary"] = {"steps": 100, "snapshots": 4}
    text = " ".join(Page(write_simulation_report(run, run.path / "report.html")).text.split())
    assert "never" not in text and "The phases are not dated: that takes the probe offset" in text


def test_the_report_has_the_film_and_its_stills_if_they_exist(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    without = Page(write_simulation_report(run, run.path / "report.html"))
    assert "video" not in without.tags
    write_bytes(run.path / "film.mp4", b"film")
    (run.path / "stills").mkdir()
    with atomic_replace(run.path / "stills" / "step_00000010.png") as still:
        Image.new("RGB", (64, 36), "red").save(still)
    page = Page(write_simulation_report(run, run.path / "report.html"))
    assert is_self_contained(page)
    assert "data:video/mp4;base64," + base64.b64encode(b"film").decode() in page.addresses
    assert "step 10: clung" in page.text
    assert page.tags.count("img") == without.tags.count("img") + 1


def test_a_report_links_to_the_page_of_its_own_run_only(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    other = write_run(tmp_path / "other")
    assert 'href="page.html"' not in write_simulation_report(run, run.path / "report.html").read_text()
    for written in (run, other):
        (written.path / "page.html").write_text("a page")
    assert 'href="page.html"' in write_simulation_report(run, run.path / "report.html").read_text()
    assert 'href="page.html"' not in write_simulation_report(run, other.path / "report-of-run.html").read_text()


def test_charts_mark_the_phases_and_are_the_same_every_time(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    first = write_simulation_report(run, run.path / "report.html").read_bytes()
    assert write_simulation_report(run, run.path / "again.html").read_bytes() == first
    page = Page(run.path / "report.html")
    assert page.tags.count("svg") == len(page.labels) == 4
    chart = page.text[page.text.index("distance from manifold and points") :]
    assert "clung" in chart[: chart.index("training loss")]


def test_charts_use_the_colors_of_the_page_and_only_their_own_identifiers(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    text = write_simulation_report(run, run.path / "report.html").read_text()
    style = text[: text.index("</style>")]
    charts = re.findall("<svg .*?</svg>", text, flags=re.DOTALL)
    dark = style[style.index("dark) {") :]
    for name in set(re.findall(r"var\((--\w+)\)", "".join(charts))):
        assert f"{name}: #" in dark[: dark.index("* {")] and style.count(f"{name}: #") >= 2, name
    assert not re.search("(stroke|fill): #", "".join(charts))
    named = [set(re.findall(r' id="([^"]+)"', chart)) for chart in charts]
    assert len(set.union(*named)) == sum(map(len, named))
    for chart, names in zip(charts, named, strict=True):
        assert set(re.findall(r"(?:href=\"|url\()#([^\")]+)", chart)) <= names


def test_names_and_scenes_are_never_markup(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", name=NASTY)
    page = Page(write_simulation_report(run, run.path / "report.html"))
    assert is_self_contained(page)
    assert NASTY in page.text
    facts = [(NASTY, NASTY)]
    page = Page(write_measurement_report(tmp_path / "p.html", NASTY, facts, {}, {}, [], [probe_picture(0, 0.5)]))
    assert is_self_contained(page)
    assert page.text.count(NASTY) >= 3


def test_a_page_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be written"):
        write_simulation_report(write_run(tmp_path / "run"), tmp_path / "absent" / "report.html")


def test_the_probe_report_ranks_the_images_and_decomposes_their_perturbations(tmp_path: Path) -> None:
    pictures = [probe_picture(k, margin) for k, margin in enumerate((0.4, 0.1, 0.3, 0.2))]
    columns = {"index": np.arange(3), "margin": np.array([0.1, np.inf, -0.2]), "margin_test": np.array([0.2, 0.3, 0.4])}
    rows = [
        {
            "step": 0,
            "margin": 0.1,
            "margin_on_ratio": 3.0,
            "margin_on_ratio_null": 4.0,
            "margin_on_ratio_verdict": "below",
        }
    ]
    page = Page(write_measurement_report(tmp_path / "p.html", "net", [("seed", "0")], columns, UNITS, rows, pictures))
    assert is_self_contained(page)
    assert re.findall(r"image (\d)", page.text) == ["1", "3", "2", "0"]
    assert page.text.index("least robust") < page.text.index("image 1") < page.text.index("most robust")
    assert "36.0% of its squared length" in page.text
    assert re.findall(r"([\d.]+) long in l2", page.text) == ["0.100", "0.200", "0.300", "0.400"]
    assert "may be shorter than the margin" in " ".join(page.text.split())
    # Five pictures for each of the four images, and one chart of distributions.
    assert (page.tags.count("img"), page.labels) == (
        5 * 4,
        ["distribution of margin [l2, input units]"],
    )
    assert "below" in page.text


def test_without_tangents_only_the_total_perturbation_is_shown(tmp_path: Path) -> None:
    image = np.zeros((1, 8, 8))
    plain = PerturbedImage(3, 0, 1, 0.5, image, image + 0.1, None, None)
    page = Page(write_measurement_report(tmp_path / "p.html", "net", [], {}, {}, [], [plain]))
    assert page.tags.count("img") == 3
    assert "squared length" not in page.text and "may be shorter" not in page.text


def test_a_series_of_checkpoints_is_drawn_along_its_steps() -> None:
    rows = [{"step": k, "margin": 0.1 * k, "accuracy": None if k == 0 else 0.5, "note": "x"} for k in range(3)]
    assert [chart["title"] for chart in series_charts(rows, UNITS)] == ["margin", "accuracy"]
    assert series_charts(rows[:1], UNITS) == []


def test_fractions_count_values_that_are_not_finite() -> None:
    values, fractions = empirical_cdf(np.array([2.0, np.inf, 1.0, np.nan]))
    assert (values.tolist(), fractions.tolist()) == ([1.0, 2.0], [0.25, 0.5])
    assert empirical_cdf(np.array([]))[1].tolist() == []


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_pictures_are_magnified_without_blur(channels: int) -> None:
    pixels = np.zeros((channels, 2, 2))
    pixels[:, 0, 1] = 2.0
    pixels[:, 1, 0] = 0.5
    picture = pixels_to_image(pixels)
    assert picture.size == (112, 112)
    gray = np.asarray(picture.convert("L"))
    assert np.unique(gray[:56, :56]).tolist() == [0]
    assert np.unique(gray[:56, 56:]).tolist() == [255]
    assert np.unique(gray[56:, :56]).tolist() == [128]


def test_a_table_has_each_statistic_once_with_its_null() -> None:
    row = {"step": 5, "x": 1.0, "x_null": 2.0, "x_null_low": 1.5, "x_null_high": 3.0, "y": None}
    row |= {"x_low": 0.9, "x_high": 1.25, "x_samples": 20}
    rows = statistic_rows(row, {"x": "l2"})
    assert rows[0] == {
        "name": "x", "meaning": "",
        "value": "1.00", "key": "1.0", "interval": "0.900 to 1.25", "samples": "20", "found": "", "pixels": "",
        "source": "",
        "null": "null 2.00\n(1.50 to 3.00)", "null_key": "2.0", "verdict": "below", "unit": "l2",
    }  # fmt: skip
    assert (rows[1]["key"], rows[1]["null_key"]) == ("", "")
    assert [r["value"] for r in rows] == ["1.00", "not measured"]


def test_the_fraction_of_found_samples_is_shown_with_its_statistic() -> None:
    row = {"margin_on": 1.0, "margin_on_null": 2.0, "margin_on_found": 0.75, "margin_on_found_null": 0.997}
    rows = statistic_rows(row | {"margin": 0.5, "margin_found": 1.0}, {})
    assert [(r["value"], r["found"], r["null"]) for r in rows] == [
        ("1.00", "75% found", "null 2.00\n99.7% found"), ("0.500", "", "–")
    ]  # fmt: skip


def test_charts_are_grouped_by_unit_and_nulls_belong_to_their_columns() -> None:
    columns = {name: np.ones(2) for name in ("step", "a", "a_null", "b", "c", "d", "e", "f")}
    units = dict.fromkeys("abcdef", "l2") | {"f": "fraction"}
    charts = charts_by_unit(columns, units, exclude={"b"})
    assert [[curve.name for curve in chart.curves] for chart in charts] == [["a", "c", "d", "e"], ["f"]]
    assert charts[0].curves[0].baseline is not None


@pytest.mark.parametrize(
    ("values", "expected"), [([1.0, 2.0], False), ([0.001, 1.0], True), ([-5.0, 0.0, 0.1], True), ([np.nan], False)]
)
def test_decades_are_recognized(values: list[float], expected: bool) -> None:
    assert spans_decades([ChartCurve("x", np.array(values))]) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1.0, "1.00"), (0.99999, "1.000"), (-0.0123, "-0.0123"), (123456.0, "1.23e+05"), (12345.0, "12345"),
     (float("nan"), "not measured"), (None, "not measured"), (float("inf"), "none found"), (5e-5, "5e-05")],
)  # fmt: skip
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert format_number(value) == text


def test_only_nulls_of_existing_columns_are_comparisons() -> None:
    assert is_comparison_column("x_null_low", {"x": 1})
    assert not is_comparison_column("x_null", {"y": 1})
    assert format_comparison({"x": 1.0}, "x") == ""


def test_a_report_lists_the_conditions_of_the_verdict_and_all_phases(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    run.info["summary"] |= {
        "phases": [
            {"name": "near", "first_step": 1, "last_step": 1, "interval": [0, 1]},
            {"name": "near", "first_step": 10, "last_step": 100, "interval": [1, 100]},
        ],
        "conditions": [
            {"name": "a", "statement": "fall of the distance", "value": 15.62, "threshold": 5.0, "met": True},
            {
                "name": "b",
                "statement": "excess over the null",
                "value": None,
                "threshold": 0.1,
                "met": None,
                "decides": True,
            },
            {"name": "c", "statement": "start", "value": 0.3, "threshold": 0, "met": True, "comparison": "above"},
        ],
    }
    run.save()
    text = " ".join(Page(write_simulation_report(run, run.path / "report.html")).text.split())
    assert (
        "fall of the distance 15.6 at least 5 met excess over the null unknown at least 0.1 not decided: decides"
        in text
    )
    assert "start 0.3 above 0 met" in text
    # The page of the run has the same table.
    page = " ".join(Page(write_web_page(run, [], run.path / "page.html")).text.split())
    assert "condition of the verdict value has to be outcome fall of the distance 15.6 at least 5 met" in page
    assert "clung 10 between 1 and 100" in text and "so from 1 to 1, 10 to 100" in text
    assert "Controls" in text and "were not run" in text


def test_a_baseline_far_above_its_curve_makes_the_axis_logarithmic() -> None:
    values = np.array([1.0, 1.1])
    assert spans_decades([ChartCurve("x", values, np.array([1.0, 7757.0]))])
    assert not spans_decades([ChartCurve("x", values, np.array([1.2, 1.3]))])
