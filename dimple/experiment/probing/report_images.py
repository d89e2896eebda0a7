"""The page of a probe run: distributions, and the images nearest to and farthest from the boundary, taken apart."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dimple.boundary import Boundary
from dimple.data import Images
from dimple.experiment.probing.build_probes import Questions
from dimple.experiment.probing.network_level import layer_grid, transfer_grids
from dimple.experiment.probing.sources import Subject
from dimple.probes import Measurement, measure
from dimple.runs import Run
from dimple.runs.atomic_io import read_table
from dimple.stats.null_bands import held
from dimple.views.report.html import cost_of
from dimple.views.report.measurement import ProbePicture, write_probe_report

SHOWN = 4


def write_page(run: Run, subject: Subject, boundary: Boundary, asked: Questions, path: Path) -> None:
    """The page of the last measured network, and of the way to it, from the tables and the run's summary."""
    table, units = read_table(run.path / "measurements.parquet")
    last = {name: values[table["step"] == table["step"].max()] for name, values in table.items()}
    draws = asked.request.draws
    series = run.path / "quantiles.parquet"
    facts = [
        *subject.facts,
        ("draws of each null", f"{draws}; their band holds {held(draws):.0%} of further ones"),
        ("seed", str(run.info["seed"])),
    ]
    write_probe_report(
        path,
        run.info["name"],
        facts,
        last,
        units | run.info["summary"]["units"],
        run.info["summary"]["rows"],
        _pictures(last, subject, boundary, asked),
        quantiles=read_table(series)[0] if series.exists() else {},
        grids=_grids(run.info["summary"]),
        cost=cost_of(run),
        reproduce=asked.request.command,
    )


def _grids(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """What was found of whole networks, as tables."""
    layers = [layer_grid(summary["layers"])] if summary.get("layers") else []
    return [*transfer_grids(summary.get("transfer", [])), *layers]


def _pictures(
    last: dict[str, NDArray[Any]], subject: Subject, boundary: Boundary, asked: Questions
) -> list[ProbePicture]:
    """The images to show, of the last split; none where samples are points, or no probe finds a perturbation."""
    split = str(last["split"][-1])
    images, chosen = subject.samples[split], {name: values[last["split"] == split] for name, values in last.items()}
    shown = extreme_rows(chosen)
    if not shown or not asked.for_pictures or not isinstance(images, Images):
        return []
    indices = torch.from_numpy(chosen["index"][shown].astype(np.int64))
    x, y = images.batch(indices)
    result = measure(boundary, x.to(asked.device), y.to(asked.device), asked.for_pictures, asked.tangents)
    return probe_pictures(images, indices, x, result)


def extreme_rows(table: dict[str, NDArray[Any]]) -> list[int]:
    """The rows of the correctly classified images with the least and with the largest margins, rising."""
    name = "margin" if "margin" in table else "margin_any"
    if name not in table:
        return []
    good = np.flatnonzero(table["correct"] & np.isfinite(table[name]))
    ordered = good[np.argsort(table[name][good], kind="stable")]
    return [int(row) for row in dict.fromkeys([*ordered[:SHOWN], *ordered[-SHOWN:]])]


def probe_pictures(images: Images, indices: Tensor, x: Tensor, result: Measurement) -> list[ProbePicture]:
    """Each image with the shortest step to the boundary and, where the tangents are known, its two parts."""
    columns = {name: values.cpu() for name, values in result.columns.items()}
    details = {name: values.cpu() for name, values in result.details.items()}
    on_part, off_part = details.get("on_part"), details.get("off_part")
    parts = [part for part in (on_part, off_part) if part is not None]
    step = torch.stack(parts).sum(0) if parts else details["boundary_point"] - x
    margin = columns["margin" if "margin" in columns else "margin_any"]
    return [
        ProbePicture(
            index=int(indices[row]),
            label=images.classes[int(columns["label"][row])],
            prediction=images.classes[int(columns["prediction"][row])],
            margin=float(margin[row]),
            image=x[row].numpy(),
            perturbation=step[row].numpy(),
            on_part=None if on_part is None else on_part[row].numpy(),
            off_part=None if off_part is None else off_part[row].numpy(),
        )
        for row in range(len(indices))
    ]
