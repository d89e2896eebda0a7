"""The shortest steps from the training points of a run to its boundary, found again from its snapshots."""

import functools
from typing import final

import numpy as np
import torch

from dimple.boundary import Boundary
from dimple.experiment.subjects import Snapshots
from dimple.probes import Margin
from dimple.probes.split import split
from dimple.runs import Run
from dimple.scene import load_scene
from dimple.tensors import per_sample
from dimple.views.frame import Perturbations


@final
class Nearest:
    """Where the boundary of a run is nearest to each of its training points.

    A run keeps how far that is, in points.parquet, but not where. The run's own margin probe is asked again, at the
    same points in the same batch, so the lengths are those of the column `margin`; a snapshot of a small scene takes a
    few tenths of a second. What was found once is kept.

    Args:
        run: with finished training.

    Raises:
        SceneError: if its scene cannot be read.
    """

    def __init__(self, run: Run) -> None:
        scene = load_scene(str(run.path / "scene.yaml"))
        self._snapshots = Snapshots(run, scene)
        self._probe = next((probe for probe in scene.probes if isinstance(probe, Margin)), Margin(starts=4))
        positions = run.positions
        self._x = torch.from_numpy(positions["train"]).double()
        self._y = torch.from_numpy(positions["labels"]).long()
        self._found = functools.cache(self._find)

    def at(self, step: int) -> Perturbations:
        """The steps from all training points, in their order, at the snapshot after `step` updates."""
        return self._found(step)

    def _find(self, step: int) -> Perturbations:
        answer = self._probe(Boundary(self._snapshots.at(step)), self._x, self._y, chunk=len(self._x))
        found = per_sample(answer.columns["margin_found"], self._x)
        whole = torch.where(found, answer.details["boundary_point"] - self._x, torch.nan)
        parts = split(whole, self._snapshots.scene.manifold, self._x)
        return Perturbations(*(np.asarray(part.numpy(), dtype=np.float64) for part in (whole, parts.on, parts.off)))
