"""Report page of a measurement, with the images of the smallest and of the largest margins and their perturbations."""

from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dimple.boundary import Boundary
from dimple.data import Images
from dimple.experiment.probing.build_probes import ProbeBuilder
from dimple.experiment.probing.network_level import layer_table, transfer_tables
from dimple.experiment.probing.saved_images import pixel_range
from dimple.experiment.probing.sources import Sources
from dimple.experiment.run import Run
from dimple.probes import ProbeResult, run_probes
from dimple.stats.null_bands import interval_coverage
from dimple.views.report.html import run_cost
from dimple.views.report.measurement import PerturbedImage, write_measurement_report

EXTREMES_PER_END = 4


def write_report_page(run: Run, sources: Sources, boundary: Boundary, probe_builder: ProbeBuilder, path: Path) -> None:
    """Write the page about the last measured network and the steps before it, from the tables and the run's summary."""
    table, units = run.read_table("measurements")
    last = {name: values[table["step"] == table["step"].max()] for name, values in table.items()}
    null_draws = probe_builder.config.null_draws
    quantiles_file = run.path / "quantiles.parquet"
    facts = [
        *sources.facts,
        ("random subspaces", f"{null_draws}; their band holds {interval_coverage(null_draws):.0%} of further ones"),
        ("seed", str(run.info["seed"])),
    ]
    write_measurement_report(
        path,
        run.info["name"],
        facts,
        last,
        units | run.info["summary"]["units"],
        run.info["summary"]["rows"],
        _report_images(last, sources, boundary, probe_builder),
        quantiles=run.read_table("quantiles")[0] if quantiles_file.exists() else {},
        tables=_network_tables(run.info["summary"]),
        cost=run_cost(run),
        reproduce_command=probe_builder.config.command,
        levels=run.info.get("pixel_levels"),
    )


def _network_tables(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the tables about the full network."""
    layers = [layer_table(summary["layers"])] if summary.get("layers") else []
    return [*transfer_tables(summary.get("transfer", [])), *layers]


def _report_images(
    table: dict[str, NDArray[Any]], sources: Sources, boundary: Boundary, probe_builder: ProbeBuilder
) -> list[PerturbedImage]:
    """Return the images of the last split to show; none if the samples are points or no probe gives perturbations."""
    split = str(table["split"][-1])
    images = sources.samples[split]
    columns = {name: values[table["split"] == split] for name, values in table.items()}
    rows = select_extreme_rows(columns)
    if not rows or not probe_builder.image_probes or not isinstance(images, Images):
        return []
    indices = torch.from_numpy(columns["index"][rows].astype(np.int64))
    x, y = images.batch(indices)
    result = run_probes(
        boundary,
        x.to(probe_builder.device),
        y.to(probe_builder.device),
        probe_builder.image_probes,
        probe_builder.tangents,
    )
    low, high = pixel_range(probe_builder.config.bounds, x.numpy())
    return build_perturbed_images(images, indices, x, result, low, high)


def select_extreme_rows(table: dict[str, NDArray[Any]]) -> list[int]:
    """Return the rows of the correctly classified images with the smallest and with the largest margins, rising."""
    name = free_margin_name(table)
    if name is None or "correct" not in table:
        return []
    candidates = np.flatnonzero(table["correct"] & np.isfinite(table[name]))
    ordered = candidates[np.argsort(table[name][candidates], kind="stable")]
    return [int(row) for row in dict.fromkeys([*ordered[:EXTREMES_PER_END], *ordered[-EXTREMES_PER_END:]])]


def free_margin_name(columns: Container[str]) -> str | None:
    """Return the column of the margins in all directions, within bounds where these are measured; None without one."""
    return next((name for name in ("margin", "margin_unbounded") if name in columns), None)


def build_perturbed_images(
    images: Images, indices: Tensor, x: Tensor, result: ProbeResult, low: float, high: float
) -> list[PerturbedImage]:
    """Return each image with its shortest perturbation and, where the tangents are known, the two parts of it.

    Pixels are shown from black at `low` to white at `high`.
    """
    span = high - low or 1.0
    columns = {name: values.cpu() for name, values in result.columns.items()}
    details = {name: values.cpu() for name, values in result.details.items()}
    on_part = details.get("on_part")
    off_part = details.get("off_part")
    parts = [part for part in (on_part, off_part) if part is not None]
    perturbation = torch.stack(parts).sum(0) if parts else details["boundary_point"] - x
    name = free_margin_name(columns)
    assert name is not None
    margin = columns[name]
    return [
        PerturbedImage(
            index=int(indices[row]),
            label=images.classes[int(columns["label"][row])],
            prediction=images.classes[int(columns["prediction"][row])],
            margin=float(margin[row]),
            image=(x[row].numpy() - low) / span,
            perturbation=perturbation[row].numpy() / span,
            on_manifold=None if on_part is None else on_part[row].numpy() / span,
            off_manifold=None if off_part is None else off_part[row].numpy() / span,
            length_unit=span,
        )
        for row in range(len(indices))
    ]
