"""Calibration of classifiers that are calibrated by construction, and rank correlations against scipy."""

import pytest
import torch
from scipy.stats import spearmanr

from dimple.errors import ShapeError
from dimple.probes import calibration_error, confidence_summary, rank_correlation, reliability_diagram
from dimple.tensors import generator


def random_predictions(count: int, excess: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return confidences in (.5, .9), and predictions that are correct with this probability plus `excess`."""
    stream = generator(5, "rolled")
    confidence = 0.5 + 0.4 * torch.rand(count, generator=stream, dtype=torch.float64)
    return confidence, torch.rand(count, generator=stream, dtype=torch.float64) < confidence + excess


def test_the_error_of_a_hand_made_table() -> None:
    # Bins of width .2: .55 (two samples, one correct) and .95 (two, both correct): (2 * .05 + 2 * .05) / 4.
    confidence = torch.tensor([0.55, 0.55, 0.95, 0.95])
    correct = torch.tensor([True, False, True, True])
    assert calibration_error(confidence, correct, bins=5).value == pytest.approx(0.05, abs=1e-6)
    table = reliability_diagram(confidence, correct, bins=5)
    assert table["samples"].tolist() == [2, 2] and table["accuracy"].tolist() == [0.5, 1.0]


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize(("excess", "expected"), [(0.0, "not decided"), (0.1, "above"), (-0.1, "above")])
def test_only_the_error_of_a_calibrated_classifier_lies_within_its_interval(
    adaptive: bool, excess: float, expected: str
) -> None:
    found = calibration_error(*random_predictions(2000, excess), adaptive=adaptive)
    assert found.verdict == expected
    assert (found.low <= found.value <= found.high) == (excess == 0)
    if excess:
        assert found.value == pytest.approx(0.1, abs=0.02)


def test_adaptive_bins_keep_equal_confidences_together() -> None:
    confidence = torch.cat([torch.linspace(0.5, 0.9, 30), torch.ones(30)])
    correct = torch.arange(60) % 2 == 0
    order = torch.randperm(60, generator=generator(0, "order"))
    first = calibration_error(confidence, correct, adaptive=True).value
    assert first == pytest.approx(calibration_error(confidence[order], correct[order], adaptive=True).value)


def test_the_rank_correlation_equals_that_of_scipy_and_its_null_contains_zero() -> None:
    stream = generator(6, "columns")
    a = torch.randn(200, generator=stream).round(decimals=1)
    b = a + 2 * torch.randn(200, generator=stream)
    b[:5] = torch.inf
    found = rank_correlation(a, b)
    assert found.value == pytest.approx(spearmanr(a.numpy(), b.numpy()).statistic)
    assert found.verdict == "above" and found.low < 0 < found.high
    assert rank_correlation(torch.ones(4), torch.arange(4.0)).verdict.startswith("not judged: the value")


def test_the_summary_separates_correct_from_misclassified_samples() -> None:
    stream = generator(7, "summary")
    confidence = torch.rand(300, generator=stream)
    correct = torch.arange(300) % 3 > 0
    distance = torch.where(correct, confidence, -torch.rand(300, generator=stream))
    row = confidence_summary(confidence, correct, distance)
    assert row["spearman_confidence_margin_correct"] == pytest.approx(1.0)
    assert row["spearman_confidence_margin_correct_verdict"] == "above"
    assert row["spearman_confidence_margin_wrong_verdict"] in ("inside", "not decided")
    assert "calibration_error_adaptive_calibrated_high" in row
    assert "spearman_confidence_margin" not in confidence_summary(confidence, correct)


def test_samples_without_scores_are_left_out() -> None:
    confidence, correct = random_predictions(40, 0.0)
    distance = torch.rand(40, generator=generator(6, "distance"), dtype=torch.float64)
    nan = torch.full((3,), torch.nan, dtype=torch.float64)
    wrong = torch.zeros(3, dtype=torch.bool)
    more = [torch.cat(pair) for pair in ((nan, confidence), (wrong, correct), (nan, distance))]
    assert confidence_summary(*more) == confidence_summary(confidence, correct, distance)
    assert confidence_summary(nan, wrong, nan) == {}


def test_a_single_sample_says_nothing_about_the_calibration() -> None:
    assert calibration_error(torch.tensor([0.9]), torch.tensor([True])).interval == (0.0, 1.0)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ShapeError, match="same"):
        calibration_error(torch.ones(3), torch.ones(2, dtype=torch.bool))
