"""Phases and verdicts of artificial trajectories."""

import pytest

from dimple.stats.phases import detect_phases

STEPS = [0, 1, 10, 100, 1000]


def test_cling_then_dimple_off_the_manifold_is_supported() -> None:
    found = detect_phases(STEPS, [1.0, 0.5, 0.1, 0.08, 0.1], [0.5, 0.5, 0.6, 0.8, 1.0], 0.6, 1 / 3)
    assert (found.cling_step, found.dimple_step, found.verdict) == (10, 1000, "supported")
    assert found.best_reduction_factor == 12.5


def test_a_boundary_that_does_not_cling_is_a_contradiction() -> None:
    found = detect_phases(STEPS, [1.0, 0.9, 0.8, 0.6, 0.1], [0.5, 0.6, 0.9, 1.0, 1.0], 0.2, 1 / 3)
    assert (found.dimple_step, found.verdict) == (100, "contradicted")
    assert "1.2-fold" in found.reason


def test_a_boundary_that_touches_the_manifold_and_leaves_does_not_cling() -> None:
    found = detect_phases(STEPS, [1.0, 0.05, 0.9, 0.5, 0.1], [0.5, 0.5, 0.6, 0.8, 1.0], 0.6, 1 / 3)
    assert (found.cling_step, found.verdict) == (None, "contradicted")
    assert "fell 20.0-fold" in found.reason and "did not stay" in found.reason


def test_clinging_without_leaving_the_manifold_is_a_contradiction() -> None:
    found = detect_phases(STEPS, [1.0, 0.5, 0.1, 0.1, 0.1], [0.5, 0.5, 0.6, 0.8, 1.0], 0.2, 1 / 3)
    assert found.verdict == "contradicted"


def test_incomplete_training_is_undecided() -> None:
    found = detect_phases(STEPS, [1.0, 0.5, 0.1, 0.1, 0.1], [0.5, 1.0, 0.6, 0.8, 0.9], 0.9, 1 / 3)
    assert (found.dimple_step, found.verdict) == (None, "undecided")


def test_a_fraction_without_a_standard_error_is_undecided_if_the_boundary_clings() -> None:
    clinging = [1.0, 0.5, 0.1, 0.1, 0.1]
    distant = [1.0, 0.9, 0.8, 0.6, 0.4]
    accuracy = [0.5, 0.5, 0.6, 0.8, 1.0]
    for fraction, error in ((0.9, float("nan")), (float("nan"), float("nan"))):
        found = detect_phases(STEPS, clinging, accuracy, fraction, 1 / 3, off_manifold_fraction_stderr=error)
        assert found.verdict == "undecided" and "nan" not in found.reason and "heldout_points" in found.reason
        assert (
            detect_phases(STEPS, distant, accuracy, fraction, 1 / 3, off_manifold_fraction_stderr=error).verdict
            == "contradicted"
        )


def test_clinging_and_dimpling_between_the_same_snapshots_are_undecided() -> None:
    accuracy = [0.5, 0.5, 0.6, 0.8, 1.0]
    found = detect_phases(STEPS, [1.0, 0.9, 0.5, 0.25, 0.1], accuracy, 0.6, 1 / 3)
    assert (found.cling_step, found.dimple_step, found.verdict) == (None, 1000, "undecided")
    assert "4.0-fold" in found.reason and "10.0-fold by step 1000" in found.reason and "more snapshots" in found.reason
    # If the fraction contradicts the model, the order does not matter.
    assert detect_phases(STEPS, [1.0, 0.9, 0.5, 0.25, 0.1], accuracy, 0.2, 1 / 3).verdict == "contradicted"
    assert detect_phases([0, 1000], [1.0, 0.1], [0.5, 1.0], 0.6, 1 / 3).verdict == "undecided"
    assert detect_phases([0, 1000], [1.0, 0.3], [0.5, 1.0], 0.6, 1 / 3).verdict == "contradicted"


def test_a_snapshot_without_a_distance_does_not_count_as_clinging() -> None:
    missing = float("nan")
    found = detect_phases(STEPS, [1.0, 0.9, missing, missing, 0.5], [0.5, 0.5, 0.6, 0.8, 1.0], 0.6, 1 / 3)
    assert (found.cling_step, found.verdict) == (None, "contradicted") and "1.1-fold" in found.reason
    assert detect_phases(STEPS, [1.0, 0.1, 0.1, missing, 0.1], [0.5, 0.5, 0.6, 0.8, 1.0], 0.6, 1 / 3).cling_step is None


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (0.008, "0.90 ± 0.02"),
        (0.0021, "0.900 ± 0.004"),
        (0.00004, "0.90000 ± 0.00008"),
        (0.0, "0.90,"),
        (1e-16, "0.90,"),
    ],
)
def test_the_standard_error_determines_the_printed_digits(error: float, text: str) -> None:
    found = detect_phases(STEPS[:3], [0.5, 0.02, 0.02], [0.5, 0.6, 1.0], 0.9, 1 / 3, off_manifold_fraction_stderr=error)
    assert f"gradient {text}" in found.reason
