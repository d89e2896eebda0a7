"""Calibration of confidences, and rank correlation of confidence with the distance to the boundary.

Both are statistics of many samples, computed from the columns that `measure` returns.
"""

import dataclasses
from typing import final

import torch
from torch import Tensor

from dimple.errors import ShapeError
from dimple.stats.aggregate import comparison_column, with_interval
from dimple.stats.intervals import rank_correlation_interval
from dimple.stats.null_bands import COVERAGE, judge, prediction_interval
from dimple.tensors import generator

BOOTSTRAP_DRAWS = 400


@final
@dataclasses.dataclass(frozen=True)
class NullComparison:
    """A statistic with the median and the prediction interval of the draws that it is compared with.

    Attributes:
        value: the statistic; nan if it is undefined.
        interval: the ends of its 95 % interval over the samples.
        null: the median of the draws.
        low: the lower end of the 95 % prediction interval of the draws.
        high: its upper end.
        samples: the number of samples of the statistic.
    """

    value: float
    interval: tuple[float, float]
    null: float
    low: float
    high: float
    samples: int

    @property
    def verdict(self) -> str:
        """The verdict on the value against the band, see `judge`."""
        return judge(self.value, self.interval, (self.low, self.high), self.samples)

    def row(self, name: str) -> dict[str, float | str]:
        """Return entries of a summary: `name` with its interval, its comparison with its band, and `name_verdict`."""
        comparison = comparison_column(name)
        return {
            **with_interval(name, self.value, self.interval, self.samples),
            comparison: self.null,
            f"{comparison}_low": self.low,
            f"{comparison}_high": self.high,
            f"{name}_verdict": self.verdict,
        }


def calibration_error(
    confidence: Tensor, correct: Tensor, *, bins: int = 15, adaptive: bool = False, null_draws: int = 39, seed: int = 0
) -> NullComparison:
    """Compute the expected calibration error: the mean absolute difference of accuracy and confidence over bins.

    Finitely many samples give a positive error for a perfectly calibrated classifier, too. The error is therefore
    compared with that of the same confidences when each prediction is correct with its confidence as probability.

    Args:
        confidence: `(B,)` probabilities of the predictions.
        correct: `(B,)` bool.
        bins: the number of bins.
        adaptive: use bins with equal numbers of samples, between quantiles, instead of bins of equal width.
        null_draws: the number of draws of calibrated predictions.
        seed: seed of the draws.

    Raises:
        ShapeError: if the columns are empty or differ in shape.

    Reference: Guo et al. 2017, On calibration of modern neural networks, equation 3; Nguyen and O'Connor 2015 for the
    adaptive bins.

    Example:
        >>> confidence = torch.tensor([0.75, 0.75, 0.75, 0.75])
        >>> calibration_error(confidence, torch.tensor([True, True, True, False])).value
        0.0
    """
    _require_columns(confidence, correct)
    confidence = confidence.double().cpu()
    bin_indices = _bin_indices(confidence, bins, adaptive)
    stream = generator(seed, "calibration", len(confidence))
    uniform = torch.rand(null_draws, len(confidence), generator=stream, dtype=torch.float64)
    calibrated = _calibration_errors(confidence, (uniform < confidence).double(), bin_indices)
    excess = correct.double().cpu() - confidence
    value = float(_calibration_errors(confidence, correct.double().cpu()[None], bin_indices))
    return _compare_with_null(value, _error_interval(value, excess, bin_indices, seed), calibrated, len(confidence))


def reliability_diagram(confidence: Tensor, correct: Tensor, bins: int = 15) -> dict[str, Tensor]:
    """Return mean `confidence`, `accuracy` and number of `samples` of each bin of equal width that is not empty."""
    _require_columns(confidence, correct)
    confidence = confidence.double().cpu()
    bin_indices = _bin_indices(confidence, bins, adaptive=False)
    count = torch.bincount(bin_indices, minlength=bins)
    filled = count > 0
    columns = {"confidence": confidence, "accuracy": correct.double().cpu()}
    means = {
        name: torch.bincount(bin_indices, values, minlength=bins)[filled] / count[filled]
        for name, values in columns.items()
    }
    return means | {"samples": count[filled]}


def rank_correlation(a: Tensor, b: Tensor, *, null_draws: int = 39, seed: int = 0) -> NullComparison:
    """Compute Spearman's rank correlation of two columns `(B,)`, with shuffles of the second one as null.

    A distance that was not found (`inf`) ranks as the largest. The result is nan if a column is constant.

    Raises:
        ShapeError: if the columns are empty or differ in shape.

    Example:
        >>> rank_correlation(torch.arange(20.0), torch.arange(20.0) ** 3).verdict
        'above'
    """
    from scipy.stats import rankdata

    _require_columns(a, b)
    ranks = [torch.from_numpy(rankdata(values.double().cpu().numpy())) for values in (a, b)]
    first, second = (rank - rank.mean() for rank in ranks)
    stream = generator(seed, "rank correlation", len(a))
    shuffled = torch.stack([second[torch.randperm(len(a), generator=stream)] for _ in range(null_draws)])
    length = first.norm() * second.norm()
    value = float((first @ second / length).clamp(-1, 1)) if length > 0 else float("nan")
    return _compare_with_null(value, rank_correlation_interval(value, len(a)), shuffled @ first / length, len(a))


def confidence_summary(
    confidence: Tensor, correct: Tensor, distance: Tensor | None = None, *, null_draws: int = 39, seed: int = 0
) -> dict[str, float | str]:
    """Return the statistics of the confidences of one network as entries of a summary.

    Args:
        confidence: `(B,)` probabilities of the predictions.
        correct: `(B,)` bool.
        distance: `(B,)` margins or distances to the boundary; the sign is ignored. Samples at which a column is nan,
            because they have no scores, are left out.
        null_draws: the number of draws of each comparison.
        seed: seed of the draws.

    Returns:
        `calibration_error` and `calibration_error_adaptive`, and, with distances, `spearman_confidence_margin`, the
        rank correlation of confidence and distance: of all samples, of the correctly classified (`_correct`) and of the
        misclassified ones (`_wrong`). Each has its comparison, interval and verdict, as in `NullComparison.row`.
    """
    row: dict[str, float | str] = {}
    known = ~confidence.isnan()
    if not bool(known.any()):
        return row
    confidence = confidence[known]
    correct = correct[known]
    for name, adaptive in (("", False), ("_adaptive", True)):
        error = calibration_error(confidence, correct, adaptive=adaptive, null_draws=null_draws, seed=seed)
        row |= error.row(f"calibration_error{name}")
    if distance is not None:
        distance = distance[known]
        defined = ~distance.isnan()
        masks = {"": defined, "_correct": defined & correct, "_wrong": defined & ~correct}
        for name, mask in masks.items():
            if mask.sum() > 1:
                found = rank_correlation(confidence[mask], distance[mask].abs(), null_draws=null_draws, seed=seed)
                row |= found.row(f"spearman_confidence_margin{name}")
    return row


def _bin_indices(confidence: Tensor, bins: int, adaptive: bool) -> Tensor:
    """Return the index of each sample's bin, which includes its upper end; equal confidences share a bin."""
    if adaptive:
        inner_edges = torch.arange(1, bins, dtype=confidence.dtype) / bins
        return torch.searchsorted(confidence.quantile(inner_edges), confidence)
    return (confidence * bins).ceil().long().clamp(1, bins) - 1


def _calibration_errors(confidence: Tensor, correct: Tensor, bin_indices: Tensor) -> Tensor:
    """Return the calibration error of each row of `correct` `(draws, B)`."""
    return _sum_over_bins(correct - confidence, bin_indices)


def _sum_over_bins(excess: Tensor, bin_indices: Tensor) -> Tensor:
    """Return the sum over the bins of the absolute mean excess, for each row of `excess` `(draws, B)`."""
    sums = excess.new_zeros(len(excess), int(bin_indices.max()) + 1).index_add(1, bin_indices, excess)
    return sums.abs().sum(1) / excess.shape[1]


def _error_interval(value: float, excess: Tensor, bin_indices: Tensor, seed: int) -> tuple[float, float]:
    """Return the basic bootstrap interval of a calibration error, which corrects the upward bias of resamples.

    Resamples of a single sample are all the same, so its interval is that of all possible errors.

    Reference: Davison and Hinkley 1997, Bootstrap methods and their application, section 5.2.
    """
    count = len(excess)
    if count == 1:
        return 0.0, 1.0
    stream = generator(seed, "resampled calibration", count)
    chosen = torch.randint(count, (BOOTSTRAP_DRAWS, count), generator=stream)
    errors = torch.stack([_sum_over_bins(excess[rows][None], bin_indices[rows])[0] for rows in chosen])
    low, high = errors.quantile(errors.new_tensor([(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])).tolist()
    return max(2 * value - high, 0.0), min(max(2 * value - low, value), 1.0)


def _compare_with_null(value: float, interval: tuple[float, float], draws: Tensor, samples: int) -> NullComparison:
    low, high = prediction_interval(draws)
    return NullComparison(value, interval, float(draws.median()), float(low), float(high), samples)


def _require_columns(a: Tensor, b: Tensor) -> None:
    if a.dim() != 1 or a.shape != b.shape or len(a) == 0:
        raise ShapeError(
            f"columns have shapes {tuple(a.shape)} and {tuple(b.shape)}; both must have the same shape (B,), B >= 1"
        )
