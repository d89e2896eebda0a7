"""Calibration of classifiers that are calibrated by construction, and rank correlations against scipy."""

import pytest
import torch
from scipy.stats import spearmanr

from dimple.errors import ShapeError
from dimple.probes import calibration_error, confidence_row, rank_correlation, reliability
from dimple.tensors import generator


def rolled(count: int, surplus: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Confidences in (.5, .9), and predictions that are right that often, or more often by the surplus."""
    stream = generator(5, "rolled")
    confidence = 0.5 + 0.4 * torch.rand(count, generator=stream, dtype=torch.float64)
    return confidence, torch.rand(count, generator=stream, dtype=torch.float64) < confidence + surplus


def test_the_error_of_a_hand_made_table() -> None:
    # Bins of .2: .55 (two samples, one right) and .95 (two, both right): (2 * .05 + 2 * .05) / 4.
    confidence, correct = torch.tensor([0.55, 0.55, 0.95, 0.95]), torch.tensor([True, False, True, True])
    assert calibration_error(confidence, correct, bins=5).value == pytest.approx(0.05, abs=1e-6)
    table = reliability(confidence, correct, bins=5)
    assert table["samples"].tolist() == [2, 2] and table["accuracy"].tolist() == [0.5, 1.0]


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize(("surplus", "said"), [(0.0, "inside"), (0.1, "above"), (-0.1, "above")])
def test_a_calibrated_classifier_lies_within_its_null_and_others_above(
    adaptive: bool, surplus: float, said: str
) -> None:
    found = calibration_error(*rolled(2000, surplus), adaptive=adaptive)
    assert found.verdict == said
    if surplus:
        assert found.value == pytest.approx(0.1, abs=0.02)


def test_adaptive_bins_hold_equally_many_and_ties_together() -> None:
    confidence = torch.cat([torch.linspace(0.5, 0.9, 30), torch.ones(30)])
    correct = torch.arange(60) % 2 == 0
    order = torch.randperm(60, generator=generator(0, "order"))
    first = calibration_error(confidence, correct, adaptive=True).value
    assert first == pytest.approx(calibration_error(confidence[order], correct[order], adaptive=True).value)


def test_the_rank_correlation_is_scipys_and_its_null_is_around_zero() -> None:
    stream = generator(6, "columns")
    a = torch.randn(200, generator=stream).round(decimals=1)
    b = a + 2 * torch.randn(200, generator=stream)
    b[:5] = torch.inf
    found = rank_correlation(a, b)
    assert found.value == pytest.approx(spearmanr(a.numpy(), b.numpy()).statistic)
    assert found.verdict == "above" and found.low < 0 < found.high
    assert rank_correlation(torch.ones(4), torch.arange(4.0)).verdict == "undefined"


def test_the_summary_splits_right_from_wrong() -> None:
    stream = generator(7, "summary")
    confidence = torch.rand(300, generator=stream)
    correct = torch.arange(300) % 3 > 0
    distance = torch.where(correct, confidence, -torch.rand(300, generator=stream))
    row = confidence_row(confidence, correct, distance)
    assert row["confidence_rank_correlation_correct"] == pytest.approx(1.0)
    assert row["confidence_rank_correlation_correct_verdict"] == "above"
    assert row["confidence_rank_correlation_wrong_verdict"] == "inside"
    assert "calibration_error_adaptive_null_high" in row
    assert "confidence_rank_correlation" not in confidence_row(confidence, correct)


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(ShapeError, match="same"):
        calibration_error(torch.ones(3), torch.ones(2, dtype=torch.bool))
