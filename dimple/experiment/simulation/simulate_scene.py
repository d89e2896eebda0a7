"""The verb `simulate`: training of a scene, measurement, film and report, stage by stage, into a run folder."""

import dataclasses
import functools
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import nn

from dimple.boundary import Boundary, restrict_to_slice
from dimple.errors import SceneError, UsageError, convert_file_errors
from dimple.experiment.provenance import add_costs, describe_device, own_meanings, versions
from dimple.experiment.run import Run
from dimple.experiment.simulation.check_inputs import default_folder
from dimple.experiment.simulation.controls import judge_controls, measure_controls, require_offset
from dimple.experiment.simulation.prepared_scene import PreparedScene, prepare_scene
from dimple.experiment.simulation.replicas import (
    Replicas,
    choose_shown,
    stack_metrics,
    summarize_median,
    summarize_replicas,
)
from dimple.experiment.simulation.snapshot_measures import SnapshotMeasurement, SnapshotMeasurer
from dimple.experiment.simulation.summary import (
    heldout_distances,
    stack_snapshots,
    summarize_metrics,
    summarize_snapshots,
)
from dimple.experiment.slices.config import SliceConfig
from dimple.experiment.slices.slice_network import slice_network
from dimple.levelsets.mesh import Mesh
from dimple.locations import require_free_folder
from dimple.networks.wrappers import freeze
from dimple.progress import show_progress
from dimple.protocols import Progress
from dimple.runs.files import SLICE_FOLDER
from dimple.runs.mesh_arrays import mesh_to_arrays
from dimple.scene import Scene, scene_text
from dimple.scene.display_slice import DisplaySlice, build_display_slice
from dimple.scene.own_code import register_code
from dimple.tensors import resolve_device
from dimple.views.content.frame import Frame, MeshLayer
from dimple.views.content.from_run import frames_from_run
from dimple.views.content.metadata import run_metadata
from dimple.views.film.film import write_film
from dimple.views.film.settings import Film
from dimple.views.paraview.export import ParaViewSnapshot, write_pvd
from dimple.views.report.simulation import report_charts, write_simulation_report
from dimple.views.web.page import write_web_page
from dimple.workers import Advance, Task, Workers


@convert_file_errors
def simulate(
    scene: Scene,
    out: Path | str | None = None,
    *,
    data: str | None = None,
    device: str = "auto",
    force: bool = False,
    film: bool = True,
    controls: bool = False,
    progress: Progress = show_progress,
    workers: Workers = Workers(),
) -> Run:
    """Train the network of a scene, measure and extract its boundary at every snapshot, draw a film, write a report.

    The same scene, seed, machine and device give the same numbers to the last bit, with any number of processes. An
    interrupted run continues after its last finished stage when it is simulated into the same folder again.

    Args:
        out: the run folder; None for `runs/<name>-<seed>`.
        data: the data set of the scene as `NAME:PATH`; None to look in `$DIMPLE_DATA` and in the cache of the user.
        device: `auto`, `cpu`, `cuda` or `mps`.
        force: replace a run that is already in the folder.
        film: draw the film and the web page; without them the report has no pictures of the boundary.
        controls: also train with permuted labels and from a start on the data, and compare the falls of the distance.
        workers: the processes that measure on a CPU and draw, as in `with Workers(4) as workers`; by default this
            process does all the work. A script with more than one process needs no `if __name__ == "__main__"`.

    Returns:
        The finished run; `run.info["summary"]` holds its verdict and final statistics.

    Raises:
        UsageError, SceneError, DataError, RunError, DivergedError, DeviceError: with one sentence for the user.
    """
    if controls:
        require_offset(scene)
    simulation = _start(scene, out, data, device, force, progress, workers)
    return simulation.run_stages(functools.partial(simulation.simulate, film, controls), "complete")


@convert_file_errors
def train(
    scene: Scene,
    out: Path | str | None = None,
    *,
    data: str | None = None,
    device: str = "auto",
    force: bool = False,
    progress: Progress = show_progress,
) -> Run:
    """Train the network of a scene and keep its snapshots, without measurements.

    `simulate` into the same folder measures the snapshots later.

    Args:
        out, data, device, force: as in `simulate`.

    Returns:
        The run; `run.network(step)` is the network after `step` updates.

    Raises:
        UsageError, SceneError, DataError, RunError, DivergedError, DeviceError: with one sentence for the user.
    """
    simulation = _start(scene, out, data, device, force, progress, Workers())
    return simulation.run_stages(simulation.train_only, "trained")


def prepare(scene: Scene, data: str | None, device: torch.device) -> tuple[PreparedScene, Replicas | None]:
    """Return a scene with its samples, and its replicas where it has several, after all checks; nothing is written.

    Raises:
        UsageError, SceneError, DataError: with one sentence for the user.
    """
    prepared = prepare_scene(scene, data, device)
    scene = prepared.scene
    return prepared, Replicas(scene, data, device) if scene.replicas > 1 else None


def _start(
    scene: Scene,
    out: Path | str | None,
    data: str | None,
    device: str,
    force: bool,
    progress: Progress,
    workers: Workers,
) -> "Simulation":
    """Check a scene, and open its run folder."""
    path = Path(out) if out is not None else default_folder(scene.name, scene.seed)
    require_free_folder(path, force)
    torch_device = resolve_device(device)
    prepared, replicas = prepare(scene, data, torch_device)
    samples = prepared.samples
    scene = prepared.scene
    info = {"name": scene.name, "seed": scene.seed, "device": describe_device(torch_device), "versions": versions()}
    info["samples"] = {"shape": list(samples.shape), "classes": list(samples.classes), "source": samples.source}
    info |= {"code": code} if (code := register_code(scene)) else {}
    run = Run.create(path, info, scene_text(scene), force)
    return Simulation(prepared, run, progress, workers, replicas)


@final
class Simulation:
    """Stages of one run; each stage reads the files that the stages before it wrote into the folder."""

    def __init__(
        self,
        prepared: PreparedScene,
        run: Run,
        progress: Progress,
        workers: Workers,
        replicas: Replicas | None,
    ) -> None:
        self.prepared = prepared
        self.run = run
        self.progress = progress
        self.workers = workers
        # Several processes that share one accelerator are not faster than one.
        self.measuring_workers = workers if prepared.device.type == "cpu" else Workers()
        self.replicas = replicas
        self.charts: list[dict[str, str]] | None = None

    def run_stages(self, stages: Callable[[], None], status: str) -> Run:
        """Run stages, and record how they ended: with `status`, or interrupted or diverged."""
        with self.run.finishing(status):
            try:
                stages()
            except SceneError:
                if not self.run.steps:
                    self.run.clear()
                raise
        return self.run

    def train_only(self) -> None:
        """Train, unless that is done."""
        self._run_stage("train", self.train)
        self.run.clear_cache()

    def simulate(self, film: bool, controls: bool) -> None:
        """Run the stages that are not finished yet, in order."""
        self.train_only()
        if self.replicas is not None:
            self._run_stage("replicas", functools.partial(self.measure_replicas, self.replicas))
            # From here on the run is that of one replica.
            self.prepared = self.replicas.all[self.run.shown_replica]
        self._run_stage("measure", self.measure)
        if controls:
            self._run_stage("controls", self.control)
        if film and self.prepared.scene.manifold is not None:
            self.draw()
        if film and self.prepared.scene.slice is not None:
            self._run_stage("slice", self.draw_slice)
        self._run_stage("report", self.report)

    def _run_stage(self, name: str, stage: Callable[[], None]) -> None:
        if name not in self.run.info["seconds"]:
            started = time.perf_counter()
            stage()
            self._record_stage(name, time.perf_counter() - started)

    def _record_stage(self, name: str, seconds: float) -> None:
        self.run.info["seconds"][name] = round(seconds, 3)
        self.run.save()

    def train(self) -> None:
        """Train the network, or all replicas, and write a snapshot at every scheduled step."""
        if self.replicas is not None:
            with self.progress("train", self.replicas.steps[-1]) as advance:
                self.replicas.train(self.run, self.workers, advance)
            return
        with self.progress("train", self.prepared.snapshot_steps[-1]) as advance:

            def record(step: int, network: nn.Module, loss: float) -> None:
                self.run.write_snapshot(step, network.state_dict(), loss)

            network = self.prepared.initial_network()
            self.prepared.fit(network, record, cache=self.run, warn=self._warn, advance=advance)

    def _warn(self, sentence: str) -> None:
        """Show a warning, and keep it in run.json; a continued training may give it again."""
        warnings.warn(sentence, stacklevel=1)
        self.run.info["warnings"] = list(dict.fromkeys([*self.run.info.get("warnings", []), sentence]))
        self.run.save()

    def measure_replicas(self, replicas: Replicas) -> None:
        """Measure every snapshot of all replicas; write their metrics, and the statistics of the population."""
        with self.progress("replicas", len(replicas.all) * len(self.run.steps)) as advance:
            measured = replicas.measure(self.run, self.measuring_workers, advance)
        metrics = [stack_snapshots(snapshots) for snapshots in measured]
        distances = [heldout_distances(snapshots) for snapshots in measured]
        summaries = [summarize_metrics(*one) for one in zip(metrics, distances, strict=True)]
        seeds = [one.scene.seed for one in replicas.all]
        units = {"replica": "number", "seed": "number"} | measured[0][0].units
        self.run.write_table("replicas", stack_metrics(metrics, seeds), units)
        statistics = summarize_replicas(summaries, seeds, choose_shown(metrics))
        self.run.info["replicas"] = statistics | summarize_median(metrics, distances)

    def measure(self) -> None:
        """Measure every snapshot and extract its boundary; write both tables, the meshes and the summary."""
        display_slice = self._build_display_slice()
        measurer = SnapshotMeasurer(self.prepared, display_slice)
        # The extraction of each mesh uses the mesh before it, so all of them are one task, which starts first.
        tasks: list[Task[list[SnapshotMeasurement]]] = [functools.partial(_extract_boundaries, measurer, self.run)]
        tasks += [functools.partial(_measure_snapshot, measurer, self.run, step) for step in self.run.steps]
        snapshots: list[SnapshotMeasurement] = []
        with self.progress("measure", 2 * len(self.run.steps)) as advance:
            for result in self.measuring_workers.run_unordered(tasks, advance):
                snapshots += result
        snapshots.sort(key=lambda snapshot: snapshot.metrics["step"])
        first = snapshots[0]
        metrics = stack_snapshots(snapshots)
        self.run.write_table("metrics", metrics, first.units)
        points = {name: np.concatenate([snapshot.points[name] for snapshot in snapshots]) for name in first.points}
        self.run.write_table("points", points, first.units)
        if self.prepared.scene.is_drawable and display_slice is None:
            closest = {f"closest/{one.metrics['step']:.0f}": one.closest_points for one in snapshots}
            self.run.write_geometry(self.run.geometry() | closest)
        self.run.info |= {"summary": summarize_snapshots(snapshots), "meanings": own_meanings(first.units)}
        best = self.prepared.scene.training.evaluate.best_row(metrics)
        if best is not None:
            row = {name: float(values[best]) for name, values in metrics.items()}
            self.run.info["summary"] |= {"best_step": int(row.pop("step")), "best": row}
        if display_slice is not None:
            description = display_slice.description
            self.run.info["slice"] = {"description": description, "dim": display_slice.affine_slice.dim}
        add_costs(self.run.info, *(snapshot.costs for snapshot in snapshots))

    def control(self) -> None:
        """Train and measure the controls, and add their summaries to that of the run."""
        with self.progress("controls", 2 * len(self.run.steps)) as advance:
            found = measure_controls(self.prepared, advance)
        summaries = {name: summarize_snapshots(snapshots) for name, snapshots in found.items()}
        self.run.info["summary"]["controls"] = judge_controls(self.run.info["summary"], summaries)

    def _build_display_slice(self) -> DisplaySlice | None:
        """Return the slice that shows a scene of more than three dimensions, from its last network; else None."""
        scene = self.prepared.scene
        device = self.prepared.device
        if not scene.has_display_slice:
            return None
        network, _ = self.prepared.load_network(self.run, self.run.steps[-1])
        dtype = torch.float32 if device.type == "mps" else torch.float64
        x = self.prepared.samples.train.to(device, dtype)
        return build_display_slice(scene.require_manifold(), scene.seed, x, Boundary(freeze(network).to(dtype)))

    def draw(self) -> None:
        """Draw the film and write the interactive page; where nothing can be drawn, only a page with the curves."""
        unfinished = [name for name in ("page", "film") if name not in self.run.info["seconds"]]
        frames = frames_from_run(self.run) if unfinished and self.prepared.scene.is_drawable else []
        tasks: dict[str, Task[_DrawingResult]] = {"page": functools.partial(_write_page_and_charts, self.run, frames)}
        if frames:
            # Second, because this process runs the first task, and the other processes have loaded the drawing library.
            tasks["film"] = functools.partial(_draw_film, self.run, frames, self.prepared.scene.film)
        tasks = {name: task for name, task in tasks.items() if name in unfinished}
        ticks = {"page": 1, "film": len(self.run.steps)}
        with self.progress("draw", sum(ticks[name] for name in tasks)) as advance:
            for result in self.workers.run_unordered(tasks.values(), advance):
                self._record_stage(result.name, result.seconds)
                self.charts = result.charts or self.charts

    def draw_slice(self) -> None:
        """Draw the regions of all classes in a slice at every snapshot, as a run inside this one."""
        settings = dataclasses.asdict(self.prepared.scene.slice)  # type: ignore[arg-type]
        config = SliceConfig(run=str(self.run.path), seed=self.prepared.scene.seed, **settings)
        out = self.run.path / SLICE_FOLDER
        try:
            slice_network(config, out, device=str(self.prepared.device), force=True, progress=self.progress)
        except UsageError as error:
            # The network may have become a constant, which has no boundary; that is known only after the training.
            self._warn(f"no slice was drawn: {str(error).replace('--', 'slice.')}")

    def report(self) -> None:
        """Write the report, a page with the settings and the results."""
        with self.progress("report", 1) as advance:
            write_simulation_report(self.run, self.run.path / "report.html", self.charts)
            advance()


@final
@dataclasses.dataclass(frozen=True)
class _DrawingResult:
    """Result of a drawing task: the name of its stage, its seconds, and the charts of the report where it drew them."""

    name: str
    seconds: float
    charts: list[dict[str, str]] | None = None


def _draw_film(run: Run, frames: list[Frame], film: Film, advance: Advance) -> _DrawingResult:
    """Draw the film."""
    started = time.perf_counter()
    write_film(frames, run.path / "film.mp4", film, advance, run_metadata(run))
    return _DrawingResult("film", time.perf_counter() - started)


def _write_page_and_charts(run: Run, frames: list[Frame], advance: Advance) -> _DrawingResult:
    """Write the page and draw the charts of the report, while another process may draw the film."""
    started = time.perf_counter()
    write_web_page(run, frames, run.path / "page.html")
    seconds = time.perf_counter() - started
    charts = report_charts(run)
    advance()
    return _DrawingResult("page", seconds, charts)


def _measure_snapshot(measurer: SnapshotMeasurer, run: Run, step: int, advance: Advance) -> list[SnapshotMeasurement]:
    """Measure one snapshot."""
    network, loss = measurer.prepared.load_network(run, step)
    snapshot = measurer.measure(step, network, loss)
    advance()
    return [snapshot]


def _extract_boundaries(measurer: SnapshotMeasurer, run: Run, advance: Advance) -> list[SnapshotMeasurement]:
    """Extract the boundary at every snapshot, and write all that the views draw; return an empty list."""
    scene = measurer.scene
    if scene.manifold is None:
        return []
    samples = measurer.samples
    manifold = scene.manifold
    affine_slice = None if measurer.display_slice is None else measurer.display_slice.affine_slice
    low, high = (corner.tolist() for corner in scene.display_bounds(samples, affine_slice))
    arrays = {
        "train": samples.train.numpy(),
        "labels": samples.train_labels.numpy(),
        "low": np.array(low),
        "high": np.array(high),
    }
    manifold_mesh = manifold.display_mesh() if affine_slice is None else manifold.triangulation()
    if affine_slice is not None:
        arrays |= {"origin": affine_slice.origin.cpu().numpy(), "axes": affine_slice.axes.cpu().numpy()}
        arrays["display_points"] = affine_slice.coordinates(samples.train).cpu().numpy()
    if manifold_mesh is not None:
        vertices, faces = manifold_mesh
        if affine_slice is not None:
            vertices = affine_slice.coordinates(torch.from_numpy(vertices)).cpu().numpy()
        arrays |= mesh_to_arrays(Mesh(vertices, faces), "manifold")
    mesh = None
    for step in run.steps:
        network, _ = measurer.prepared.load_network(run, step)
        boundary = Boundary(freeze(network))
        if affine_slice is not None:
            boundary = restrict_to_slice(Boundary(freeze(network).to(affine_slice.origin)), affine_slice)
        # The level function is the logit margin of class 1.
        mesh = scene.levelset.extract(boundary, 1, low, high, measurer.device, mesh)
        arrays |= mesh_to_arrays(mesh, f"boundary/{step}")
        advance()
    run.write_geometry(arrays)
    if scene.is_drawable:
        snapshots = [
            ParaViewSnapshot(step, MeshLayer(mesh, "boundary"))
            for step, mesh in zip(run.steps, run.meshes(), strict=True)
        ]
        write_pvd(snapshots, run.path / "boundary.pvd", run_metadata(run))
    return []
