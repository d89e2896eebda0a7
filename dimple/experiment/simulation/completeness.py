"""The verb `completeness`: a proof, by bounds of the network, that the boundary mesh of a run misses no component."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np

from dimple.boundary import Boundary, restrict_to_slice
from dimple.errors import RunError, UsageError
from dimple.experiment.run import Run
from dimple.levelsets import check_completeness
from dimple.levelsets.completeness import CompletenessResult, is_power_of_two_resolution
from dimple.levelsets.mesh import Mesh
from dimple.progress import show_progress
from dimple.protocols import Progress
from dimple.scene import load_run_scene


@final
@dataclasses.dataclass(frozen=True)
class SnapshotCompleteness:
    """Completeness of the boundary mesh at one snapshot.

    Attributes:
        step: the number of updates.
        cell_size: the longest edge of the cells that were bounded.
        undecided_cells: the number of cells that may hold a boundary and have no part of the mesh within one cell.
        undecided_volume: the volume of these cells (in the plane the area).
        undecided_fraction: this volume as a fraction of the box.
        unproven_volume: the volume of all cells without a proof, including those along the mesh.
    """

    step: int
    cell_size: float
    undecided_cells: int
    undecided_volume: float
    undecided_fraction: float
    unproven_volume: float

    @property
    def is_complete(self) -> bool:
        """Return whether all of the boundary lies within the cells that the mesh meets and their neighbors."""
        return self.undecided_cells == 0

    def __str__(self) -> str:
        if self.is_complete:
            return f"step {self.step}: complete (proven to cell size {self.cell_size:.3g})"
        return (
            f"step {self.step}: not proven complete: {self.undecided_cells} cells of size {self.cell_size:.3g} away "
            f"from the mesh are undecided, volume {self.undecided_volume:.3g} "
            f"({100 * self.undecided_fraction:.2g} % of the box)"
        )


def check_run_completeness(
    path: Path | str, resolution: int = 64, steps: Sequence[int] = (), progress: Progress = show_progress
) -> list[SnapshotCompleteness]:
    """Prove that the boundary meshes of a run miss nothing larger than a cell, or count the undecided cells.

    Args:
        path: a simulated run with a boundary. If the run is drawn in a slice, the proof is about the boundary there.
        resolution: cells along each axis of the box, a power of two from 4 on; the work grows with its square.
        steps: the snapshots; if empty, the last one.

    Returns:
        One result for each of the snapshots, in the order of their steps.

    Raises:
        RunError: if there is no run, or a run without such a boundary.
        UsageError: for a step without a snapshot, or a resolution that is not such a power of two.
        ModelError: for a network that cannot be bounded.
    """
    if not is_power_of_two_resolution(resolution):
        raise UsageError(f"resolution is {resolution}; give a power of two from 4 on")
    run = Run.open(path)
    if run.kind == "slice" or not (run.path / "geometry.safetensors").is_file():
        raise RunError(f"{path}: holds no boundary along training to check; name a run made by dimple simulate")
    scene = load_run_scene(run, ["probes=[]"])
    if not scene.is_drawable:
        raise RunError(
            f"{path}: its scene draws no boundary, so there is none to check; set levelset to {{kind: auto}}"
        )
    selected = set(steps) or {run.steps[-1]}
    if unknown := sorted(selected - set(run.steps)):
        raise UsageError(f"step {unknown[0]} is no snapshot of the run; choose from {run.steps}")
    affine_slice = run.affine_slice
    low, high = run.display_bounds
    results = []
    with progress("check", len(selected)) as advance:
        for step, mesh in zip(run.steps, run.meshes(), strict=True):
            if step not in selected:
                continue
            network = run.network(step)
            if affine_slice is None:
                boundary = Boundary(network.float())
            else:
                boundary = restrict_to_slice(Boundary(network), affine_slice)
            # `simulate` extracts the boundary of class 1.
            results.append(_compare_with_mesh(step, check_completeness(boundary, 1, low, high, resolution), mesh))
            advance()
    return results


def _compare_with_mesh(step: int, result: CompletenessResult, mesh: Mesh) -> SnapshotCompleteness:
    missed = len(result.missed_cells(mesh))
    volume = float(missed * result.cell_size.prod())
    box_volume = float(np.prod(np.array(result.high) - result.low))
    cell_size = float(result.cell_size.max())
    return SnapshotCompleteness(step, cell_size, missed, volume, volume / box_volume, result.unproven_volume)
