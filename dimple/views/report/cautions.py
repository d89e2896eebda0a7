"""Sentences on what makes the statistics of a measurement doubtful, the same in the terminal and on all pages."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dimple.stats.aggregate import has_unreliable_tangents

# Gradients mask nearer points where the interval of the fraction of samples with one lies above this.
MASKING_FRACTION = 0.05
# Fewer samples say too little about the accuracy.
MIN_JUDGED_SAMPLES = 10
# An accuracy is near that of one class below this fraction of the way from it to 1.
NEAR_CHANCE = 0.25
# The angle at a boundary point without a gradient is 180 degrees; with one, only there can it come close.
NO_GRADIENT_ANGLE = 179.0


def find_cautions(row: Mapping[str, Any]) -> list[str]:
    """Return sentences on what makes the statistics of a step and split doubtful, beside the tangent estimates."""
    found = (accuracy_warning(row), zero_gradient_warning(row), flat_curvature_note(row), masking_statement(row))
    return [sentence for sentence in found if sentence]


def cautions_of_run(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the sentences on all splits of the last of several steps."""
    return cautions_of_splits({str(row.get("split", "")): row for row in rows if row["step"] == rows[-1]["step"]})


def cautions_of_splits(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the sentences on all splits, each once, with the split where it is not on all of them."""
    found = {split: find_cautions(row) for split, row in rows.items()}
    return [
        *dict.fromkeys(
            text if all(text in others for others in found.values()) else f"{text} ({split} samples)"
            for split, sentences in found.items()
            for text in sentences
        )
    ]


def accuracy_warning(row: Mapping[str, Any]) -> str:
    """Return a warning where a network is hardly better than always predicting one class, or not even scores; else "".

    Example:
        >>> accuracy_warning({"accuracy": 0.15, "majority_accuracy": 0.1, "samples": 40})[:49]
        'warning: accuracy 0.15 is near that of predicting'
    """
    accuracy, majority = (row.get(name, math.nan) for name in ("accuracy", "majority_accuracy"))
    if math.isnan(row.get("confidence", 0.0)):
        return "warning: the scores are nan, and so is every margin: check the weights and the inputs"
    if not (row.get("samples", 0) >= MIN_JUDGED_SAMPLES and accuracy < majority + NEAR_CHANCE * (1 - majority)):
        return ""
    return (
        f"warning: accuracy {accuracy:.2g} is {'below' if accuracy < majority else 'near'} that of predicting the most "
        f"frequent class, {majority:.2g}, and such margins mean nothing: check the normalization of the inputs (--mean "
        "and --std, or preprocessing= in Python), the order of the classes and the weights"
    )


def zero_gradient_warning(row: Mapping[str, Any]) -> str:
    """Return a warning where most boundary points have no gradient, so that no search was led by one; else empty.

    Example:
        >>> zero_gradient_warning({"stationarity_angle": 180.0})[:57]
        'warning: the gradient is zero at most boundary points, as'
    """
    # It is infinite where no boundary was found.
    if not NO_GRADIENT_ANGLE < row.get("stationarity_angle", 0.0) < math.inf:
        return ""
    return (
        "warning: the gradient is zero at most boundary points, as behind rounding or other steps, and margins may be "
        "severalfold too large: measure with the method bisection, which needs decisions only, and more passes"
    )


def masking_statement(row: Mapping[str, Any]) -> str:
    """Return whether the gradients of a network mask nearer points; empty without searches from other samples.

    Example:
        >>> row = {"gradient_masking_ratio": 0.97, "margin_multiple_minima": 0.2}
        >>> masking_statement(row | {"margin_multiple_minima_low": 0.12, "margin_multiple_minima_high": 0.3})[:42]
        'gradient masking: for 20% (12% to 30%) of '
    """
    name = "margin_multiple_minima"
    fraction, low, high = (row.get(name + end, math.nan) for end in ("", "_low", "_high"))
    if math.isnan(row.get("gradient_masking_ratio", math.nan)) or math.isnan(fraction):
        return ""
    verdict = "not decided whether gradients mask nearer points, with so few samples"
    if low > MASKING_FRACTION or high <= MASKING_FRACTION:
        verdict = "gradient masking" if low > MASKING_FRACTION else "no gradient masking found"
    return (
        f"{verdict}: for {fraction:.0%} ({low:.0%} to {high:.0%}) of the samples a search from samples of other "
        "classes finds a point more than a tenth nearer than the descent from the sample; more than "
        f"{MASKING_FRACTION:.0%} are masking"
    )


def reliability_warning(row: Mapping[str, Any]) -> str:
    """Return a warning for quantities that rest on unreliable tangent estimates; empty where the estimates are good.

    Example:
        >>> reliability_warning({"tangent_reliable": 0.1})[:43]
        'Only 10% of the tangent estimates here are '
    """
    if not has_unreliable_tangents(row):
        return ""
    reliable = row["tangent_reliable"]
    some = f"Only {reliable:.0%}" if reliable > 0 else "None"
    return (
        f"{some} of the tangent estimates here are reliable at the distance of the boundary: quantities on and off "
        "the manifold describe the estimated planes, not the data."
    )


def flat_curvature_note(row: Mapping[str, Any]) -> str:
    """Return what it means that every curvature is zero; empty where one is not, or none was measured.

    Example:
        >>> flat_curvature_note({"curvature": 0.0, "curvature_low": 0.0, "curvature_high": 0.0})[:41]
        'The curvatures are zero, as expected of a'
    """
    ends = [row.get(f"curvature{end}") for end in ("", "_min", "_max", "_low", "_high")]
    if row.get("curvature") is None or any(end for end in ends):
        return ""
    return (
        "The curvatures are zero, as expected of a piecewise linear network, whose boundary is flat almost everywhere: "
        "read curvature_finite_difference, the turn of the normal over a finite step."
    )
