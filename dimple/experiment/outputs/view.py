"""The verb `view`: a run, or two runs side by side, in an interactive window."""

from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.errors import RunError, UsageError
from dimple.experiment.run import Run
from dimple.experiment.simulation.perturbations import PerturbationSearch
from dimple.progress import show_progress
from dimple.protocols import Progress
from dimple.scene import load_run_scene
from dimple.views.content.frame import FloatArray, Perturbations
from dimple.views.content.from_run import frames_from_run
from dimple.views.content.from_slice import slice_point_table
from dimple.views.content.metadata import run_metadata
from dimple.views.window.animation import RunView
from dimple.views.window.window import DEFAULT_FPS, open_window

# Points that a network evaluates together.
CHUNK_SIZE = 4096


def view(
    path: Path | str, other: Path | str | None = None, fps: int = DEFAULT_FPS, progress: Progress = show_progress
) -> list[Path]:
    """Open a window on a run, and return when it is closed.

    Args:
        path: the run folder.
        other: another run, shown at the same steps with the same camera.
        fps: snapshots per second when they are played.

    Returns:
        The images and films that the user saved in the window.

    Raises:
        UsageError: for fewer than one snapshot per second, or two runs in spaces of different dimensions.
        RunError: if a folder holds no run with a boundary to draw.
        DeviceError: without a display; the message names the film and the report.
    """
    if fps < 1:
        raise UsageError(f"fps is {fps}; give 1 or more")
    runs = [Run.open(path)] + ([] if other is None else [Run.open(other)])
    for run in runs:
        require_drawable(run)
    dims = [len(run.display_bounds[0]) for run in runs]
    if len(set(dims)) > 1:
        raise UsageError(
            f"{runs[0].path} lies in R^{dims[0]} and {runs[1].path} in R^{dims[1]}; name two runs in the same space"
        )
    run_views = []
    with progress("open", len(runs)) as advance:
        for run in runs:
            run_views.append(load_run_view(run))
            advance()
    return open_window(run_views, fps)


def require_drawable(run: Run) -> None:
    """Refuse a run without a drawing of its own, such as one of images.

    Raises:
        RunError: with the slice in the run, or the report.
    """
    if not (run.path / "geometry.safetensors").is_file():
        report = f"open {run.path / 'report.html'} in a browser"
        other = report if run.views_path == run.path else f"name {run.views_path}"
        raise RunError(f"{run.path}: holds no boundary to draw; {other}")


def load_run_view(run: Run) -> RunView:
    """Return all that the window shows of a run.

    Raises:
        RunError: if the run has no boundary to draw.
        SceneError: if its scene cannot be read.
    """
    if run.kind == "slice":
        return RunView(frames_from_run(run), run.path, slice_point_table(run), None, run_metadata(run))
    return RunView(frames_from_run(run), run.path, run.columns("points"), RunEvaluator(run), run_metadata(run))


@final
class RunEvaluator:
    """Evaluation of the snapshots of a run in float64, for views.

    It has the methods of `dimple.views.window.animation.SnapshotEvaluator`.

    Raises:
        SceneError: if its scene cannot be read.
    """

    def __init__(self, run: Run) -> None:
        scene = load_run_scene(run)
        self._run = run
        self._manifold = scene.require_manifold()
        self._perturbation_search = PerturbationSearch(run)
        self._point_count = len(run.training_points["labels"])
        self._affine_slice = run.affine_slice

    def load_network(self, step: int) -> nn.Module:
        """Return the network after `step` updates."""
        return self._run.network(step)

    def perturbations(self, step: int, points: Sequence[int] | None = None) -> Perturbations:
        """Return the shortest perturbations of the training points, or of those in rows `points`, to the boundary."""
        if self._affine_slice is not None:
            # The closest boundary points lie off the slice, so arrows to them cannot be drawn in it.
            unknown = np.full((self._point_count if points is None else len(points), self._affine_slice.dim), np.nan)
            return Perturbations(unknown, unknown, unknown)
        return self._perturbation_search.find(step, points)

    def gradient_norms(self, step: int, points: FloatArray) -> FloatArray:
        """Return the norm `(V,)` of the gradient of the logit margin of class 1 at the displayed points `(V, k)`."""
        boundary = Boundary(self._run.network(step))
        chunks = self.to_input_space(torch.from_numpy(points)).split(CHUNK_SIZE)
        ones = torch.ones(len(points), dtype=torch.long).split(CHUNK_SIZE)
        gradients = torch.cat([boundary.logit_margin_and_gradient(x, y)[1] for x, y in zip(chunks, ones, strict=True)])
        return np.asarray(gradients.norm(dim=1).numpy(), dtype=np.float64)

    def distances(self, points: FloatArray) -> FloatArray:
        """Return the distances `(V,)` of the displayed points `(V, k)` from the manifold."""
        distances = self._manifold.distance(self.to_input_space(torch.from_numpy(points)))
        return np.asarray(distances.numpy(), dtype=np.float64)

    def to_input_space(self, points: Tensor) -> Tensor:
        """Return displayed points `(V, k)`, float64, as points `(V, n)` of the input space."""
        return points if self._affine_slice is None else self._affine_slice(points)
