"""The shortest steps from the training points of a run to its boundary, found again from its snapshots."""

import functools
from collections.abc import Sequence
from typing import final

import numpy as np
import torch

from dimple.boundary import Boundary
from dimple.experiment.probing.sources import Snapshots
from dimple.probes import Margin
from dimple.runs import Run
from dimple.scene import load_scene
from dimple.tangents.decomposition import split
from dimple.tensors import per_sample
from dimple.views.content.frame import Perturbations


@final
class Nearest:
    """Where the boundary of a run is nearest to each of its training points.

    A run keeps how far that is, in points.parquet, but not where. The run's own margin probe is asked again, so the
    lengths are those of the column `margin`: to the last bit for all points together, as they were measured, to
    rounding for some of them, which is quicker. What was found once is kept.

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

    def at(self, step: int, points: Sequence[int] | None = None) -> Perturbations:
        """The steps from training points at the snapshot after `step` updates.

        Args:
            points: the rows of some training points; all of them without it.
        """
        return self._found(step, None if points is None else tuple(points))

    def _find(self, step: int, points: tuple[int, ...] | None) -> Perturbations:
        x, y = (self._x, self._y) if points is None else (self._x[list(points)], self._y[list(points)])
        answer = self._probe(Boundary(self._snapshots.at(step)), x, y, chunk=len(x))
        found = per_sample(answer.columns["margin_found"], x)
        whole = torch.where(found, answer.details["boundary_point"] - x, torch.nan)
        parts = split(whole, self._snapshots.scene.manifold, x)
        return Perturbations(*(np.asarray(part.numpy(), dtype=np.float64) for part in (whole, parts.on, parts.off)))
