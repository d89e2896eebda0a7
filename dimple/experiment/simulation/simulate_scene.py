"""The verb `simulate`: a scene into a run folder, stage by stage."""

import dataclasses
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dimple.boundary import Boundary, restricted
from dimple.data import ManifoldSamples
from dimple.errors import DivergedError, SceneError
from dimple.experiment.provenance import add_costs, describe, silent, versions
from dimple.experiment.simulation.snapshot_measures import Measured, Recorder
from dimple.levelsets.mesh import Mesh
from dimple.networks.wrappers import frozen
from dimple.protocols import Progress
from dimple.runs import Run
from dimple.runs.run import mesh_arrays
from dimple.scene import Scene, scene_text
from dimple.scene.display_slice import Drawn, draw_in
from dimple.stats.null_bands import verdict
from dimple.stats.phases import Phases, phases
from dimple.tensors import generator, resolve_device
from dimple.views.content.frame import Frame, Layer
from dimple.views.content.from_run import frames_of_run
from dimple.views.content.metadata import imprint_of
from dimple.views.film.film import write_film
from dimple.views.film.settings import Film
from dimple.views.paraview.export import Moment, write_pvd
from dimple.views.report.simulation import report_charts, write_report
from dimple.views.web.page import write_web_page
from dimple.workers import Advance, Piece, Workers


def simulate(
    scene: Scene,
    out: Path | str | None = None,
    *,
    device: str = "auto",
    force: bool = False,
    film: bool = True,
    progress: Progress = silent,
    workers: Workers = Workers(),
) -> Run:
    """Train the scene's network, measure and extract its boundary at every snapshot, film it, and report.

    The same scene, seed, machine and device give the same numbers to the last bit, however many work. An interrupted
    run continues after its last finished stage when it is simulated into the same folder again.

    Args:
        out: the run folder; `runs/<name>-<seed>` without it.
        device: `auto`, `cpu`, `cuda` or `mps`.
        force: replace a run that is already there.
        film: whether to draw; without it the report has no pictures of the boundary.
        workers: the processes that measure on a CPU and draw, as in `with Workers(4) as workers`; without them this
            one does all. A script that asks for more than one needs no guard.

    Returns:
        The finished run; `run.info["summary"]` holds its verdict and final numbers.

    Raises:
        UsageError, SceneError, RunError, DivergedError, DeviceError: each with one sentence for the user.
    """
    place = resolve_device(device)
    samples = scene.samples()
    _require_two_classes(samples)
    scene.domain(samples)
    path = Path(out) if out is not None else Path("runs") / f"{scene.name}-{scene.seed}"
    info = {"name": scene.name, "seed": scene.seed, "device": describe(place), "versions": versions()}
    run = Run.create(path, info, scene_text(scene), force)
    try:
        Simulation(scene, samples, run, place, progress, workers).finish(film)
    except (KeyboardInterrupt, DivergedError) as error:
        run.info["status"] = "diverged" if isinstance(error, DivergedError) else "interrupted"
        run.save()
        raise
    run.info["status"] = "complete"
    run.save()
    return run


def _require_two_classes(samples: ManifoldSamples) -> None:
    """Refuse labels for which the network of a scene has no score."""
    classes = 1 + int(max(samples.train_labels.max(), samples.test_labels.max()))
    if classes > 2:
        raise SceneError(f"data.labels gives {classes} classes and the network of a scene has two scores; ask for two")


@final
class Simulation:
    """The stages of one run; each reads what the ones before it left in the folder."""

    def __init__(
        self,
        scene: Scene,
        samples: ManifoldSamples,
        run: Run,
        device: torch.device,
        progress: Progress,
        workers: Workers,
    ) -> None:
        self.scene = scene
        self.samples = samples
        self.run = run
        self.device = device
        self.progress = progress
        self.workers = workers
        self.charts: list[dict[str, str]] | None = None

    def finish(self, film: bool) -> None:
        """Do, in order, whatever is not done yet."""
        self._once("train", self.train)
        self._once("measure", self.measure)
        if film:
            self.draw()
        self._once("report", self.report)

    def _once(self, name: str, stage: Callable[[], None]) -> None:
        if name not in self.run.info["seconds"]:
            started = time.perf_counter()
            stage()
            self._finished(name, time.perf_counter() - started)

    def _finished(self, name: str, seconds: float) -> None:
        self.run.info["seconds"][name] = round(seconds, 3)
        self.run.save()

    def train(self) -> None:
        """Fit, writing a snapshot at every scheduled step."""
        steps = self.scene.snapshots.steps(self.scene.training.steps)
        x = self.samples.train.float().to(self.device)
        y = self.samples.train_labels.to(self.device)
        with self.progress("train", len(steps)) as advance:

            def record(step: int, network: nn.Module, loss: float) -> None:
                self.run.write_snapshot(step, network.state_dict(), loss)
                advance()

            self.scene.training.fit(_network(self.scene, self.device), x, y, steps, record)

    def measure(self) -> None:
        """Measure every snapshot and extract its boundary; write both tables, the meshes and the summary."""
        drawn = self._drawn()
        recorder = Recorder(self.scene, self.samples, self.device, drawn)
        # Each mesh is extracted with a look at the one before, so together they are one piece, and begun first.
        pieces: list[Piece[list[Measured]]] = [functools.partial(_extract_all, recorder, self.run)]
        pieces += [functools.partial(_measured, recorder, self.run, step) for step in self.run.steps]
        measured: list[Measured] = []
        # Several processes would share one accelerator, and gain nothing.
        workers = self.workers if self.device.type == "cpu" else Workers()
        with self.progress("measure", 2 * len(self.run.steps)) as advance:
            for done in workers.each(pieces, advance):
                measured += done
        measured.sort(key=lambda one: one.metrics["step"])
        first = measured[0]
        metrics: dict[str, NDArray[Any]] = {n: np.array([one.metrics[n] for one in measured]) for n in first.metrics}
        metrics["step"] = metrics["step"].astype(np.int64)
        self.run.write_metrics(metrics, first.units)
        points = {name: np.concatenate([one.points[name] for one in measured]) for name in first.points}
        self.run.write_points(points, first.units)
        self.run.info["summary"] = summary(metrics)
        if drawn is not None:
            self.run.info["section"] = {"words": drawn.words, "dim": drawn.section.dim}
        add_costs(self.run.info, *(one.costs for one in measured))

    def _drawn(self) -> Drawn | None:
        """The section in which a scene of more than three dimensions is drawn: that of its last network."""
        if not self.scene.in_section:
            return None
        network, _ = _snapshot(self.scene, self.run, self.run.steps[-1], self.device)
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        x = self.samples.train.to(self.device, dtype)
        return draw_in(self.scene.manifold, self.scene.seed, x, Boundary(frozen(network).to(dtype)))

    def draw(self) -> None:
        """Make the film and, beside it, the page to turn, scrub and play; without a picture it has the curves."""
        left = [name for name in ("page", "film") if name not in self.run.info["seconds"]]
        frames = frames_of_run(self.run) if left and self.scene.drawable else []
        pieces: dict[str, Piece[_Drawn]] = {"page": functools.partial(_page, self.run, frames)}
        if frames:
            # Not the first, which this process does: the others are ready to draw.
            pieces["film"] = functools.partial(_film, self.run, frames, self.scene.film)
        pieces = {name: piece for name, piece in pieces.items() if name in left}
        parts = {"page": 1, "film": len(self.run.steps)}
        with self.progress("draw", sum(parts[name] for name in pieces)) as advance:
            for done in self.workers.each(pieces.values(), advance):
                self._finished(done.name, done.seconds)
                self.charts = done.charts or self.charts

    def report(self) -> None:
        """Write the page that says what was asked and what came of it."""
        with self.progress("report", 1) as advance:
            write_report(self.run, self.run.path / "report.html", self.charts)
            advance()


def _network(scene: Scene, device: torch.device) -> nn.Module:
    """The network before its first update, float32, on the device."""
    return scene.network.build(scene.manifold.ambient_dim, generator(scene.seed, "network")).to(device)


def _snapshot(scene: Scene, run: Run, step: int, device: torch.device) -> tuple[nn.Module, float]:
    """The network at a step, and its loss."""
    state, loss = run.read_snapshot(step)
    network = _network(scene, device)
    network.load_state_dict(state)
    return network, loss


@final
@dataclasses.dataclass(frozen=True)
class _Drawn:
    """What was drawn, in how many seconds, and the report's charts where they were drawn as well."""

    name: str
    seconds: float
    charts: list[dict[str, str]] | None = None


def _film(run: Run, frames: list[Frame], film: Film, advance: Advance) -> _Drawn:
    """Draw the film."""
    started = time.perf_counter()
    write_film(frames, run.path / "film.mp4", film, advance, imprint_of(run))
    return _Drawn("film", time.perf_counter() - started)


def _page(run: Run, frames: list[Frame], advance: Advance) -> _Drawn:
    """Write the page, and draw the report's charts, while a film is made elsewhere."""
    started = time.perf_counter()
    write_web_page(run, frames, run.path / "page.html")
    seconds = time.perf_counter() - started
    charts = report_charts(run)
    advance()
    return _Drawn("page", seconds, charts)


def _measured(recorder: Recorder, run: Run, step: int, advance: Advance) -> list[Measured]:
    """What is measured at one snapshot."""
    measured = recorder.measure(step, *_snapshot(recorder.scene, run, step, recorder.device))
    advance()
    return [measured]


def _extract_all(recorder: Recorder, run: Run, advance: Advance) -> list[Measured]:
    """Extract the boundary at every snapshot, and keep all that the views draw."""
    scene, samples, device = recorder.scene, recorder.samples, recorder.device
    section = None if recorder.drawn is None else recorder.drawn.section
    low, high = (corner.tolist() for corner in scene.domain(samples, section))
    arrays = {
        "train": samples.train.numpy(),
        "labels": samples.train_labels.numpy(),
        "low": np.array(low),
        "high": np.array(high),
    }
    drawn = scene.manifold.mesh() if section is None else scene.manifold.triangulation()
    if section is not None:
        arrays |= {"origin": section.origin.cpu().numpy(), "axes": section.axes.cpu().numpy()}
        arrays["drawn"] = section.coordinates(samples.train).cpu().numpy()
    if drawn is not None:
        vertices, faces = drawn
        if section is not None:
            vertices = section.coordinates(torch.from_numpy(vertices)).cpu().numpy()
        arrays |= mesh_arrays(Mesh(vertices, faces), "manifold")
    mesh = None
    for step in run.steps:
        network, _ = _snapshot(scene, run, step, device)
        boundary = Boundary(frozen(network))
        if section is not None:
            boundary = restricted(Boundary(frozen(network).to(section.origin)), section)
        # The level is the score of class 1 over class 0.
        mesh = scene.levelset.extract(boundary, 1, low, high, device, mesh)
        arrays |= mesh_arrays(mesh, f"boundary/{step}")
        advance()
    run.write_geometry(arrays)
    if scene.drawable:
        moments = [Moment(step, Layer(mesh, "boundary")) for step, mesh in zip(run.steps, run.meshes(), strict=True)]
        write_pvd(moments, run.path / "boundary.pvd", imprint_of(run))
    return []


def summary(metrics: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """The dates of the phases, the final row of the metrics, and what both say of the model's predictions."""
    final_row = {name: float(values[-1]) for name, values in metrics.items() if name != "step"}
    steps = [int(step) for step in metrics["step"]]
    result: dict[str, Any] = {"steps": steps[-1], "snapshots": len(steps)}
    if "boundary_distance" in metrics:
        dated: Phases = phases(
            steps,
            metrics["boundary_distance"].tolist(),
            metrics["train_accuracy"].tolist(),
            final_row["off_share"],
            final_row["off_share_null"],
            off_share_error=final_row["off_share_error"],
            found=float(metrics["boundary_found"][0]),
        )
        result |= {
            "cling_step": dated.cling_step,
            "dimple_step": dated.dimple_step,
            "distance_fall": dated.best_fall,
            "verdict": dated.verdict,
            "verdict_reason": dated.reason,
        }
    for way in ("on", "off"):
        if f"{way}_ratio" in final_row:
            result[f"{way}_ratio_verdict"] = verdict(
                final_row[f"{way}_ratio"], final_row[f"{way}_ratio_null_low"], final_row[f"{way}_ratio_null_high"]
            )
    return result | {"final": final_row}
