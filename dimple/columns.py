"""The columns of all tables: the label, the meaning, and what a value is compared with.

One table for everything that explains a number to a reader: the terminal, pages, data frames and the documentation.
"""

import dataclasses
import re
from typing import final


@final
@dataclasses.dataclass(frozen=True)
class ColumnMeaning:
    """The meaning of a column.

    Attributes:
        label: a few words for tables and charts.
        meaning: one sentence: the quantity, and how to read it.
        comparison: the column of the values that it is compared with, where that is no null of random subspaces or
            permutations, such as the accuracy of always predicting the most frequent class.
        comparison_label: a few words for that comparison.
        short_label: for captions and legends of films, which have less space.
        is_exact: whether it is a count, a setting or a bound, which has no interval, and no statistic of samples.
    """

    label: str
    meaning: str
    comparison: str = ""
    comparison_label: str = ""
    short_label: str = ""
    is_exact: bool = False


COLUMNS: dict[str, ColumnMeaning] = {
    "step": ColumnMeaning("step", "Updates of the weights so far, or the number of the checkpoint."),
    "split": ColumnMeaning("split", "The set that the sample is from: train, test, or heldout."),
    "index": ColumnMeaning("index", "The row of the sample in its split."),
    "samples": ColumnMeaning("samples", "The number of samples.", is_exact=True),
    "label": ColumnMeaning("label", "The class that the sample has by its label; -1 for unlabeled samples."),
    "prediction": ColumnMeaning("prediction", "The class of the largest score."),
    "correct": ColumnMeaning("correct", "Whether the predicted class is the label."),
    "confidence": ColumnMeaning(
        "confidence",
        "The softmax of the predicted class, from 1 / K to 1.",
        comparison="confidence_test",
        comparison_label="test points",
    ),
    "logit_margin": ColumnMeaning(
        "logit margin", "The score of the label minus the largest other score; negative where the prediction is wrong."
    ),
    "loss": ColumnMeaning(
        "training loss", "The mean loss of the training points; log K by guessing among K classes.", is_exact=True
    ),
    "accuracy": ColumnMeaning(
        "accuracy",
        "The fraction of all samples whose predicted class is the label; compared with always predicting the most "
        "frequent class.",
        comparison="majority_accuracy",
        comparison_label="largest class",
    ),
    "train_accuracy": ColumnMeaning(
        "training accuracy",
        "The fraction of training points whose predicted class is the label; compared with always predicting the most "
        "frequent class.",
        comparison="train_majority_accuracy",
        comparison_label="largest class",
    ),
    "test_accuracy": ColumnMeaning(
        "test accuracy",
        "The fraction of new points whose predicted class is the label; compared with always predicting the most "
        "frequent class.",
        comparison="test_majority_accuracy",
        comparison_label="largest class",
    ),
    "margin": ColumnMeaning(
        "margin",
        "The distance to the nearest input of another class that was found, within the bounds of the inputs; an upper "
        "bound of the true distance, negative where the prediction is wrong.",
        comparison="margin_test",
        comparison_label="test points",
    ),
    "margin_unbounded": ColumnMeaning(
        "margin without bounds",
        "The l2 distance to the nearest input of another class that was found, also outside the bounds of the inputs; "
        "the margin that those along and off the manifold are compared with.",
    ),
    "margin_unrefined": ColumnMeaning(
        "margin before refinement", "The distance of the point before it was moved along its ray onto the boundary."
    ),
    "margin_correct": ColumnMeaning(
        "margin of the correctly classified", "The median margin of the correctly classified test samples."
    ),
    "margin_misclassified": ColumnMeaning(
        "margin of the wrongly classified", "The median margin of the misclassified samples, which is negative."
    ),
    "margin_passes": ColumnMeaning(
        "passes of the margin search",
        "The cost of all searches of the sample; one pass is one forward and one backward evaluation.",
    ),
    "margin_status": ColumnMeaning(
        "end of the margin search",
        "0 converged, 1 the largest number of passes was reached, 2 no crossing was found, 3 the sample has no scores, "
        "4 a search by decisions only, an upper bound.",
    ),
    "margin_multiple_minima": ColumnMeaning(
        "another restart was 10 % nearer",
        "Whether a further restart came at least 10 % nearer: the boundary has several nearest points. Large where a "
        "single search is not enough; it says nothing about masked gradients.",
    ),
    "adversarial_class": ColumnMeaning(
        "class across the boundary", "The class on the other side of the nearest point."
    ),
    "stationarity_angle": ColumnMeaning(
        "remaining angle (0 = truly nearest)",
        "The angle between the perturbation and the normal of the boundary at its end: 0 at a local nearest point; a "
        "large angle means that a nearer point exists close by.",
    ),
    "margin_on": ColumnMeaning(
        "margin along the manifold",
        "The l2 distance to the boundary within the tangent plane at the sample; far above its null where the boundary "
        "follows the data.",
    ),
    "margin_off": ColumnMeaning(
        "margin off the manifold",
        "The l2 distance to the boundary orthogonal to the tangent plane; near the free margin where perturbations "
        "leave the data.",
    ),
    "margin_on_ratio": ColumnMeaning(
        "margin along the manifold / free margin",
        "How many times farther the boundary is along the manifold than in all directions; chance is the null.",
    ),
    "margin_off_ratio": ColumnMeaning(
        "margin off the manifold / free margin",
        "How many times farther the boundary is off the manifold than in all directions; 1 where leaving the manifold "
        "is the shortest way.",
    ),
    "margin_on_ratio_change": ColumnMeaning(
        "change along the manifold with more search",
        "The relative change of the ratio with four times as many passes; above 2 % the search is not settled.",
        is_exact=True,
    ),
    "margin_off_ratio_change": ColumnMeaning(
        "change off the manifold with more search",
        "The relative change of the ratio with four times as many passes; above 2 % the search is not settled.",
        is_exact=True,
    ),
    "margin_pca_top": ColumnMeaning(
        "margin along the widest directions",
        "The margin within the principal directions of largest variance, as many as the tangent planes have; a control "
        "of the margin along the manifold.",
    ),
    "margin_pca_bottom": ColumnMeaning(
        "margin along the narrowest directions",
        "The margin within the principal directions of smallest variance, as many as the tangent planes have; a "
        "control of the margin along the manifold.",
    ),
    "margin_pca_top_ratio": ColumnMeaning(
        "margin along the widest directions / free margin",
        "How many times farther the boundary is along the widest directions of the data than in all directions.",
    ),
    "margin_pca_bottom_ratio": ColumnMeaning(
        "margin along the narrowest directions / free margin",
        "How many times farther the boundary is along the narrowest directions of the data than in all directions.",
    ),
    "perturbation_on_manifold_fraction": ColumnMeaning(
        "on-manifold fraction of the shortest perturbation",
        "The fraction of the squared length of the shortest perturbation that lies along the manifold; chance is d/n.",
    ),
    "gradient_off_manifold_fraction": ColumnMeaning(
        "off-manifold fraction of the gradient",
        "The fraction of the squared length of the logit margin's gradient that points off the manifold; chance is "
        "1 - d/n, which is near 1 in high dimension.",
        short_label="off-manifold fraction",
    ),
    "gradient_off_manifold_fraction_stderr": ColumnMeaning(
        "off-manifold fraction of the gradient, standard error",
        "The standard error of the mean over the points.",
        is_exact=True,
    ),
    "tangent_plane_distance_ratio": ColumnMeaning(
        "data's distance from the estimated plane / margin (>1: plane unusable)",
        "How far the data lie from the estimated tangent plane, over the margin; above 1 the plane is unusable at the "
        "distance of the boundary.",
    ),
    "tangent_reliable": ColumnMeaning(
        "reliable tangent planes",
        "Whether the expected angle to the true plane is at most 0.25 radians and the distance ratio at most 1; below "
        "a half of the samples, numbers on and off the manifold describe the planes and not the data.",
    ),
    "offset": ColumnMeaning(
        "offset along the normal",
        "The l2 distance to the boundary along the normal of the manifold; positive where the label wins.",
    ),
    "boundary_distance": ColumnMeaning(
        "distance from manifold to boundary",
        "The mean distance from points of the manifold to the boundary along the normal; distances beyond the limit of "
        "the search count as the limit.",
        short_label="manifold to boundary",
    ),
    "boundary_angle": ColumnMeaning(
        "angle between boundary and manifold",
        "The angle between the normal of the boundary and the normal space of the manifold, median over points of the "
        "manifold: 0 where the boundary runs along the manifold, 90 where it cuts across; the null is a random "
        "direction, with the range of 95 % of them.",
        short_label="angle to the manifold",
    ),
    "boundary_translation": ColumnMeaning(
        "distance to the boundary, translation",
        "The mean of the signed distance from the manifold to the boundary: how far the boundary is shifted off the "
        "manifold; its square and that of the tilt add up to the mean squared distance.",
        short_label="translation",
    ),
    "boundary_tilt": ColumnMeaning(
        "distance to the boundary, tilt",
        "The standard deviation of the signed distance from the manifold to the boundary: how far the boundary is "
        "turned against the manifold, or bent.",
        short_label="tilt",
    ),
    "search_limit": ColumnMeaning(
        "limit of the search for the boundary",
        "The largest distance along the normal at which a crossing is searched.",
        is_exact=True,
    ),
    "dimple_depth": ColumnMeaning(
        "dimple depth",
        "The median distance from the training points to the boundary that bulges past them, along the normal; none "
        "found where no boundary lies within the limit of the search.",
    ),
    "dimple_width": ColumnMeaning(
        "dimple width at half depth",
        "The distance between the two sides of a dimple at half of its depth, along the manifold, mean over the "
        "directions of the tangent plane and median over the training points, negative where the prediction is wrong.",
        short_label="dimple width",
    ),
    "dimple_depth_over_spacing": ColumnMeaning(
        "dimple depth / spacing of opposite labels",
        "The depth of the dimple over the distance to the nearest training point of another label, median over the "
        "training points.",
    ),
    "dimple_depth_over_logit": ColumnMeaning(
        "dimple depth / logit margin",
        "The depth of the dimple over the size of the logit margin at the point, median over the training points: how "
        "far off the manifold one unit of the logit margin reaches.",
    ),
    **{
        name: ColumnMeaning(
            label, "The fraction of samples for which a boundary point was found; the others count as infinitely far."
        )
        for name, label in (
            ("boundary_distance_found", "boundary found within the limit"),
            ("dimple_depth_found", "dimple depth found within the limit"),
            ("dimple_width_found", "dimple width found within the limit"),
            ("margin_found", "margins found"),
            ("margin_unbounded_found", "margins found outside the pixel range"),
            ("margin_on_found", "margins found along the manifold"),
            ("margin_off_found", "margins found off the manifold"),
            ("margin_pca_top_found", "margins found along the widest directions"),
            ("margin_pca_bottom_found", "margins found along the narrowest directions"),
        )
    },
    "margin_in_slice": ColumnMeaning("margin in the slice", "The distance to the boundary within the drawn slice."),
    "gradient_slice_fraction": ColumnMeaning(
        "fraction of the gradient in the slice",
        "The fraction of the squared length of the gradient that lies in the drawn slice.",
    ),
    "classes": ColumnMeaning("classes in the box", "The number of classes that are predicted somewhere in the box."),
    "boundary_size": ColumnMeaning("size of the boundary", "The length or area of the boundary in the drawn box."),
    "valid_fraction": ColumnMeaning(
        "fraction of the box with valid inputs", "The fraction of the drawn box that lies within the bounds of inputs."
    ),
    "certified_radius": ColumnMeaning(
        "certified radius", "The radius within which it is proven that no other class lies; never above the margin."
    ),
    "robust_radius_upper": ColumnMeaning(
        "distance of the nearest adversarial example",
        "The distance of the nearest adversarial example that any attack found: 0 where the prediction is wrong, "
        "infinite where none was found within the largest radius.",
    ),
    "robust_attack": ColumnMeaning(
        "attack that came nearest",
        "The attack that found the nearest adversarial example: 1 a search along the boundary, 2 Auto-PGD on the "
        "cross-entropy, 3 Auto-PGD towards each class; 0 where the prediction is wrong, -1 where none was found.",
    ),
    "margin_exact": ColumnMeaning(
        "exact margin",
        "The distance to the nearest input of another class where it is proven, to a millionth; the median is over the "
        "proven samples alone, often those near the boundary.",
    ),
    "margin_exact_found": ColumnMeaning(
        "exact margins proven", "The fraction of samples whose exact margin is proven within the limits of the search."
    ),
    "margin_exact_lower": ColumnMeaning(
        "exact margin, proven lower bound", "The distance below which it is proven that no other class lies."
    ),
    "margin_exact_upper": ColumnMeaning(
        "exact margin, nearest point found",
        "The distance of the nearest point of another class that was found; exact only where the lower bound meets it.",
    ),
    "curvature": ColumnMeaning(
        "curvature",
        "The principal curvature of largest size of the boundary at its nearest point, as one over a radius.",
    ),
    "curvature_min": ColumnMeaning("smallest curvature", "The smallest principal curvature at the nearest point."),
    "curvature_max": ColumnMeaning("largest curvature", "The largest principal curvature at the nearest point."),
    "curvature_mean_abs": ColumnMeaning("mean size of curvature", "The mean size of the principal curvatures."),
    "curvature_finite_difference": ColumnMeaning(
        "change of the normal over a finite step",
        "The turn of the boundary's normal over a finite step, per length; also meaningful for piecewise linear "
        "networks, whose curvature is zero almost everywhere.",
    ),
    "calibration_error": ColumnMeaning(
        "calibration error",
        "The mean difference between confidence and accuracy over bins of confidence; compared with that of a "
        "calibrated classifier with the same confidences.",
        comparison="calibration_error_calibrated",
        comparison_label="calibrated",
    ),
    "calibration_error_adaptive": ColumnMeaning(
        "calibration error, bins of equal size",
        "The mean difference between confidence and accuracy over bins with as many samples each.",
        comparison="calibration_error_adaptive_calibrated",
        comparison_label="calibrated",
    ),
    "spearman_confidence_margin": ColumnMeaning(
        "rank correlation of confidence and margin",
        "Spearman's coefficient of confidence and margin: 1 where confident samples are far from the boundary; its "
        "null permutes one of them.",
    ),
    "spearman_confidence_margin_correct": ColumnMeaning(
        "rank correlation of confidence and margin, correct samples", "The same over the correctly classified samples."
    ),
    "spearman_confidence_margin_wrong": ColumnMeaning(
        "rank correlation of confidence and margin, wrong samples", "The same over the misclassified samples."
    ),
    "lipschitz_upper_bound": ColumnMeaning(
        "Lipschitz constant, proven upper bound",
        "No score changes faster than this between any two inputs.",
        is_exact=True,
    ),
    "lipschitz_lower_bound": ColumnMeaning(
        "Lipschitz constant, largest slope found",
        "The fastest change of the scores that was found at the samples.",
        is_exact=True,
    ),
    "lipschitz_ratio": ColumnMeaning(
        "Lipschitz bounds, upper / lower",
        "How far the two bounds are apart; 1 where the constant is known.",
        is_exact=True,
    ),
    "error": ColumnMeaning(
        "error",
        "The fraction of perturbed samples that are misclassified; compared with noise of the same size.",
        comparison="noise_error",
        comparison_label="noise",
    ),
    "speed": ColumnMeaning(
        "speed of the boundary",
        "The distance that the boundary moves away from the sample from the step before to this one; negative where it "
        "comes nearer.",
    ),
    "speed_positive_fraction": ColumnMeaning(
        "fraction of samples that the boundary leaves",
        "The fraction of samples from which the boundary moves away.",
        comparison="speed_positive_fraction_chance",
        comparison_label="fair coin",
    ),
    "speed_sign_agreement_initial": ColumnMeaning(
        "sign agreement of speed and short motion",
        "The fraction of samples where the sign of the speed is that of the change of the margin over a hundredth of "
        "the step; a half by chance.",
        comparison="speed_sign_agreement_initial_chance",
        comparison_label="fair coin",
    ),
    "speed_sign_agreement_full": ColumnMeaning(
        "sign agreement of speed and full motion",
        "The fraction of samples where the sign of the speed is that of the change of the margin over the step; a half "
        "by chance.",
        comparison="speed_sign_agreement_full_chance",
        comparison_label="fair coin",
    ),
    "speed_rank_correlation_initial": ColumnMeaning(
        "rank correlation of speed and short motion",
        "Spearman's coefficient of the speed and the change of the margin over a hundredth of the step.",
    ),
    "speed_rank_correlation_full": ColumnMeaning(
        "rank correlation of speed and full motion",
        "Spearman's coefficient of the speed and the change of the margin over the step.",
    ),
}

# Columns of families, by a pattern of their names.
_FAMILIES: tuple[tuple[re.Pattern[str], ColumnMeaning], ...] = (
    (
        re.compile(r"margin_dct_(\d+)"),
        ColumnMeaning(
            "margin within frequencies from {0}", "The margin within a band of frequencies, the lowest first."
        ),
    ),
    (
        re.compile(r"speed_negative_fraction_(clean|adversarial|trades|boundary_aware|random)"),
        ColumnMeaning(
            "fraction of negative speeds along {0}",
            "The fraction of correctly classified samples that the boundary approaches while the weights move down the "
            "gradient of this objective; a half by chance.",
        ),
    ),
    (
        re.compile(r"margin_pca_(\d+)"),
        ColumnMeaning(
            "margin within principal directions from {0}",
            "The margin within a block of principal directions of the data, those of largest variance first.",
        ),
    ),
    (
        re.compile(r"robust_at_([\d.e+-]+)"),
        ColumnMeaning(
            "robust accuracy within {0}",
            "The fraction of all samples that are classified correctly, and whose class no attack changed within this "
            "distance: an upper bound of the true fraction.",
        ),
    ),
    *(
        (
            re.compile(split + r"_robust_at_([\d.e+-]+)"),
            ColumnMeaning(
                f"{words} robust accuracy within {{0}}",
                f"The fraction of {points} that are classified correctly, and whose class no attack changed within "
                "this distance: an upper bound of the true fraction.",
            ),
        )
        for split, words, points in (("train", "training", "training points"), ("test", "test", "new points"))
    ),
)

# Columns that accompany a column, by the end of their names, the longest first.
_COMPANIONS = {
    "_null_low": ("{0}, null, low end", "The low end of the band with 95 % of random subspaces or permutations."),
    "_null_high": ("{0}, null, high end", "The high end of the band with 95 % of random subspaces or permutations."),
    "_samples": ("{0}: number", "The number of samples behind the statistic."),
    "_low": ("{0}, low end", "The low end of the 95 % interval of the statistic, or of the band of its comparison."),
    "_high": ("{0}, high end", "The high end of the 95 % interval of the statistic, or of the band of its comparison."),
    "_found_null": ("{0}: null found", "The fraction of samples for which the null found a boundary."),
    "_null": ("{0}, null", "The same in random subspaces of the same dimension, or with permuted values: chance."),
    "_analytic": ("{0}, isotropic", "The value for an isotropic gradient and a flat boundary, by formula."),
    "_found": ("{0}: found", "The fraction of samples for which a boundary was found; the others count as infinite."),
    "_verdict": ("{0}: verdict", "Where the value lies relative to the band of its null."),
}  # fmt: skip


def describe_column(name: str) -> ColumnMeaning:
    """Return what a column means; for a name that no table knows, its words as the label and no meaning.

    Example:
        >>> describe_column("margin_on_null").label
        'margin along the manifold, null'
        >>> describe_column("margin_dct_08").label
        'margin within frequencies from 08'
        >>> describe_column("my_own").label
        'my own'
    """
    if name in COLUMNS:
        return COLUMNS[name]
    for pattern, family in _FAMILIES:
        if match := pattern.fullmatch(name):
            return dataclasses.replace(family, label=family.label.format(*match.groups()))
    for column, entry in COLUMNS.items():
        if entry.comparison == name:
            return ColumnMeaning(name.replace("_", " "), f"What `{column}` is compared with.")
    for end, (label, meaning) in _COMPANIONS.items():
        if name.endswith(end) and name != end:
            return ColumnMeaning(label.format(describe_column(name.removesuffix(end)).label), meaning)
    return ColumnMeaning(name.replace("_", " "), "")
