"""The same samples under several runs, one by one, on the page of a comparison."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from dimple import Margin, compare, measure
from dimple.views.report.paired import paired_content
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
    paired = paired_content(summaries(tmp_path, [0.0, -0.25, 0.15]), "ABC", "test")
    # The first sample, at 0.1, is wrong where the boundary is at 0.15.
    assert (paired["count"], paired["total"], paired["reason"]) == (11, 12, "")
    rows = {(row["name"], row["letter"]): row for row in paired["rows"]}
    further, nearer = rows["margin", "B"], rows["margin", "C"]
    assert (further["median"], further["above"], further["verdict"]) == ("0.250", "100%", "B is larger")
    assert (nearer["median"], nearer["above"], nearer["verdict"]) == ("-0.150", "0%", "C is smaller")
    assert len(paired["charts"]) == 2


def test_equal_runs_show_no_difference(tmp_path: Path) -> None:
    paired = paired_content(summaries(tmp_path, [0.0, 0.0]), "AB", "test")
    assert {row["verdict"] for row in paired["rows"]} == {"no difference shown"}


def test_other_samples_are_not_paired(tmp_path: Path) -> None:
    paired = paired_content(summaries(tmp_path, [0.0, 0.0], shift=0.01), "AB", "test")
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
    assert paired_content(runs, "AB", "test")["count"] == 8


def test_the_page_shows_the_pairs(tmp_path: Path) -> None:
    summaries(tmp_path, [0.0, -0.25])
    page = Page(compare([tmp_path / "run0", tmp_path / "run1"], tmp_path / "both.html"))
    text = " ".join(page.text.split())
    assert "12 of 12 samples are right under all runs" in text
    assert "B is larger" in text
