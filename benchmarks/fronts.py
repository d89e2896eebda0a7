"""What a run of margins.py adds up to: rows and ratios, the table of fronts at each budget, and the picture."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

Row = dict[str, Any]
BUDGETS = (5, 10, 15, 25, 40, 100)
HEADING = (
    f"{'case':22} {'norm':5} {'library':13} {'method':28} {'passes':>7} {'10 %':>9} {'median':>9} {'90 %':>9} "
    f"{'mean':>9} {'found':>6} {'seconds':>8}"
)
# The rows of ours that the bars are about, and how far a method may overspend and still count for a budget.
OURS, ROUNDING = "closest(", 0.05
MARKERS = {"dimple": "o", "foolbox": "^", "adv-lib": "s", "torchattacks": "D"}
# Percent: the axis is linear up to the first, and ends at the second, where whatever is worse stands.
LINEAR, WORST = 0.1, 200.0


def name_of(row: Row) -> str:
    """What tells a row from all others: case, norm, library and method."""
    return " ".join(row[key] for key in ("case", "norm", "library", "method"))


def figures(distances: Tensor) -> Row:
    """Quantiles, mean and share found of the distances `(B,)`; `inf` where none was found counts."""
    low, median, high = np.quantile(distances.double().numpy(), (0.1, 0.5, 0.9), method="inverted_cdf")
    return {
        "median": float(median),
        "mean": float(distances.mean()),
        "q10": float(low),
        "q90": float(high),
        "found": float(torch.isfinite(distances).float().mean()),
    }


def line_of(row: Row) -> str:
    """A row as it is printed under `HEADING`."""
    numbers = " ".join(f"{row[key]:9.5f}" for key in ("q10", "median", "q90", "mean"))
    what = f"{row['case']:22} {row['norm']:5} {row['library']:13} {row['method']:28}"
    return f"{what} {row['passes']:7.1f} {numbers} {row['found']:6.3f} {row['seconds']:8.2f}"


def stored(path: Path | None) -> tuple[dict[str, Row], dict[str, Tensor]]:
    """The rows and the distances that an earlier run left, by name."""
    if path is None or not path.is_file():
        return {}, {}
    with np.load(path.with_suffix(".npz")) as arrays:
        known = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    return {name_of(row): row for row in json.loads(path.read_text(encoding="utf-8"))}, known


def add_ratios(rows: dict[str, Row], known: dict[str, Tensor]) -> None:
    """Put the median of distance over nearest known distance into every row; `inf` where most were not found."""
    for name, row in rows.items():
        rivals = [known[other] for other in rows if other.startswith(f"{row['case']} {row['norm']} ")]
        most = max(len(distances) for distances in rivals)
        padded = [torch.nn.functional.pad(each, (0, most - len(each)), value=math.inf) for each in rivals]
        best = torch.stack(padded).amin(0)[: len(known[name])]
        ratios = torch.where(torch.isfinite(known[name]), known[name] / best, torch.inf)
        row["ratio"] = figures(ratios)["median"]


def table(rows: dict[str, Row]) -> str:
    """At each budget ours beside the best that any peer reaches with as many passes or fewer, figure by figure."""
    lines = []
    for case, kind in dict.fromkeys((row["case"], row["norm"]) for row in rows.values()):
        here = [row for row in rows.values() if (row["case"], row["norm"]) == (case, kind)]
        lines.append(f"\n{case}, {kind}: ours / best peer within the budget")
        for budget in BUDGETS:
            paid = [row for row in here if row["passes"] <= budget + ROUNDING]
            own = [row for row in paid if row["library"] == "dimple" and row["method"].startswith(OURS)]
            peers = [row for row in paid if row["library"] != "dimple"]
            parts = [_beside(figure, own, peers) for figure in ("median", "mean", "ratio")]
            lines.append(f"{budget:4} passes: " + "; ".join(parts))
    return "\n".join(lines)


def _beside(figure: str, own: list[Row], peers: list[Row]) -> str:
    """The smallest of one figure among ours, and among the peers' with whose it is."""
    ours = min((row[figure] for row in own), default=math.inf)
    best = min(peers, key=lambda row: float(row[figure]), default=None)
    theirs = "none" if best is None else f"{best[figure]:.5f} {best['library']} {best['method']}"
    return f"{figure} {ours:.5f} / {theirs}"


def draw(rows: list[Row], path: Path) -> None:
    """How far above the nearest known distance each method's median lies, against its passes; the fronts as lines."""
    from matplotlib.figure import Figure

    cases, norms = (list(dict.fromkeys(row[key] for row in rows)) for key in ("case", "norm"))
    figure = Figure(figsize=(3 + 5.2 * len(norms), 0.8 + 4.2 * len(cases)), layout="constrained")
    families = list(dict.fromkeys(_family(row) for row in rows if not row["method"].startswith(OURS)))
    colours = {family: f"C{number}" for number, family in enumerate(families)}
    for axes, (case, kind) in zip(
        figure.subplots(len(cases), len(norms), squeeze=False).flat, [(c, n) for c in cases for n in norms], strict=True
    ):
        here = [row for row in rows if (row["case"], row["norm"]) == (case, kind)]
        for row in here:
            own = row["library"] == "dimple" and row["method"].startswith(OURS)
            colour, size = ("black", 7) if own else (colours[_family(row)], 5)
            axes.plot(row["passes"], _excess(row), MARKERS[row["library"]], color=colour, markersize=size, alpha=0.85)
        for peer, style in ((False, "-"), (True, ":")):
            front = _front([row for row in here if (row["library"] != "dimple") == peer])
            axes.plot(*front, style, color="black" if not peer else "grey", drawstyle="steps-post", zorder=0)
        axes.set(title=f"{case}, {kind}", xlabel="passes per image (forward .4, backward .6)")
        axes.set(ylabel="median excess over the nearest known distance, %")
        _scale(axes)
    figure.legend(handles=_legend(rows, colours), loc="outside right upper", frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)


def _scale(axes: Any) -> None:
    """Passes on a logarithm; excess linear up to a tenth of a percent, logarithmic above."""
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=LINEAR, linscale=0.5)
    axes.set_ylim(-0.02, WORST * 1.2)
    axes.set_yticks([0, 0.1, 1, 10, 100], ["0", "0.1", "1", "10", "100"])
    axes.set_xticks([2, 5, 10, 20, 50, 100, 200, 500], ["2", "5", "10", "20", "50", "100", "200", "500"])
    axes.minorticks_off()
    axes.grid(alpha=0.3)


def _family(row: Row) -> str:
    """`fab` for `fab(10, rivals=3)`."""
    name: str = row["method"].partition("(")[0].partition(",")[0]
    return name


def _excess(row: Row) -> float:
    return float(np.clip(100 * (row["ratio"] - 1), 0, WORST))


def _front(rows: list[Row]) -> tuple[list[float], list[float]]:
    """The corners of the best excess that as many passes reach."""
    ordered = sorted(rows, key=lambda row: float(row["passes"]))
    return [row["passes"] for row in ordered], np.minimum.accumulate([_excess(row) for row in ordered]).tolist()


def _legend(rows: list[Row], colours: dict[str, str]) -> list[Any]:
    """A line for each search, under the mark of its library."""
    from matplotlib.lines import Line2D

    fronts = [
        Line2D([], [], color="black", label="front of dimple"),
        Line2D([], [], color="grey", linestyle=":", label="front of the peers"),
    ]
    marks = []
    for library, method in dict.fromkeys((row["library"], _family(row)) for row in rows):
        colour = "black" if library == "dimple" and OURS.startswith(method) else colours.get(method, "black")
        marks.append(Line2D([], [], color=colour, marker=MARKERS[library], linestyle="", label=f"{library} {method}"))
    return [*fronts, *marks]
