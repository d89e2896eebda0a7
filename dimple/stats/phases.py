"""Phases of the dimpled manifold model: the steps of clinging and dimpling, and a verdict on their order."""

import dataclasses
import math
from collections.abc import Sequence
from typing import final

UNKNOWN_FRACTION_MESSAGE = (
    "too few points have a gradient to estimate its off-manifold fraction: raise data.heldout_points"
)


@final
@dataclasses.dataclass(frozen=True)
class Phases:
    """Steps of the two phases of a training run, and the verdict on the prediction of the dimpled manifold model.

    Attributes:
        cling_step: the first recorded step from which the boundary-to-manifold distance stays at or below
            1 / `reduction_factor` of its initial value until `dimple_step` (or the end of training), or None. A
            boundary that touches the manifold and leaves again does not count.
        dimple_step: the first recorded step from which all training points stay correctly classified, or None.
        reduction_factor: the factor that counts as clinging.
        best_reduction_factor: the largest ratio of the initial distance to the distance before `dimple_step`.
        verdict: `supported`, `contradicted` or `undecided`.
        reason: the numbers behind the verdict, in a sentence.
    """

    cling_step: int | None
    dimple_step: int | None
    reduction_factor: float
    best_reduction_factor: float
    verdict: str
    reason: str


def detect_phases(
    steps: Sequence[int],
    distance: Sequence[float],
    accuracy: Sequence[float],
    off_manifold_fraction: float,
    off_manifold_fraction_null: float,
    reduction_factor: float = 5.0,
    off_manifold_fraction_stderr: float = 0.0,
    found_fraction: float = 1.0,
) -> Phases:
    """Find the steps of clinging and dimpling, and judge the prediction "first cling, then dimple, off the manifold".

    Supported: the distance falls by `reduction_factor`, and stays there, before the training accuracy stays at 1, and
    the final off-manifold fraction of the gradient is above its null. Contradicted: the accuracy stays at 1 at the end
    of training, and one of these conditions fails. Undecided: the training accuracy does not stay at 1; or the boundary
    clung and the fraction or its standard error is unknown (nan); or the distance first fell by this factor between the
    same two snapshots as the dimpling.

    Args:
        steps: the recorded steps, increasing.
        distance: mean boundary-to-manifold distance at each recorded step, the first before training; where it is nan
            the boundary does not count as clinging.
        accuracy: training accuracy at each recorded step.
        off_manifold_fraction: the final off-manifold fraction of the gradient's squared length, at manifold points.
        off_manifold_fraction_null: the same for a random subspace.
        reduction_factor: the factor by which the distance has to fall.
        off_manifold_fraction_stderr: the standard error of `off_manifold_fraction`, which is above its null if the
            difference exceeds two standard errors.
        found_fraction: the fraction of points whose initial distance is within the limit of the search. The others
            count with the limit itself, so that the reported reductions are lower bounds.

    Example:
        >>> detect_phases([0, 10, 20], [0.5, 0.05, 0.04], [0.5, 0.7, 1.0], 0.9, 0.33).verdict
        'supported'
    """
    dimple_step, cling_step, best, at_dimpling = _find_phase_steps(steps, distance, accuracy, reduction_factor)
    known = math.isfinite(off_manifold_fraction) and math.isfinite(off_manifold_fraction_stderr)
    fractions = (
        _describe_fractions(off_manifold_fraction, off_manifold_fraction_null, off_manifold_fraction_stderr)
        if known
        else UNKNOWN_FRACTION_MESSAGE
    )
    if dimple_step is None:
        reason = f"training accuracy did not stay at 1 (it ends at {accuracy[-1]:.3f}); {fractions}"
        return Phases(cling_step, None, reduction_factor, best, "undecided", reason)
    at_least = "at least " if found_fraction < 1 else ""
    clinging = f"but did not stay at or below 1/{reduction_factor:g} of its initial value"
    verdict = "contradicted"
    above = off_manifold_fraction - 2 * off_manifold_fraction_stderr > off_manifold_fraction_null
    if cling_step is not None:
        clinging = f"and stayed at or below 1/{reduction_factor:g} of its initial value from step {cling_step} on"
        verdict = "undecided" if not known else "supported" if above else "contradicted"
    elif best < reduction_factor <= at_dimpling:
        clinging = f"and {at_dimpling:.1f}-fold by step {dimple_step}: more snapshots would show which came first"
        verdict = "undecided" if above or not known else "contradicted"
    fall = f"the distance fell {at_least}{best:.1f}-fold {clinging}"
    reason = f"before training accuracy stayed at 1, {fall}; {fractions}"
    return Phases(cling_step, dimple_step, reduction_factor, best, verdict, reason)


def _find_phase_steps(
    steps: Sequence[int], distance: Sequence[float], accuracy: Sequence[float], reduction_factor: float
) -> tuple[int | None, int | None, float, float]:
    """Return the dimple step, the cling step, the largest reduction before dimpling, and the reduction at dimpling.

    The step of a phase that did not occur is None. Without dimpling, the reduction at dimpling is nan.
    """
    dimple_index = len(steps)
    while dimple_index > 0 and accuracy[dimple_index - 1] >= 1:
        dimple_index -= 1
    reductions = [math.inf if value == 0 else distance[0] / value for value in distance]
    cling_index = dimple_index
    while cling_index > 0 and reductions[cling_index - 1] >= reduction_factor:
        cling_index -= 1
    cling_step = steps[cling_index] if cling_index < dimple_index else None
    best = max((value for value in reductions[: max(dimple_index, 1)] if not math.isnan(value)), default=math.nan)
    if dimple_index == len(steps):
        return None, cling_step, best, math.nan
    return steps[dimple_index], cling_step, best, reductions[dimple_index]


def _describe_fractions(off_manifold_fraction: float, null: float, stderr: float) -> str:
    # A smaller standard error is rounding.
    if stderr < 1e-6:
        return f"off-manifold fraction of the gradient {off_manifold_fraction:.2f}, null {null:.2f}"
    digits = max(2, -math.floor(math.log10(2 * stderr)))
    fraction = f"{off_manifold_fraction:.{digits}f} ± {2 * stderr:.{digits}f}"
    return f"off-manifold fraction of the gradient {fraction}, null {null:.2f}"
