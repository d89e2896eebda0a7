"""Several runs on one page: each figure of each run in its place, and only what differs among the settings."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml

from dimple.runs import Run
from dimple.runs.atomic_io import write_bytes
from dimple.views.report.comparison import MOST, write_comparison
from dimple.views.report.run_summary import account_of, flattened
from tests.views.material import write_flat_run, write_run
from tests.views.test_pages import NASTY, Page, alone


def altered(folder: Path, name: str, changes: dict[str, object]) -> Run:
    """A run whose scene and figures differ a little from those of `write_run`."""
    run = write_run(folder / name.replace("/", ""), name=name)
    scene = {"name": name, "seed": 3, "manifold": {"kind": "sphere", "radius": 0.3}, "network": {"widths": [8, 8]}}
    write_bytes(run.path / "scene.yaml", yaml.safe_dump(scene | changes).encode())
    metrics = run.metrics()
    metrics["off_share"] = metrics["off_share"] / 2
    run.write_metrics(metrics, run.units())
    points = run.points()
    margin = np.linspace(0.1, 1.0, len(points["step"]))
    run.write_points(points | {"margin": margin}, {"margin": "l2, input units"})
    return run


def cells(page: Page, name: str) -> list[str]:
    """The words that follow a name, up to the end of its row."""
    text = " ".join(page.text.split())
    return text[text.index(f" {name} ") + len(name) + 2 :].split()


def compared(runs: list[Run], path: Path) -> Page:
    return Page(write_comparison([(account_of(run), f"make {number}") for number, run in enumerate(runs)], path))


def test_figures_stand_side_by_side_with_their_nulls(tmp_path: Path) -> None:
    first = altered(tmp_path, "first", {"network": {"widths": [8, 8]}})
    second = altered(tmp_path, "second", {"network": {"widths": [16]}})
    metrics = second.metrics()
    metrics["off_share"] = np.full(4, 0.625)
    second.write_metrics(metrics, second.units())
    page = compared([first, second], tmp_path / "both.html")
    assert alone(page)
    assert cells(page, "off-manifold share")[:7] == ["share", "0.450", "null", "0.333", "0.625", "null", "0.333"]
    assert cells(page, "network.widths")[:3] == ["[8,", "8]", "[16]"]
    assert "manifold.radius" not in page.text
    assert cells(page, "clung")[:8] == ["10,", "between", "1", "and", "10", "10,", "between", "1"]
    assert cells(page, "margin, passes a sample")[:2] == ["40.0", "40.0"]
    assert ("make 0" in page.text) and ("make 1" in page.text)
    assert "distribution of margin" in page.labels and "off-manifold share" in page.labels


def test_equal_runs_differ_in_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    page = compared([run, run], tmp_path / "both.html")
    assert "Nothing: all settings are the same." in page.text


def test_every_run_is_drawn_in_its_own_colour_all_over_the_page(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / str(number), name=f"run {number}") for number in range(MOST)]
    path = tmp_path / "all.html"
    page = compared(runs, path)
    colours = [part[: part.index('"')] for part in path.read_text().split("--colour: ")[1:]]
    heads, rest = colours[:MOST], colours[MOST:]
    assert len(set(heads)) == MOST and rest == heads * (len(rest) // MOST)
    charts = path.read_text().count("<svg")
    assert all(path.read_text().count(f"stroke: {colour}") >= charts for colour in heads)
    assert [text for text in page.text.split() if text.endswith(":")][:MOST] == [f"{letter}:" for letter in "ABCDEFG"]


def test_names_are_never_markup(tmp_path: Path) -> None:
    page = compared([altered(tmp_path, NASTY, {}), write_flat_run(tmp_path / "flat")], tmp_path / "both.html")
    assert alone(page) and NASTY in page.text


def test_settings_go_by_their_path_and_kinds() -> None:
    kinds = [{"kind": "margin", "starts": 4}, {"kind": "offset"}]
    assert flattened({"a": {"b": None}, "probes": kinds, "c": [1, 2], "d": []}) == {
        "a.b": "none", "probes.margin.starts": "4", "c": "[1, 2]", "d": "[]",
    }  # fmt: skip
    assert flattened({"contents": {"x": "0123456789ab" + "c" * 52}}) == {"contents.x": "0123456789ab"}


def test_an_account_of_a_run_is_plain_values(tmp_path: Path) -> None:
    account = account_of(write_run(tmp_path / "run"))
    assert {field.name for field in dataclasses.fields(account)} >= {"figures", "series", "samples"}
    assert account.figures[""]["off_share"] == pytest.approx(0.9)
    assert account.samples[""]["index"].tolist() == [5, 4, 3, 2, 1, 0]
    assert account.phases == {"clung": "10, between 1 and 10", "dimpled": "never"}
