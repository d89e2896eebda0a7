"""What a table of measurements sums up to: a row of figures for every step and split, quantiles, and a check."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.stats.aggregate import FOUND, NULL, digest, is_beside, median

Arrays = dict[str, NDArray[Any]]
# What says which sample a row is about; the rest are answers.
BOOKKEEPING = ("step", "split", "index", "correct")
STEP_UNITS = {
    "split": "train or test",
    "index": "row of the split",
    "samples": "samples",
    "accuracy": "share",
    "accuracy_null": "share",
    "margin_wrong": "as the margin",
    "on_ratio_change": "relative, at 4x the budget",
    "off_ratio_change": "relative, at 4x the budget",
}
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# A ratio that moves by more when the search may cost four times as much is one of the search, not of the boundary.
SETTLED = 0.02


def step_rows(tables: Sequence[Arrays], units: Mapping[str, str]) -> list[dict[str, Any]]:
    """The figures of each step and split, in order.

    The accuracy, whose null is the share of the commonest class, is of all samples; everything else is of those that
    are classified correctly, but `margin_wrong`, the median margin (negative) of the others.
    """
    rows = [_row(table, split, units) for table in tables for split in dict.fromkeys(table["split"].tolist())]
    found = {name for row in rows for name in row if name.endswith((FOUND, FOUND + NULL)) and name not in units}
    everywhere = {name for name in found if all(row.get(name, 1.0) == 1 for row in rows)}
    # A null says nothing without its figure, and the figure little where nothing was missed.
    dropped = {name for name in found if name.removesuffix(NULL) in everywhere and (name in everywhere or NULL in name)}
    return [{name: value for name, value in row.items() if name not in dropped} for row in rows]


def _row(table: Arrays, split: str, units: Mapping[str, str]) -> dict[str, Any]:
    chosen = {name: values[table["split"] == split] for name, values in table.items()}
    correct, labels = chosen["correct"], np.unique(chosen["label"], return_counts=True)[1]
    row: dict[str, Any] = {
        "step": int(chosen["step"][0]),
        "split": split,
        "samples": len(correct),
        "accuracy": float(correct.mean()),
        "accuracy_null": float(labels.max() / len(correct)),
    }
    if correct.any():
        row |= digest({n: v for n, v in chosen.items() if n not in BOOKKEEPING}, units, correct)
    if "margin" in chosen and not correct.all():
        row["margin_wrong"] = median(chosen["margin"][~correct])
    return row


def quantile_table(joined: Arrays, units: Mapping[str, str]) -> tuple[Arrays, dict[str, str]]:
    """How every figure is distributed at each step: in each split, for correctly and for wrongly classified samples.

    Returns:
        Columns `step`, `split`, `correct`, `figure`, `unit`, `samples` and `q05` to `q95`, and their units. Quantiles
        are values of samples, so that distances that were not found (inf) need no arithmetic; nan is left out.
    """
    names = [n for n, v in joined.items() if np.issubdtype(v.dtype, np.floating) and not is_beside(n, joined)]
    groups = sorted(
        set(zip(joined["step"].tolist(), joined["split"].tolist(), joined["correct"].tolist(), strict=True))
    )
    rows: list[dict[str, Any]] = []
    for step, split, correct in groups:
        chosen = (joined["step"] == step) & (joined["split"] == split) & (joined["correct"] == correct)
        for name in names:
            values = np.sort(joined[name][chosen & ~np.isnan(joined[name])]).astype(np.float64)
            if len(values):
                # Halfway between two values the lower one, as for the medians of all figures.
                places = {f"q{100 * q:02.0f}": math.ceil(q * (len(values) - 1) - 0.5) for q in QUANTILES}
                spread = {name: values[place] for name, place in places.items()}
                about = {"step": step, "split": split, "correct": correct, "figure": name, "unit": units.get(name, "")}
                rows.append(about | {"samples": len(values)} | spread)
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    ends = {name: "that of the row" for name in columns if name.startswith("q")}
    return columns, {"step": units["step"], "correct": "yes or no", "samples": "samples"} | ends


def search_change(table: Arrays, finer: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """How much the median ratios of the on/off split move when the searches may cost four times as much."""
    row: dict[str, Any] = {}
    for way in ("on", "off"):
        before, after = (_ratio(columns, way) for columns in (table, finer))
        change = after / before - 1 if before > 0 and np.isfinite(before) else float("nan")
        row[f"{way}_ratio_change"] = change
        known = "settled" if abs(change) <= SETTLED else "unsettled"
        row[f"{way}_ratio_change_verdict"] = "undefined" if math.isnan(change) else known
    return row


def _ratio(columns: Mapping[str, NDArray[Any]], way: str) -> float:
    free, margin = np.abs(columns["margin_any"]), np.abs(columns[f"margin_{way}"])
    crossed = np.isfinite(free)
    return median(margin[crossed] / free[crossed]) if crossed.any() else float("nan")
