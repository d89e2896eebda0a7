"""The verb `probe`: measurement of an image network, of a series of its checkpoints, or of a run."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dimple.errors import IncompleteError, UsageError, convert_file_errors
from dimple.experiment.probing.boundary_speed import SPEED_UNITS, measure_speeds
from dimple.experiment.probing.build_probes import MAX_CHECKED_SAMPLES
from dimple.experiment.probing.check_inputs import check_inputs, check_names
from dimple.experiment.probing.config import (
    CONFIDENCE,
    SPECTRA,
    SPEED,
    TRANSFER,
    ProbeConfig,
    format_duration,
)
from dimple.experiment.probing.estimate import Estimate, estimate_work
from dimple.experiment.probing.measure_shards import IMAGE_PREFIX, ShardRunner, concatenate_tables, measure_shards
from dimple.experiment.probing.models import read_allowed_config
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
from dimple.experiment.probing.sources import Sources, load_sources
from dimple.experiment.probing.speed_along import (
    directions_along,
    make_losses,
    measure_speeds_along,
    split_samples,
)
from dimple.experiment.probing.tables import SUMMARY_UNITS, compute_changes, quantile_table, summarize_steps
from dimple.experiment.provenance import add_costs, describe_device, own_meanings, versions
from dimple.experiment.run import Run
from dimple.probes import Cost, run_probes
from dimple.progress import SHORT_STAGE_SECONDS, announce, show_progress
from dimple.protocols import Progress
from dimple.runs.atomic_io import write_table
from dimple.runs.lock import unlock_folder
from dimple.runs.shards import Shard, ShardFolder, ShardPlan, format_numbers, list_shards
from dimple.stats.aggregate import DRAWS_SUFFIX, aggregate_units, band_verdicts, median_statistic
from dimple.stats.cautions import cautions_of_run
from dimple.tensors import resolve_device, run_eagerly
from dimple.workers import Engine, Workers

Arrays = dict[str, NDArray[Any]]
# Samples at which the steps of a series are compared with each other.
MAX_COMPARED_SAMPLES = 64
# Seconds for which a part waits while another one begins in the same folder.
PATIENCE = 120.0


@convert_file_errors
def probe(
    config: ProbeConfig,
    out: Path | str,
    *,
    device: str = "auto",
    force: bool = False,
    progress: Progress = show_progress,
    engine: Engine = Workers(),
) -> Run:
    """Measure the boundary of a model at images, or of a run at its points; write tables, a summary and a page.

    The measurement is divided into shards, of one network at a range of samples each. An interrupted one continues with
    its missing shards when it is started with the same settings and the same folder. Every step of a series is searched
    from the beginning: a start from the boundary points of the step before takes a twentieth of the passes, but left
    one point in ten up to 15 % too far away.

    Args:
        out: the folder for measurements.parquet, run.json and report.html; for images also images.safetensors, with at
            most 256 images of each split and their perturbations under the last network; for a series also
            quantiles.parquet; and spectra.parquet, speed.parquet and transfer.parquet where the probes of these names
            are chosen.
        device: `auto`, `cpu`, `cuda` or `mps`.
        force: replace a run that is already in the folder.
        engine: the processes that measure shards, as in `with Workers(4, isolated=True) as engine`; by default this
            process alone. The numbers are the same.

    Returns:
        The finished run; `run.info["summary"]["rows"]` holds the statistics and their nulls, one entry for each step
        and split.

    Raises:
        UsageError, DataError, ModelError, RunError, DeviceError: with one sentence for the user.
        IncompleteError: if a shard killed its process twice; the others are stored.
    """
    check_inputs(config, out, device, force)
    with _open(config, out, device, progress, force=force) as (run, runner, plan), run.finishing():
        _measure(run, runner, plan, plan.shards, engine, progress)
        _write_results(run, runner, plan, progress)
    return run


@convert_file_errors
def probe_part(
    config: ProbeConfig,
    out: Path | str,
    part: int,
    parts: int,
    *,
    device: str = "auto",
    progress: Progress = show_progress,
    engine: Engine = Workers(),
) -> None:
    """Measure one part of the shards of a probe; `gather` makes the tables when all parts are there.

    Any number of processes, on all machines that see the folder, may measure parts of it at the same time.

    Args:
        out: the folder of all parts.
        part: the number of the part, from 0.
        parts: the number of parts.

    Raises:
        UsageError, DataError, ModelError, RunError, DeviceError: with one sentence for the user.
        IncompleteError: if a shard killed its process twice; the others are stored.
    """
    check_inputs(config, out, device, force=False)
    with _open(config, out, device, progress, parts=parts, patience=PATIENCE) as (run, runner, plan):
        # The other parts are begun in the same folder.
        unlock_folder(run.path)
        _measure(run, runner, plan, plan.part(part), engine, progress)


@convert_file_errors
def gather(out: Path | str, *, device: str = "auto", progress: Progress = show_progress) -> Run:
    """Make the tables, the summary and the page of a probe whose parts were measured by `probe_part`.

    Args:
        out: the folder of all parts.
        device: as for the parts.

    Returns:
        The finished run, also where it was finished before.

    Raises:
        IncompleteError: if shards are missing.
        RunError: if the folder holds no parts, or the networks or the data have changed.
    """
    run = Run.open(out)
    if run.info["status"] == "complete":
        return run
    folder = ShardFolder(run.path)
    plan = folder.read_plan()
    # Their contents are read and checked once, when the tables are made.
    _refuse_missing(folder, plan, [shard for shard in plan.shards if folder.read_about(shard) is None])
    config, _ = read_allowed_config(run)
    check_names(config, device)
    with _open(config, out, device, progress) as (run, runner, plan), run.finishing():
        _write_results(run, runner, plan, progress)
    return run


@contextlib.contextmanager
def _open(
    config: ProbeConfig,
    out: Path | str,
    device: str,
    progress: Progress,
    force: bool = False,
    parts: int | None = None,
    patience: float = 0.0,
) -> Iterator[tuple[Run, ShardRunner, ShardPlan]]:
    """Load networks and samples, and begin or continue the run, which is locked until the end of the block."""
    torch_device = resolve_device(device)
    sources = load_sources(config, torch_device, progress)
    _require_series(config, sources)
    # A network that is compiled somewhere is known as such only now that its code is imported.
    with run_eagerly():
        runner = ShardRunner(config, sources, choose_samples(config, sources, torch_device), torch_device)
        info = {
            "name": sources.facts[0][1],
            "facts": sources.facts,
            "classes": sources.classes,
            "seed": config.seed,
            "bounds": None if sources.bounds is None else str(sources.bounds),
            "pixel_levels": sources.pixel_levels,
            "device": describe_device(torch_device),
            "versions": versions(),
            **({} if sources.scene is None else {"scene": sources.scene}),
        }
        run = Run.create(out, info, runner.settings_text, force, "config.yaml", patience)
        try:
            yield run, runner, _agree_on_plan(ShardFolder(run.path), runner.plan(parts))
        finally:
            unlock_folder(run.path)


def _agree_on_plan(folder: ShardFolder, plan: ShardPlan) -> ShardPlan:
    """Return the plan with the number of parts that other processes use, and write it for them."""
    found = folder.read_plan() if folder.exists else None
    if found is not None and None not in (found.parts, plan.parts) and found.parts != plan.parts:
        raise UsageError(
            f"{folder.path.parent}: was divided into {found.parts} parts, and --shard names {plan.parts}; give "
            f"--shard I/{found.parts}"
        )
    if plan.parts is None and found is not None:
        plan = dataclasses.replace(plan, parts=found.parts)
    if plan != found:
        folder.write_plan(plan)
    return plan


def _measure(
    run: Run, runner: ShardRunner, plan: ShardPlan, shards: Sequence[Shard], engine: Engine, progress: Progress
) -> None:
    """Measure those of the shards that are missing."""
    folder = ShardFolder(run.path)
    missing = folder.find_missing(shards)
    if missing and (progress is show_progress or engine.worth_seconds):
        work = _estimate(runner)
        seconds = work.seconds * len(missing) / len(plan.shards)
        if seconds < engine.worth_seconds:
            engine = Workers()
        if progress is show_progress and seconds >= SHORT_STAGE_SECONDS:
            announce("probe", str(work) if missing == plan.shards else f"about {format_duration(seconds)}")
    with progress("probe", sum(_count_chunks(plan, shard) for shard in shards)) as advance:
        for _ in range(sum(_count_chunks(plan, shard) for shard in set(shards).difference(missing))):
            advance()
        poison = measure_shards(runner, folder, plan, missing, engine, advance)
    if poison:
        raise IncompleteError(
            f"{run.path}: {len(poison)} of {len(shards)} shards killed their process twice, most likely for lack of "
            f"memory: {list_shards(poison)}; the others are stored, and the same command tries these again: use fewer "
            "jobs=, or leave the samples out with --indices"
        )


def _estimate(runner: ShardRunner) -> Estimate:
    networks = runner.sources.networks
    boundary = runner.make_boundary(networks.network(networks.steps[0]))
    return estimate_work(runner.config, runner.sources, runner.probe_builder, boundary, runner.indices)


def _count_chunks(plan: ShardPlan, shard: Shard) -> int:
    return -(-(shard.stop - shard.start) // plan.chunk_size)


def _require_all(folder: ShardFolder, plan: ShardPlan) -> list[tuple[Arrays, dict[str, Any]]]:
    """Return the contents of all shards, in order.

    Raises:
        IncompleteError: if some are missing.
    """
    found = [folder.read(shard) for shard in plan.shards]
    _refuse_missing(folder, plan, [shard for shard, entry in zip(plan.shards, found, strict=True) if entry is None])
    return [entry for entry in found if entry is not None]


def _refuse_missing(folder: ShardFolder, plan: ShardPlan, missing: Sequence[Shard]) -> None:
    if missing:
        again = "" if plan.parts is None else f" (--array={format_numbers(plan.parts_of(missing))})"
        raise IncompleteError(
            f"{folder.path.parent}: {len(missing)} of {len(plan.shards)} shards are missing: {list_shards(missing)}; "
            f"measure them with the same dimple probe{again}, then gather"
        )


def _write_results(run: Run, runner: ShardRunner, plan: ShardPlan, progress: Progress) -> None:
    """Make the tables, the summary and the page from all shards."""
    started = time.perf_counter()
    results = ResultWriter(run, runner, plan, _require_all(ShardFolder(run.path), plan))
    last_network = runner.sources.networks.network(plan.steps[-1])
    results.write_tables(last_network, progress)
    results.write_images()
    run.info["seconds"]["probe"] = round(results.seconds + time.perf_counter() - started, 3)
    write_report_page(
        run, runner.sources, runner.make_boundary(last_network), runner.probe_builder, run.path / "report.html"
    )


def _require_series(config: ProbeConfig, sources: Sources) -> None:
    """Refuse probes that compare the steps of a series where the series has only one step."""
    for kind in config.series_probes:
        if len(sources.networks) == 1:
            raise UsageError(
                f"--probe {kind} compares the steps of a series, and {config.checkpoints or config.run} has one; "
                "name more, or leave the probe out"
            )


@final
class ResultWriter:
    """The tables, the summary and the images of a probe, from the contents of its shards."""

    def __init__(
        self, run: Run, runner: ShardRunner, plan: ShardPlan, entries: Sequence[tuple[Arrays, dict[str, Any]]]
    ) -> None:
        self.run = run
        self.runner = runner
        self.config = runner.config
        self.sources = runner.sources
        self.indices = runner.indices
        self.units = {"step": self.sources.step_unit} | SUMMARY_UNITS
        self.costs: dict[str, Any] = {}
        self.seconds = 0.0
        # The table of each network.
        self.tables: list[Arrays] = []
        self._images: dict[str, list[Arrays]] = {split: [] for split in plan.counts}
        by_step: dict[int, list[Arrays]] = {}
        for shard, (arrays, about) in zip(plan.shards, entries, strict=True):
            columns = {name: values for name, values in arrays.items() if not name.startswith(IMAGE_PREFIX)}
            count = len(columns["index"])
            table = {"step": np.full(count, shard.step), "split": np.full(count, shard.split)} | columns
            by_step.setdefault(shard.step, []).append(table)
            images = {n.removeprefix(IMAGE_PREFIX): arrays[n] for n in arrays if n.startswith(IMAGE_PREFIX)}
            if images:
                self._images[shard.split].append(images)
            self.units |= about["units"]
            self.seconds += about["seconds"]
            add_costs(self.costs, {kind: Cost(**counts) for kind, counts in about["costs"].items()})
        self.tables = [concatenate_tables(tables) for tables in by_step.values()]

    def write_images(self) -> None:
        """Write the selected images with their perturbations under the last network."""
        arrays: Arrays = {}
        for split, tables in self._images.items():
            if tables:
                arrays |= {f"{split}/{name}": values for name, values in concatenate_tables(tables).items()}
        if arrays:
            self.run.write_images(arrays)

    def write_tables(self, last_network: nn.Module, progress: Progress) -> None:
        """Write measurements.parquet, the summary, and quantiles.parquet of a series."""
        tables = self.tables
        names = [name for name in tables[0] if not name.endswith(DRAWS_SUFFIX)]
        joined = {name: np.concatenate([table[name] for table in tables]) for name in names}
        units = self.units
        self.run.info |= self.costs | {"units": units, "meanings": own_meanings(units)}
        write_table(self.run.path / "measurements.parquet", joined, units)
        rows = summarize_steps(tables, units)
        for row in rows:
            if self.sources.lacks_passes and "margin" in row:
                # Undefined: with more passes the search would look for masked gradients.
                row.update(median_statistic("gradient_masking_ratio", np.empty(0)))
            if row["step"] == rows[-1]["step"]:
                row.update(self._check_search(tables[-1], row["split"], last_network))
                row.update(band_verdicts(row))
        network_tables = self._measure_network_level(tables, rows, progress)
        columns = dict.fromkeys(name for row in rows for name in row)
        self.run.info["summary"] = {
            "rows": rows,
            "units": aggregate_units(columns, units | SUMMARY_UNITS | NETWORK_UNITS | SPEED_UNITS),
            "cautions": cautions_of_run(rows),
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
            x, _ = self.runner.load_batch(split, self.indices[split][:MAX_CHECKED_SAMPLES])
            statistics, layers = compute_spectra(self.sources.networks, self.runner.make_boundary, x, self.config.seed)
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
            x, y = self.runner.load_batch(split, self.indices[split][:MAX_COMPARED_SAMPLES])
            steps = select_steps([int(table["step"][0]) for table in tables])
            networks = ((step, network) for step, network in self.sources.networks if step in steps)
            page_tables["transfer"] = compute_transfer(networks, self.runner.make_boundary, x, y, self.config.seed)
            write_table(self.run.path / "transfer.parquet", to_columns(page_tables["transfer"]), TRANSFER_UNITS)
        return page_tables

    def _measure_speeds(self, rows: list[dict[str, Any]], pair_count: int, progress: Progress) -> list[dict[str, Any]]:
        """Measure the speed of the boundary at the samples of each split; add statistics to its `rows`.

        Returns:
            The rows of speed.parquet.
        """
        groups = []
        margin_probe = self.runner.probe_builder.margin_probe
        with progress("speed", pair_count * len(self.indices)) as advance:
            for split, indices in self.indices.items():
                x, y = self.runner.load_batch(split, indices[:MAX_COMPARED_SAMPLES])
                statistics, found = measure_speeds(
                    self.sources.networks, self.runner.make_boundary, x, y, margin_probe, advance
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
        batch = self.runner.load_batch(*samples["batch"])
        losses = make_losses(config.along, config.norm, eps, batch, self.sources.bounds, config.seed)
        steps = select_steps(sorted({row["step"] for row in rows}))
        groups = []
        for step, network in self.sources.networks:
            if step not in steps:
                continue
            boundary = self.runner.make_boundary(network)
            assert isinstance(boundary.model, nn.Module)
            directions = directions_along(boundary.model, losses, config.seed)
            for name, (split, indices) in samples.items():
                x, y = self.runner.load_batch(split, indices)
                statistics, found = measure_speeds_along(
                    boundary, directions, x, y, self.runner.probe_builder.margin_probe, eps
                )
                groups += [{"step": step, "samples_of": name, "split": split, **group} for group in found]
                for row in rows:
                    if (row["step"], row["split"]) == (step, split):
                        row.update(statistics)
        return groups

    def _check_search(self, table: Arrays, split: str, network: nn.Module) -> dict[str, float]:
        """Return how more search changes the distances and ratios with a null, at samples of a split."""
        builder = self.runner.probe_builder
        rows = np.flatnonzero((table["split"] == split) & table["correct"])[:MAX_CHECKED_SAMPLES]
        if len(rows) == 0 or not builder.refined_probes:
            return {}
        x, y = self.runner.load_batch(split, torch.from_numpy(table["index"][rows]))
        boundary = self.runner.make_boundary(network)
        found = run_probes(boundary, x, y, builder.refined_probes, builder.tangents, chunk_size=builder.chunk_size)
        refined = {name: values.cpu().numpy() for name, values in (found.columns | found.details).items()}
        return compute_changes({name: values[rows] for name, values in table.items()}, refined, found.units)
