"""The extreme points of a run are those of a plain sort, and each statistic has its null."""

from pathlib import Path

import numpy as np

from dimple.views.report.robustness import extreme_points, summarize_robustness
from dimple.views.report.simulation import write_simulation_report
from tests.views.material import write_run


def test_extremes_are_the_ends_of_the_sorted_margins_of_correctly_classified_points() -> None:
    margin = np.array([0.5, 0.1, np.inf, 0.3, 0.2, 0.9, 0.8, 0.7, 0.6, 0.05])
    label = np.zeros(10, dtype=np.int64)
    prediction = np.where(np.arange(10) == 9, 1, label)
    found = extreme_points({"index": np.arange(10), "label": label, "prediction": prediction, "margin": margin})
    assert [[line[0]["value"] for line in group["lines"]] for group in found["groups"]] == [
        ["1", "4", "3", "0"],
        ["8", "7", "6", "5"],
    ]


def test_a_page_shows_distributions_and_points_with_their_nulls(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    points = run.columns("points")
    count = len(points["step"])
    points |= {"margin": np.linspace(0.1, 1.0, count), "margin_on": np.full(count, 2.0)}
    points |= {"margin_on_null": np.full(count, 1.5), "confidence": np.full(count, 0.75)}
    run.write_table("points", points, {"margin": "l2, input units", "margin_on": "l2, input units"})
    summary = summarize_robustness(run)
    assert [chart["title"] for chart in summary["charts"]] == [
        "distribution of margin and margin along the manifold [l2, input units]",
        "distribution of confidence",
    ]
    text = write_simulation_report(run, tmp_path / "report.html").read_text()
    assert (
        "The least robust points" in text
        and '<td data-key="2.0">2.00<br><span class="null">null 1.50</span></td>' in text
    )


def test_without_margins_no_points_are_ranked(tmp_path: Path) -> None:
    assert summarize_robustness(write_run(tmp_path / "run")) == {"charts": [], "unit": "", "heads": [], "groups": []}
