"""The verb `simulate`: training of a scene, measurement, film and report, stage by stage, into a run folder."""

import dataclasses
import functools
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dimple.boundary import Boundary, restrict_to_slice
from dimple.data import DataSplits
from dimple.errors import DivergedError, SceneError
from dimple.experiment.provenance import add_costs, describe_device, versions
from dimple.experiment.run import Run
from dimple.experiment.simulation.controls import judge_controls, measure_controls, require_offset
from dimple.experiment.simulation.dimple_shape import summarize_fall
from dimple.experiment.simulation.replicas import (
    Replicas,
    choose_shown,
    stack_metrics,
    summarize_median,
    summarize_replicas,
)
from dimple.experiment.simulation.snapshot_measures import (
    SnapshotMeasurement,
    SnapshotMeasurer,
    choose_tangents,
    require_fitting,
)
from dimple.experiment.slices.config import SliceConfig
from dimple.experiment.slices.slice_network import slice_network
from dimple.levelsets.dense import NoLevelSet
from dimple.levelsets.mesh import Mesh
from dimple.networks.wrappers import freeze
from dimple.progress import show_progress
from dimple.protocols import Progress
from dimple.runs.run import SLICE_FOLDER, mesh_to_arrays
from dimple.scene import Scene, scene_text
from dimple.scene.display_slice import DisplaySlice, build_display_slice
from dimple.scene.own_code import register_code
from dimple.stats.null_bands import verdict
from dimple.stats.phases import Phases, detect_phases
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
    torch_device = resolve_device(device)
    samples = scene.samples(data)
    require_fitting(scene, samples)
    if len(samples.classes) > 2:
        # A mesh has two sides; a slice shows the regions of all classes.
        scene = dataclasses.replace(scene, levelset=NoLevelSet())
    if scene.is_drawable:
        scene.display_bounds(samples)
    path = Path(out) if out is not None else Path("runs") / f"{scene.name}-{scene.seed}"
    info = {"name": scene.name, "seed": scene.seed, "device": describe_device(torch_device), "versions": versions()}
    info["samples"] = {"shape": list(samples.shape), "classes": list(samples.classes), "source": samples.source}
    info |= {"code": code} if (code := register_code(scene)) else {}
    replicas = Replicas(scene, data, torch_device) if scene.replicas > 1 else None
    run = Run.create(path, info, scene_text(scene), force)
    return Simulation(scene, samples, run, torch_device, progress, workers, replicas)


@final
class Simulation:
    """Stages of one run; each stage reads the files that the stages before it wrote into the folder."""

    def __init__(
        self,
        scene: Scene,
        samples: DataSplits,
        run: Run,
        device: torch.device,
        progress: Progress,
        workers: Workers,
        replicas: Replicas | None,
    ) -> None:
        self.scene = scene
        self.samples = samples
        self.run = run
        self.device = device
        self.progress = progress
        self.workers = workers
        # Several processes that share one accelerator are not faster than one.
        self.measuring_workers = workers if device.type == "cpu" else Workers()
        self.replicas = replicas
        self.charts: list[dict[str, str]] | None = None

    def run_stages(self, stages: Callable[[], None], status: str) -> Run:
        """Run stages, and record how they ended: with `status`, or interrupted or diverged."""
        try:
            stages()
        except (KeyboardInterrupt, DivergedError) as error:
            self.run.info["status"] = "diverged" if isinstance(error, DivergedError) else "interrupted"
            self.run.save()
            raise
        except SceneError:
            if not self.run.steps:
                self.run.clear()
            raise
        self.run.info["status"] = status
        self.run.save()
        return self.run

    def train_only(self) -> None:
        """Train, unless that is done."""
        self._run_stage("train", self.train)

    def simulate(self, film: bool, controls: bool) -> None:
        """Run the stages that are not finished yet, in order."""
        self.train_only()
        if self.replicas is not None:
            self._run_stage("replicas", functools.partial(self.measure_replicas, self.replicas))
            # From here on the run is that of one replica.
            self.scene = self.replicas.scenes[self.run.shown_replica]
            self.samples = self.replicas.samples[self.run.shown_replica]
        self._run_stage("measure", self.measure)
        if controls:
            self._run_stage("controls", self.control)
        if film and self.scene.manifold is not None:
            self.draw()
        if film and self.scene.slice is not None:
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
            with self.progress("train", len(self.replicas.steps)) as advance:
                self.replicas.train(self.run, self.workers, advance)
            self.run.clear_cache()
            return
        training = self.scene.training
        x = self.samples.train.float().to(self.device)
        steps = self.scene.snapshots.steps(training.last_step(len(x)))
        y = self.samples.train_labels.to(self.device)
        with self.progress("train", training.last_step(len(x))) as advance:

            def record(step: int, network: nn.Module, loss: float) -> None:
                self.run.write_snapshot(step, network.state_dict(), loss)

            network = self.scene.initial_network(self.samples, self.device)
            tangents = choose_tangents(self.scene, self.samples, self.device)
            training.fit(
                network,
                x,
                y,
                steps,
                record,
                seed=self.scene.seed,
                tangents=tangents,
                bounds=self.samples.bounds,
                cache=self.run,
                warn=self._warn,
                advance=advance,
            )
        self.run.clear_cache()

    def _warn(self, sentence: str) -> None:
        """Show a warning, and keep it in run.json; a continued training may give it again."""
        warnings.warn(sentence, stacklevel=1)
        self.run.info["warnings"] = list(dict.fromkeys([*self.run.info.get("warnings", []), sentence]))
        self.run.save()

    def measure_replicas(self, replicas: Replicas) -> None:
        """Measure every snapshot of all replicas; write their metrics, and the statistics of the population."""
        with self.progress("replicas", len(replicas.scenes) * len(self.run.steps)) as advance:
            measured = replicas.measure(self.run, self.measuring_workers, advance)
        metrics = [_stack_metrics(snapshots) for snapshots in measured]
        distances = [_heldout_distances(snapshots) for snapshots in measured]
        summaries = [summarize_metrics(*one) for one in zip(metrics, distances, strict=True)]
        seeds = [one.seed for one in replicas.scenes]
        units = {"replica": "number", "seed": "number"} | measured[0][0].units
        self.run.write_table("replicas", stack_metrics(metrics, seeds), units)
        statistics = summarize_replicas(summaries, seeds, choose_shown(metrics))
        self.run.info["replicas"] = statistics | summarize_median(metrics, distances)

    def measure(self) -> None:
        """Measure every snapshot and extract its boundary; write both tables, the meshes and the summary."""
        display_slice = self._build_display_slice()
        measurer = SnapshotMeasurer(self.scene, self.samples, self.device, display_slice)
        # The extraction of each mesh uses the mesh before it, so all of them are one task, which starts first.
        tasks: list[Task[list[SnapshotMeasurement]]] = [functools.partial(_extract_boundaries, measurer, self.run)]
        tasks += [functools.partial(_measure_snapshot, measurer, self.run, step) for step in self.run.steps]
        snapshots: list[SnapshotMeasurement] = []
        with self.progress("measure", 2 * len(self.run.steps)) as advance:
            for result in self.measuring_workers.run_unordered(tasks, advance):
                snapshots += result
        snapshots.sort(key=lambda snapshot: snapshot.metrics["step"])
        first = snapshots[0]
        metrics = _stack_metrics(snapshots)
        self.run.write_table("metrics", metrics, first.units)
        points = {name: np.concatenate([snapshot.points[name] for snapshot in snapshots]) for name in first.points}
        self.run.write_table("points", points, first.units)
        if self.scene.is_drawable and display_slice is None:
            closest = {f"closest/{one.metrics['step']:.0f}": one.closest_points for one in snapshots}
            self.run.write_geometry(self.run.geometry() | closest)
        self.run.info["summary"] = summarize_metrics(metrics, _heldout_distances(snapshots))
        if display_slice is not None:
            description = display_slice.description
            self.run.info["slice"] = {"description": description, "dim": display_slice.affine_slice.dim}
        add_costs(self.run.info, *(snapshot.costs for snapshot in snapshots))

    def control(self) -> None:
        """Train and measure the controls, and add their summaries to that of the run."""
        build = functools.partial(self.scene.initial_network, self.samples, self.device)
        with self.progress("controls", 2 * len(self.run.steps)) as advance:
            found = measure_controls(self.scene, self.samples, self.device, build, advance)
        summaries = {
            name: summarize_metrics(_stack_metrics(snapshots), _heldout_distances(snapshots))
            for name, snapshots in found.items()
        }
        self.run.info["summary"]["controls"] = judge_controls(self.run.info["summary"], summaries)

    def _build_display_slice(self) -> DisplaySlice | None:
        """Return the slice that shows a scene of more than three dimensions, from its last network; else None."""
        if not self.scene.has_display_slice:
            return None
        network, _ = _load_snapshot(self.scene, self.samples, self.run, self.run.steps[-1], self.device)
        manifold = self.scene.require_manifold()
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        x = self.samples.train.to(self.device, dtype)
        return build_display_slice(manifold, self.scene.seed, x, Boundary(freeze(network).to(dtype)))

    def draw(self) -> None:
        """Draw the film and write the interactive page; where nothing can be drawn, only a page with the curves."""
        unfinished = [name for name in ("page", "film") if name not in self.run.info["seconds"]]
        frames = frames_from_run(self.run) if unfinished and self.scene.is_drawable else []
        tasks: dict[str, Task[_DrawingResult]] = {"page": functools.partial(_write_page_and_charts, self.run, frames)}
        if frames:
            # Second, because this process runs the first task, and the other processes have loaded the drawing library.
            tasks["film"] = functools.partial(_draw_film, self.run, frames, self.scene.film)
        tasks = {name: task for name, task in tasks.items() if name in unfinished}
        ticks = {"page": 1, "film": len(self.run.steps)}
        with self.progress("draw", sum(ticks[name] for name in tasks)) as advance:
            for result in self.workers.run_unordered(tasks.values(), advance):
                self._record_stage(result.name, result.seconds)
                self.charts = result.charts or self.charts

    def draw_slice(self) -> None:
        """Draw the regions of all classes in a slice at every snapshot, as a run inside this one."""
        settings = dataclasses.asdict(self.scene.slice)  # type: ignore[arg-type]
        config = SliceConfig(run=str(self.run.path), seed=self.scene.seed, **settings)
        slice_network(config, self.run.path / SLICE_FOLDER, device=str(self.device), force=True, progress=self.progress)

    def report(self) -> None:
        """Write the report, a page with the settings and the results."""
        with self.progress("report", 1) as advance:
            write_simulation_report(self.run, self.run.path / "report.html", self.charts)
            advance()


def _build_network(scene: Scene, samples: DataSplits, device: torch.device) -> nn.Module:
    """Return the network before its first update, float32, on the device."""
    return scene.build_network(samples.shape, len(samples.classes)).to(device)


def _load_snapshot(
    scene: Scene, samples: DataSplits, run: Run, step: int, device: torch.device
) -> tuple[nn.Module, float]:
    """Return the network at a step, and its loss."""
    state, loss = run.read_snapshot(step)
    network = _build_network(scene, samples, device)
    network.load_state_dict(state)
    return network, loss


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
    network, loss = _load_snapshot(measurer.scene, measurer.samples, run, step, measurer.device)
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
        network, _ = _load_snapshot(scene, samples, run, step, measurer.device)
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


def _stack_metrics(snapshots: list[SnapshotMeasurement]) -> dict[str, NDArray[Any]]:
    """Return the columns of metrics.parquet."""
    metrics = {name: np.array([one.metrics[name] for one in snapshots]) for name in snapshots[0].metrics}
    return metrics | {"step": metrics["step"].astype(np.int64)}


def _heldout_distances(snapshots: list[SnapshotMeasurement]) -> NDArray[np.float64] | None:
    """Return the distances of held-out points from the boundary, `(snapshots, points)`; None without `offset`."""
    if "boundary_distance" not in snapshots[0].metrics:
        return None
    return np.stack(
        [
            np.minimum(np.abs(one.points["offset"][one.points["split"] == "heldout"]), one.metrics["search_limit"])
            for one in snapshots
        ]
    )


def summarize_metrics(
    metrics: dict[str, NDArray[Any]], point_distances: NDArray[np.float64] | None = None
) -> dict[str, Any]:
    """Return the phases, the last row of the metrics, and the verdicts that follow from them.

    Args:
        point_distances: the distances of which `boundary_distance` holds the means, `(snapshots, points)`.
    """
    final_row = {name: float(values[-1]) for name, values in metrics.items() if name != "step"}
    steps = [int(step) for step in metrics["step"]]
    result: dict[str, Any] = {"steps": steps[-1], "snapshots": len(steps)}
    if "boundary_distance" in metrics:
        found: Phases = detect_phases(
            steps,
            metrics["boundary_distance"] if point_distances is None else point_distances[None],
            metrics["train_accuracy"],
            final_row["gradient_off_manifold_fraction"],
            final_row["gradient_off_manifold_fraction_null"],
            off_manifold_fraction_stderr=final_row["gradient_off_manifold_fraction_stderr"],
            found_fraction=float(metrics["boundary_distance_found"][0]),
        )
        result |= {
            "cling_step": found.cling_step,
            "dimple_step": found.dimple_step,
            "distance_fall": found.best_reduction_factor,
            "phases": [{**dataclasses.asdict(phase), "interval": list(phase.interval)} for phase in found.phases],
            "verdict": found.verdict,
            "verdict_reason": found.reason,
            "conditions": [dataclasses.asdict(condition) for condition in found.conditions],
            "fall": summarize_fall(metrics, found.dimple_step),
        }
    for name in ("margin_on_ratio", "margin_off_ratio"):
        if name in final_row:
            result[f"{name}_verdict"] = verdict(
                final_row[name], final_row[f"{name}_null_low"], final_row[f"{name}_null_high"]
            )
    return result | {"final": final_row}
