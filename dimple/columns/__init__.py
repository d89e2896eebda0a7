"""The columns of all tables: label, unit, meaning, how to read it, source, and what a value is compared with.

One table for everything that explains a number to a reader: the terminal, pages, data frames and the documentation.
"""

import dataclasses
import re

from dimple.columns.manifold import MANIFOLD_COLUMNS
from dimple.columns.margins import CONTROL, MARGIN_COLUMNS
from dimple.columns.meaning import DEFINITION, FRACTION, L2, XU, ColumnMeaning
from dimple.columns.network import FAIR_COIN, NETWORK_COLUMNS
from dimple.columns.samples import ROBUST, SAMPLE_COLUMNS

__all__ = ["COLUMNS", "ColumnMeaning", "describe_column"]

# The columns of the user's own probes, with the first paragraph of their documentation.
OWN_COLUMNS: dict[str, str] = {}
COLUMNS: dict[str, ColumnMeaning] = SAMPLE_COLUMNS | MARGIN_COLUMNS | MANIFOLD_COLUMNS | NETWORK_COLUMNS

# Columns of families: the pattern of their names, a name for all of them, and the entry.
FAMILIES: tuple[tuple[re.Pattern[str], str, ColumnMeaning], ...] = (
    (
        re.compile(r"margin_dct_(\d+)"),
        "margin_dct_N",
        ColumnMeaning(
            "margin within frequencies from {0}", L2,
            "The margin within the diagonal block of the two-dimensional cosine transform that begins at this "
            "frequency.",
            "00 is the block of the lowest frequencies, and a larger number a higher one; small where the network is "
            "sensitive to them; chance is the null of random subspaces.",
            "Ortiz-Jimenez et al. 2020, Hold me tight!",
        ),
    ),
    (
        re.compile(r"speed_negative_fraction_(clean|adversarial|trades|boundary_aware|random)"),
        "speed_negative_fraction_N",
        ColumnMeaning(
            "fraction of negative speeds along {0}", FRACTION,
            "The fraction of correctly classified samples that the boundary approaches while the weights move down the "
            "gradient of this objective.",
            "A half by chance.", XU, "speed_negative_fraction_{0}_null", FAIR_COIN,
        ),
    ),
    (
        re.compile(r"margin_pca_(\d+)"),
        "margin_pca_N",
        ColumnMeaning(
            "margin within principal directions from {0}", L2,
            "The margin within a block of principal directions of the data that begins at this one.",
            "0 is the block of largest variance, and a larger number a smaller one; small where the network is "
            "sensitive "
            "to them; chance is the null of random subspaces.",
            CONTROL,
        ),
    ),
    (
        re.compile(r"q(\d\d)"),
        "qN",
        ColumnMeaning(
            "quantile, {0} %", "that of the row",
            "The value below which this percentage of the samples of the group lies.",
            "Always the value of a sample, so that distances that were not found need no arithmetic.", DEFINITION,
        ),
    ),
    *(
        (
            re.compile(prefix + r"robust_at_([\d.e+-]+)"),
            f"{prefix}robust_at_N",
            ColumnMeaning(
                f"{words}robust accuracy within {{0}}", FRACTION,
                f"The fraction of {points} that are classified correctly, and whose class no attack changed within "
                f"this "
                "distance.",
                "An upper bound of the true fraction; 1 is perfect, and never above the accuracy.", ROBUST,
            ),
        )
        for prefix, words, points in (
            ("", "", "all samples"), ("train_", "training ", "training points"), ("test_", "test ", "new points"),
            ("validation_", "validation ", "held-out training points"),
        )
    ),
)  # fmt: skip

# Columns that accompany a column, by the end of their names, the longest first: label, meaning and how to read it.
COMPANIONS = {
    "_null_draws": (
        "{0}, null, draws",
        "The number of random draws of the null.",
        "The band of 39 or more holds 95 % of further draws, that of 5 holds 67 %, that of 3 holds 50 %.",
    ),
    "_null_low": (
        "{0}, null, low end",
        "The low end of the band of random subspaces or permutations: 95 % of further ones with 39 draws.",
        "",
    ),
    "_null_high": (
        "{0}, null, high end",
        "The high end of the band of random subspaces or permutations: 95 % of further ones with 39 draws.",
        "",
    ),
    "_change": (
        "{0}: change with more search",
        "The relative change of the statistic with four times as many passes, at up to 32 samples.",
        "Where it is more than 2 % up or down, of the statistic or of its null, the verdict is unsettled.",
    ),
    "_samples": ("{0}: number", "The number of samples behind the statistic.", "A verdict needs ten."),
    "_low": (
        "{0}, low end",
        "The low end of the 95 % interval of the statistic, or of the band of its comparison.",
        "",
    ),
    "_high": (
        "{0}, high end",
        "The high end of the 95 % interval of the statistic, or of the band of its comparison.",
        "",
    ),
    "_stderr": ("{0}, standard error", "The standard error of the mean.", "The mean is known to about twice as much."),
    "_found_null": ("{0}: null found", "The fraction of samples for which the null found a boundary.", ""),
    "_null": (
        "{0}, null",
        "The same in random subspaces of the same dimension.",
        "It is what chance gives.",
    ),
    "_analytic": ("{0}, isotropic", "The value for an isotropic gradient and a flat boundary, by formula.", ""),
    "_found": (
        "{0}: found",
        "The fraction of samples for which a boundary was found.",
        "In a median the others count as infinitely far.",
    ),
    "_verdict": (
        "{0}: verdict",
        "Where the interval lies relative to the band of the null, or that it is not decided, unsettled or not judged.",
        "Only above and below say more than chance.",
    ),
}


# The units of companions that do not have the unit of their column.
COMPANION_UNITS = {
    "_change": "relative, at 4x the passes",
    "_null_draws": "draws",
    "_samples": "samples",
    "_verdict": "words",
}


def describe_column(name: str) -> ColumnMeaning:
    """Return what a column means.

    For a name that no table knows, the label is its words, and the meaning that of the user's own probe, or none.

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
    for pattern, _, family in FAMILIES:
        if match := pattern.fullmatch(name):
            filled = {field: getattr(family, field).format(*match.groups()) for field in ("label", "comparison")}
            return dataclasses.replace(family, **filled)
    for column, entry in COLUMNS.items():
        if entry.comparison == name:
            return ColumnMeaning(
                name.replace("_", " "), entry.unit, f"What `{column}` is compared with.",
                f"It is the same for {entry.comparison_label}.", DEFINITION,
            )  # fmt: skip
    for end, (label, meaning, reading) in COMPANIONS.items() if name not in OWN_COLUMNS else ():
        base = describe_column(name.removesuffix(end)) if name.endswith(end) and name != end else None
        if base is not None and base.meaning:
            unit = COMPANION_UNITS.get(end, base.unit)
            unit = FRACTION if "_found" in end else unit
            text = base.null if end == "_null" and base.null else meaning
            return ColumnMeaning(label.format(base.label), unit, text, reading or base.reading, base.source)
    return ColumnMeaning(name.replace("_", " "), meaning=OWN_COLUMNS.get(name, ""))
