"""Sentences below a table of statistics: what makes its numbers doubtful, and what was not checked."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dimple.stats.aggregate import (
    CHANGE_SUFFIX,
    NULL_SUFFIX,
    comparison_column,
    has_unreliable_tangents,
    unsettled_columns,
)
from dimple.stats.null_bands import UNSETTLED

Row = Mapping[str, Any]
# Gradients mask nearer points where the interval of the fraction of samples with one lies above this.
MASKING_FRACTION = 0.05
# Fewer samples say too little about the accuracy.
MIN_JUDGED_SAMPLES = 10
# An accuracy is near that of one class below this fraction of the way from it to 1.
NEAR_CHANCE = 0.25
# The angle at a boundary point without a gradient is 180 degrees; with one, only there can it come close.
NO_GRADIENT_ANGLE = 179.0
# Unsettled quantities that a sentence names.
MAX_NAMED = 3


def cautions(row: Row) -> list[str]:
    """Return the sentences about a row of statistics, the same in the terminal, on pages and in files.

    Example:
        >>> cautions({"margin": 0.5}), len(cautions({"tangent_reliable": 0.1, "curvature": 0.0}))
        ([], 2)
    """
    sentences = (
        reliability_warning(row),
        settling_note(row),
        flat_curvature_note(row),
        accuracy_warning(row),
        zero_gradient_warning(row),
        masking_statement(row),
    )
    return [sentence for sentence in sentences if sentence]


def cautions_of_run(rows: Sequence[Row]) -> list[str]:
    """Return the sentences about all splits of the last of several steps, with the split where it is one of several."""
    found = {str(row.get("split", "")): cautions(row) for row in rows if row["step"] == rows[-1]["step"]}
    return [
        *dict.fromkeys(
            text if all(text in others for others in found.values()) else f"{text} ({split} samples)"
            for split, sentences in found.items()
            for text in sentences
        )
    ]


def settling_note(row: Row) -> str:
    """Return which quantities more search changes; empty where it changes none, or was not tried.

    Example:
        >>> row = {"x": 2.0, "x_low": 1.6, "x_high": 2.3, "x_samples": 20, "x_null_low": 0.5, "x_null_high": 1.5}
        >>> settling_note(row | {"x_change": -0.687, "x_null_change": 0.01})[:60]
        'unsettled: four times the passes change x by -69%; more than'
    """
    changes: dict[str, float] = {}
    for name in unsettled_columns(row):
        known = [(column, row.get(column + CHANGE_SUFFIX)) for column in (name, comparison_column(name))]
        column, change = max(known, key=lambda one: abs(one[1] or 0.0))
        changes[column] = change or 0.0
    # The ratios are the headline, and the distances change with them.
    ordered = sorted(changes, key=lambda name: "_ratio" not in name)
    if not ordered:
        return ""
    words = {name: f"the null of {name.removesuffix(NULL_SUFFIX)}" for name in ordered if name.endswith(NULL_SUFFIX)}
    named = ", ".join(f"{words.get(name, name)} by {changes[name]:+.0%}" for name in ordered[:MAX_NAMED])
    others = f" and {len(ordered) - MAX_NAMED} more" if len(ordered) > MAX_NAMED else ""
    return (
        f"{UNSETTLED}: four times the passes change {named}{others}; more than 2 % says more about the search than "
        "about the boundary: raise --max-passes fourfold or more"
    )


def reliability_warning(row: Row) -> str:
    """Return a warning for quantities that rest on unreliable tangent estimates; empty where the estimates are good.

    Example:
        >>> reliability_warning({"tangent_reliable": 0.1})[:53]
        'tangents unreliable (*): only 10% of the tangent esti'
    """
    if not has_unreliable_tangents(row):
        return ""
    reliable = row["tangent_reliable"]
    some = f"only {reliable:.0%}" if reliable > 0 else "none"
    return (
        f"tangents unreliable (*): {some} of the tangent estimates are reliable at the distance of the boundary; "
        "quantities on and off the manifold describe the estimated planes, not the data"
    )


def flat_curvature_note(row: Row) -> str:
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
        "read curvature_finite_difference, the turn of the normal over a finite step"
    )


def accuracy_warning(row: Row) -> str:
    """Return a warning where a network is hardly better than always predicting one class, or has no scores; else empty.

    Example:
        >>> accuracy_warning({"accuracy": 0.15, "majority_accuracy": 0.1, "samples": 40})[:49]
        'warning: accuracy 0.15 is near that of predicting'
    """
    accuracy, majority = (row.get(name) for name in ("accuracy", "majority_accuracy"))
    # Null in a file; samples without scores count as misclassified.
    medians = [row[name] for name in ("confidence", "margin_misclassified") if "accuracy" in row and name in row]
    if any(value is None or math.isnan(value) for value in medians):
        return "warning: the scores are nan, and so is every margin: check the weights and the inputs"
    if accuracy is None or majority is None:
        return ""
    if not (row["samples"] >= MIN_JUDGED_SAMPLES and accuracy < majority + NEAR_CHANCE * (1 - majority)):
        return ""
    return (
        f"warning: accuracy {accuracy:.2g} is {'below' if accuracy < majority else 'near'} that of predicting the most "
        f"frequent class, {majority:.2g}, and such margins mean nothing: check the normalization of the inputs (--mean "
        "and --std, or preprocessing= in Python), the order of the classes and the weights"
    )


def zero_gradient_warning(row: Row) -> str:
    """Return a warning where most boundary points have no gradient, so that no search was led by one; else empty.

    Example:
        >>> zero_gradient_warning({"stationarity_angle": 180.0})[:57]
        'warning: the gradient is zero at most boundary points, as'
    """
    # It is infinite where no boundary was found, and null in a file.
    if not NO_GRADIENT_ANGLE < (row.get("stationarity_angle") or 0.0) < math.inf:
        return ""
    return (
        "warning: the gradient is zero at most boundary points, as behind rounding or other steps, and margins may be "
        "severalfold too large: measure with the method bisection, which needs decisions only, and more passes"
    )


def masking_statement(row: Row) -> str:
    """Return whether the gradients of a network mask nearer points; empty without samples to search from.

    Example:
        >>> row = {"gradient_masking_ratio": 0.97, "margin_multiple_minima": 0.2}
        >>> masking_statement(row | {"margin_multiple_minima_low": 0.12, "margin_multiple_minima_high": 0.3})[:42]
        'gradient masking: for 20% (12% to 30%) of '
    """
    if "gradient_masking_ratio" not in row:
        return ""
    names = ("gradient_masking_ratio", *(f"margin_multiple_minima{end}" for end in ("", "_low", "_high")))
    # A file has null for a number that is not defined.
    ratio, fraction, low, high = (math.nan if row.get(name) is None else row[name] for name in names)
    if math.isnan(ratio):
        return "not checked for masked gradients, which make margins too large: --max-passes 100 checks it"
    found = "not decided whether gradients mask nearer points, with so few samples"
    if low > MASKING_FRACTION or high <= MASKING_FRACTION:
        found = "gradient masking" if low > MASKING_FRACTION else "no gradient masking found"
    return (
        f"{found}: for {fraction:.0%} ({low:.0%} to {high:.0%}) of the samples a search from samples of other "
        "classes finds a point more than a tenth nearer than the descent from the sample; more than "
        f"{MASKING_FRACTION:.0%} are masking"
    )
