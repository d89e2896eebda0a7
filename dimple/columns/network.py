"""Columns about the shape and the motion of the boundary, and about slices, layers and transfer."""

from dimple.columns.meaning import DEFINITION, FRACTION, L2, XU, ColumnMeaning

CURVATURE = "do Carmo, section 3.3; Moosavi-Dezfooli et al. 2019"
CURVATURE_UNIT = "1 / input unit"
PIECEWISE_LINEAR = "zero almost everywhere for a piecewise linear network, such as one with ReLU"
TRANSFER = "Szegedy et al. 2014, section 4.2"
LAYER = "Szegedy et al. 2014, section 4.3"
RMS = "root mean square per coordinate"
FAIR_COIN = "fair coin"

NETWORK_COLUMNS: dict[str, ColumnMeaning] = {
    "curvature_finite_difference": ColumnMeaning(
        "change of the normal over a finite step", CURVATURE_UNIT,
        "The turn of the boundary's normal over a finite step, per length, in the direction where it is largest.",
        "Also meaningful for piecewise linear networks, whose curvature is zero almost everywhere; compare with the "
        "null "
        "of random directions.",
        CURVATURE,
        null="The mean over random directions along the boundary.",
    ),
    "curvature": ColumnMeaning(
        "curvature", CURVATURE_UNIT, "The principal curvature of largest size of the boundary at its nearest point.",
        f"1 / r for a sphere of radius r; positive where the boundary bends towards the sample; {PIECEWISE_LINEAR}.",
        CURVATURE,
        null="The mean over random directions along the boundary.",
    ),
    "curvature_min": ColumnMeaning(
        "smallest curvature", CURVATURE_UNIT, "The smallest principal curvature at the nearest point.",
        f"Negative where the boundary bends away; {PIECEWISE_LINEAR}.", CURVATURE,
    ),
    "curvature_max": ColumnMeaning(
        "largest curvature", CURVATURE_UNIT, "The largest principal curvature at the nearest point.",
        f"Positive where the boundary bends towards the sample; {PIECEWISE_LINEAR}.", CURVATURE,
    ),
    "curvature_mean_abs": ColumnMeaning(
        "mean size of curvature", CURVATURE_UNIT, "The mean size of the principal curvatures at the nearest point.",
        f"0 for a plane; {PIECEWISE_LINEAR}.", CURVATURE,
    ),
    "classes": ColumnMeaning(
        "classes in the box", "classes", "The number of classes that are predicted somewhere in the box.",
        "More than in random slices where several classes meet near the images.", DEFINITION,
    ),
    "boundary_size": ColumnMeaning(
        "size of the boundary", "l2, input units, or their square",
        "The length or area of the boundary in the drawn box.",
        "Larger than in random slices where the boundary is close or folded.", DEFINITION,
    ),
    "valid_fraction": ColumnMeaning(
        "fraction of the box with valid inputs", FRACTION,
        "The fraction of the drawn box that lies within the range of the inputs.",
        "Where it is small, most of the picture shows inputs that no image has.", DEFINITION,
    ),
    "error": ColumnMeaning(
        "error", FRACTION, "The fraction of perturbed samples that are misclassified.",
        "Compare with noise of the same size: above it the perturbations transfer.", TRANSFER, "noise_error", "noise",
    ),
    "rms": ColumnMeaning(
        "size of the perturbations", RMS, "The root mean square of the perturbations per coordinate.",
        "Where they are scaled, the size after the clamp to the range of the inputs.", TRANSFER, is_exact=True,
    ),
    "noise_rms": ColumnMeaning(
        "size of the noise", RMS, "The root mean square of the noise per coordinate.",
        "As large as that of the perturbations, up to the clamp to the range.", TRANSFER, is_exact=True,
    ),
    "speed": ColumnMeaning(
        "speed of the boundary", "input units from the step before to this one",
        "The distance that the boundary moves away from the sample, from the step before to this one.",
        "Negative where it comes nearer.", XU,
    ),
    "speed_positive_fraction": ColumnMeaning(
        "fraction of samples that the boundary leaves", FRACTION,
        "The fraction of samples from which the boundary moves away.", "A half by chance.", XU,
        "speed_positive_fraction_chance", FAIR_COIN,
    ),
    **{
        f"speed_sign_agreement_{kind}": ColumnMeaning(
            f"sign agreement of speed and {motion} motion", FRACTION,
            f"The fraction of samples where the sign of the speed is that of the change of the margin over {part} the "
            f"step.",
            f"A half by chance; near 1 the speed predicts {reading}.", XU,
            f"speed_sign_agreement_{kind}_chance", FAIR_COIN,
        )
        for kind, motion, part, reading in (
            ("initial", "short", "a hundredth of", "the direction in which the boundary sets off"),
            ("full", "full", "all of", "where the boundary has gone after the step"),
        )
    },
    **{
        f"speed_rank_correlation_{kind}": ColumnMeaning(
            f"rank correlation of speed and {motion} motion", "Spearman's coefficient",
            f"Spearman's coefficient of the speed and the change of the margin over {part} the step.",
            f"0 by chance, 1 where the speed orders the samples by {reading}; the null permutes one of the two.", XU,
        )
        for kind, motion, part, reading in (
            ("initial", "short", "a hundredth of", "the motion that it predicts"),
            ("full", "full", "all of", "how far the boundary has gone after the step"),
        )
    },
    "norm": ColumnMeaning(
        "norm of the layer", "output units per input unit", "The largest singular value of the layer.",
        "How much the layer can stretch; the null shuffles its weights.", LAYER, is_exact=True,
        null="The norm of the layer after its weights are shuffled.",
    ),
    "frobenius": ColumnMeaning(
        "Frobenius norm", "output units per input unit", "The root of the sum of squares of all singular values.",
        "At least the norm.", DEFINITION, is_exact=True,
    ),
    "stable_rank": ColumnMeaning(
        "stable rank", "number", "How many singular values as large as the largest would give the same Frobenius norm.",
        "1 where one direction dominates.", DEFINITION, is_exact=True,
    ),
    "positive": ColumnMeaning(
        "fraction of positive speeds", FRACTION, "The fraction of the samples of the group that the boundary leaves.",
        "A half by chance.", XU,
    ),
    "negative": ColumnMeaning(
        "fraction of negative speeds", FRACTION,
        "The fraction of the samples of the group that the boundary approaches.",
        "A half by chance.", XU,
    ),
    "margin_from": ColumnMeaning(
        "margins of the group, from", L2, "The smallest margin of the group of samples.",
        "Minus infinity for the misclassified samples.", XU, is_exact=True,
    ),
    "margin_to": ColumnMeaning(
        "margins of the group, to", L2, "The largest margin of the group of samples.",
        "Infinite for the last group.", XU,
        is_exact=True,
    ),
    "from_step": ColumnMeaning(
        "from step", "updates", "The step at which the motion begins.", "The step before in the series.", XU,
        is_exact=True
    ),
}  # fmt: skip
