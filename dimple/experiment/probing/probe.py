"""The verb `probe`: measurement of an image network, of a series of its checkpoints, or of a run."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.errors import UsageError
from dimple.experiment.probing.boundary_speed import SPEED_UNITS, measure_speeds
from dimple.experiment.probing.build_probes import ProbeBuilder
from dimple.experiment.probing.check_inputs import check_inputs
from dimple.experiment.probing.config import CONFIDENCE, SPECTRA, SPEED, TRANSFER, ProbeConfig
from dimple.experiment.probing.estimate import estimate_work
from dimple.experiment.probing.network_level import (
    NETWORK_UNITS,
    TRANSFER_UNITS,
    compute_confidence_statistics,
    compute_spectra,
    compute_transfer,
    select_steps,
    to_columns,
)
from dimple.experiment.probing.report_images import write_report_page
from dimple.experiment.probing.sample_choice import choose_samples
from dimple.experiment.probing.saved_images import collect_image_arrays, select_image_rows
from dimple.experiment.probing.sources import Sources, load_sources
from dimple.experiment.probing.speed_along import (
    directions_along,
    make_losses,
    measure_speeds_along,
    split_samples,
)
from dimple.experiment.probing.tables import SUMMARY_UNITS, compute_ratio_change, quantile_table, summarize_steps
from dimple.experiment.provenance import add_costs, describe_device, versions
from dimple.experiment.run import Run
from dimple.probes import Cost, run_probes
from dimple.progress import SHORT_STAGE_SECONDS, announce, show_progress
from dimple.protocols import Progress
from dimple.runs.atomic_io import write_table
from dimple.stats.aggregate import DRAWS_SUFFIX, aggregate_units
from dimple.tensors import chunks, resolve_device, run_eagerly

Arrays = dict[str, NDArray[Any]]
# Samples that suffice to see whether more search changes the ratios on and off the manifold, and to bound the speed of
# the scores from below.
MAX_CHECKED_SAMPLES = 32
# Samples at which the steps of a series are compared with each other.
MAX_COMPARED_SAMPLES = 64


def probe(
    config: ProbeConfig,
    out: Path | str,
    *,
    device: str = "auto",
    force: bool = False,
    progress: Progress = show_progress,
) -> Run:
    """Measure the boundary of a model at images, or of a run at its points; write tables, a summary and a page.

    An interrupted measurement continues with its first unfinished chunk of samples when it is started with the same
    settings and the same folder. Every step of a series is searched from the beginning: a start from the boundary
    points of the step before takes a twentieth of the passes, but left one point in ten up to 15 % too far away.

    Args:
        out: the folder for measurements.parquet, run.json and report.html; for images also images.safetensors, with at
            most 256 images of each split and their perturbations under the last network; for a series also
            quantiles.parquet; and spectra.parquet, speed.parquet and transfer.parquet where the probes of these names
            are chosen.
        device: `auto`, `cpu`, `cuda` or `mps`.
        force: replace a run that is already in the folder.

    Returns:
        The finished run; `run.info["summary"]["rows"]` holds the statistics and their nulls, one entry for each step
        and split.

    Raises:
        UsageError, DataError, ModelError, RunError, DeviceError: with one sentence for the user.
    """
    check_inputs(config, out, device, force)
    torch_device = resolve_device(device)
    sources = load_sources(config, torch_device, progress)
    _require_series(config, sources)
    # A network that is compiled somewhere is known as such only now that its code is imported.
    with run_eagerly():
        return _measure_sources(config, sources, out, torch_device, force, progress)


def _measure_sources(
    config: ProbeConfig, sources: Sources, out: Path | str, device: torch.device, force: bool, progress: Progress
) -> Run:
    indices = choose_samples(config, sources, device)
    info = {
        "name": sources.facts[0][1],
        "facts": sources.facts,
        "classes": sources.classes,
        "seed": config.seed,
        "bounds": None if sources.bounds is None else str(sources.bounds),
        "pixel_levels": sources.pixel_levels,
        "device": describe_device(device),
        "versions": versions(),
    }
    settings = dataclasses.asdict(config) | {"checksums": sources.checksums}
    run = Run.create(out, info, yaml.safe_dump(settings, sort_keys=False), force, "config.yaml")
    started = time.perf_counter()
    with run.finishing():
        runner = ProbeRunner(config, sources, indices, run, device)
        if progress is show_progress:
            _, network = next(iter(sources.networks))
            boundary = runner.make_boundary(network)
            work = estimate_work(config, sources, runner.probe_builder, boundary, indices)
            if work.seconds >= SHORT_STAGE_SECONDS:
                announce("probe", str(work))
        with progress("probe", len(sources.networks) * runner.chunk_count) as advance:
            tables = [runner.measure_network(step, network, advance) for step, network in sources.networks]
        *_, (_, last_network) = sources.networks
        runner.write_tables(tables, last_network, progress)
        runner.write_images()
        run.info["seconds"]["probe"] = round(time.perf_counter() - started, 3)
        boundary = runner.make_boundary(last_network)
        write_report_page(run, sources, boundary, runner.probe_builder, run.path / "report.html")
    return run


def _require_series(config: ProbeConfig, sources: Sources) -> None:
    """Refuse probes that compare the steps of a series where the series has only one step."""
    for kind in config.series_probes:
        if len(sources.networks) == 1:
            raise UsageError(
                f"--probe {kind} compares the steps of a series, and {config.checkpoints or config.run} has one; "
                "name more, or leave the probe out"
            )


@final
class ProbeRunner:
    """Measurement of one network after another at the same samples, chunk by chunk."""

    def __init__(
        self, config: ProbeConfig, sources: Sources, indices: dict[str, Tensor], run: Run, device: torch.device
    ) -> None:
        self.config = config
        self.sources = sources
        self.run = run
        self.device = device
        self.probe_builder = ProbeBuilder(config, sources, device)
        self.dtype = sources.dtype(device)
        self.chunk_size = self.probe_builder.chunk_size
        self.indices = indices
        # What follows from the chunks: the units of their columns, and the costs of the probes.
        self.units: dict[str, str] = {}
        self.costs: dict[str, Any] = {}

    @property
    def chunk_count(self) -> int:
        """The number of chunks of samples that each network is measured at."""
        return sum(len(list(chunks(len(indices), self.chunk_size))) for indices in self.indices.values())

    def measure_network(self, step: int, network: nn.Module, advance: Callable[[], None]) -> Arrays:
        """Return the columns of one network, and the values of its nulls for each random subspace."""
        tables = []
        boundary: Boundary | None = None
        for split, indices in self.indices.items():
            chunk_tables = []
            for number, rows in enumerate(chunks(len(indices), self.chunk_size)):
                name = f"{step:08d}-{split}-{number:05d}"
                entry = self.run.read_cache_entry(name)
                if entry is None:
                    boundary = self.make_boundary(network) if boundary is None else boundary
                    entry = self._measure_chunk(boundary, split, rows)
                    self.run.write_cache(name, *entry)
                table, about = entry
                chunk_tables.append(table)
                self.units = {"step": self.sources.step_unit} | SUMMARY_UNITS | about["units"]
                add_costs(self.costs, {kind: Cost(**counts) for kind, counts in about["costs"].items()})
                advance()
            columns = _concatenate_tables(chunk_tables)
            count = len(indices)
            tables.append({"step": np.full(count, step), "split": np.full(count, split)} | columns)
        return _concatenate_tables(tables)

    def make_boundary(self, network: nn.Module) -> Boundary:
        """Return the boundary of a network within the range of the inputs, on the device, after a trial of the network.

        Raises:
            ModelError: if the network is not a deterministic function of one sample with a gradient.
        """
        return self.sources.make_boundary(network, self.device, self.probe_builder.gradient_users)

    def load_batch(self, split: str, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return samples of a split and their classes, on the device."""
        x, y = self.sources.samples[split].batch(indices)
        return x.to(self.device, self.dtype), y.to(self.device)

    def _measure_chunk(self, boundary: Boundary, split: str, chunk_rows: slice) -> tuple[Arrays, dict[str, Any]]:
        """Return the columns at a chunk of samples, with their units and the costs of the probes; write its images."""
        indices = self.indices[split]
        x, y = self.load_batch(split, indices[chunk_rows])
        builder = self.probe_builder
        result = run_probes(boundary, x, y, builder.probes, builder.tangents, chunk_size=self.chunk_size)
        if self.sources.image_dataset is not None:
            # Each network overwrites the images of the one before it, so that those of the last one remain.
            image_rows = select_image_rows(len(indices), chunk_rows, x)
            images = collect_image_arrays(indices[chunk_rows], x, result, image_rows)
            self.run.write_cache(_image_chunk_name(split, chunk_rows), images)
        arrays: Arrays = {"index": indices[chunk_rows].numpy()}
        arrays |= {name: values.cpu().numpy() for name, values in result.columns.items()}
        arrays |= {n: values.cpu().numpy() for n, values in result.details.items() if n.endswith(DRAWS_SUFFIX)}
        costs = {kind: dataclasses.asdict(cost) for kind, cost in zip(builder.kinds, result.costs, strict=True)}
        return arrays, {"units": result.units, "costs": costs}

    def write_images(self) -> None:
        """Write the selected images with their perturbations under the last network."""
        arrays: Arrays = {}
        for split, indices in self.indices.items():
            cached = [
                self.run.read_cache(_image_chunk_name(split, rows)) for rows in chunks(len(indices), self.chunk_size)
            ]
            if tables := [table for table in cached if table]:
                arrays |= {f"{split}/{name}": values for name, values in _concatenate_tables(tables).items()}
        if arrays:
            self.run.write_images(arrays)

    def write_tables(self, tables: list[Arrays], last_network: nn.Module, progress: Progress) -> None:
        """Write measurements.parquet, the summary, and quantiles.parquet of a series."""
        names = [name for name in tables[0] if not name.endswith(DRAWS_SUFFIX)]
        joined = {name: np.concatenate([table[name] for table in tables]) for name in names}
        units = self.units
        self.run.info |= self.costs | {"units": units}
        write_table(self.run.path / "measurements.parquet", joined, units)
        rows = summarize_steps(tables, units)
        rows[-1] |= self._check_search(tables[-1], last_network)
        network_tables = self._measure_network_level(tables, rows, progress)
        columns = dict.fromkeys(name for row in rows for name in row)
        self.run.info["summary"] = {
            "rows": rows,
            "units": aggregate_units(columns, units | SUMMARY_UNITS | NETWORK_UNITS | SPEED_UNITS),
            **network_tables,
        }
        if len(tables) > 1:
            write_table(self.run.path / "quantiles.parquet", *quantile_table(joined, units))
        self.run.save()

    def _measure_network_level(
        self, tables: list[Arrays], rows: list[dict[str, Any]], progress: Progress
    ) -> dict[str, Any]:
        """Run the probes of the full network: add statistics to `rows`, write tables, return those of the page."""
        probes = self.config.probes
        split = self.config.splits[-1]
        page_tables: dict[str, Any] = {}
        if CONFIDENCE in probes:
            by_step = {int(table["step"][0]): table for table in tables}
            for row in rows:
                row.update(compute_confidence_statistics(by_step[row["step"]], row["split"], self.config.seed))
        if SPECTRA in probes:
            x, _ = self.load_batch(split, self.indices[split][:MAX_CHECKED_SAMPLES])
            statistics, layers = compute_spectra(self.sources.networks, self.make_boundary, x, self.config.seed)
            for row in rows:
                row.update(statistics[row["step"]])
            # A network of functions without layers has no rows here.
            if layers:
                write_table(self.run.path / "spectra.parquet", to_columns(layers), {"step": self.sources.step_unit})
            page_tables["layers"] = [layer for layer in layers if layer["step"] == rows[-1]["step"]]
        if self.config.along:
            groups = self._measure_speeds_along(rows)
            write_table(self.run.path / "speed.parquet", to_columns(groups), {"step": self.sources.step_unit})
        elif SPEED in probes:
            groups = self._measure_speeds(rows, len(tables) - 1, progress)
            write_table(self.run.path / "speed.parquet", to_columns(groups), {"step": self.sources.step_unit})
        if TRANSFER in probes:
            x, y = self.load_batch(split, self.indices[split][:MAX_COMPARED_SAMPLES])
            steps = select_steps([int(table["step"][0]) for table in tables])
            networks = ((step, network) for step, network in self.sources.networks if step in steps)
            page_tables["transfer"] = compute_transfer(networks, self.make_boundary, x, y, self.config.seed)
            write_table(self.run.path / "transfer.parquet", to_columns(page_tables["transfer"]), TRANSFER_UNITS)
        return page_tables

    def _measure_speeds(self, rows: list[dict[str, Any]], pair_count: int, progress: Progress) -> list[dict[str, Any]]:
        """Measure the speed of the boundary at the samples of each split; add statistics to its `rows`.

        Returns:
            The rows of speed.parquet.
        """
        groups = []
        margin_probe = self.probe_builder.margin_probe
        with progress("speed", pair_count * len(self.indices)) as advance:
            for split, indices in self.indices.items():
                x, y = self.load_batch(split, indices[:MAX_COMPARED_SAMPLES])
                statistics, found = measure_speeds(
                    self.sources.networks, self.make_boundary, x, y, margin_probe, advance
                )
                groups += [{"split": split, **group} for group in found]
                for row in rows:
                    if row["split"] == split:
                        row.update(statistics.get(row["step"], {}))
        return groups

    def _measure_speeds_along(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Measure the speed of the boundary along the objectives of `along`; add statistics to the `rows`.

        The row of a split has the statistics of its samples that are not in the batch, where there are such.

        Returns:
            The rows of speed.parquet.
        """
        config = self.config
        assert config.eps is not None
        (eps,) = config.eps
        samples = split_samples(self.indices, MAX_COMPARED_SAMPLES)
        batch = self.load_batch(*samples["batch"])
        losses = make_losses(config.along, config.norm, eps, batch, self.sources.bounds, config.seed)
        steps = select_steps(sorted({row["step"] for row in rows}))
        groups = []
        for step, network in self.sources.networks:
            if step not in steps:
                continue
            boundary = self.make_boundary(network)
            assert isinstance(boundary.model, nn.Module)
            directions = directions_along(boundary.model, losses, config.seed)
            for name, (split, indices) in samples.items():
                x, y = self.load_batch(split, indices)
                statistics, found = measure_speeds_along(
                    boundary, directions, x, y, self.probe_builder.margin_probe, eps
                )
                groups += [{"step": step, "samples_of": name, "split": split, **group} for group in found]
                for row in rows:
                    if (row["step"], row["split"]) == (step, split):
                        row.update(statistics)
        return groups

    def _check_search(self, table: Arrays, network: nn.Module) -> dict[str, Any]:
        """Return the change of the ratios on and off the manifold with more search, at samples of the last split."""
        onoff = self.probe_builder.onoff
        tangents = self.probe_builder.tangents
        if onoff is None or tangents is None:
            return {}
        split = self.config.splits[-1]
        rows = np.flatnonzero((table["split"] == split) & table["correct"])[:MAX_CHECKED_SAMPLES]
        if len(rows) == 0:
            return {}
        x, y = self.load_batch(split, torch.from_numpy(table["index"][rows]))
        refined = onoff.compute_refined_margins(self.make_boundary(network), x, y, tangents)
        measured = {name: values[rows] for name, values in table.items()}
        return compute_ratio_change(measured, {name: values.cpu().numpy() for name, values in refined.items()})


def _image_chunk_name(split: str, chunk_rows: slice) -> str:
    return f"images-{split}-{chunk_rows.start:08d}"


def _concatenate_tables(tables: list[Arrays]) -> Arrays:
    """Return the rows of several tables as one table."""
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
