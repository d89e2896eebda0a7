"""What is asked of whole networks rather than of samples: calibration, spectra, and transfer between the steps."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.probes import confidence_row, spectra, transfer
from dimple.probes.transfer import boundary_points

Arrays = dict[str, NDArray[Any]]
Row = dict[str, Any]
# The mean change of a pixel to which perturbations are also amplified before they are fed to other networks.
AMPLIFIED = 0.1
# So many steps of a series, spread evenly, are fed to each other.
TRANSFER_STEPS = 6
WHOLE_UNITS = {
    **{f"calibration_error{kind}": "share" for kind in ("", "_adaptive")},
    **{f"confidence_rank_correlation{part}": "Spearman's coefficient" for part in ("", "_correct", "_wrong")},
    "lipschitz_bound": "scores per input unit",
    "lipschitz_met": "scores per input unit",
    "lipschitz_ratio": "bound over what was met",
}
TRANSFER_UNITS = {
    "samples": "samples",
    **dict.fromkeys(("error", "error_null", "error_null_low", "error_null_high"), "share"),
    **dict.fromkeys(("rms", "null_rms"), "root mean square a coordinate"),
}


def confidence_figures(table: Arrays, split: str, seed: int) -> Row:
    """Calibration of one split, and how confidence follows the margin where that was measured."""
    mine = {name: values[table["split"] == split] for name, values in table.items()}
    margin = next((mine[name] for name in ("margin", "margin_any") if name in mine), None)
    distance = None if margin is None else torch.from_numpy(margin)
    confidence, correct = (torch.from_numpy(mine[name]) for name in ("confidence", "correct"))
    return confidence_row(confidence, correct, distance, seed=seed)


def spectra_of(
    networks: Iterable[tuple[int, nn.Module]], boundary: Callable[[nn.Module], Boundary], x: Tensor, seed: int
) -> tuple[dict[int, Row], list[Row]]:
    """The bound on how fast the scores change and what was met, by step; and a row a layer and step."""
    figures, layers = {}, []
    for step, network in networks:
        found = spectra(boundary(network), x, seed=seed)
        figures[step] = {
            "lipschitz_bound": found.bound,
            "lipschitz_met": found.lipschitz,
            "lipschitz_ratio": found.ratio,
        }
        layers += [{"step": step, **row} for row in found.rows()]
    return figures, layers


def transfer_between(
    networks: Iterable[tuple[int, nn.Module]],
    boundary: Callable[[nn.Module], Boundary],
    x: Tensor,
    y: Tensor,
    seed: int,
) -> list[Row]:
    """Each chosen step's boundary points fed to each other: a row a pair, at native size and, in a box, amplified."""
    boundaries = {str(step): boundary(network) for step, network in networks}
    points = boundary_points(boundaries, x)
    boxed = all(one.box is not None for one in boundaries.values())
    rows: list[Row] = []
    for size in (None, AMPLIFIED) if boxed else (None,):
        found = transfer(boundaries, x, y, points, rms=size, seed=seed)
        rows += [{"size": "native" if size is None else f"rms {size:g}", **row} for row in found.rows()]
    return rows


def chosen_steps(steps: Sequence[int]) -> list[int]:
    """At most `TRANSFER_STEPS` of the steps, first and last among them."""
    places = np.linspace(0, len(steps) - 1, min(len(steps), TRANSFER_STEPS)).round().astype(int)
    return [steps[place] for place in dict.fromkeys(places.tolist())]


def columns_of(rows: Sequence[Row]) -> Arrays:
    """The rows as columns of a table."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def transfer_grids(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as one table a size: who was fooled by whose boundary points, each share beside that of noise."""
    grids = []
    for size in dict.fromkeys(row["size"] for row in rows):
        mine = {(row["made_for"], row["fed_to"]): row for row in rows if row["size"] == size}
        steps = list(dict.fromkeys(source for source, _ in mine))
        lines = [[f"step {source}", *(_pair(mine[source, to]) for to in steps)] for source in steps]
        title = f"Transfer between steps, {size} size" if size == "native" else f"Transfer between steps, {size}"
        note = (
            "The share of samples whose boundary point, made for the step of the row, changes the class that the step "
        )
        note += "of the column gives; in brackets the same for Gaussian noise of equal size."
        grids.append(
            {"title": title, "note": note, "heads": ["made for", *(f"step {s}" for s in steps)], "lines": lines}
        )
    return grids


def _pair(row: Row) -> str:
    return f"{row['error']:.2f} ({row['error_null']:.2f})" if row["samples"] else "no sample"


def layer_grid(layers: Sequence[Row]) -> dict[str, Any]:
    """The layers of one network as a table."""
    figures = ("norm", "norm_null", "frobenius", "stable_rank")
    lines = [[layer["name"], layer["kind"], *(_figure(layer[name]) for name in figures)] for layer in layers]
    note = "Each layer's largest singular value, the same when its weights are shuffled, and how many singular values "
    note += "there would be if all were as large as the largest."
    heads = ["layer", "kind", "norm", "null", "Frobenius norm", "stable rank"]
    return {"title": "The layers", "note": note, "heads": heads, "lines": lines}


def _figure(value: float | None) -> str:
    """Three digits; nothing where a layer has none, which is nan, or None in a run that was read."""
    return "" if value is None or math.isnan(value) else f"{value:.3g}"
