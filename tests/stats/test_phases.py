"""The dates of the phases and the verdict on made-up trajectories."""

import pytest

from dimple.stats.phases import phases

STEPS = [0, 1, 10, 100, 1000]


def test_cling_then_dimple_off_the_manifold_is_supported() -> None:
    found = phases(STEPS, [1.0, 0.5, 0.1, 0.08, 0.1], [0.5, 0.5, 0.6, 0.8, 1.0], 0.6, 1 / 3)
    assert (found.cling_step, found.dimple_step, found.verdict) == (10, 1000, "supported")
    assert found.best_fall == 12.5


def test_walls_are_reported_as_a_contradiction() -> None:
    found = phases(STEPS, [1.0, 0.9, 0.8, 0.6, 0.1], [0.5, 0.6, 0.9, 1.0, 1.0], 0.2, 1 / 3)
    assert (found.dimple_step, found.verdict) == (100, "contradicted")
    assert "1.2-fold" in found.reason


def test_a_boundary_that_only_passes_the_manifold_has_not_clung() -> None:
    found = phases(STEPS, [1.0, 0.05, 0.9, 0.5, 0.1], [0.5, 0.5, 0.6, 0.8, 1.0], 0.6, 1 / 3)
    assert (found.cling_step, found.verdict) == (None, "contradicted")
    assert "fell 20.0-fold" in found.reason and "did not stay" in found.reason


def test_clinging_without_leaving_the_manifold_is_a_contradiction() -> None:
    found = phases(STEPS, [1.0, 0.5, 0.1, 0.1, 0.1], [0.5, 0.5, 0.6, 0.8, 1.0], 0.2, 1 / 3)
    assert found.verdict == "contradicted"


def test_unfinished_training_decides_nothing() -> None:
    found = phases(STEPS, [1.0, 0.5, 0.1, 0.1, 0.1], [0.5, 1.0, 0.6, 0.8, 0.9], 0.9, 1 / 3)
    assert (found.dimple_step, found.verdict) == (None, "undecided")


def test_a_share_without_a_standard_error_decides_nothing_where_the_boundary_clung() -> None:
    clung, walls = [1.0, 0.5, 0.1, 0.1, 0.1], [1.0, 0.9, 0.8, 0.6, 0.4]
    accuracy = [0.5, 0.5, 0.6, 0.8, 1.0]
    for share, error in ((0.9, float("nan")), (float("nan"), float("nan"))):
        found = phases(STEPS, clung, accuracy, share, 1 / 3, off_share_error=error)
        assert found.verdict == "undecided" and "nan" not in found.reason and "probe_points" in found.reason
        assert phases(STEPS, walls, accuracy, share, 1 / 3, off_share_error=error).verdict == "contradicted"


def test_snapshots_too_far_apart_to_tell_which_came_first_decide_nothing() -> None:
    accuracy = [0.5, 0.5, 0.6, 0.8, 1.0]
    found = phases(STEPS, [1.0, 0.9, 0.5, 0.25, 0.1], accuracy, 0.6, 1 / 3)
    assert (found.cling_step, found.dimple_step, found.verdict) == (None, 1000, "undecided")
    assert "4.0-fold" in found.reason and "10.0-fold by step 1000" in found.reason and "more snapshots" in found.reason
    # Where the share speaks against the model, the order does not matter.
    assert phases(STEPS, [1.0, 0.9, 0.5, 0.25, 0.1], accuracy, 0.2, 1 / 3).verdict == "contradicted"
    assert phases([0, 1000], [1.0, 0.1], [0.5, 1.0], 0.6, 1 / 3).verdict == "undecided"
    assert phases([0, 1000], [1.0, 0.3], [0.5, 1.0], 0.6, 1 / 3).verdict == "contradicted"


def test_a_snapshot_without_a_distance_does_not_count_as_clinging() -> None:
    lost = float("nan")
    found = phases(STEPS, [1.0, 0.9, lost, lost, 0.5], [0.5, 0.5, 0.6, 0.8, 1.0], 0.6, 1 / 3)
    assert (found.cling_step, found.verdict) == (None, "contradicted") and "1.1-fold" in found.reason
    assert phases(STEPS, [1.0, 0.1, 0.1, lost, 0.1], [0.5, 0.5, 0.6, 0.8, 1.0], 0.6, 1 / 3).cling_step is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (0.008, "0.90 ± 0.02"),
        (0.0021, "0.900 ± 0.004"),
        (0.00004, "0.90000 ± 0.00008"),
        (0.0, "0.90,"),
        (1e-16, "0.90,"),
    ],
)
def test_an_error_is_printed_with_digits_enough(error: float, said: str) -> None:
    found = phases(STEPS[:3], [0.5, 0.02, 0.02], [0.5, 0.6, 1.0], 0.9, 1 / 3, off_share_error=error)
    assert f"gradient {said}" in found.reason
