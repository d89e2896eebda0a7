"""Measurement of the shards of a probe, in this process or in those of an engine."""

import dataclasses
import functools
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.boundary.boundary import BACKWARD_COST, FORWARD_COST
from dimple.errors import DimpleError, RunError, user_code_error
from dimple.experiment.probing.build_probes import ProbeBuilder
from dimple.experiment.probing.config import ProbeConfig
from dimple.experiment.probing.sample_choice import choose_samples
from dimple.experiment.probing.saved_images import collect_image_arrays, select_image_rows
from dimple.experiment.probing.sources import Sources, load_sources
from dimple.experiment.provenance import add_costs, describe_device, versions
from dimple.probes import Cost, run_probes
from dimple.progress import silent_progress
from dimple.runs.shards import Shard, ShardFolder, ShardPlan
from dimple.scene.own_code import allow_code, allowed_files
from dimple.stats.aggregate import DRAWS_SUFFIX
from dimple.tensors import chunks, resolve_device, run_eagerly
from dimple.workers import Advance, Engine, Task

Arrays = dict[str, NDArray[Any]]
# The prefix of the arrays of images in a shard of the last network.
IMAGE_PREFIX = "image/"


@final
class ShardRunner:
    """Measurement of shards: one network after another at ranges of the same samples, chunk by chunk."""

    def __init__(self, config: ProbeConfig, sources: Sources, indices: dict[str, Tensor], device: torch.device) -> None:
        self.config = config
        self.sources = sources
        self.indices = indices
        self.device = device
        self.probe_builder = ProbeBuilder(config, sources, device)
        self.dtype = sources.dtype(device)
        self.chunk_size = self.probe_builder.chunk_size
        self._boundary: tuple[int, Boundary] | None = None

    @property
    def settings_text(self) -> str:
        """All settings, and the check sums of what is measured, as YAML."""
        settings = dataclasses.asdict(self.config) | {"checksums": self.sources.checksums}
        return yaml.safe_dump(settings, sort_keys=False)

    def plan(self, parts: int | None = None) -> ShardPlan:
        """Return the division into shards."""
        content = [self.settings_text, versions(), describe_device(self.device)]
        identity = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        counts = {split: len(rows) for split, rows in self.indices.items()}
        return ShardPlan(identity, tuple(self.sources.networks.steps), counts, self.chunk_size, parts)

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

    def measure(self, folder: ShardFolder, shard: Shard, advance: Advance) -> None:
        """Measure a shard, and write its file; the last network's images are part of it."""
        started = time.perf_counter()
        if self._boundary is None or self._boundary[0] != shard.step:
            self._boundary = shard.step, self.make_boundary(self.sources.networks.network(shard.step))
        _, boundary = self._boundary
        tables: list[Arrays] = []
        images: list[Arrays] = []
        units: dict[str, str] = {}
        costs: dict[str, Any] = {}
        for rows in chunks(shard.stop - shard.start, self.chunk_size):
            chunk_rows = slice(shard.start + rows.start, shard.start + rows.stop)
            table, chunk_images, units, cost = self._measure_chunk(boundary, shard.split, chunk_rows)
            tables.append(table)
            if chunk_images and shard.step == self.sources.networks.steps[-1]:
                images.append(chunk_images)
            add_costs(costs, cost)
            advance()
        arrays = concatenate_tables(tables)
        if images:
            arrays |= {IMAGE_PREFIX + name: values for name, values in concatenate_tables(images).items()}
        counts = costs["passes"].values()
        passes = sum(FORWARD_COST * count["forwards"] + BACKWARD_COST * count["backwards"] for count in counts)
        seconds = time.perf_counter() - started
        about = {"units": units, "costs": costs["passes"], "passes": passes, "seconds": round(seconds, 3)}
        folder.write(shard, arrays, about)

    def _measure_chunk(
        self, boundary: Boundary, split: str, chunk_rows: slice
    ) -> tuple[Arrays, Arrays, dict[str, str], dict[str, Cost]]:
        """Return the columns at a chunk of samples, its images with their perturbations, units and costs."""
        indices = self.indices[split]
        x, y = self.load_batch(split, indices[chunk_rows])
        builder = self.probe_builder
        result = run_probes(boundary, x, y, builder.probes, builder.tangents, chunk_size=self.chunk_size)
        images: Arrays = {}
        if self.sources.image_dataset is not None:
            image_rows = select_image_rows(len(indices), chunk_rows, x)
            images = collect_image_arrays(indices[chunk_rows], x, result, image_rows)
        arrays: Arrays = {"index": indices[chunk_rows].numpy()}
        arrays |= {name: values.cpu().numpy() for name, values in result.columns.items()}
        arrays |= {n: values.cpu().numpy() for n, values in result.details.items() if n.endswith(DRAWS_SUFFIX)}
        return arrays, images, result.units, dict(zip(builder.kinds, result.costs, strict=True))


def concatenate_tables(tables: Sequence[Arrays]) -> Arrays:
    """Return the rows of several tables as one table."""
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def measure_shards(
    runner: ShardRunner, folder: ShardFolder, plan: ShardPlan, shards: Sequence[Shard], engine: Engine, advance: Advance
) -> list[Shard]:
    """Measure shards with the processes of an engine.

    Returns:
        The shards that killed their process twice, and are marked as poison.

    Raises:
        DimpleError: the first error of a shard; those that are finished are stored.
    """
    poison: list[Shard] = []

    def lose(task: Task[None]) -> None:
        assert isinstance(task, functools.partial)
        poison.append(task.args[-1])
        folder.mark_poison(task.args[-1])

    folder.unmark_poison(shards)
    if engine.runs_here:
        measure: Callable[..., None] = functools.partial(runner.measure, folder)
    else:
        files = tuple(map(str, allowed_files.values()))
        run = folder.path.parent.absolute()
        job = _Job(runner.config, str(runner.device), str(run), plan.identity, files, str(Path.cwd()))
        measure = functools.partial(_measure_elsewhere, job)
    tasks: list[Task[None]] = [functools.partial(measure, shard) for shard in shards]
    for _ in engine.run_unordered(tasks, advance, lose):
        pass
    return [shard for shard in shards if shard in poison]


@final
@dataclasses.dataclass(frozen=True)
class _Job:
    """All that another process needs to measure shards.

    Attributes:
        config, device: of the probe.
        run: the run folder.
        identity: that of the plan.
        code: the files of the user's code that this process may run.
        folder: the working folder, to which paths are relative.
    """

    config: ProbeConfig
    device: str
    run: str
    identity: str
    code: tuple[str, ...]
    folder: str


@functools.lru_cache(maxsize=1)
def _open_job(job: _Job) -> ShardRunner:
    """Load the networks and the samples, once in each process."""
    os.chdir(job.folder)
    for file in job.code:
        allow_code(file)
    device = resolve_device(job.device)
    sources = load_sources(job.config, device, silent_progress)
    runner = ShardRunner(job.config, sources, choose_samples(job.config, sources, device), device)
    if runner.plan().identity != job.identity:
        raise RunError(
            f"{job.run}: the networks, the data, the versions or the device are others in a process of the engine; "
            "give all processes the same"
        )
    return runner


def _measure_elsewhere(job: _Job, shard: Shard, advance: Advance) -> None:
    """Measure a shard in a process of an engine."""
    try:
        with run_eagerly():
            _open_job(job).measure(ShardFolder(Path(job.run)), shard, advance)
    except DimpleError:
        raise
    except (Exception, SystemExit) as error:
        # The place in the user's code does not reach another process.
        raise (user_code_error(error) or error) from None
