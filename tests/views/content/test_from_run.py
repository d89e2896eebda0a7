"""Frames, charts and captions contain the values of the run folder."""

from pathlib import Path

import numpy as np
import pytest

from dimple.errors import RunError
from dimple.views.content.from_run import build_facts, build_timeline, frames_from_run
from dimple.views.content.labels import format_interval
from dimple.views.report.tables import statistic_cell
from tests.views.material import RADII, RADIUS, STEPS, write_run


def test_frames_contain_the_run(tmp_path: Path) -> None:
    frames = frames_from_run(write_run(tmp_path / "run"))
    assert [frame.step for frame in frames] == list(STEPS)
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [(fact.name, fact.value, fact.baseline) for fact in frames[2].facts] == [
        ("training accuracy", "0.833", ""),
        ("manifold to boundary", "0.0200", "0.200"),
        ("dimple depth", "0.0200", ""),
        ("off-manifold fraction", "0.900", "0.333"),
    ]
    assert frames[0].facts[2].value == "none found"
    assert frames[0].timeline.phases == (("clung", 10),)


def test_predictions_belong_to_their_points_in_any_order_of_the_rows(tmp_path: Path) -> None:
    frame = frames_from_run(write_run(tmp_path / "run"))[3]
    assert frame.drawing.points.misclassified.tolist() == [True, False, False, False, False, False]


def test_the_manifold_depth_is_the_distance_inside_class_one(tmp_path: Path) -> None:
    frames = frames_from_run(write_run(tmp_path / "run"))
    for frame, radius in zip(frames[1:], RADII[1:], strict=True):
        depth = frame.drawing.layer("boundary").manifold_depth
        assert np.median(depth) == pytest.approx(radius - RADIUS, abs=3e-3)
    # The last boundary is 0.02 inside the manifold: the scale is 0.02 or the next round number.
    assert frames[0].depth_scale in (0.02, 0.03)


def test_the_cross_section_shows_the_boundary_in_profile(tmp_path: Path) -> None:
    cross_section = frames_from_run(write_run(tmp_path / "run"))[1].cross_section
    boundary = cross_section.drawing.layer("boundary").mesh
    center = cross_section.plane.coordinates(np.zeros((1, 3)))
    assert np.linalg.norm(boundary.vertices - center, axis=1) == pytest.approx(0.5, abs=5e-3)
    assert len(cross_section.drawing.points.labels) == 4


def test_charts_show_the_measured_columns_and_leave_out_missing_values(tmp_path: Path) -> None:
    distances, fractions = build_timeline(write_run(tmp_path / "run")).charts
    assert [curve.name for curve in distances.curves] == ["manifold to boundary", "dimple depth"]
    assert distances.unit == "l2, input units"
    assert np.isnan(distances.curves[1].values[0])
    assert distances.curves[1].baseline is None
    assert fractions.curves[0].baseline == pytest.approx(np.full(4, 1 / 3))


def test_a_run_without_the_distance_along_normals_shows_the_margin(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    metrics = {"step": run.columns("metrics")["step"], "train_accuracy": np.array([0.5, 0.5, 0.75, 1.0])}
    metrics |= {"margin": np.array([-0.1, 0.1, 0.2, 0.3]), "margin_test": np.array([-0.1, 0.05, 0.1, 0.2])}
    assert [(fact.name, fact.value) for fact in build_facts(metrics, 2)] == [
        ("training accuracy", "0.750"), ("margin", "0.200")
    ]  # fmt: skip
    units = dict.fromkeys(metrics, "") | {"margin": "l2, input units"}
    run.write_table("metrics", metrics, units)
    margins, fractions = build_timeline(run).charts
    assert [curve.name for curve in margins.curves] == ["margin"]
    assert margins.unit == "l2, input units"
    assert [curve.name for curve in fractions.curves] == ["training accuracy"]


def test_a_run_without_boundaries_is_an_error(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    arrays = {name: values for name, values in run.geometry().items() if not name.startswith("boundary/")}
    run.write_geometry(arrays)
    with pytest.raises(RunError, match=r"has 0 boundaries for 4 snapshots in R\^3"):
        frames_from_run(run)


def test_a_distance_with_points_at_the_search_limit_is_a_lower_bound() -> None:
    metrics = {"boundary_distance": np.array([0.3, 0.25, 0.1]), "boundary_distance_found": np.array([0.0, 0.9, 1.0])}
    metrics["boundary_distance_null"] = metrics["boundary_distance"]
    metrics["boundary_distance_found_null"] = np.array([0.0, 1.0, 0.18])
    facts = [build_facts(metrics, index)[0] for index in range(3)]
    assert [fact.value for fact in facts] == ["≥ 0.300", "≥ 0.250", "0.100"]
    assert [fact.baseline for fact in facts] == ["≥ 0.300", "0.250", "≥ 0.100"]
    row = {name: float(values[2]) for name, values in metrics.items()}
    assert statistic_cell(row, "boundary_distance")["null"] == "null ≥ 0.100, 18% found"
    assert format_interval(
        {"boundary_distance_low": 0.2, "boundary_distance_high": 0.3, **row}, "boundary_distance"
    ) == ("0.200 to 0.300")
    row |= {"boundary_distance_found": 0.9, "boundary_distance_low": 0.2, "boundary_distance_high": 0.3}
    assert format_interval(row, "boundary_distance") == "≥ 0.200"
    assert [fact.name for fact in facts] == [
        "manifold to boundary", "manifold to boundary, 90% found", "manifold to boundary"
    ]  # fmt: skip


def test_the_label_of_a_median_contains_the_found_fraction() -> None:
    metrics = {"dimple_depth": np.array([0.02, 0.03]), "dimple_depth_found": np.array([0.5, 1.0])}
    assert [build_facts(metrics, index)[0].name for index in range(2)] == ["dimple depth, 50% found", "dimple depth"]


def test_a_median_without_a_boundary_is_not_called_none_found() -> None:
    metrics = {"dimple_depth": np.array([np.inf, np.inf]), "dimple_depth_found": np.array([0.1, 0.0])}
    facts = [build_facts(metrics, index)[0] for index in range(2)]
    assert [(fact.name, fact.value) for fact in facts] == [
        ("dimple depth, 10% found", "no median"),
        ("dimple depth", "none found"),
    ]
