"""A measurement in memory, and the run folder that it writes: tables, summary, images and report."""

import dataclasses
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
import yaml
from torch import Tensor

from dimple.boundary import Boundary
from dimple.boundary.classifier import PreparedClassifier
from dimple.errors import RunError
from dimple.experiment.probing.measurement import Measurement
from dimple.experiment.probing.report_images import free_margin_name, select_extreme_rows
from dimple.experiment.probing.saved_images import Arrays, collect_image_arrays, pixel_range, select_image_rows
from dimple.experiment.probing.tables import SUMMARY_UNITS, quantile_table, summarize_steps
from dimple.experiment.provenance import add_costs, describe_device, own_meanings, probe_names, versions
from dimple.experiment.run import Run
from dimple.probes import Cost, Probe, ProbeResult, run_probes
from dimple.probes.base import batch_limit
from dimple.protocols import Progress, TangentField
from dimple.runs.atomic_io import write_table
from dimple.runs.schema import Record
from dimple.stats.aggregate import aggregate_units
from dimple.stats.cautions import cautions_of_run
from dimple.tensors import Box, apply_in_chunks, chunks, map_chunks
from dimple.views.report.html import run_cost
from dimple.views.report.measurement import PerturbedImage, write_measurement_report

SPLIT = "test"
NUMBER_OF_FILE = "number of the checkpoint"
RECORDED = "dimple.Recorder(...), from Python: the network was recorded in its training"
REPRODUCTION = "dimple.measure(...), from Python: the model was in memory"


@final
@dataclasses.dataclass(frozen=True)
class MeasurementTask:
    """A question to a model: its boundary, samples with labels, probes, tangent spaces and the size of a batch."""

    boundary: Boundary
    x: Tensor
    y: Tensor
    probes: list[Probe]
    tangents: TangentField | None
    batch_size: int

    @property
    def names(self) -> list[str]:
        """The names of the probes."""
        return probe_names(self.probes)


def measure_task(task: MeasurementTask, progress: Progress, run: Run | None = None) -> Measurement:
    """Measure all samples; with a run, keep each finished batch there and continue with the first unfinished one."""
    size = batch_limit(task.probes, task.batch_size)
    batches = list(chunks(len(task.x), size))
    parts: list[ProbeResult] = []
    costs: dict[str, Any] = {}
    with progress("measure", len(batches)) as advance:
        for part in batches:
            result = None if run is None else _read_part(run, part, task.x.device)
            if result is None:
                result = run_probes(
                    task.boundary, task.x[part], task.y[part], task.probes, task.tangents, chunk_size=size
                )
                if run is not None:
                    _write_part(run, part, result)
            add_costs(costs, dict(zip(task.names, result.costs, strict=True)))
            parts.append(result)
            advance()
    joined = ProbeResult.concatenate(parts)
    if run is not None:
        run.info |= costs
    rows = torch.arange(len(task.x))
    passes = {name: Cost(**counts) for name, counts in costs.get("passes", {}).items()}
    return Measurement(joined.columns, joined.units, joined.details, task.x, task.boundary.bounds, passes, rows, run)


def _read_part(run: Run, part: slice, device: torch.device) -> ProbeResult | None:
    entry = run.read_cache_entry(f"{part.start:08d}")
    if entry is None:
        return None
    arrays, about = entry
    tensors = {name: torch.from_numpy(values.copy()).to(device) for name, values in arrays.items()}
    details = {name.removeprefix("details/"): tensors[name] for name in tensors if name.startswith("details/")}
    costs = tuple(Cost(**counts) for counts in about["costs"])
    return ProbeResult({name: tensors[name] for name in about["units"]}, about["units"], details, costs)


def _write_part(run: Run, part: slice, result: ProbeResult) -> None:
    arrays = {name: values.cpu().numpy() for name, values in result.columns.items()}
    arrays |= {f"details/{name}": values.cpu().numpy() for name, values in result.details.items()}
    costs = [dataclasses.asdict(cost) for cost in result.costs]
    run.write_cache(f"{part.start:08d}", arrays, {"units": result.units, "costs": costs})


def describe_task(task: MeasurementTask) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the entries of run.json and the settings of a measurement in memory, with check sums of what it takes."""
    model = task.boundary.model
    name = type(model.model if isinstance(model, PreparedClassifier) else model).__name__
    bounds = task.boundary.bounds
    probes = [
        {"kind": kind} | {field: _plain(value) for field, value in vars(probe).items()}
        for kind, probe in zip(task.names, task.probes, strict=True)
    ]
    field = task.tangents
    scores = apply_in_chunks(task.boundary.scores, task.x, task.batch_size)
    settings = {
        "measured": "in memory",
        "probes": probes,
        "bounds": None if bounds is None else bounds.to_lists(),
        "tangents": None if field is None else type(field).__name__,
        "batch_size": task.batch_size,
        # The scores stand for the model, which may be any function, and the bases for the tangent spaces.
        "checksums": {
            "x": _sha256(task.x),
            "y": _sha256(task.y),
            "scores": _sha256(scores),
            "reference": None if task.boundary.reference is None else _sha256(task.boundary.reference),
            "tangents": None
            if field is None
            else map_chunks(lambda part: _sha256(field.tangent_basis(task.x[part])), len(task.x), task.batch_size),
        },
    }
    info = {
        "name": name,
        "bounds": None if task.boundary.bounds is None else str(task.boundary.bounds),
        "facts": [("model", name), ("samples", f"{len(task.x)} of shape {tuple(task.x.shape[1:])}, given in memory")],
        "classes": [str(number) for number in range(scores.shape[1])],
        "seed": next((probe.seed for probe in task.probes if hasattr(probe, "seed")), 0),
        "device": describe_device(task.x.device),
        "versions": versions(),
    }
    return info, settings


def measure_into_run(task: MeasurementTask, out: Path | str, force: bool, progress: Progress) -> Measurement:
    """Measure all samples into a run folder, which the commands of the program open like one of `dimple probe`.

    Raises:
        RunError: if the folder cannot be written, or holds a finished or another run.
    """
    info, settings = describe_task(task)
    run = Run.create(out, info, yaml.safe_dump(settings, sort_keys=False), force, "config.yaml")
    started = time.perf_counter()
    with run.finishing():
        measurement = measure_task(task, progress, run)
        write_measurements(run, [(0, measurement)])
        run.info["seconds"]["probe"] = round(time.perf_counter() - started, 3)
        run.save()
        write_report_of_measured_run(run, run.path / "report.html")
    return measurement


def _plain(value: Any) -> Any:
    """Return a setting as YAML has it; an object stands for itself only, so that no other one continues its run."""
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    is_plain = value is None or isinstance(value, bool | int | float | str)
    return value if is_plain else f"{type(value).__name__} {id(value)}"


def write_measurements(run: Run, steps: Sequence[tuple[int, Measurement]], step_unit: str = NUMBER_OF_FILE) -> None:
    """Write the measurements of one network or of several steps: measurements.parquet, the summary, and the images.

    Images are those of the last step, where the samples are images; quantiles.parquet is written for several steps.
    """
    tables = [one.to_arrays() | {"step": np.full(len(one), step)} for step, one in steps]
    measurement = steps[-1][1]
    units = {"step": step_unit} | SUMMARY_UNITS | measurement.units
    run.info |= {"units": units, "meanings": own_meanings(units)}
    names = [name for name in tables[0] if name not in measurement.details]
    table = {name: np.concatenate([arrays[name] for arrays in tables]) for name in names}
    write_table(run.path / "measurements.parquet", table, units)
    if len(steps) > 1:
        write_table(run.path / "quantiles.parquet", *quantile_table(table, units))
    rows = summarize_steps(tables, units)
    columns = dict.fromkeys(name for row in rows for name in row)
    run.info["summary"] = {
        "rows": rows,
        "units": aggregate_units(columns, units),
        "cautions": cautions_of_run(rows),
    }
    table = {name: tables[-1][name] for name in names}
    count = len(measurement)
    result = ProbeResult(measurement.table, measurement.units, measurement.details)
    chosen = set(select_image_rows(count, slice(0, count), measurement.x).tolist()) | set(select_extreme_rows(table))
    images = collect_image_arrays(torch.arange(count), measurement.x, result, torch.tensor(sorted(chosen)))
    if images:
        run.write_images({f"{SPLIT}/{name}": values for name, values in images.items()})


def is_measured_in_memory(run: Run) -> bool:
    """Return whether a run was written by `measure`, from a model in memory."""
    return run.settings.get("measured") == "in memory"


def write_report_of_measured_run(run: Run, path: Path) -> Path:
    """Write the page of a run of `measure` or of a recorder, from its tables and the images of its last step."""
    columns, units = run.read_table("measurements")
    last = columns["step"] == columns["step"].max()
    table = {name: values[last] for name, values in columns.items()}
    return write_measurement_report(
        path,
        run.info["name"],
        [*map(tuple, run.info["facts"]), ("bounds of the inputs", _describe_bounds(run))],
        table,
        units | run.info["summary"]["units"],
        run.info["summary"]["rows"],
        _stored_images(run, table),
        quantiles=run.columns("quantiles") if (run.path / "quantiles.parquet").is_file() else None,
        cost=run_cost(run),
        reproduce_command=RECORDED if "recorder" in run.info else REPRODUCTION,
    )


def _describe_bounds(run: Run) -> str:
    bounds = _bounds(run)
    return "none" if bounds is None else str(bounds)


def _bounds(run: Run) -> Box | None:
    bounds = run.settings["bounds"]
    try:
        return None if bounds is None else Box(*bounds)
    except (TypeError, ValueError, OverflowError) as error:
        raise RunError(f"{run.settings_path}: bounds is no pair of low and high ({error})") from None


def _stored_images(run: Run, table: Arrays) -> list[PerturbedImage]:
    """Return the stored images of smallest and of largest margins, with their values scaled to [0, 1]."""
    name = free_margin_name(table)
    if name is None or not run.has_images:
        return []
    stored = run.images()
    images = Record({name.removeprefix(f"{SPLIT}/"): values for name, values in stored.items()}, stored.place)
    low, high = pixel_range(run.settings["bounds"], images["image"])
    span = high - low or 1.0
    place = {int(index): row for row, index in enumerate(images["index"].tolist())}

    def scaled(name: str, row: int) -> Any:
        return images[name][place[row]] / span if name in images else None

    return [
        PerturbedImage(
            index=row,
            label=int(table["label"][row]),
            prediction=int(table["prediction"][row]),
            margin=float(table[name][row]),
            image=(images["image"][place[row]] - low) / span,
            perturbation=scaled("perturbation", row),
            on_manifold=scaled("on_part", row),
            off_manifold=scaled("off_part", row),
            length_unit=span,
        )
        for row in select_extreme_rows(table)
        if row in place
    ]


def _sha256(values: Tensor) -> str:
    return hashlib.sha256(np.ascontiguousarray(values.cpu().numpy()).tobytes()).hexdigest()
