"""Columns about distances from samples to the decision boundary."""

from dimple.columns.meaning import DEFINITION, DISTANCE, FRACTION, L2, YES_OR_NO, ColumnMeaning

DEEPFOOL = "Moosavi-Dezfooli, Fawzi, Frossard 2016"
JORDAN = "Jordan, Lewis, Dimakis 2019, Provable certificates for adversarial examples"
CONTROL = "a control of this package"
NORMS = "Szegedy et al. 2014, section 4.3; Gouk et al. 2021"
FOUND = "The fraction of samples for which a boundary point was found."
FOUND_READING = "1 is usual; in the median the others count as infinitely far, so that below a half there is none."

MARGIN_COLUMNS: dict[str, ColumnMeaning] = {
    "margin": ColumnMeaning(
        "margin", DISTANCE,
        "The distance to the nearest input of another class that was found, within the range of the inputs.",
        "Large is robust; an upper bound of the true distance; negative where the prediction is wrong.", DEEPFOOL,
        "margin_test", "test points",
    ),
    "margin_unbounded": ColumnMeaning(
        "margin without bounds", L2,
        "The l2 distance to the nearest input of another class that was found, also outside the range of the inputs.",
        "At most the margin, because it may leave the range; the margins along and off the manifold are compared with "
        "it.",
        DEEPFOOL,
    ),
    "margin_unrefined": ColumnMeaning(
        "margin before refinement", DISTANCE,
        "The distance of the point of the search before it was moved along its ray onto the boundary.",
        "Near the margin; far above it the search ended early.", "the search of this package",
    ),
    "margin_correct": ColumnMeaning(
        "margin of the correctly classified", DISTANCE, "The median margin of the correctly classified test samples.",
        "Large is robust.", DEEPFOOL,
    ),
    "margin_misclassified": ColumnMeaning(
        "margin of the wrongly classified", DISTANCE, "The median margin of the misclassified samples.",
        "Negative; near 0 where the errors are close to the boundary.", DEEPFOOL,
    ),
    "margin_passes": ColumnMeaning(
        "passes of the margin search", "passes", "The cost of all searches of the sample.",
        "One pass is one forward with its backward evaluation; .4 of it is forward.", "the count of this package",
    ),
    "margin_status": ColumnMeaning(
        "end of the margin search", "number of the outcome", "The reason why the search of the sample ended.",
        "0 converged, 1 the largest number of passes was reached, 2 no crossing was found, 3 the sample has no scores, "
        "4 a search by decisions only, an upper bound.",
        DEFINITION, is_exact=True,
    ),
    "margin_multiple_minima": ColumnMeaning(
        "another restart was 10 % nearer", YES_OR_NO, "Whether a further restart came at least 10 % nearer.",
        "Large where the boundary has several nearest points and one search is not enough; it says nothing about "
        "masked "
        "gradients.",
        "the search of this package",
    ),
    "gradient_masking_ratio": ColumnMeaning(
        "margin / margin by the gradient from the sample", "margin / margin of the first descent",
        "The margin over what a descent from the sample alone finds, where training samples of other classes gave "
        "further starts.",
        "1 where the gradient from the sample leads to the nearest point. Where it is below 0.9 for clearly more than "
        "5 % of the samples there is gradient masking: nearer points lie where the gradient does not lead.",
        "Athalye, Carlini, Wagner 2018, Obfuscated gradients give a false sense of security",
    ),
    "adversarial_class": ColumnMeaning(
        "class across the boundary", "class", "The class on the other side of the nearest point.",
        "The class that the shortest perturbation leads to.", DEFINITION, is_exact=True,
    ),
    "stationarity_angle": ColumnMeaning(
        "remaining angle (0 = truly nearest)", "degrees",
        "The angle between the perturbation and the normal of the boundary at its end.",
        "0 at a nearest point; 31 degrees is bad: a nearer point lies close by. Several degrees are usual at kinks, "
        "and "
        "where the range of the inputs ends.",
        "the condition of a shortest distance (Karush, Kuhn, Tucker)",
    ),
    "certified_radius": ColumnMeaning(
        "certified radius", DISTANCE, "The radius within which it is proven that no other class lies.",
        "Never above the margin; 0 where the prediction is wrong. Far below the margin the proof is loose.",
        "Zhang et al. 2018, Efficient neural network robustness certification",
    ),
    "margin_exact": ColumnMeaning(
        "exact margin", DISTANCE,
        "The distance to the nearest input of another class where it is proven, to a millionth.",
        "Undefined where it is not proven; the median is over the proven samples alone, often those near the boundary.",
        JORDAN,
    ),
    "margin_exact_found": ColumnMeaning(
        "exact margins proven", FRACTION, "The fraction of samples whose exact margin is proven.",
        "1 where the limits of nodes and seconds were enough for all.", JORDAN,
    ),
    "margin_exact_lower": ColumnMeaning(
        "exact margin, proven lower bound", DISTANCE, "The distance below which it is proven that no other class lies.",
        "The exact margin lies between it and the nearest point found.", JORDAN,
    ),
    "margin_exact_upper": ColumnMeaning(
        "exact margin, nearest point found", DISTANCE,
        "The distance of the nearest point of another class that was found.",
        "The exact margin only where the proven lower bound meets it.", JORDAN,
    ),
    "margin_in_slice": ColumnMeaning(
        "margin in the slice", L2, "The distance to the boundary within the drawn slice.",
        "At least the margin; its null are slices in random directions.", DEFINITION,
    ),
    "boundary_distance_found": ColumnMeaning(
        "boundary found within the limit", FRACTION, FOUND,
        "Below 1 the mean distance is a lower bound, because the others count with the limit of the search in it.",
        DEFINITION,
    ),
    **{
        name: ColumnMeaning(label, FRACTION, FOUND, FOUND_READING, DEFINITION)
        for name, label in (
            ("dimple_depth_found", "dimple depth found within the limit"),
            ("dimple_width_found", "dimple width found within the limit"),
            ("margin_found", "margins found"),
            ("margin_unbounded_found", "margins found, outside the range too"),
            ("margin_on_found", "margins found along the manifold"),
            ("margin_off_found", "margins found off the manifold"),
            ("margin_pca_top_found", "margins found along the widest directions"),
            ("margin_pca_bottom_found", "margins found along the narrowest directions"),
        )
    },
    **{
        f"margin_pca_{end}{ratio}": ColumnMeaning(
            f"margin along the {width} directions{' / free margin' if ratio else ''}",
            "x free margin" if ratio else L2,
            f"The margin within the principal directions of {size} variance of the data, as many as the tangent "
            f"planes have"
            + (", over the margin in all directions." if ratio else "."),
            f"A control of the margin along the manifold: {reading}; chance is the null of random subspaces.",
            CONTROL,
        )
        for end, width, size, reading in (
            ("top", "widest", "largest", "small where the boundary cuts the directions in which the data vary most"),
            ("bottom", "narrowest", "smallest",
            "large where the network ignores directions in which the data do not vary"),
        )
        for ratio in ("", "_ratio")
    },
    "lipschitz_upper_bound": ColumnMeaning(
        "Lipschitz constant, proven upper bound", "scores per input unit",
        "No score changes faster than this between any two inputs.",
        "Often far above the true constant: the product of the norms of all layers.", NORMS, is_exact=True,
    ),
    "lipschitz_lower_bound": ColumnMeaning(
        "Lipschitz constant, largest slope found", "scores per input unit",
        "The fastest change of the scores that was found at the samples.", "The true constant is at least this.", NORMS,
        is_exact=True,
    ),
    "lipschitz_ratio": ColumnMeaning(
        "Lipschitz bounds, upper / lower", "upper bound / lower bound", "How far the two bounds are apart.",
        "1 where the constant is known; 1,000 is usual for deep networks, and says that the upper bound says "
        "little.", NORMS,
        is_exact=True,
    ),
}  # fmt: skip
