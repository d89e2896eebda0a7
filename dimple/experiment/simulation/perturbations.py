"""Shortest perturbations of the training points of a run, found again from its snapshots."""

import functools
from collections.abc import Sequence
from typing import final

import numpy as np
import torch

from dimple.boundary import Boundary
from dimple.experiment.probing.sources import RunSnapshots
from dimple.probes import Margin
from dimple.runs import Run
from dimple.scene import load_run_scene
from dimple.tangents.decomposition import decompose
from dimple.tensors import broadcast_per_sample
from dimple.views.content.frame import Perturbations


@final
class PerturbationSearch:
    """Search for the closest boundary point of each training point of a run.

    A run holds the distances in points.parquet, but not the boundary points. The search repeats the margin probe of the
    run, so the lengths are those of the column `margin`: to the last bit for all points together, as they were
    measured, and to rounding for a selection of points, which is faster. Results are cached.

    Args:
        run: a run with finished training.

    Raises:
        SceneError: if its scene cannot be read.
    """

    def __init__(self, run: Run) -> None:
        scene = load_run_scene(run)
        self._snapshots = RunSnapshots(run, scene)
        self._probe = next((probe for probe in scene.probes if isinstance(probe, Margin)), Margin())
        positions = run.training_points
        self._x = torch.from_numpy(positions["train"]).double()
        self._y = torch.from_numpy(positions["labels"]).long()
        self._cached_find = functools.cache(self._find)

    def find(self, step: int, points: Sequence[int] | None = None) -> Perturbations:
        """Return the perturbations of training points at the snapshot after `step` updates.

        Args:
            points: rows of training points; None for all of them.
        """
        return self._cached_find(step, None if points is None else tuple(points))

    def _find(self, step: int, points: tuple[int, ...] | None) -> Perturbations:
        x = self._x if points is None else self._x[list(points)]
        y = self._y if points is None else self._y[list(points)]
        result = self._probe(Boundary(self._snapshots.load_network(step)), x, y, chunk_size=len(x))
        found = broadcast_per_sample(result.columns["margin_found"], x)
        total = torch.where(found, result.details["boundary_point"] - x, torch.nan)
        parts = decompose(total, self._snapshots.scene.manifold, x)
        return Perturbations(
            *(np.asarray(part.numpy(), dtype=np.float64) for part in (total, parts.tangent, parts.normal))
        )
