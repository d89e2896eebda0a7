"""The verb `probe`: the package's probes on an image network, on a series of its checkpoints, or on a run."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.errors import UsageError
from dimple.experiment.probing.boundary_speed import SPEED_UNITS, speeds_between
from dimple.experiment.probing.build_probes import Questions
from dimple.experiment.probing.config import CONFIDENCE, SPECTRA, SPEED, TRANSFER, ProbeRequest
from dimple.experiment.probing.network_level import (
    TRANSFER_UNITS,
    WHOLE_UNITS,
    chosen_steps,
    columns_of,
    confidence_figures,
    spectra_of,
    transfer_between,
)
from dimple.experiment.probing.report_images import write_page
from dimple.experiment.probing.saved_images import kept, kept_rows
from dimple.experiment.probing.sources import Subject, load_subject
from dimple.experiment.probing.tables import STEP_UNITS, quantile_table, search_change, step_rows
from dimple.experiment.provenance import add_costs, describe, silent, versions
from dimple.probes import measure
from dimple.protocols import Progress
from dimple.runs import Run
from dimple.runs.atomic_io import write_table
from dimple.stats.aggregate import DRAWS, digest_units
from dimple.tensors import chunks, generator, resolve_device

Arrays = dict[str, NDArray[Any]]
# So many samples tell whether the on/off split would change with more search, and how fast the scores change.
CHECKED = 32
# So many samples are compared between the steps of a series.
COMPARED = 64


def probe(
    request: ProbeRequest,
    out: Path | str,
    *,
    device: str = "auto",
    force: bool = False,
    progress: Progress = silent,
) -> Run:
    """Measure a model's boundary at test images, or at the points of a run; write the table, the summary and a page.

    An interrupted measurement continues with its first unfinished chunk of samples when asked the same again. Every
    step of a series is searched afresh: starting from the boundary points of the step before takes a twentieth of the
    passes, but left one point in ten farther than it is, by up to 15 %.

    Args:
        out: the folder for measurements.parquet, run.json and report.html; for images also pictures.safetensors, at
            most 256 of each split with their perturbations under the last network; for a series also
            quantiles.parquet, and spectra.parquet, speed.parquet and transfer.parquet where these were asked for.

    Returns:
        The finished run; `run.info["summary"]["rows"]` holds figures beside their nulls, one entry a step and split.

    Raises:
        UsageError, DataError, ModelError, RunError, DeviceError: each with one sentence for the user.
    """
    place = resolve_device(device)
    subject = load_subject(request, place, progress)
    _require_series(request, subject)
    info = {
        "name": subject.facts[0][1],
        "facts": subject.facts,
        "classes": subject.classes,
        "seed": request.seed,
        "device": describe(place),
        "versions": versions(),
    }
    asked = dataclasses.asdict(request) | {"contents": subject.contents}
    run = Run.create(out, info, yaml.safe_dump(asked, sort_keys=False), force)
    started = time.perf_counter()
    try:
        measuring = Measuring(request, subject, run, place)
        with progress("probe", len(subject.networks) * measuring.count) as advance:
            tables = [measuring.table(step, network, advance) for step, network in subject.networks]
        *_, (_, last) = subject.networks
        measuring.write(tables, last, progress)
        measuring.write_pictures()
    except KeyboardInterrupt:
        run.info["status"] = "interrupted"
        run.save()
        raise
    run.info["seconds"]["probe"] = round(time.perf_counter() - started, 3)
    write_page(run, subject, measuring.boundary(last), measuring.questions, run.path / "report.html")
    run.drop_parts()
    run.info["status"] = "complete"
    run.save()
    return run


def _require_series(request: ProbeRequest, subject: Subject) -> None:
    """Refuse to compare the steps of a series that has one step only."""
    for kind in (SPEED, TRANSFER):
        if kind in request.probes and len(subject.networks) == 1:
            raise UsageError(
                f"--probe {kind} compares the steps of a series, and {request.checkpoints or request.run} has one; "
                "name more, or leave the probe out"
            )


@final
class Measuring:
    """One network after another at the same samples, chunk by chunk."""

    def __init__(self, request: ProbeRequest, subject: Subject, run: Run, device: torch.device) -> None:
        self.request, self.subject, self.run, self.device = request, subject, run, device
        self.questions = Questions(request, subject, device)
        self.dtype = torch.float64 if subject.images is None and device.type != "mps" else torch.float32
        self.chunk = self.questions.chunk
        self.indices = {
            split: sample_indices(len(subject.samples[split]), request.samples, request.seed, split)
            for split in request.splits
        }

    @property
    def count(self) -> int:
        """How many chunks one network takes."""
        return sum(len(list(chunks(len(indices), self.chunk))) for indices in self.indices.values())

    def table(self, step: int, network: nn.Module, advance: Callable[[], None]) -> Arrays:
        """The columns, and the draws of the nulls, of one network."""
        tables = []
        for split, indices in self.indices.items():
            pieces = []
            for number, part in enumerate(chunks(len(indices), self.chunk)):
                name = f"{step:08d}-{split}-{number:05d}"
                piece = self.run.read_part(name)
                if piece is None:
                    piece = self._piece(network, split, part)
                    self.run.write_part(name, piece)
                    self.run.save()
                pieces.append(piece)
                advance()
            table = _joined(pieces)
            count = len(indices)
            tables.append({"step": np.full(count, step), "split": np.full(count, split)} | table)
        return _joined(tables)

    def boundary(self, network: nn.Module) -> Boundary:
        """The network's boundary within the range of the inputs, on the device."""
        return Boundary(network.to(self.device, self.dtype), self.subject.box)

    def batch(self, split: str, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Some samples of a split and their classes, on the device."""
        x, y = self.subject.samples[split].batch(indices)
        return x.to(self.device, self.dtype), y.to(self.device)

    def _piece(self, network: nn.Module, split: Literal["train", "test"], part: slice) -> Arrays:
        indices = self.indices[split]
        x, y = self.batch(split, indices[part])
        asked = self.questions
        result = measure(self.boundary(network), x, y, asked.probes, asked.tangents, chunk=self.chunk)
        self.run.info["units"] = {"step": self.subject.step_unit} | STEP_UNITS | result.units
        add_costs(self.run.info, dict(zip(asked.kinds, result.costs, strict=True)))
        if self.subject.images is not None:
            # Each network overwrites what the one before it left, so that the last one's remains.
            pictures = kept(indices[part], x, result, kept_rows(len(indices), part, x))
            self.run.write_part(_kept_name(split, part), pictures)
        arrays: Arrays = {"index": indices[part].numpy()}
        arrays |= {name: values.cpu().numpy() for name, values in result.columns.items()}
        return arrays | {n: values.cpu().numpy() for n, values in result.details.items() if n.endswith(DRAWS)}

    def write_pictures(self) -> None:
        """The images that are kept, with the perturbations that the last network needs."""
        arrays: Arrays = {}
        for split, indices in self.indices.items():
            parts = [self.run.read_part(_kept_name(split, part)) for part in chunks(len(indices), self.chunk)]
            if pieces := [piece for piece in parts if piece]:
                arrays |= {f"{split}/{name}": values for name, values in _joined(pieces).items()}
        if arrays:
            self.run.write_pictures(arrays)

    def write(self, tables: list[Arrays], last: nn.Module, progress: Progress) -> None:
        """measurements.parquet, the summary, and the quantiles of a series."""
        names = [name for name in tables[0] if not name.endswith(DRAWS)]
        joined = {name: np.concatenate([table[name] for table in tables]) for name in names}
        units = self.run.info["units"]
        write_table(self.run.path / "measurements.parquet", joined, units)
        rows = step_rows(tables, units)
        rows[-1] |= self._check(tables[-1], last)
        whole = self._whole(tables, rows, progress)
        shown = dict.fromkeys(name for row in rows for name in row)
        self.run.info["summary"] = {
            "rows": rows,
            "units": digest_units(shown, units | STEP_UNITS | WHOLE_UNITS | SPEED_UNITS),
            **whole,
        }
        if len(tables) > 1:
            write_table(self.run.path / "quantiles.parquet", *quantile_table(joined, units))
        self.run.save()

    def _whole(self, tables: list[Arrays], rows: list[dict[str, Any]], progress: Progress) -> dict[str, Any]:
        """What was asked of whole networks: figures go into `rows`, tables are written and handed back."""
        asked, split, found = self.request.probes, self.request.splits[-1], {}
        if CONFIDENCE in asked:
            by_step = {int(table["step"][0]): table for table in tables}
            for row in rows:
                row.update(confidence_figures(by_step[row["step"]], row["split"], self.request.seed))
        if SPECTRA in asked:
            x, _ = self.batch(split, self.indices[split][:CHECKED])
            figures, layers = spectra_of(self.subject.networks, self.boundary, x, self.request.seed)
            for row in rows:
                row.update(figures[row["step"]])
            # A network that calls functions only has no layers to name.
            if layers:
                write_table(self.run.path / "spectra.parquet", columns_of(layers), {"step": self.subject.step_unit})
            found["layers"] = [layer for layer in layers if layer["step"] == rows[-1]["step"]]
        if SPEED in asked:
            shares = self._speeds(rows, len(tables) - 1, progress)
            write_table(self.run.path / "speed.parquet", columns_of(shares), {"step": self.subject.step_unit})
        if TRANSFER in asked:
            x, y = self.batch(split, self.indices[split][:COMPARED])
            kept = chosen_steps([int(table["step"][0]) for table in tables])
            networks = ((step, network) for step, network in self.subject.networks if step in kept)
            found["transfer"] = transfer_between(networks, self.boundary, x, y, self.request.seed)
            write_table(self.run.path / "transfer.parquet", columns_of(found["transfer"]), TRANSFER_UNITS)
        return found

    def _speeds(self, rows: list[dict[str, Any]], pairs: int, progress: Progress) -> list[dict[str, Any]]:
        """How fast the boundary moves at the samples of each split: figures go into its `rows`, the rest comes back."""
        shares, search = [], self.questions.search
        with progress("speed", pairs * len(self.indices)) as advance:
            for split, indices in self.indices.items():
                x, y = self.batch(split, indices[:COMPARED])
                figures, found = speeds_between(self.subject.networks, self.boundary, x, y, search, advance)
                shares += [{"split": split, **share} for share in found]
                for row in rows:
                    if row["split"] == split:
                        row.update(figures.get(row["step"], {}))
        return shares

    def _check(self, table: Arrays, network: nn.Module) -> dict[str, Any]:
        """What more search would change in the on/off split of the last rows."""
        onoff, tangents = self.questions.onoff, self.questions.tangents
        if onoff is None or tangents is None:
            return {}
        split = self.request.splits[-1]
        rows = np.flatnonzero((table["split"] == split) & table["correct"])[:CHECKED]
        if len(rows) == 0:
            return {}
        x, y = self.batch(split, torch.from_numpy(table["index"][rows]))
        finer = onoff.finer(self.boundary(network), x, y, tangents)
        measured = {name: values[rows] for name, values in table.items()}
        return search_change(measured, {name: values.cpu().numpy() for name, values in finer.items()})


def sample_indices(count: int, wanted: int, seed: int, split: str = "test") -> Tensor:
    """Rows of a set of `count`, rising: `wanted` of them without repetition, or all."""
    return torch.randperm(count, generator=generator(seed, f"{split} images"))[:wanted].sort().values


def _kept_name(split: str, part: slice) -> str:
    return f"kept-{split}-{part.start:08d}"


def _joined(pieces: list[Arrays]) -> Arrays:
    """The rows of several pieces, one below the other."""
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
