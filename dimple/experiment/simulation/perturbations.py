"""Shortest perturbations of the training points of a run, as it measured them or found again from its snapshots."""

import functools
from collections.abc import Sequence
from typing import final

import numpy as np
import torch

from dimple.boundary import Boundary
from dimple.experiment.run import Run
from dimple.probes import Margin
from dimple.scene import load_run_scene
from dimple.tangents.decomposition import decompose
from dimple.tensors import broadcast_per_sample
from dimple.views.content.frame import Perturbations


@final
class PerturbationSearch:
    """Search for the closest boundary point of each training point of a run.

    A run that can be drawn holds the boundary points, whose distances are the column `margin`. For other runs, and for
    those of earlier versions, the search repeats the margin probe of the run. Results are cached.

    Args:
        run: a run with finished training.

    Raises:
        SceneError: if its scene cannot be read.
    """

    def __init__(self, run: Run) -> None:
        scene = load_run_scene(run)
        self._run = run
        self._manifold = scene.require_manifold()
        self._probe = next((probe for probe in scene.probes if isinstance(probe, Margin)), Margin(max_passes=160))
        self._geometry = run.geometry()
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
        if f"closest/{step}" in self._geometry:
            closest = torch.from_numpy(self._geometry[f"closest/{step}"])
            total = (closest if points is None else closest[list(points)]) - x
        else:
            result = self._probe(Boundary(self._run.network(step)), x, y, chunk_size=len(x))
            found = broadcast_per_sample(result.columns["margin_found"], x)
            total = torch.where(found, result.details["boundary_point"] - x, torch.nan)
        parts = decompose(total, self._manifold, x)
        return Perturbations(
            *(np.asarray(part.numpy(), dtype=np.float64) for part in (total, parts.tangent, parts.normal))
        )
