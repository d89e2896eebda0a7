"""The same samples under several runs, one by one, on the page of a comparison."""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dimple import Margin, compare, measure
from dimple.views.report.comparison import Comparison, write_comparison
from dimple.views.report.comparison_facts import comparison_facts
from dimple.views.report.paired import pair_runs, paired_content
from dimple.views.report.run_summary import RunSummary, summarize_run
from tests.views.test_pages import Page


def plane(offset: float) -> nn.Module:
    """The boundary is the plane where the first coordinate is the offset."""
    network = nn.Linear(2, 2).double().eval()
    network.weight.data = torch.tensor([[-1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    network.bias.data = torch.tensor([offset, -offset], dtype=torch.float64)
    return network


def summaries(folder: Path, offsets: list[float], shift: float = 0.0) -> list[RunSummary]:
    x = np.linspace(0.1, 1.0, 12)[:, None] * np.array([[1.0, 0.3]])
    runs = []
    for place, offset in enumerate(offsets):
        points = x + shift * place
        found = measure(plane(offset), points, np.ones(12, int), bounds=None, out=folder / f"run{place}")
        assert found.run is not None
        runs.append(summarize_run(found.run))
    return runs


def test_a_known_shift_is_found_at_the_samples_that_are_right_under_all(tmp_path: Path) -> None:
    paired = paired_content(pair_runs(summaries(tmp_path, [0.0, -0.25, 0.15]), "ABC", "test"), "ABC", {})
    # The first sample, at 0.1, is wrong where the boundary is at 0.15.
    assert (paired["count"], paired["total"], paired["reason"]) == (11, 12, "")
    rows = {(row["name"], row["letter"]): row for row in paired["rows"]}
    further, nearer = rows["margin", "B"], rows["margin", "C"]
    assert (further["median"], further["above"], further["verdict"]) == ("0.250", "100%", "B is larger")
    assert (nearer["median"], nearer["above"], nearer["verdict"]) == ("-0.150", "0%", "C is smaller")
    assert len(paired["charts"]) == 2


def test_equal_runs_show_no_difference(tmp_path: Path) -> None:
    paired = paired_content(pair_runs(summaries(tmp_path, [0.0, 0.0]), "AB", "test"), "AB", {})
    assert {row["verdict"] for row in paired["rows"]} == {"no difference shown"}


def test_other_samples_are_not_paired(tmp_path: Path) -> None:
    paired = paired_content(pair_runs(summaries(tmp_path, [0.0, 0.0], shift=0.01), "AB", "test"), "AB", {})
    assert paired["reason"] == "The runs have different samples, so nothing is paired."


def test_distances_in_different_norms_are_not_compared(tmp_path: Path) -> None:
    x = np.linspace(0.1, 1.0, 12)[:, None] * np.array([[1.0, 0.3]])
    for norm in ("l2", "linf"):
        measure(plane(0.0), x, np.ones(12, int), [Margin(norm=norm)], bounds=None, out=tmp_path / norm)
    page = Page(compare([tmp_path / "l2", tmp_path / "linf"], tmp_path / "both.html"))
    text = " ".join(page.text.split())
    assert "A: l2, input units; B: linf, input units" in text
    assert "Not compared, because the runs have it in different units: margin." in text
    assert "smaller" not in text and "distribution of margin" not in page.labels


def test_samples_without_scores_are_right_under_no_run(tmp_path: Path) -> None:
    x = np.linspace(0.1, 1.0, 12)[:, None] * np.array([[1.0, 0.3]])

    def broken(x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = plane(0.0)(x)
        return torch.where(x[:, :1] > 0.7, torch.nan, scores.flip(1))

    runs = []
    for name, model in (("whole", lambda x: plane(0.0)(x).flip(1)), ("broken", broken)):
        found = measure(model, x, np.zeros(12, int), bounds=None, out=tmp_path / name)
        assert found.run is not None
        runs.append(summarize_run(found.run))
    assert paired_content(pair_runs(runs, "AB", "test"), "AB", {})["count"] == 8


def test_the_page_shows_the_pairs(tmp_path: Path) -> None:
    summaries(tmp_path, [0.0, -0.25])
    page = Page(compare([tmp_path / "run0", tmp_path / "run1"], tmp_path / "both.html"))
    text = " ".join(page.text.split())
    assert "12 of 12 samples are right under all runs" in text
    assert "B is larger" in text


def test_the_comparison_keeps_what_each_run_said_about_its_numbers(tmp_path: Path) -> None:
    """An unsettled search, unreliable tangents and unchecked gradients stand in page, terminal and JSON alike."""
    first, second = (
        dataclasses.replace(
            one,
            samples={"test": {**one.samples["test"], "margin_off": 2 * one.samples["test"]["margin"]}},
            units={**one.units, "margin_off": "l2, input units"},
        )
        for one in summaries(tmp_path, [0.0, -0.25])
    )
    ends = {"": 2.0, "_low": 1.5, "_high": 2.5, "_samples": 12, "_null_low": 0.9, "_null_high": 1.1, "_change": -0.69}
    doubtful = {"tangent_reliable": 0.1, "gradient_masking_ratio": None}
    doubtful |= {f"margin_off{end}": value for end, value in ends.items()}
    statistics = {"test": {**first.statistics["test"], **doubtful}}
    runs = Comparison.of([(dataclasses.replace(first, statistics=statistics), ""), (second, "")])
    (facts,) = comparison_facts(runs)["splits"]
    assert facts["statistics"]["margin_off"]["verdicts"] == ["unsettled", None]
    verdicts = {row["quantity"]: row["verdict"] for row in facts["paired"]["rows"]}
    assert (verdicts["margin"], verdicts["margin_off"]) == ("B is larger", "unsettled")
    assert [sentence.partition(":")[0] for sentence in facts["cautions"]["A"]] == [
        "tangents unreliable (*)",
        "unsettled",
        "not checked for masked gradients, which make margins too large",
    ]
    assert facts["cautions"]["B"] == [] and "does not tell two methods apart" in facts["paired"]["note"]
    page = " ".join(Page(write_comparison(runs, tmp_path / "both.html")).text.split())
    for sentence in facts["cautions"]["A"]:
        assert f"A: {sentence}." in page
    assert "does not tell two methods apart" in page
