"""Columns about the boundary relative to the data manifold: margins on and off it, gradients, dimples."""

from dimple.columns.meaning import DEFINITION, FRACTION, L2, SHAMIR, YES_OR_NO, ColumnMeaning

RATIO = "x free margin"
ANDERSON = "Anderson 1963, Asymptotic theory for principal component analysis"

# What the nulls are.
RANDOM_NORMALS = (
    "That of a flat boundary of random direction: the mean of all directions, and the band of the mean over the points "
    "for single ones."
)
RANDOM_DEPTH = (
    "The median depth along the part of the gradient off a random subspace of the manifold's dimension, in place of "
    "the tangent plane."
)

MANIFOLD_COLUMNS: dict[str, ColumnMeaning] = {
    "margin_on": ColumnMeaning(
        "margin along the manifold", L2, "The l2 distance to the boundary within the tangent plane at the sample.",
        "Far above its null where the boundary follows the data; near the null the manifold plays no part.", SHAMIR,
    ),
    "margin_off": ColumnMeaning(
        "margin off the manifold", L2, "The l2 distance to the boundary orthogonal to the tangent plane.",
        "Near the free margin where perturbations leave the data, as in random subspaces of many dimensions.", SHAMIR,
    ),
    "margin_on_ratio": ColumnMeaning(
        "margin along the manifold / free margin", RATIO,
        "How many times farther the boundary is along the manifold than in all directions.",
        "At least 1; above the band of the null the boundary avoids the manifold's directions, inside it is chance.",
        SHAMIR,
    ),
    "margin_off_ratio": ColumnMeaning(
        "margin off the manifold / free margin", RATIO,
        "How many times farther the boundary is off the manifold than in all directions.",
        "At least 1; 1 where leaving the manifold is the shortest way.", SHAMIR,
    ),
    "perturbation_on_manifold_fraction": ColumnMeaning(
        "on-manifold fraction of the shortest perturbation", FRACTION,
        "The fraction of the squared length of the shortest perturbation that lies along the manifold.",
        "Chance is d/n, of a random direction; above it perturbations stay on the data.", SHAMIR,
        comparison_label="d/n",
        null=RANDOM_NORMALS,
    ),
    "gradient_off_manifold_fraction": ColumnMeaning(
        "off-manifold fraction of the gradient", FRACTION,
        "The fraction of the squared length of the logit margin's gradient that points off the manifold.",
        "Chance is 1 - d/n, near 1 in high dimension: .82 is less than chance where the formula gives .98.", SHAMIR,
        comparison_label="1 - d/n", short_label="off-manifold fraction",
        null=RANDOM_NORMALS,
    ),
    "gradient_off_manifold_fraction_stderr": ColumnMeaning(
        "off-manifold fraction of the gradient, standard error", FRACTION,
        "The standard error of the mean over the points.", "The mean is known to about twice as much.", DEFINITION,
        is_exact=True,
    ),
    "tangent_plane_distance_ratio": ColumnMeaning(
        "data's distance from the estimated plane / margin (>1: plane unusable)", RATIO,
        "How far the data lie from the estimated tangent plane, over the margin.",
        "Above 1 the plane is unusable at the distance of the boundary.", ANDERSON,
    ),
    "tangent_reliable": ColumnMeaning(
        "reliable tangent planes", YES_OR_NO,
        "Whether the expected angle to the true plane is at most 0.25 radians and the distance ratio at most 1.",
        "Below a half of the samples, numbers on and off the manifold describe the planes and not the data.", ANDERSON,
    ),
    "offset": ColumnMeaning(
        "offset along the normal", L2, "The l2 distance to the boundary along the normal of the manifold.",
        "Positive where the label wins; infinite where none lies within the limit of the search.", SHAMIR,
    ),
    "boundary_distance": ColumnMeaning(
        "distance from manifold to boundary", L2,
        "The mean distance from points of the manifold to the boundary along the normal.",
        "Small where the boundary clings; a lower bound, printed with \N{GREATER-THAN OR EQUAL TO}, where not all "
        "points have a boundary within the limit of the search, because these count with the limit.", SHAMIR,
        short_label="manifold to boundary",
        null="The same along the part of the gradient off a random subspace of the manifold's dimension.",
    ),
    "boundary_angle": ColumnMeaning(
        "angle between boundary and manifold", "degrees",
        "The angle between the normal of the boundary and the normal space of the manifold, median over its points.",
        "0 where the boundary runs along the manifold, 90 where it cuts across; below its null it follows it.",
        "the beta distribution of a random direction", short_label="angle to the manifold",
        null="The median over the points for flat boundaries of random direction.",
    ),
    "boundary_translation": ColumnMeaning(
        "distance to the boundary, translation", L2,
        "The mean of the signed distance from the manifold to the boundary, without its sign.",
        "How far the boundary is shifted off the manifold; its square and that of the tilt are the mean squared "
        "distance. Not measured where a point has no boundary within the limit of the search.",
        DEFINITION, short_label="translation",
    ),
    "boundary_tilt": ColumnMeaning(
        "distance to the boundary, tilt", L2,
        "The standard deviation of the signed distance from the manifold to the boundary.",
        "How far the boundary is turned against the manifold, or bent. Not measured where a point has no boundary "
        "within the limit of the search.", DEFINITION, short_label="tilt",
    ),
    "search_limit": ColumnMeaning(
        "limit of the search for the boundary", L2,
        "The largest distance along the normal at which a crossing is searched.",
        "A setting, at most the reach of the manifold; a depth or distance beyond it is not found.", DEFINITION,
        is_exact=True,
    ),
    "dimple_depth": ColumnMeaning(
        "dimple depth", L2,
        "The median distance from the training points to the boundary that bulges past them, along the normal.",
        "Negative where the prediction is wrong; none found where half of the points or more have no boundary within "
        "the "
        "limit of the search, even after a step called dimpled, from which on the points are right.",
        SHAMIR,
        null=RANDOM_DEPTH,
    ),
    "dimple_width": ColumnMeaning(
        "dimple width at half depth", L2,
        "The distance between the two sides of a dimple at half of its depth, along the manifold, median over the "
        "points.",
        "Small for narrow dimples; negative where the prediction is wrong; a mean over the directions of the tangent "
        "plane.",
        SHAMIR, short_label="dimple width",
    ),
    "dimple_depth_over_spacing": ColumnMeaning(
        "dimple depth / spacing of opposite labels", "x spacing",
        "The depth of the dimple over the distance to the nearest training point of another label, median over the "
        "points.",
        "Small where the boundary passes the points closely, as the model predicts.", SHAMIR,
        null=RANDOM_DEPTH,
    ),
    "dimple_depth_over_logit": ColumnMeaning(
        "dimple depth / logit margin", "l2 per logit",
        "The depth of the dimple over the size of the logit margin at the point, median over the points.",
        "How far off the manifold one unit of the logit margin reaches.", SHAMIR,
        null=RANDOM_DEPTH,
    ),
    "gradient_slice_fraction": ColumnMeaning(
        "fraction of the gradient in the slice", FRACTION,
        "The fraction of the squared length of the gradient off the manifold that lies in the drawn slice.",
        "Near 1 the picture shows the directions that matter.", DEFINITION, comparison_label="formula",
        null="The mean for a random slice that holds the tangent plane.",
    ),
}  # fmt: skip
