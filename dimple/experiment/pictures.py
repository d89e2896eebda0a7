"""The page of a probe run: distributions, and the images nearest to and farthest from the boundary, taken apart."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.data import Images
from dimple.probes import Measurement, Probe, measure
from dimple.protocols import TangentField
from dimple.runs import Run
from dimple.runs.files import read_table
from dimple.views.probe_report import ProbePicture, write_probe_report

SHOWN = 4


def write_page(
    run: Run,
    images: Images,
    network: nn.Module,
    probes: list[Probe],
    tangents: TangentField | None,
    device: torch.device,
) -> None:
    """report.html of the last measured network, from measurements.parquet and the run's summary."""
    table, units = read_table(run.path / "measurements.parquet")
    last = {name: values[table["step"] == table["step"].max()] for name, values in table.items()}
    facts = [
        ("model", run.info["name"]),
        ("weights", run.info["weights"]),
        ("data", images.source),
        ("seed", str(run.info["seed"])),
        ("device", run.info["device"]),
        ("made with", ", ".join(f"{name} {text}" for name, text in run.info["versions"].items())),
    ]
    shown = extreme_rows(last)
    pictures: list[ProbePicture] = []
    if shown:
        indices = torch.from_numpy(last["index"][shown].astype(np.int64))
        x, y = images.batch(indices)
        boundary = Boundary(network.to(device), images.box)
        result = measure(boundary, x.to(device), y.to(device), probes, tangents)
        pictures = probe_pictures(images, indices, x, result)
    write_probe_report(
        run.path / "report.html", run.info["name"], facts, last, units, run.info["summary"]["rows"], pictures
    )


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
