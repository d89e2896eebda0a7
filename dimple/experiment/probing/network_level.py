"""Measures of the full network rather than of samples: calibration, spectra, and transfer between the steps."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.probes import confidence_summary, spectra, transfer
from dimple.probes.transfer import find_boundary_points
from dimple.views.content.labels import format_number

Arrays = dict[str, NDArray[Any]]
Row = dict[str, Any]
# Root mean square per pixel to which perturbations are scaled too before the other networks classify them.
AMPLIFIED_RMS = 0.1
# The transfer is measured between at most this many steps of a series, spread evenly.
MAX_TRANSFER_STEPS = 6
NETWORK_UNITS = {
    **{f"calibration_error{kind}": "fraction" for kind in ("", "_adaptive")},
    **{f"spearman_confidence_margin{part}": "Spearman's coefficient" for part in ("", "_correct", "_wrong")},
    "lipschitz_upper_bound": "scores per input unit",
    "lipschitz_lower_bound": "scores per input unit",
    "lipschitz_ratio": "upper bound / lower bound",
}
TRANSFER_UNITS = {
    "samples": "samples",
    **{f"{name}{end}": "fraction" for name in ("error", "noise_error") for end in ("", "_low", "_high")},
    **dict.fromkeys(("rms", "noise_rms"), "root mean square per coordinate"),
}


def compute_confidence_statistics(table: Arrays, split: str, seed: int) -> Row:
    """Return the calibration on one split, and the correlation of confidence and margin where there is a margin.

    Samples without a label, whose prediction counts as correct, are left out.
    """
    chosen = (table["split"] == split) & (table["label"] >= 0)
    columns = {name: values[chosen] for name, values in table.items()}
    margin = next((columns[name] for name in ("margin", "margin_unbounded") if name in columns), None)
    distance = None if margin is None else torch.from_numpy(margin)
    confidence, correct = (torch.from_numpy(columns[name]) for name in ("confidence", "correct"))
    return confidence_summary(confidence, correct, distance, seed=seed)


def compute_spectra(
    networks: Iterable[tuple[int, nn.Module]], make_boundary: Callable[[nn.Module], Boundary], x: Tensor, seed: int
) -> tuple[dict[int, Row], list[Row]]:
    """Bound how fast the scores of each network can change.

    Returns:
        The upper and the lower bound of the Lipschitz constant, and their ratio, by step; and one row for each layer
        and step.
    """
    statistics: dict[int, Row] = {}
    layers: list[Row] = []
    for step, network in networks:
        found = spectra(make_boundary(network), x, seed=seed)
        statistics[step] = {
            "lipschitz_upper_bound": found.lipschitz_upper_bound,
            "lipschitz_lower_bound": found.lipschitz_lower_bound,
            "lipschitz_ratio": found.ratio,
        }
        layers += [{"step": step, **row} for row in found.rows()]
    return statistics, layers


def compute_transfer(
    networks: Iterable[tuple[int, nn.Module]],
    make_boundary: Callable[[nn.Module], Boundary],
    x: Tensor,
    y: Tensor,
    seed: int,
) -> list[Row]:
    """Measure the error of every network at the boundary points of every other one.

    Returns:
        One row for each pair of steps: with perturbations of their own length and, where the inputs have bounds, also
        with perturbations scaled to `AMPLIFIED_RMS`.
    """
    boundaries = {str(step): make_boundary(network) for step, network in networks}
    points = find_boundary_points(boundaries, x)
    has_bounds = all(boundary.bounds is not None for boundary in boundaries.values())
    rows: list[Row] = []
    for rms in (None, AMPLIFIED_RMS) if has_bounds else (None,):
        found = transfer(boundaries, x, y, points, rms=rms, seed=seed)
        rows += [{"size": "native" if rms is None else f"rms {rms:g}", **row} for row in found.rows()]
    return rows


def select_steps(steps: Sequence[int]) -> list[int]:
    """Return at most `MAX_TRANSFER_STEPS` of the steps, evenly spread, the first and the last among them."""
    positions = np.linspace(0, len(steps) - 1, min(len(steps), MAX_TRANSFER_STEPS)).round().astype(int)
    return [steps[position] for position in dict.fromkeys(positions.tolist())]


def to_columns(rows: Sequence[Row]) -> Arrays:
    """Return rows with the same keys as the columns of a table."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def transfer_tables(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return one table for each size of the perturbations: source steps by target steps, error and error of noise."""
    tables = []
    for size in dict.fromkeys(row["size"] for row in rows):
        by_pair = {(row["source_model"], row["target_model"]): row for row in rows if row["size"] == size}
        steps = list(dict.fromkeys(source for source, _ in by_pair))
        lines = [[f"step {source}", *(_format_error(by_pair[source, target]) for target in steps)] for source in steps]
        scale = "of their own length" if size == "native" else f"scaled to {size.removeprefix('rms ')} per pixel"
        note = (
            "The fraction of samples that the network of the column misclassifies with the perturbations found for the "
            "network of the row, with its 95 % interval; then the same for Gaussian noise of the same size."
        )
        heads = ["perturbations of", *(f"step {step}" for step in steps)]
        title = f"Transfer between steps, perturbations {scale}"
        tables.append({"title": title, "note": note, "heads": heads, "lines": lines})
    return tables


def _format_error(row: Row) -> str:
    if not row["samples"]:
        return "no sample"
    interval = f" ({row['error_low']:.2f} to {row['error_high']:.2f})" if "error_low" in row else ""
    return f"{row['error']:.2f}{interval}, noise {row['noise_error']:.2f}, {row['samples']} samples"


def layer_table(layers: Sequence[Row]) -> dict[str, Any]:
    """Return the spectra of the layers of one network as a table."""
    names = ("norm", "norm_null", "frobenius", "stable_rank")
    lines = [[layer["name"], layer["kind"], *(_format_norm(layer[name]) for name in names)] for layer in layers]
    note = (
        "The largest singular value of each layer, the same after its weights were shuffled (null), and the stable "
        "rank: how many singular values as large as the largest would give the same Frobenius norm."
    )
    heads = ["layer", "kind", "norm", "null", "Frobenius norm", "stable rank"]
    return {"title": "Layers", "note": note, "heads": heads, "lines": lines}


def _format_norm(value: float | None) -> str:
    """Return a number, empty where a layer has no such value: nan, or None in a run that was read."""
    return "" if value is None or math.isnan(value) else format_number(value)
