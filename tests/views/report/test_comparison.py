"""Comparison of several runs on one page: each statistic of each run, and only the settings that differ."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from dimple.runs import RunFolder
from dimple.runs.atomic_io import write_bytes
from dimple.views.report.comparison import MAX_RUNS, Comparison, write_comparison
from dimple.views.report.run_summary import flatten_settings, summarize_run
from tests.views.material import write_flat_run, write_run
from tests.views.test_pages import NASTY, Page, is_self_contained


def write_altered_run(folder: Path, name: str, changes: dict[str, object]) -> RunFolder:
    """Write a run whose scene and statistics differ from those of `write_run`."""
    run = write_run(folder / name.replace("/", ""), name=name)
    scene = {"name": name, "seed": 3, "manifold": {"kind": "sphere", "radius": 0.3}, "network": {"widths": [8, 8]}}
    write_bytes(run.path / "scene.yaml", yaml.safe_dump(scene | changes).encode())
    metrics = run.columns("metrics")
    metrics["gradient_off_manifold_fraction"] = metrics["gradient_off_manifold_fraction"] / 2
    run.write_table("metrics", metrics, run.units("metrics"))
    points = run.columns("points")
    margin = np.linspace(0.1, 1.0, len(points["step"]))
    run.write_table("points", points | {"margin": margin}, {"margin": "l2, input units"})
    return run


def words_after(page: Page, name: str) -> list[str]:
    """Return the words of a page after a name."""
    text = " ".join(page.text.split())
    return text[text.index(f" {name} ") + len(name) + 2 :].split()


def write_page(runs: list[RunFolder], path: Path) -> Page:
    summaries = [(summarize_run(run), f"make {number}") for number, run in enumerate(runs)]
    return Page(write_comparison(Comparison.of(summaries), path))


def test_statistics_of_all_runs_are_in_one_row_with_their_nulls(tmp_path: Path) -> None:
    first = write_altered_run(tmp_path, "first", {"network": {"widths": [8, 8]}})
    second = write_altered_run(tmp_path, "second", {"network": {"widths": [16]}})
    metrics = second.columns("metrics")
    metrics["gradient_off_manifold_fraction"] = np.full(4, 0.625)
    second.write_table("metrics", metrics, second.units("metrics"))
    page = write_page([first, second], tmp_path / "both.html")
    assert is_self_contained(page)
    row = words_after(page, "off-manifold fraction of the gradient")
    missing = ["95", "%:", "not", "recorded,", "n", "–", "1", "-", "d/n", "0.333"]
    assert row[: 3 + 2 * len(missing)] == ["fraction", "0.450", *missing, "0.625", *missing]
    assert words_after(page, "network.widths")[:3] == ["[8,", "8]", "[16]"]
    assert "manifold.radius" not in page.text
    assert words_after(page, "clung")[:8] == ["10,", "between", "1", "and", "10", "10,", "between", "1"]
    assert words_after(page, "margin, passes a sample")[:2] == ["40.0", "40.0"]
    assert ("make 0" in page.text) and ("make 1" in page.text)
    assert "distribution of margin" in page.labels and "off-manifold fraction of the gradient" in page.labels


def test_equal_runs_differ_in_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    page = write_page([run, run], tmp_path / "both.html")
    assert "Nothing: all settings are the same." in page.text


def test_files_of_two_names_are_one_difference_and_of_one_name_another() -> None:
    def differences(*settings: dict[str, str]) -> list[str]:
        runs: list[Any] = [SimpleNamespace(summary=SimpleNamespace(settings=one, environment={})) for one in settings]
        return [*Comparison(tuple(runs)).differences]

    first = {"weights": "a.pt", "checksums.a.pt": "1", "checksums.test images": "7"}
    assert differences(first, {"weights": "b.pt", "checksums.b.pt": "2", "checksums.test images": "7"}) == ["weights"]
    assert differences(first, first | {"checksums.a.pt": "2"}) == ["checksums.a.pt"]


def test_every_run_has_one_color_on_the_page(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / str(number), name=f"run {number}") for number in range(MAX_RUNS)]
    path = tmp_path / "all.html"
    page = write_page(runs, path)
    colors = [text[: text.index('"')] for text in path.read_text().split("--color: ")[1:]]
    heads = colors[:MAX_RUNS]
    rest = colors[MAX_RUNS:]
    assert len(set(heads)) == MAX_RUNS and rest == heads * (len(rest) // MAX_RUNS)
    charts = path.read_text().count("<svg")
    assert all(path.read_text().count(f"stroke: {color}") >= charts for color in heads)
    assert [text for text in page.text.split() if text.endswith(":")][:MAX_RUNS] == [
        f"{letter}:" for letter in "ABCDEFG"
    ]


def test_names_are_never_markup(tmp_path: Path) -> None:
    page = write_page(
        [write_altered_run(tmp_path, NASTY, {}), write_flat_run(tmp_path / "flat")], tmp_path / "both.html"
    )
    assert is_self_contained(page) and NASTY in page.text


def test_settings_are_named_by_path_and_kind() -> None:
    kinds = [{"kind": "margin", "starts": 4}, {"kind": "offset"}]
    assert flatten_settings({"a": {"b": None}, "probes": kinds, "c": [1, 2], "d": []}) == {
        "a.b": "none", "probes.margin.starts": "4", "c": "[1, 2]", "d": "[]",
    }  # fmt: skip
    assert flatten_settings({"contents": {"x": "0123456789ab" + "c" * 52}}) == {"contents.x": "0123456789ab"}


def test_a_summary_of_a_run_has_plain_values(tmp_path: Path) -> None:
    summary = summarize_run(write_run(tmp_path / "run"))
    assert {field.name for field in dataclasses.fields(summary)} >= {"statistics", "series", "samples"}
    assert summary.statistics[""]["gradient_off_manifold_fraction"] == pytest.approx(0.9)
    assert summary.samples[""]["index"].tolist() == [5, 4, 3, 2, 1, 0]
    assert summary.phases == {"clung": "10, between 1 and 10", "dimpled": "never"}


def test_a_command_with_folders_of_the_machine_says_what_is_left_out(tmp_path: Path) -> None:
    run = summarize_run(write_run(tmp_path / "run"))
    for command, shown, is_said in (
        ("dimple probe --data npz:/home/me/x.npz", "--data npz:.../x.npz", True),
        ("dimple probe --data npz:data/x.npz", "--data npz:data/x.npz", False),
    ):
        page = Page(write_comparison(Comparison.of([(run, command)]), tmp_path / "page.html"))
        assert shown in page.text and ("stands for folders" in page.text) is is_said
