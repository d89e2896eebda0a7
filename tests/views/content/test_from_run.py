"""A run folder as frames: what was recorded is what is shown."""

from pathlib import Path

import numpy as np
import pytest

from dimple.errors import RunError
from dimple.views.content.from_run import facts_of, frames_of_run, timeline_of
from tests.views.material import RADII, RADIUS, STEPS, write_run


def test_frames_hold_the_run(tmp_path: Path) -> None:
    frames = frames_of_run(write_run(tmp_path / "run"))
    assert [frame.step for frame in frames] == list(STEPS)
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [(fact.name, fact.value, fact.null) for fact in frames[2].facts] == [
        ("train accuracy", "0.833", ""),
        ("boundary to manifold", "0.0200", "0.200"),
        ("dimple depth", "0.0200", ""),
        ("off-manifold share", "0.900", "0.333"),
    ]
    assert frames[0].facts[2].value == "none found"
    assert frames[0].timeline.phases == (("clung", 10),)


def test_predictions_find_their_points_whatever_the_order_of_the_rows(tmp_path: Path) -> None:
    frame = frames_of_run(write_run(tmp_path / "run"))[3]
    assert frame.drawing.points.wrong.tolist() == [True, False, False, False, False, False]


def test_relief_is_how_far_the_manifold_lies_within_class_one(tmp_path: Path) -> None:
    frames = frames_of_run(write_run(tmp_path / "run"))
    for frame, radius in zip(frames[1:], RADII[1:], strict=True):
        relief = frame.drawing.layer("boundary").relief
        assert np.median(relief) == pytest.approx(radius - RADIUS, abs=3e-3)
    # The last boundary lies 0.02 beneath the manifold: 0.02 or the next round number.
    assert frames[0].relief_scale in (0.02, 0.03)


def test_the_section_shows_the_boundary_in_profile(tmp_path: Path) -> None:
    section = frames_of_run(write_run(tmp_path / "run"))[1].section
    boundary = section.drawing.layer("boundary").mesh
    centre = section.plane.coordinates(np.zeros((1, 3)))
    assert np.linalg.norm(boundary.vertices - centre, axis=1) == pytest.approx(0.5, abs=5e-3)
    assert len(section.drawing.points.classes) == 4


def test_charts_show_what_was_measured_and_leave_out_what_was_not(tmp_path: Path) -> None:
    distances, shares = timeline_of(write_run(tmp_path / "run")).charts
    assert [curve.name for curve in distances.curves] == ["boundary to manifold", "dimple depth"]
    assert distances.unit == "l2, input units"
    assert np.isnan(distances.curves[1].values[0])
    assert distances.curves[1].null is None
    assert shares.curves[0].null == pytest.approx(np.full(4, 1 / 3))


def test_a_run_without_boundaries_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    kept = {name: values for name, values in run.geometry().items() if not name.startswith("boundary/")}
    run.write_geometry(kept)
    with pytest.raises(RunError, match=r"has 0 boundaries for 4 snapshots in R\^3"):
        frames_of_run(run)


def test_a_distance_that_was_cut_off_at_the_limit_is_a_least_one() -> None:
    metrics = {"boundary_distance": np.array([0.3, 0.25, 0.1]), "boundary_found": np.array([0.0, 0.9, 1.0])}
    metrics["boundary_distance_null"] = metrics["boundary_distance"]
    facts = [facts_of(metrics, index)[0] for index in range(3)]
    assert [fact.value for fact in facts] == ["≥ 0.300", "≥ 0.250", "0.100"]
    assert [fact.name for fact in facts] == [
        "boundary to manifold", "boundary to manifold, 90% found", "boundary to manifold"
    ]  # fmt: skip


def test_a_median_of_which_some_were_not_found_says_so() -> None:
    metrics = {"dimple_depth": np.array([0.02, 0.03]), "dimple_found": np.array([0.5, 1.0])}
    assert [facts_of(metrics, index)[0].name for index in range(2)] == ["dimple depth, 50% found", "dimple depth"]
