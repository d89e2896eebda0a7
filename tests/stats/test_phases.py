"""Phases and verdicts of planted trajectories, with the right answer for each."""

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

from dimple.errors import ShapeError
from dimple.stats.phases import Phases, detect_phases
from dimple.training import SnapshotSchedule

COUNT = 40
STEPS = [0, *(round(1.2**k + k) for k in range(COUNT - 1))]
DIMPLES = 32
NULL = 1 / 3


def planted_distance(first: int = 8, last: int = 16, fall: float = 12.0, seed: int = 0) -> np.ndarray:
    """A distance that falls between two snapshots and stays there, with 5 % of noise."""
    noise = np.random.RandomState(seed).standard_normal(COUNT)
    logs = -math.log(fall) * np.clip((np.arange(COUNT) - first) / (last - first), 0, 1)
    return np.exp(logs + 0.05 * noise)


def planted_accuracy(first: int = DIMPLES) -> np.ndarray:
    return np.where(np.arange(COUNT) < first, 0.6, 1.0)


def judge(distance: np.ndarray, accuracy: np.ndarray | None = None, fraction: float = 0.8, **others: Any) -> Phases:
    accuracy = planted_accuracy() if accuracy is None else accuracy
    return detect_phases(STEPS, distance.tolist(), accuracy.tolist(), fraction, NULL, **others)


def conditions_of(found: Phases) -> dict[str, bool | None]:
    return {condition.name: condition.met for condition in found.conditions}


def test_cling_then_dimple_off_the_manifold_is_supported() -> None:
    found = judge(planted_distance())
    assert (found.verdict, found.dimple_step) == ("supported", STEPS[DIMPLES])
    assert STEPS[12] <= (found.cling_step or 0) <= STEPS[15]
    assert set(conditions_of(found).values()) == {True}
    # A run keeps the phases as JSON.
    assert json.loads(json.dumps(dataclasses.asdict(found)))["verdict"] == "supported"
    assert "near the manifold from step" in found.reason and "null 0.33" in found.reason
    fall = next(phase for phase in found.phases if phase.name == "fall")
    # It ends where the lowest two fifths of the logarithmic range begin.
    assert STEPS[7] <= fall.first_step <= STEPS[9] and STEPS[12] <= fall.last_step <= STEPS[14]


def test_a_reversed_order_with_one_late_glitch_of_accuracy_is_a_contradiction() -> None:
    accuracy = planted_accuracy(10)
    accuracy[35] = 0.97
    found = judge(planted_distance(20, 28), accuracy)
    assert (found.dimple_step, found.cling_step, found.verdict) == (STEPS[10], None, "contradicted")
    assert [phase.name for phase in found.phases if phase.name != "fall"] == ["near", "correct", "correct"]


def test_one_spike_of_the_distance_changes_nothing() -> None:
    for place in range(4, DIMPLES):
        for value in (1.0, 3.0, 0.001):
            distance = planted_distance()
            distance[place] = value
            assert judge(distance).verdict == "supported", (place, value)


def test_a_last_snapshot_with_a_wrong_point_is_supported() -> None:
    accuracy = planted_accuracy()
    accuracy[-1] = 0.98
    found = judge(planted_distance(), accuracy)
    assert (found.dimple_step, found.verdict) == (STEPS[DIMPLES], "supported")


@pytest.mark.parametrize("rise_begins", [20, 22, 24, 26, 28, 30])
def test_a_distance_that_rises_as_dimples_deepen_is_supported(rise_begins: int) -> None:
    rise = 2.5 ** np.clip((np.arange(COUNT) - rise_begins) / 8, 0, 1)
    found = judge(planted_distance() * rise)
    assert found.verdict == "supported"
    assert judge(planted_distance(fall=5.5) * 1.01 * rise).cling_step is not None


def count_supported(curves: np.ndarray, dimples_at: float) -> float:
    """Return the fraction of log distances that are supported, if the training points are correct at a snapshot."""
    steps = SnapshotSchedule(count=curves.shape[1]).steps(100 * curves.shape[1])
    # Rounding makes some of the steps equal.
    curves = curves[:, : len(steps)]
    accuracy = np.where(np.arange(len(steps)) < dimples_at * len(steps), 0.6, 1.0)
    found = [detect_phases(steps, np.exp(curve), accuracy, 0.8, NULL).verdict for curve in curves]
    return found.count("supported") / len(found)


def random_curves(draws: int, count: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    noise = scale * np.random.RandomState(count).standard_normal((draws, count))
    return noise.cumsum(axis=1), noise


@pytest.mark.parametrize(("count", "scale", "dimples_at"), [(20, 1.5, 0.9), (40, 0.7, 0.75), (50, 3.0, 0.9)])
def test_random_curves_are_not_supported(count: int, scale: float, dimples_at: float) -> None:
    walks, white = random_curves(400, count, scale)
    # Below 5 % and 1 % in the long run; of 400 draws two or more standard errors higher.
    assert count_supported(walks, dimples_at) < 0.075 and count_supported(white, dimples_at) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("dimples_at", [0.6, 0.75, 0.9])
@pytest.mark.parametrize("scale", [0.3, 1.5])
@pytest.mark.parametrize("count", [20, 40, 50])
def test_few_of_4000_random_curves_are_supported(count: int, scale: float, dimples_at: float) -> None:
    walks, white = random_curves(4000, count, scale)
    supported = count_supported(walks, dimples_at), count_supported(white, dimples_at)
    assert supported[0] < 0.05 and supported[1] < 0.01


@pytest.mark.parametrize(("count", "noise", "least"), [(20, 0.1, 0.8), (40, 0.1, 0.95), (50, 0.1, 0.95)])
def test_planted_falls_with_noise_are_supported(count: int, noise: float, least: float) -> None:
    random = np.random.RandomState(count)
    progress = np.clip((np.arange(count) / count - 0.2) / 0.2, 0, 1)
    curves = -math.log(12) * progress + noise * random.standard_normal((100, count))
    assert count_supported(curves, 0.8) >= least


def test_every_verdict_names_one_condition_of_its_table_or_meets_all() -> None:
    verdicts = {
        "supported": judge(planted_distance()),
        "contradicted": judge(planted_distance(), fraction=0.2, off_manifold_fraction_stderr=0.005),
        "undecided": judge(planted_distance(), np.full(COUNT, 0.9)),
    }
    for word, found in verdicts.items():
        assert found.verdict == word
        deciding = [condition for condition in found.conditions if condition.decides]
        assert [one.finding for one in deciding] == ([] if word == "supported" else [found.reason])
        assert all(one.met for one in found.conditions) == (word == "supported")
        compare = {"at least": np.greater_equal, "at most": np.less_equal, "above": np.greater}
        for one in found.conditions:
            # The value and the threshold of the table say the same as the outcome.
            assert one.met is None or one.met == bool(compare[one.comparison](one.value, one.threshold)), one.name
    # A large fraction below its null is no support, and the sentence says so first.
    reason = judge(planted_distance(), fraction=0.2, off_manifold_fraction_stderr=0.005).reason
    assert reason.startswith("the gradient points off the manifold less than by chance")


def test_fewer_than_ten_independent_values_give_no_verdict() -> None:
    points = np.repeat(planted_distance()[None, :, None], 9, axis=2)
    accuracy = planted_accuracy()
    for distances, points_of_means in ((points, None), (planted_distance()[None], 9)):
        found = detect_phases(STEPS, distances, accuracy, 0.8, NULL, points=points_of_means)
        assert found.verdict == "undecided" and found.reason.startswith("9 independent distances")
        assert [one.name for one in found.conditions if one.decides] == ["independent_values"]
    # Two replicas of nine points are eighteen.
    both = np.repeat(points, 2, axis=0)
    assert detect_phases(STEPS, both, np.stack([accuracy] * 2), 0.8, NULL).verdict == "supported"


def test_an_effect_below_the_threshold_is_no_support() -> None:
    weak = judge(planted_distance(), fraction=0.355, off_manifold_fraction_stderr=0.005)
    assert weak.verdict == "contradicted" and "0.35 ± 0.01" in weak.reason
    assert judge(planted_distance(), fraction=0.40, off_manifold_fraction_stderr=0.005).verdict == "undecided"
    assert judge(planted_distance(), fraction=0.42, off_manifold_fraction_stderr=0.005).verdict == "supported"


@pytest.mark.parametrize("initial", [math.nan, 0.0, math.inf])
def test_a_start_without_a_distance_is_undecided(initial: float) -> None:
    distance = planted_distance()
    distance[0] = initial
    found = judge(distance)
    assert (found.verdict, found.cling_step) == ("undecided", None)
    assert "initial distance" in found.reason and math.isnan(found.best_reduction_factor)
    assert judge(np.full(COUNT, initial)).verdict == "undecided"


def test_later_distances_that_are_missing_zero_or_infinite() -> None:
    for value in (math.nan, 0.0, math.inf):
        distance = planted_distance()
        distance[25] = value
        assert judge(distance).verdict == "supported"
    distance = planted_distance()
    distance[1:] = math.nan
    assert judge(distance).verdict == "contradicted"


def test_an_accuracy_that_ends_just_below_one() -> None:
    found = judge(planted_distance(), np.where(np.arange(COUNT) < DIMPLES, 0.6, 0.999))
    assert (found.dimple_step, found.verdict) == (STEPS[DIMPLES], "supported")
    found = judge(planted_distance(), np.where(np.arange(COUNT) < DIMPLES, 0.6, 0.9899))
    assert found.verdict == "undecided" and "ends at 0.989" in found.reason


def test_a_boundary_that_does_not_cling_is_a_contradiction() -> None:
    found = judge(planted_distance(fall=1.5))
    assert (found.cling_step, found.verdict) == (None, "contradicted") and "1.9-fold" in found.reason


def test_phases_are_intervals_and_the_last_one_counts() -> None:
    distance = planted_distance()
    distance[22:26] = 0.9
    found = judge(distance)
    near = [phase for phase in found.phases if phase.name == "near"]
    assert len(near) == 2 and near[0].last_step == STEPS[21]
    assert found.cling_step == near[1].first_step == STEPS[26] and near[1].interval == (STEPS[25], STEPS[26])
    distance[22:34] = 0.9
    found = judge(distance)
    assert (found.cling_step, found.verdict) == (None, "contradicted") and "did not stay" in found.reason


def test_incomplete_training_is_undecided() -> None:
    found = judge(planted_distance(), np.full(COUNT, 0.9))
    assert (found.dimple_step, found.verdict) == (None, "undecided") and found.cling_step is not None


def test_a_fraction_without_a_standard_error_is_undecided_if_the_boundary_clings() -> None:
    for fraction, error in ((0.9, math.nan), (math.nan, math.nan)):
        found = judge(planted_distance(), fraction=fraction, off_manifold_fraction_stderr=error)
        assert found.verdict == "undecided" and "nan" not in found.reason and "heldout_points" in found.reason
        far = judge(planted_distance(fall=1.5), fraction=fraction, off_manifold_fraction_stderr=error)
        assert far.verdict == "contradicted"


def test_clinging_and_dimpling_between_the_same_snapshots_are_undecided() -> None:
    steps, accuracy = [0, 1, 10, 100, 1000], [0.5, 0.5, 0.6, 0.8, 1.0]
    found = detect_phases(steps, [1.0, 0.9, 0.5, 0.25, 0.1], accuracy, 0.6, NULL)
    assert (found.cling_step, found.dimple_step, found.verdict) == (None, 1000, "undecided")
    assert "4.0-fold" in found.reason and "10.0-fold by that step" in found.reason and "more snapshots" in found.reason
    # If the fraction contradicts the model, the order does not matter.
    assert detect_phases(steps, [1.0, 0.9, 0.5, 0.25, 0.1], accuracy, 0.2, NULL).verdict == "contradicted"
    assert detect_phases([0, 1000], [1.0, 0.1], [0.5, 1.0], 0.6, NULL).verdict == "undecided"
    assert detect_phases([0, 1000], [1.0, 0.3], [0.5, 1.0], 0.6, NULL).verdict == "contradicted"


def test_resampled_points_give_intervals_and_withhold_a_fall_of_few_points() -> None:
    random = np.random.RandomState(0)
    points = planted_distance()[:, None] * np.exp(0.3 * random.standard_normal((COUNT, 50)))
    found = judge(points[None])
    near = next(phase for phase in found.phases if phase.first_step == found.cling_step)
    assert found.verdict == "supported" and near.interval[0] < near.first_step <= near.interval[1]
    # Two far points of fifty carry the initial distance, and only some of the resamples have them.
    points = np.full((COUNT, 50), 0.1)
    points[:12, :2] = 11.0
    found = judge(points[None])
    assert found.best_reduction_factor > 5 and conditions_of(found)["distance_fall"] is None
    assert found.verdict == "undecided"


def test_the_phases_of_replicas_are_those_of_their_median() -> None:
    dimples = range(28, 37)
    distances = np.array([planted_distance(seed=seed) for seed in range(9)])
    accuracies = np.array([planted_accuracy(first) for first in dimples])
    # One replica without clinging changes nothing.
    distances[4] = 1.0
    found = detect_phases(STEPS, distances, accuracies, np.linspace(0.7, 0.9, 9), NULL)
    assert (found.verdict, found.dimple_step) == ("supported", STEPS[DIMPLES])
    correct = next(phase for phase in found.phases if phase.name == "correct")
    assert STEPS[28] <= correct.interval[0] < STEPS[DIMPLES] < correct.interval[1] <= STEPS[36]
    assert "0.80 ± 0.05" in found.reason
    # Only five of nine fall, so many of the resamples do not.
    distances[:4] = 1.0
    distances[4] = planted_distance()
    divided = detect_phases(STEPS, distances, accuracies, np.full(9, 0.8), NULL)
    assert divided.best_reduction_factor > 5 and divided.verdict == "undecided"
    assert "resampled" in divided.reason


def test_replicas_with_points_have_the_median_over_replicas_of_the_mean_over_points() -> None:
    random = np.random.RandomState(0)
    points = np.stack([planted_distance(seed=seed) for seed in range(5)])[..., None] * random.uniform(
        0.5, 1.5, (5, COUNT, 30)
    )
    accuracies = np.tile(planted_accuracy(), (5, 1))
    with_points, means = (
        detect_phases(STEPS, distances, accuracies, 0.8, NULL) for distances in (points, points.mean(axis=2))
    )
    assert with_points.verdict == means.verdict == "supported"
    assert with_points.best_reduction_factor == pytest.approx(means.best_reduction_factor)


@pytest.mark.parametrize("shape", [(COUNT - 1,), (2, COUNT), (1, COUNT, 3, 2)])
def test_distances_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"distance has shape .* for 40 steps"):
        judge(np.ones(shape))


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
    assert (
        f"off-manifold fraction is {text}"
        in judge(planted_distance(), fraction=0.9, off_manifold_fraction_stderr=error).reason
    )


def test_a_fall_from_beyond_the_limit_of_the_search_is_a_lower_bound_and_dated_at_the_latest() -> None:
    """Distances up to the limit alone: the verdict is that of all distances or undecided, never the opposite."""
    distance = planted_distance(fall=20.0)
    true = judge(distance)
    found = judge(np.minimum(distance, 0.5), found_fraction=(distance < 0.5).astype(float))
    assert (true.starts_beyond_limit, found.starts_beyond_limit) == (False, True)
    assert found.verdict == "supported" and "at least" in found.reason
    assert 5 < found.best_reduction_factor < true.best_reduction_factor
    assert found.cling_step >= true.cling_step
    near = next(phase for phase in found.phases if phase.first_step == found.cling_step)
    assert near.interval[0] == 0 and near.interval[1] >= true.cling_step
    bounds = {one.name for one in found.conditions if one.is_lower_bound}
    assert bounds == {"initial_distance", "distance_fall", "stays_near"}
    assert not any(one.is_lower_bound for one in true.conditions)


def test_too_small_a_fall_from_beyond_the_limit_contradicts_nothing() -> None:
    distance = planted_distance(fall=12.0)
    found = judge(np.minimum(distance, 0.2), found_fraction=(distance < 0.2).astype(float))
    assert found.verdict == "undecided" and conditions_of(found)["distance_fall"] is None
    assert "beyond the limit of the search" in found.reason
    assert judge(np.minimum(distance, 0.2)).verdict == "contradicted"


def test_a_boundary_that_leaves_may_still_be_near_for_a_start_beyond_the_limit() -> None:
    distance = planted_distance(fall=30.0)
    distance[24:] = 0.15
    assert judge(distance).verdict == "supported"
    found = judge(np.minimum(distance, 0.25), found_fraction=(distance < 0.25).astype(float))
    assert (found.verdict, conditions_of(found)["stays_near"]) == ("undecided", None)


def test_a_fraction_near_a_null_of_one_has_digits_that_tell_them_apart() -> None:
    found = detect_phases(STEPS, planted_distance().tolist(), planted_accuracy().tolist(), 0.82, 0.98)
    assert "null 0.980, and at least 0.982 is needed" in found.reason


def test_a_fall_to_a_distance_that_is_a_lower_bound_too_is_none() -> None:
    distance = planted_distance(fall=20.0)
    found = judge(np.minimum(distance, 0.5), found_fraction=np.full(COUNT, 0.9))
    fall = next(one for one in found.conditions if one.name == "distance_fall")
    assert not fall.is_lower_bound and "at least" not in fall.finding
