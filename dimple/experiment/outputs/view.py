"""The verb `view`: a run, or two beside each other, in an interactive window."""

from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.errors import RunError, UsageError
from dimple.experiment.probing.sources import Snapshots
from dimple.experiment.provenance import silent
from dimple.experiment.simulation.perturbations import Nearest
from dimple.protocols import Progress
from dimple.runs import Run
from dimple.scene import load_scene
from dimple.views.content.frame import Perturbations, Reals
from dimple.views.content.from_run import frames_of_run
from dimple.views.content.from_slice import is_section, point_table
from dimple.views.content.metadata import imprint_of
from dimple.views.window.animation import Show
from dimple.views.window.window import FPS, open_window

# How many points travel through a network together.
CHUNK = 4096


def view(path: Path | str, beside: Path | str | None = None, fps: int = FPS, progress: Progress = silent) -> list[Path]:
    """Open a run and return when its window is closed.

    Args:
        path: the run folder.
        beside: another run to be seen at the same steps from the same side.
        fps: snapshots a second when they are played.

    Returns:
        The pictures and films that were made in the window.

    Raises:
        UsageError: for fewer than one snapshot a second, or two runs that lie in different spaces.
        RunError: if a folder holds no run with a boundary to draw.
        DeviceError: without a display, naming the film and the report instead.
    """
    if fps < 1:
        raise UsageError(f"--fps is {fps}; ask for one snapshot a second or more")
    runs = [Run.open(path)] + ([] if beside is None else [Run.open(beside)])
    for run in runs:
        if not (run.path / "geometry.safetensors").is_file():
            raise RunError(f"{run.path}: holds no boundary to look at; open {run.path / 'report.html'} in a browser")
    dims = [len(run.box[0]) for run in runs]
    if len(set(dims)) > 1:
        raise UsageError(
            f"{runs[0].path} lies in R^{dims[0]} and {runs[1].path} in R^{dims[1]}; name two runs in the same space"
        )
    shows = []
    with progress("open", len(runs)) as advance:
        for run in runs:
            shows.append(show_of(run))
            advance()
    return open_window(shows, fps)


def show_of(run: Run) -> Show:
    """A run with all that the window can ask of it.

    Raises:
        RunError: if it has no boundary to draw.
        SceneError: if its scene cannot be read.
    """
    if is_section(run):
        return Show(frames_of_run(run), run.path, point_table(run), None, imprint_of(run))
    return Show(frames_of_run(run), run.path, run.points(), Answers(run), imprint_of(run))


@final
class Answers:
    """What a view asks of a run, answered by its snapshots in float64; see `dimple.views.window.animation.Asked`.

    Raises:
        SceneError: if its scene cannot be read.
    """

    def __init__(self, run: Run) -> None:
        scene = load_scene(str(run.path / "scene.yaml"))
        self._snapshots, self._manifold, self._nearest = Snapshots(run, scene), scene.manifold, Nearest(run)
        self._count = len(run.positions["labels"])
        self._section = run.section

    def network(self, step: int) -> nn.Module:
        """The network after that many updates."""
        return self._snapshots.at(step)

    def nearest(self, step: int, points: Sequence[int] | None = None) -> Perturbations:
        """The shortest steps from the training points to the boundary."""
        if self._section is not None:
            # The boundary is nearest off the section, and an arrow to that place would be a picture of nothing.
            unknown = np.full((self._count if points is None else len(points), self._section.dim), np.nan)
            return Perturbations(unknown, unknown, unknown)
        return self._nearest.at(step, points)

    def gradient_norms(self, step: int, points: Reals) -> Reals:
        """The length of the gradient of the score of class 1 over class 0 at points `(V, n)`, `(V,)`."""
        boundary = Boundary(self._snapshots.at(step))
        parts = self.inputs(torch.from_numpy(points)).split(CHUNK)
        ones = torch.ones(len(points), dtype=torch.long).split(CHUNK)
        gradients = torch.cat([boundary.gap_and_gradient(x, y)[1] for x, y in zip(parts, ones, strict=True)])
        return np.asarray(gradients.norm(dim=1).numpy(), dtype=np.float64)

    def distances(self, points: Reals) -> Reals:
        """How far points `(V, n)` are from the manifold, `(V,)`."""
        return np.asarray(self._manifold.distance(self.inputs(torch.from_numpy(points))).numpy(), dtype=np.float64)

    def inputs(self, places: Tensor) -> Tensor:
        """Places of what is drawn, float64, as points of the space."""
        return places if self._section is None else self._section(places)
