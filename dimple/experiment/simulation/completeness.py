"""The verb `certify`: whether the boundary that a run shows is all of it, by bounds of the network."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np

from dimple.boundary import Boundary, restricted
from dimple.errors import RunError, UsageError
from dimple.experiment.probing.sources import Snapshots
from dimple.experiment.provenance import silent
from dimple.levelsets import certify
from dimple.levelsets.completeness import Certificate, is_halved
from dimple.levelsets.mesh import Mesh
from dimple.protocols import Progress
from dimple.runs import Run
from dimple.scene import load_scene
from dimple.views.content.from_slice import is_section


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
        path: a simulated run with a boundary, also one that is drawn in a section: then of the boundary in it.
        cells: along each axis of its box, a power of two from 4 on; the work grows with their square.
        steps: the snapshots; the last one without any.

    Raises:
        RunError: if there is no run, or one without such a boundary.
        UsageError: for a step that has no snapshot, or another number of cells.
        ModelError: for a network without bounds.
    """
    if not is_halved(cells):
        raise UsageError(f"--cells is {cells}; give a power of two from 4 on")
    run = Run.open(path)
    if is_section(run) or not (run.path / "geometry.safetensors").is_file():
        raise RunError(f"{path}: holds no boundary along training to certify; name a run made by dimple simulate")
    scene = load_scene(str(run.path / "scene.yaml"), ["probes=[]"])
    if not scene.drawable:
        raise RunError(
            f"{path}: its scene draws no boundary, so there is none to certify; set levelset to {{kind: auto}}"
        )
    wanted = set(steps) or {run.steps[-1]}
    if unknown := sorted(wanted - set(run.steps)):
        raise UsageError(f"--step {unknown[0]}: the run has no such snapshot; choose from {run.steps}")
    section, snapshots, (low, high) = run.section, Snapshots(run, scene), run.box
    proofs = []
    with progress("certify", len(wanted)) as advance:
        for step, mesh in zip(run.steps, run.meshes(), strict=True):
            if step not in wanted:
                continue
            network = snapshots.at(step)
            boundary = Boundary(network.float()) if section is None else restricted(Boundary(network), section)
            # The mesh faces class 1, as simulate extracts it.
            proofs.append(_proof(step, certify(boundary, 1, low, high, cells), mesh))
            advance()
    return proofs


def _proof(step: int, found: Certificate, mesh: Mesh) -> Proof:
    missed = len(found.missed(mesh))
    away = float(missed * found.cell.prod())
    box = float(np.prod(np.array(found.high) - found.low))
    return Proof(step, float(found.cell.max()), missed, away, away / box, found.volume)
