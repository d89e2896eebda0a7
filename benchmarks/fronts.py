"""Summary of a run of margins.py: rows, ratios, the best distances within each number of passes, and the picture."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

Row = dict[str, Any]
PASS_LIMITS = (5, 10, 15, 25, 40, 100)
HEADING = (
    f"{'case':22} {'norm':5} {'library':13} {'method':28} {'passes':>7} {'10 %':>9} {'median':>9} {'90 %':>9} "
    f"{'mean':>9} {'found':>6} {'seconds':>8}"
)
# The prefix of the methods of dimple that are compared.
SEARCH_PREFIX = "closest("
# A method counts within a limit that it exceeds by this number of passes at most.
PASSES_TOLERANCE = 0.05
MARKERS = {"dimple": "o", "foolbox": "^", "adv-lib": "s", "torchattacks": "D", "autoattack": "v", "art": "P"}
# Percent: the axis is linear up to the first and ends at the second, where all larger values are plotted.
LINEAR_LIMIT = 0.1
MAX_EXCESS = 200.0


def row_name(row: Row) -> str:
    """Return the name of a row: case, norm, library and method."""
    return " ".join(row[key] for key in ("case", "norm", "library", "method"))


def summarize_distances(distances: Tensor) -> Row:
    """Return quantiles, mean and fraction found of the distances `(B,)`; `inf` counts as infinitely far."""
    low, median, high = np.quantile(distances.double().numpy(), (0.1, 0.5, 0.9), method="inverted_cdf")
    return {
        "median": float(median),
        "mean": float(distances.mean()),
        "q10": float(low),
        "q90": float(high),
        "found": float(torch.isfinite(distances).float().mean()),
    }


def format_row(row: Row) -> str:
    """Return the printed line of a row, below `HEADING`."""
    numbers = " ".join(f"{row[key]:9.5f}" for key in ("q10", "median", "q90", "mean"))
    name = f"{row['case']:22} {row['norm']:5} {row['library']:13} {row['method']:28}"
    return f"{name} {row['passes']:7.1f} {numbers} {row['found']:6.3f} {row['seconds']:8.2f}"


def load_rows(path: Path | None) -> tuple[dict[str, Row], dict[str, Tensor]]:
    """Return the rows and the distances of an earlier run by name; both are empty without a file."""
    if path is None or not path.is_file():
        return {}, {}
    with np.load(path.with_suffix(".npz")) as arrays:
        known = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    return {row_name(row): row for row in json.loads(path.read_text(encoding="utf-8"))}, known


def add_ratios(rows: dict[str, Row], known: dict[str, Tensor]) -> None:
    """Add to each row the median of the distance / the smallest known one; `inf` if most were not found."""
    for name, row in rows.items():
        others = [known[other] for other in rows if other.startswith(f"{row['case']} {row['norm']} ")]
        longest = max(len(distances) for distances in others)
        padded = [torch.nn.functional.pad(each, (0, longest - len(each)), value=math.inf) for each in others]
        best = torch.stack(padded).amin(0)[: len(known[name])]
        ratios = torch.where(torch.isfinite(known[name]), known[name] / best, torch.inf)
        row["ratio"] = summarize_distances(ratios)["median"]


def format_table(rows: dict[str, Row], pass_limits: Sequence[int] = PASS_LIMITS) -> str:
    """Return a table with the best methods of dimple and of the other libraries within each number of passes."""
    lines = []
    for case, kind in dict.fromkeys((row["case"], row["norm"]) for row in rows.values()):
        here = [row for row in rows.values() if (row["case"], row["norm"]) == (case, kind)]
        lines.append(f"\n{case}, {kind}: dimple / best peer within the number of passes")
        for max_passes in pass_limits:
            allowed = [row for row in here if row["passes"] <= max_passes + PASSES_TOLERANCE]
            own = [row for row in allowed if row["library"] == "dimple" and row["method"].startswith(SEARCH_PREFIX)]
            peers = [row for row in allowed if row["library"] != "dimple"]
            entries = [_compare_best(statistic, own, peers) for statistic in ("median", "mean", "ratio")]
            lines.append(f"{max_passes:4} passes: " + "; ".join(entries))
    return "\n".join(lines)


def _compare_best(statistic: str, own: list[Row], peers: list[Row]) -> str:
    """Return the smallest value of dimple and that of the other libraries, with the name of its method."""
    dimple = min((row[statistic] for row in own), default=math.inf)
    best = min(peers, key=lambda row: float(row[statistic]), default=None)
    peer = "none" if best is None else f"{best[statistic]:.5f} {best['library']} {best['method']}"
    return f"{statistic} {dimple:.5f} / {peer}"


def draw_fronts(rows: list[Row], path: Path) -> None:
    """Plot the median excess over the smallest known distance of each method against its passes, with the fronts."""
    from matplotlib.figure import Figure

    cases, norms = (list(dict.fromkeys(row[key] for row in rows)) for key in ("case", "norm"))
    figure = Figure(figsize=(3 + 5.2 * len(norms), 0.8 + 4.2 * len(cases)), layout="constrained")
    families = list(dict.fromkeys(_method_family(row) for row in rows if not row["method"].startswith(SEARCH_PREFIX)))
    colors = {family: f"C{number}" for number, family in enumerate(families)}
    for axes, (case, kind) in zip(
        figure.subplots(len(cases), len(norms), squeeze=False).flat, [(c, n) for c in cases for n in norms], strict=True
    ):
        here = [row for row in rows if (row["case"], row["norm"]) == (case, kind)]
        for row in here:
            own = row["library"] == "dimple" and row["method"].startswith(SEARCH_PREFIX)
            color = "black" if own else colors[_method_family(row)]
            size = 7 if own else 5
            axes.plot(
                row["passes"], _excess_percent(row), MARKERS[row["library"]], color=color, markersize=size, alpha=0.85
            )
        for is_peer, style in ((False, "-"), (True, ":")):
            front = _compute_front([row for row in here if (row["library"] != "dimple") == is_peer])
            axes.plot(*front, style, color="gray" if is_peer else "black", drawstyle="steps-post", zorder=0)
        axes.set(title=f"{case}, {kind}", xlabel="passes per image (forward .4, backward .6)")
        axes.set(ylabel="median excess over the smallest known distance, %")
        _set_scales(axes)
    figure.legend(handles=_legend_entries(rows, colors), loc="outside right upper", frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)


def _set_scales(axes: Any) -> None:
    """Set a logarithmic axis of passes, and an axis of excess that is linear below `LINEAR_LIMIT`."""
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=LINEAR_LIMIT, linscale=0.5)
    axes.set_ylim(-0.02, MAX_EXCESS * 1.2)
    axes.set_yticks([0, 0.1, 1, 10, 100], ["0", "0.1", "1", "10", "100"])
    axes.set_xticks([2, 5, 10, 20, 50, 100, 200, 500], ["2", "5", "10", "20", "50", "100", "200", "500"])
    axes.minorticks_off()
    axes.grid(alpha=0.3)


def _method_family(row: Row) -> str:
    """Return the name of a method without its settings: `fab` for `fab(10, rivals=3)`."""
    name: str = row["method"].partition("(")[0].partition(",")[0]
    return name


def _excess_percent(row: Row) -> float:
    return float(np.clip(100 * (row["ratio"] - 1), 0, MAX_EXCESS))


def _compute_front(rows: list[Row]) -> tuple[list[float], list[float]]:
    """Return the passes in ascending order, and the smallest excess within each number of passes."""
    ordered = sorted(rows, key=lambda row: float(row["passes"]))
    return [row["passes"] for row in ordered], np.minimum.accumulate([_excess_percent(row) for row in ordered]).tolist()


def _legend_entries(rows: list[Row], colors: dict[str, str]) -> list[Any]:
    """Return one entry for each method, with the marker of its library."""
    from matplotlib.lines import Line2D

    fronts = [
        Line2D([], [], color="black", label="front of dimple"),
        Line2D([], [], color="gray", linestyle=":", label="front of the peers"),
    ]
    marks = []
    for library, method in dict.fromkeys((row["library"], _method_family(row)) for row in rows):
        color = "black" if library == "dimple" and SEARCH_PREFIX.startswith(method) else colors.get(method, "black")
        marks.append(Line2D([], [], color=color, marker=MARKERS[library], linestyle="", label=f"{library} {method}"))
    return [*fronts, *marks]
