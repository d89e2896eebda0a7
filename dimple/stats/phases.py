"""The two phases of the dimpled manifold model, dated from the metrics of a run, and whether they came in its order."""

import dataclasses
import math
from collections.abc import Sequence
from typing import final

UNKNOWN = "too few points have a gradient to tell its off-manifold share: give more data.probe_points"


@final
@dataclasses.dataclass(frozen=True)
class Phases:
    """When the boundary had clung, when it had dimpled, and what that says of the model's prediction.

    Attributes:
        cling_step: the first recorded step from which the boundary-to-manifold distance stays at or below 1/`fall` of
            its initial value until the dimpling is done (or training ends), or None. A boundary that only passes the
            manifold on its way has not clung.
        dimple_step: the first recorded step from which every training point stays on its right side, or None.
        fall: the factor that counts as clinging.
        best_fall: the largest fall, initial distance over distance, seen before `dimple_step`.
        verdict: `supported`, `contradicted` or `undecided`.
        reason: the verdict's figures in a sentence.
    """

    cling_step: int | None
    dimple_step: int | None
    fall: float
    best_fall: float
    verdict: str
    reason: str


def phases(
    steps: Sequence[int],
    distance: Sequence[float],
    accuracy: Sequence[float],
    off_share: float,
    off_share_null: float,
    fall: float = 5.0,
    off_share_error: float = 0.0,
    found: float = 1.0,
) -> Phases:
    """Date the clinging and the dimpling, and judge the prediction "first cling, then dimple, off the manifold".

    Supported: the distance falls `fall`-fold, and stays there, before the training accuracy stays at 1, and the final
    off-manifold share of the gradient lies above its null. Contradicted: training ended in full accuracy without one
    of these. Undecided: training accuracy never came to stay at 1; or the boundary clung and the share or its standard
    error is not known (nan); or it first came so near between the same two snapshots as the dimpling.

    Args:
        distance: mean boundary-to-manifold distance at each recorded step, the first before training; where it is nan
            the boundary does not count as clinging.
        accuracy: training accuracy at each recorded step.
        off_share: the final share of the gradient's squared length off the manifold, at manifold points.
        off_share_null: the same for a random subspace.
        off_share_error: the standard error of `off_share`; the share counts as above its null by twice that.
        found: the share of points whose first distance lay within the search's limit. The others were counted with the
            limit itself, so that falls are at least what is reported.

    Example:
        >>> phases([0, 10, 20], [0.5, 0.05, 0.04], [0.5, 0.7, 1.0], 0.9, 0.33).verdict
        'supported'
    """
    dimple_step, cling_step, best, then = _dated(steps, distance, accuracy, fall)
    known = math.isfinite(off_share) and math.isfinite(off_share_error)
    shares = _shares(off_share, off_share_null, off_share_error) if known else UNKNOWN
    if dimple_step is None:
        reason = f"training accuracy did not come to stay at 1 (it ends at {accuracy[-1]:.3f}); {shares}"
        return Phases(cling_step, None, fall, best, "undecided", reason)
    least = "at least " if found < 1 else ""
    stayed = f"but did not stay {fall:g}-fold"
    verdict = "contradicted"
    above = off_share - 2 * off_share_error > off_share_null
    if cling_step is not None:
        stayed = f"and stayed {fall:g}-fold from step {cling_step}"
        verdict = "undecided" if not known else "supported" if above else "contradicted"
    elif best < fall <= then:
        stayed = f"and {then:.1f}-fold by step {dimple_step}, where it did: which came first, more snapshots would tell"
        verdict = "undecided" if above or not known else "contradicted"
    reason = f"the distance fell {least}{best:.1f}-fold before training accuracy came to stay at 1 {stayed}; {shares}"
    return Phases(cling_step, dimple_step, fall, best, verdict, reason)


def _dated(
    steps: Sequence[int], distance: Sequence[float], accuracy: Sequence[float], fall: float
) -> tuple[int | None, int | None, float, float]:
    """The steps of the dimpling and of the clinging, None where they never came; the largest fall before, and then."""
    dimpled = len(steps)
    while dimpled > 0 and accuracy[dimpled - 1] >= 1:
        dimpled -= 1
    falls = [math.inf if value == 0 else distance[0] / value for value in distance]
    clung = dimpled
    while clung > 0 and falls[clung - 1] >= fall:
        clung -= 1
    dimple_step = steps[dimpled] if dimpled < len(steps) else None
    cling_step = steps[clung] if clung < dimpled else None
    best = max((one for one in falls[: max(dimpled, 1)] if not math.isnan(one)), default=math.nan)
    return dimple_step, cling_step, best, falls[dimpled] if dimpled < len(steps) else math.nan


def _shares(off_share: float, null: float, error: float) -> str:
    # What is smaller is rounding.
    if error < 1e-6:
        return f"off-manifold share of the gradient {off_share:.2f}, null {null:.2f}"
    digits = max(2, -math.floor(math.log10(2 * error)))
    return f"off-manifold share of the gradient {off_share:.{digits}f} ± {2 * error:.{digits}f}, null {null:.2f}"
