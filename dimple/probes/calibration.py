"""Does a classifier know how sure it may be: calibration, and whether confidence follows the boundary's distance.

Both are figures of many samples, made from the columns that `measure` gives.
"""

import dataclasses
from typing import final

import torch
from torch import Tensor

from dimple.errors import ShapeError
from dimple.stats.null_bands import band, verdict
from dimple.tensors import generator


@final
@dataclasses.dataclass(frozen=True)
class Beside:
    """One figure beside the draws of its null.

    Attributes:
        value: the figure; nan where too few samples define it.
        null: the median of the draws.
        low, high: the central band that holds 95 % of further draws.
        samples: how many samples the figure sums up.
    """

    value: float
    null: float
    low: float
    high: float
    samples: int

    @property
    def verdict(self) -> str:
        """`above`, `inside` or `below` the band, or `undefined`."""
        return verdict(self.value, self.low, self.high)

    def row(self, name: str) -> dict[str, float | str]:
        """The figure as entries of a summary: `name`, `name_null`, its `_low` and `_high`, and `name_verdict`."""
        ends = {"": self.value, "_null": self.null, "_null_low": self.low, "_null_high": self.high}
        return {f"{name}{end}": value for end, value in ends.items()} | {f"{name}_verdict": self.verdict}


def calibration_error(
    confidence: Tensor, correct: Tensor, *, bins: int = 15, adaptive: bool = False, draws: int = 39, seed: int = 0
) -> Beside:
    """The expected calibration error: how far, on average, the accuracy lies from the confidence.

    Even a perfectly calibrated classifier shows a positive error on finitely many samples; that is the null: the error
    of the same confidences when each prediction is correct with its confidence as its probability.

    Args:
        confidence: `(B,)` probabilities of the predictions.
        correct: `(B,)` bool.
        adaptive: bins between quantiles, of equally many samples, instead of equal width.

    Reference: Guo et al. 2017, On calibration of modern neural networks, equation 3; Nguyen and O'Connor 2015 for the
    adaptive bins.

    Example:
        >>> sure = torch.tensor([0.75, 0.75, 0.75, 0.75])
        >>> calibration_error(sure, torch.tensor([True, True, True, False])).value
        0.0
    """
    _require(confidence, correct)
    confidence = confidence.double().cpu()
    table = _bins(confidence, bins, adaptive)
    stream = generator(seed, "calibration", len(confidence))
    uniform = torch.rand(draws, len(confidence), generator=stream, dtype=torch.float64)
    null = _errors(confidence, (uniform < confidence).double(), table)
    value = _errors(confidence, correct.double().cpu()[None], table)
    return _beside(float(value), null, len(confidence))


def reliability(confidence: Tensor, correct: Tensor, bins: int = 15) -> dict[str, Tensor]:
    """The reliability diagram: `confidence`, `accuracy` and number of `samples` of each bin that is not empty."""
    _require(confidence, correct)
    confidence = confidence.double().cpu()
    table = _bins(confidence, bins, adaptive=False)
    count = torch.bincount(table, minlength=bins)
    kept = count > 0
    sums = {"confidence": confidence, "accuracy": correct.double().cpu()}
    means = {name: torch.bincount(table, values, minlength=bins)[kept] / count[kept] for name, values in sums.items()}
    return means | {"samples": count[kept]}


def rank_correlation(a: Tensor, b: Tensor, *, draws: int = 39, seed: int = 0) -> Beside:
    """Spearman's correlation of two columns `(B,)`, beside the same after shuffling one of them.

    What was not found (`inf`) ranks as the largest; it is nan where either column is constant.

    Example:
        >>> rank_correlation(torch.arange(20.0), torch.arange(20.0) ** 3).verdict
        'above'
    """
    from scipy.stats import rankdata

    _require(a, b)
    ranks = [torch.from_numpy(rankdata(values.double().cpu().numpy())) for values in (a, b)]
    first, second = (rank - rank.mean() for rank in ranks)
    stream = generator(seed, "rank correlation", len(a))
    shuffled = torch.stack([second[torch.randperm(len(a), generator=stream)] for _ in range(draws)])
    length = first.norm() * second.norm()
    value = float((first @ second / length).clamp(-1, 1)) if length > 0 else float("nan")
    return _beside(value, shuffled @ first / length, len(a))


def confidence_row(
    confidence: Tensor, correct: Tensor, distance: Tensor | None = None, *, draws: int = 39, seed: int = 0
) -> dict[str, float | str]:
    """All that is known of the confidences of one network, as entries of a summary.

    Args:
        distance: `(B,)` margins or distances to the boundary, of either sign: the distance from the predicted class.

    Returns:
        `calibration_error` and `calibration_error_adaptive`, and, with distances, `confidence_rank_correlation` with
        the distance, of all samples and of those classified correctly (`_correct`) and wrongly (`_wrong`); each with
        its null, band and verdict, as in `Beside.row`.
    """
    row: dict[str, float | str] = {}
    for name, adaptive in (("", False), ("_adaptive", True)):
        error = calibration_error(confidence, correct, adaptive=adaptive, draws=draws, seed=seed)
        row |= error.row(f"calibration_error{name}")
    if distance is not None:
        splits = {"": torch.ones_like(correct, dtype=torch.bool), "_correct": correct, "_wrong": ~correct}
        for name, chosen in splits.items():
            if chosen.sum() > 1:
                found = rank_correlation(confidence[chosen], distance[chosen].abs(), draws=draws, seed=seed)
                row |= found.row(f"confidence_rank_correlation{name}")
    return row


def _bins(confidence: Tensor, bins: int, adaptive: bool) -> Tensor:
    """The number of each sample's bin, closed above: of equal width, or between quantiles. Ties stay together."""
    if adaptive:
        inner = torch.arange(1, bins, dtype=confidence.dtype) / bins
        return torch.searchsorted(confidence.quantile(inner), confidence)
    return (confidence * bins).ceil().long().clamp(1, bins) - 1


def _errors(confidence: Tensor, correct: Tensor, table: Tensor) -> Tensor:
    """The calibration error of each row of `correct` `(draws, B)`."""
    surplus = correct - confidence
    sums = surplus.new_zeros(len(surplus), int(table.max()) + 1).index_add(1, table, surplus)
    return sums.abs().sum(1) / len(confidence)


def _beside(value: float, null: Tensor, samples: int) -> Beside:
    low, high = band(null)
    return Beside(value, float(null.median()), float(low), float(high), samples)


def _require(a: Tensor, b: Tensor) -> None:
    if a.dim() != 1 or a.shape != b.shape or len(a) == 0:
        raise ShapeError(
            f"columns have shapes {tuple(a.shape)} and {tuple(b.shape)}; give two of the same (B,), B >= 1"
        )
