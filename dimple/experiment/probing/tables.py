"""Summaries of a table of measurements: statistics of every step and split, quantiles, and a check of the search."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.stats.aggregate import (
    DISTANCE_UNITS,
    FOUND_SUFFIX,
    NULL_SUFFIX,
    ROBUST_PREFIX,
    SAMPLES_SUFFIX,
    aggregate,
    fraction_statistic,
    is_comparison_column,
    lower_median,
    median_statistic,
)

Arrays = dict[str, NDArray[Any]]
# The columns that identify a sample; the other columns are measured.
IDENTIFIER_COLUMNS = ("step", "split", "index", "correct")
SUMMARY_UNITS = {
    "split": "train or test",
    "index": "row of the split",
    "samples": "samples",
    "accuracy": "fraction",
    "majority_accuracy": "fraction",
    "margin_misclassified": "unit of the margin",
    "margin_on_ratio_change": "relative, at 4x the passes",
    "margin_off_ratio_change": "relative, at 4x the passes",
}
QUANTILE_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
# The names of distances that are measured without bounds begin with these.
UNBOUNDED_PREFIXES = ("margin_unbounded", "margin_on", "margin_off", "margin_pca", "margin_dct")
# A ratio that changes by more with four times as many passes says more about the search than about the boundary.
MAX_RATIO_CHANGE = 0.02


def summarize_steps(tables: Sequence[Arrays], units: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the statistics of each step and split, in order, each with its 95 % interval and number of samples.

    The accuracy, and the accuracy of the most frequent class alone with which it is compared, are over all samples
    with a label; a sample without one counts as correctly classified. The robust accuracies are over all samples.
    `margin_misclassified` is the median margin (negative) of the misclassified samples; every other statistic is over
    the correctly classified ones. `margin_unbounded` is left out where it equals `margin` at every sample.
    """
    rows = [
        _summarize_split(table, split, units) for table in tables for split in dict.fromkeys(table["split"].tolist())
    ]
    found = {
        name
        for row in rows
        for name in row
        if name.endswith((FOUND_SUFFIX, FOUND_SUFFIX + NULL_SUFFIX)) and name not in units
    }
    complete = {name for name in found if all(row.get(name, 1.0) == 1 for row in rows)}
    # A fraction found is dropped where it is 1 in all rows, and its null where either of the two is.
    dropped = {
        name
        for name in found
        if name.removesuffix(NULL_SUFFIX) in complete and (name in complete or NULL_SUFFIX in name)
    }
    return [{name: value for name, value in row.items() if name not in dropped} for row in rows]


def _summarize_split(table: Arrays, split: str, units: Mapping[str, str]) -> dict[str, Any]:
    columns = {name: values[table["split"] == split] for name, values in table.items()}
    correct = columns["correct"]
    labeled = columns["label"] >= 0
    row: dict[str, Any] = {
        "step": int(columns["step"][0]),
        "split": split,
        "samples": len(correct),
    }
    if labeled.any():
        row |= fraction_statistic("accuracy", correct[labeled])
        row["majority_accuracy"] = float(np.bincount(columns["label"][labeled]).max() / labeled.sum())
    if "margin_unbounded" in columns and np.array_equal(
        columns.get("margin", np.empty(0)), columns["margin_unbounded"], equal_nan=True
    ):
        # Without bounds, in l2, both are the same distance.
        del columns["margin_unbounded"]
    of_all = [name for name in columns if name.startswith(ROBUST_PREFIX)]
    for name in of_all:
        row |= fraction_statistic(name, columns[name])
    if correct.any():
        left_out = (*IDENTIFIER_COLUMNS, *of_all)
        row |= aggregate({n: v for n, v in columns.items() if n not in left_out}, units, correct)
    if "margin" in columns and not correct.all():
        row |= median_statistic("margin_misclassified", columns["margin"][~correct])
    return row


def describe_distances(columns: Iterable[str], units: Mapping[str, str], bounds: str | None) -> str:
    """Return the range of the inputs, the norms of the distances, and which of them are measured outside the range.

    Args:
        columns: the names of the measured columns.
        units: their units.
        bounds: the range in words; None where the inputs are unbounded.

    Example:
        >>> units = {"margin": "linf, input units", "margin_unbounded": "l2, input units"}
        >>> describe_distances(["margin", "margin_unbounded", "margin_on_ratio"], units, "0 to 1")
        'inputs within 0 to 1; distances in l2 and linf; outside this range too: margin_unbounded, in l2'
    """
    names = list(columns)
    distances = [name for name in names if units.get(name, "").endswith(tuple(f", {unit}" for unit in DISTANCE_UNITS))]
    outside = [name for name in distances if name.startswith(UNBOUNDED_PREFIXES)]
    norms = {units[name].split(",")[0] for name in distances}
    text = "without bounds" if bounds is None else f"inputs within {bounds}"
    text += f"; distances in {' and '.join(sorted(norms))}" if norms else ""
    if bounds is not None and outside:
        text += f"; outside this range too: {', '.join(outside)}, in l2"
    return text


def quantile_table(table: Arrays, units: Mapping[str, str]) -> tuple[Arrays, dict[str, str]]:
    """Return the quantiles of every measured column at each step and split, apart for correct and wrong predictions.

    Returns:
        Columns `step`, `split`, `correct`, `statistic` (the name of the measured column), `unit`, `samples` and `q05`
        to `q95`, and their units. Each quantile is the value of a sample, so that distances that were not found (inf)
        need no arithmetic; nan is left out.
    """
    names = [n for n, v in table.items() if np.issubdtype(v.dtype, np.floating) and not is_comparison_column(n, table)]
    groups = sorted(set(zip(table["step"].tolist(), table["split"].tolist(), table["correct"].tolist(), strict=True)))
    rows: list[dict[str, Any]] = []
    for step, split, correct in groups:
        mask = (table["step"] == step) & (table["split"] == split) & (table["correct"] == correct)
        for name in names:
            values = np.sort(table[name][mask & ~np.isnan(table[name])]).astype(np.float64)
            if len(values):
                # Halfway between two values the lower one, as in the medians of all statistics.
                ranks = {f"q{100 * q:02.0f}": math.ceil(q * (len(values) - 1) - 0.5) for q in QUANTILE_LEVELS}
                quantiles = {column: values[rank] for column, rank in ranks.items()}
                group = {"step": step, "split": split, "correct": correct}
                group |= {"statistic": name, "unit": units.get(name, ""), "samples": len(values)}
                rows.append(group | quantiles)
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    quantile_units = {name: "that of the row" for name in columns if name.startswith("q")}
    return columns, {"step": units["step"], "correct": "yes or no", "samples": "samples"} | quantile_units


def compute_ratio_change(table: Arrays, refined: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the relative change of the median ratios on and off the manifold with four times as many passes.

    Args:
        table: the columns `margin_unbounded`, `margin_on` and `margin_off` of the measurement.
        refined: the same columns with four times as many passes.
    """
    row: dict[str, Any] = {}
    for direction in ("on", "off"):
        before, after = (_median_ratio(columns, direction) for columns in (table, refined))
        change = after / before - 1 if before > 0 and np.isfinite(before) else float("nan")
        row[f"margin_{direction}_ratio_change"] = change
        row[f"margin_{direction}_ratio_change{SAMPLES_SUFFIX}"] = len(table["margin_on"])
        verdict = "settled" if abs(change) <= MAX_RATIO_CHANGE else "unsettled"
        row[f"margin_{direction}_ratio_change_verdict"] = "undefined" if math.isnan(change) else verdict
    return row


def _median_ratio(columns: Mapping[str, NDArray[Any]], direction: str) -> float:
    unbounded = np.abs(columns["margin_unbounded"])
    margin = np.abs(columns[f"margin_{direction}"])
    finite = np.isfinite(unbounded)
    return lower_median(margin[finite] / unbounded[finite]) if finite.any() else float("nan")
