"""The verb `certify`: whether the boundary that a run shows is all of it, by bounds of the network."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np

from dimple.boundary import Boundary, certify
from dimple.errors import RunError, UsageError
from dimple.experiment.provenance import silent
from dimple.experiment.subjects import Snapshots
from dimple.protocols import Progress
from dimple.runs import Run
from dimple.scene import load_scene


@final
@dataclasses.dataclass(frozen=True)
class Proof:
    """What is proven of the boundary mesh at one snapshot.

    Attributes:
        step: the number of updates.
        cell: the longest edge of the cells that were bounded.
        undecided: cells in which a boundary may be, but to which the mesh does not come within a cell.
        volume: of these cells (in the plane the area); `share` of the box.
        shell: the volume of all cells without a proof, those along the mesh included.
    """

    step: int
    cell: float
    undecided: int
    volume: float
    share: float
    shell: float

    @property
    def complete(self) -> bool:
        """Whether nothing of the boundary lies farther from the mesh than a cell and its neighbours."""
        return self.undecided == 0

    def __str__(self) -> str:
        if self.complete:
            return f"step {self.step}: complete (certified to cell size {self.cell:.3g})"
        return (
            f"step {self.step}: not certified: {self.undecided} cells of size {self.cell:.3g} away from the mesh are "
            f"undecided, volume {self.volume:.3g} ({100 * self.share:.2g} % of the box)"
        )


def certify_run(
    path: Path | str, cells: int = 64, steps: Sequence[int] = (), progress: Progress = silent
) -> list[Proof]:
    """Prove for the meshes of a run that they lack nothing larger than a cell, or say where that is open.

    Args:
        path: the folder of a simulated run in two or three dimensions.
        cells: along each axis of its box, a power of two from 4 on; the work grows with their square.
        steps: the snapshots; the last one without any.

    Raises:
        RunError: if the folder holds no boundary.
        UsageError: for a step that has no snapshot.
        SceneError, ModelError: for other numbers of cells, or a network without bounds.
    """
    run = Run.open(path)
    if not (run.path / "geometry.safetensors").is_file():
        raise RunError(f"{run.path}: holds no boundary to certify; name a run in two or three dimensions")
    wanted = set(steps) or {run.steps[-1]}
    if unknown := sorted(wanted - set(run.steps)):
        raise UsageError(f"--step {unknown[0]}: the run has no such snapshot; choose from {run.steps}")
    scene = load_scene(str(run.path / "scene.yaml"), ["probes=[]"])
    low, high = run.box
    volume = float(np.prod(np.array(high) - low))
    proofs = []
    with progress("certify", len(wanted)) as advance:
        for (step, network), mesh in zip(Snapshots(run, scene), run.meshes(), strict=True):
            if step not in wanted:
                continue
            # The mesh faces class 1, as simulate extracts it.
            found = certify(Boundary(network.float()), 1, low, high, cells)
            missed = len(found.missed(mesh))
            away = float(missed * found.cell.prod())
            proofs.append(Proof(step, float(found.cell.max()), missed, away, away / volume, found.volume))
            advance()
    return proofs
