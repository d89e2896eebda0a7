"""The verb `simulate`: a scene into a run folder, stage by stage."""

import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dimple.boundary import Boundary, Mesh, NoLevelSet
from dimple.data import ManifoldSamples
from dimple.errors import DivergedError
from dimple.experiment.provenance import describe, silent, versions
from dimple.experiment.summary import summary
from dimple.networks.adapt import frozen
from dimple.protocols import Progress
from dimple.runs import Run
from dimple.runs.store import mesh_arrays
from dimple.scene import Scene, scene_text
from dimple.scene.record import Recorder
from dimple.tensors import generator, resolve_device
from dimple.views.film import write_film
from dimple.views.frame import Frame, Layer
from dimple.views.frames_of_run import frames_of_run
from dimple.views.report import write_report
from dimple.views.vtk_files import write_pvd
from dimple.views.web_page import write_web_page


def simulate(
    scene: Scene,
    out: Path | str | None = None,
    *,
    device: str = "auto",
    force: bool = False,
    film: bool = True,
    progress: Progress = silent,
) -> Run:
    """Train the scene's network, measure and extract its boundary at every snapshot, film it, and report.

    The same scene, seed, machine and device give the same numbers to the last bit. An interrupted run continues after
    its last finished stage when it is simulated into the same folder again.

    Args:
        out: the run folder; `runs/<name>-<seed>` without it.
        device: `auto`, `cpu`, `cuda` or `mps`.
        force: replace a run that is already there.
        film: whether to draw; without it the report has no pictures of the boundary.

    Returns:
        The finished run; `run.info["summary"]` holds its verdict and final numbers.

    Raises:
        SceneError, RunError, DivergedError, DeviceError: each with one sentence for the user.
    """
    place = resolve_device(device)
    samples = scene.samples()
    scene.domain(samples)
    path = Path(out) if out is not None else Path("runs") / f"{scene.name}-{scene.seed}"
    info = {"name": scene.name, "seed": scene.seed, "device": describe(place), "versions": versions()}
    run = Run.create(path, info, scene_text(scene), force)
    simulation = Simulation(scene, samples, run, place, progress)
    try:
        for name, stage in simulation.stages(film).items():
            if name not in run.info["seconds"]:
                started = time.perf_counter()
                stage()
                run.info["seconds"][name] = round(time.perf_counter() - started, 3)
                run.save()
    except (KeyboardInterrupt, DivergedError) as error:
        run.info["status"] = "diverged" if isinstance(error, DivergedError) else "interrupted"
        run.save()
        raise
    run.info["status"] = "complete"
    run.save()
    return run


@final
class Simulation:
    """The stages of one run; each reads what the ones before it left in the folder."""

    def __init__(
        self, scene: Scene, samples: ManifoldSamples, run: Run, device: torch.device, progress: Progress
    ) -> None:
        self.scene = scene
        self.samples = samples
        self.run = run
        self.device = device
        self.progress = progress

    def stages(self, film: bool) -> dict[str, Callable[[], None]]:
        """What is done, by name, in order."""
        drawing = {"film": self.film, "page": self.page} if film else {}
        return {"train": self.train, "probe": self.probe, "boundary": self.boundary, **drawing, "report": self.report}

    def network(self) -> nn.Module:
        """The network before its first update, float32, on the device."""
        stream = generator(self.scene.seed, "network")
        return self.scene.network.build(self.scene.manifold.ambient_dim, stream).to(self.device)

    def train(self) -> None:
        """Fit, writing a snapshot at every scheduled step."""
        steps = self.scene.snapshots.steps(self.scene.training.steps)
        x = self.samples.train.float().to(self.device)
        y = self.samples.train_labels.to(self.device)
        with self.progress("train", len(steps)) as advance:

            def record(step: int, network: nn.Module, loss: float) -> None:
                self.run.write_snapshot(step, network.state_dict(), loss)
                advance()

            self.scene.training.fit(self.network(), x, y, steps, record)

    def snapshots(self) -> Iterator[tuple[int, nn.Module, float]]:
        """Step, network and loss of every snapshot, in order."""
        network = self.network()
        for step in self.run.steps:
            state, loss = self.run.read_snapshot(step)
            network.load_state_dict(state)
            yield step, network, loss

    def probe(self) -> None:
        """Measure every snapshot; write both tables and the summary."""
        recorder = Recorder(self.scene, self.samples, self.device)
        rows, tables = [], []
        units: dict[str, str] = {}
        with self.progress("probe", len(self.run.steps)) as advance:
            for step, network, loss in self.snapshots():
                row, table, units = recorder.measure(step, network, loss)
                rows.append(row)
                tables.append(table)
                advance()
        metrics: dict[str, NDArray[Any]] = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        metrics["step"] = metrics["step"].astype(np.int64)
        self.run.write_metrics(metrics, units)
        self.run.write_points({name: np.concatenate([table[name] for table in tables]) for name in tables[0]}, units)
        self.run.info["summary"] = summary(metrics)

    def boundary(self) -> None:
        """Extract the boundary at every snapshot, and keep all that the views draw."""
        low, high = (corner.tolist() for corner in self.scene.domain(self.samples))
        arrays = {
            "train": self.samples.train.numpy(),
            "labels": self.samples.train_labels.numpy(),
            "low": np.array(low),
            "high": np.array(high),
        }
        manifold = self.scene.manifold.mesh()
        if manifold is not None:
            arrays |= mesh_arrays(Mesh(*manifold), "manifold")
        mesh = None
        with self.progress("boundary", len(self.run.steps)) as advance:
            for step, network, _ in self.snapshots():
                # The level is the score of class 1 over class 0.
                mesh = self.scene.levelset.extract(Boundary(frozen(network)), 1, low, high, self.device, mesh)
                arrays |= mesh_arrays(mesh, f"boundary/{step}")
                advance()
        self.run.write_geometry(arrays)
        if self.drawable:
            layers = [Layer(mesh, "boundary") for mesh in self.run.meshes()]
            write_pvd(layers, self.run.steps, self.run.path / "boundary.pvd")

    def film(self) -> None:
        """Draw the film, where the space has two or three dimensions to draw."""
        if not self.drawable:
            return
        with self.progress("film", len(self.frames)) as advance:
            write_film(self.frames, self.run.path / "film.mp4", self.scene.film, advance)

    def page(self) -> None:
        """Write the film as a page to turn, scrub and play; without a picture it has the curves."""
        with self.progress("page", 1) as advance:
            write_web_page(self.run, self.frames if self.drawable else [], self.run.path / "page.html")
            advance()

    def report(self) -> None:
        """Write the page that says what was asked and what came of it."""
        with self.progress("report", 1) as advance:
            write_report(self.run, self.run.path / "report.html")
            advance()

    @functools.cached_property
    def frames(self) -> list[Frame]:
        """What film and page show."""
        return frames_of_run(self.run)

    @property
    def drawable(self) -> bool:
        """Whether there is a boundary to draw."""
        return self.scene.manifold.ambient_dim in (2, 3) and not isinstance(self.scene.levelset, NoLevelSet)
