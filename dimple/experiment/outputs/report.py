"""The verbs `report` and `compare`: the page of a finished run, written again, and one page about several runs."""

from collections.abc import Sequence
from pathlib import Path

import torch

from dimple.errors import RunError, UsageError, convert_file_errors
from dimple.experiment.probing.config import ProbeConfig, read_config
from dimple.experiment.probing.measure_shards import ShardRunner
from dimple.experiment.probing.measured_run import (
    REPRODUCTION,
    is_measured_in_memory,
    write_report_of_measured_run,
)
from dimple.experiment.probing.measurement import Measurement
from dimple.experiment.probing.models import read_allowed_config
from dimple.experiment.probing.report_images import write_report_page
from dimple.experiment.probing.sources import load_sources
from dimple.experiment.run import Run
from dimple.experiment.slices.config import SliceConfig
from dimple.progress import show_progress
from dimple.protocols import Progress
from dimple.settings import expand_home
from dimple.views.content.run_header import simulate_command
from dimple.views.report.comparison import MAX_RUNS, Comparison, write_comparison
from dimple.views.report.run_summary import summarize_run
from dimple.views.report.simulation import write_simulation_report
from dimple.views.report.slice_report import write_slice_report


@convert_file_errors
def report(path: Path | str, out: Path | str | None = None, progress: Progress = show_progress) -> Path:
    """Write the page of a simulated scene, of a slice or of a measurement, from its run folder.

    The images of a measurement need its network and its data, which are read again from where they were.

    Args:
        out: the HTML file; None for report.html in the run folder, or next to a packed run.

    Returns:
        The file.

    Raises:
        RunError: if the folder holds no finished run, or the network or the data of the measurement have changed.
        ModelError, DataError: if the network or the data cannot be found.
    """
    run = _open_finished_run(path)
    target = expand_home(out) if out is not None else run.default_output_path("report.html")
    if run.kind == "simulation":
        return write_simulation_report(run, target)
    if run.kind == "slice":
        return write_slice_report(run, _reproduction_command(run), target)
    if is_measured_in_memory(run):
        return write_report_of_measured_run(run, target)
    config, checksums = read_allowed_config(run)
    device = torch.device("cpu")
    sources = load_sources(config, device, progress)
    if sources.checksums != checksums:
        raise RunError(f"{run.path}: the network or the data have changed; measure again with force=True")
    last_network = sources.networks.network(sources.networks.steps[-1])
    runner = ShardRunner(config, sources, {}, device)
    write_report_page(run, sources, runner.make_boundary(last_network), runner.probe_builder, target)
    return target


@convert_file_errors
def compare(runs: Sequence[Path | str | Run | Measurement], out: Path | str) -> Path:
    """Write one page about several runs, simulated or measured: their differences, and all statistics side by side.

    Args:
        runs: runs, their folders, or measurements that were written with `out`, in the order of their columns.
        out: the HTML file.

    Returns:
        The file.

    Raises:
        UsageError: for fewer than two runs, for too many, for a slice, or for a measurement without a run.
        RunError: if a folder holds no finished run, or the page cannot be written.
    """
    return write_comparison(read_comparison(runs), out)


def read_comparison(runs: Sequence[Path | str | Run | Measurement]) -> Comparison:
    """Read what a comparison says of each run; arguments and errors as for `compare`."""
    if not 2 <= len(runs) <= MAX_RUNS:
        raise UsageError(f"{len(runs)} runs cannot be compared on one page; name 2 to {MAX_RUNS}")
    opened = [_open_finished_run(_path_of(run)) for run in runs]
    if slices := [run for run in opened if run.kind == "slice"]:
        raise UsageError(
            f"{slices[0].path}: is a slice, which has a page of its own; give dimple report this run alone"
        )
    if len({run.kind for run in opened}) > 1:
        simulated = next(run.path for run in opened if run.kind == "simulation")
        raise UsageError(
            "runs of dimple simulate and of dimple probe have no statistics in common; compare runs of one kind: "
            f"dimple probe --run {simulated} measures a simulated one"
        )
    return Comparison.of([(summarize_run(run), _reproduction_command(run)) for run in opened])


def _path_of(run: Path | str | Run | Measurement) -> Path | str:
    """Return the folder, or the packed file, of a run."""
    if isinstance(run, Measurement):
        if run.run is None:
            raise UsageError('a measurement without a run cannot be compared; measure with out="runs/mine"')
        run = run.run
    return (run.archive_path or run.path) if isinstance(run, Run) else run


def _open_finished_run(path: Path | str) -> Run:
    run = Run.open(path)
    if run.info.get("status") == "trained":
        raise RunError(
            f"{run.path}: is trained and not measured; dimple simulate SCENE --out {run.path}, with the scene and the "
            "changes of dimple train, measures it"
        )
    if run.info.get("status") != "complete":
        raise RunError(f"{run.path}: is not finished; the command that started it continues it, and writes its report")
    return run


def _reproduction_command(run: Run) -> str:
    """Return the command that makes a run again."""
    if run.kind == "simulation":
        return simulate_command(run)
    if run.kind == "slice":
        return read_config(SliceConfig, run.settings, run.settings_path)[0].command
    if is_measured_in_memory(run):
        return REPRODUCTION
    return read_config(ProbeConfig, run.settings, run.settings_path)[0].command
