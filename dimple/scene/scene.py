"""The settings of one simulation as a frozen object: the content of a scene file with every default."""

import dataclasses
import re
from typing import Annotated, final

import torch
from annotated_types import MaxLen
from torch import Tensor

from dimple.boundary import AffineSlice
from dimple.data import LABEL_RULES, SAMPLINGS, LabelRule, ManifoldSamples, Sampling, SyntheticData
from dimple.errors import SceneError
from dimple.levelsets import LEVEL_SETS
from dimple.levelsets.adaptive import Adaptive
from dimple.levelsets.base import LevelSet
from dimple.levelsets.dense import NoLevelSet
from dimple.manifolds import MANIFOLDS, Manifold
from dimple.networks.mlp import MLP
from dimple.probes import PROBES, Margin, Offset, OnOff, Probe
from dimple.scene.display_slice import require_display_slice
from dimple.settings import Seed, settings
from dimple.training import (
    AUGMENTATIONS,
    OBJECTIVES,
    OPTIMIZERS,
    SCHEDULES,
    Augmentation,
    Objective,
    Optimizer,
    Schedule,
    SnapshotSchedule,
    Training,
)
from dimple.views.film.settings import Film

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

# The base class of each family with its table of members, by the value of `kind` in a scene file.
FAMILIES: dict[type, dict[str, type]] = {
    Augmentation: dict(AUGMENTATIONS),
    LabelRule: dict(LABEL_RULES),
    LevelSet: dict(LEVEL_SETS),
    Manifold: dict(MANIFOLDS),
    Objective: dict(OBJECTIVES),
    Optimizer: dict(OPTIMIZERS),
    Probe: dict(PROBES),
    Sampling: dict(SAMPLINGS),
    Schedule: dict(SCHEDULES),
}


@final
@settings
class Scene:
    """A simulation: a manifold, labeled points, a network, its training, and the measurements and drawings of it.

    Example:
        >>> from dimple.manifolds import Sphere
        >>> Scene(manifold=Sphere(dim=2)).training.last_step(60)
        1000
    """

    _: dataclasses.KW_ONLY
    name: Annotated[str, MaxLen(64)] = "scene"
    seed: Seed = 0
    manifold: Manifold
    data: SyntheticData = SyntheticData()
    network: MLP = MLP()
    training: Training = Training()
    snapshots: SnapshotSchedule = SnapshotSchedule()
    probes: tuple[Probe, ...] = (Margin(), OnOff(), Offset())
    levelset: LevelSet = Adaptive(resolution=64)
    film: Film = Film()

    def __post_init__(self) -> None:
        if not NAME_PATTERN.fullmatch(self.name):
            raise SceneError(f"name is {self.name!r}; names match [A-Za-z0-9][A-Za-z0-9._-]{{0,63}}")
        kinds = [type(probe) for probe in self.probes]
        if len(set(kinds)) != len(kinds):
            raise SceneError("probes lists a kind twice; list each kind once")
        n = self.manifold.ambient_dim
        for side in ("low", "high"):
            corner = getattr(self.levelset, side)
            if corner is not None and len(corner) != n:
                raise SceneError(f"levelset.{side} has {len(corner)} numbers; the space has {n} coordinates")

    def samples(self) -> ManifoldSamples:
        """Return the training, test and held-out points; they depend only on `data`, `manifold` and `seed`."""
        return self.data.sample(self.manifold, self.seed)

    @property
    def is_drawable(self) -> bool:
        """Return whether the scene has a level set to draw."""
        return not isinstance(self.levelset, NoLevelSet)

    @property
    def has_display_slice(self) -> bool:
        """Return whether the scene is drawn in a slice, since its space has more than three dimensions."""
        return self.is_drawable and self.manifold.ambient_dim > 3

    def display_bounds(
        self, samples: ManifoldSamples, affine_slice: AffineSlice | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the corners of the drawn box.

        By default it is the bounding box of the points, widened on each side by a third of its longest side.

        Args:
            samples: the points of the scene.
            affine_slice: the display slice, in whose coordinates the corners are returned, if there is one.

        Raises:
            SceneError: if the corners are in the wrong order, or the manifold cannot be drawn.
        """
        points = torch.cat([samples.train, samples.heldout])
        if self.has_display_slice:
            require_display_slice(self.manifold, self.seed)
            if self.levelset.low is not None or self.levelset.high is not None:
                raise SceneError("levelset: low and high are for R^2 and R^3; in a slice the box is fitted to the data")
            points = points if affine_slice is None else affine_slice.coordinates(points)
        low = points.min(0).values
        high = points.max(0).values
        pad = (high - low).max() / 3
        low = low - pad if self.levelset.low is None else low.new_tensor(self.levelset.low)
        high = high + pad if self.levelset.high is None else high.new_tensor(self.levelset.high)
        if bool((low >= high).any()):
            raise SceneError(f"levelset.low {low.tolist()} must be below levelset.high {high.tolist()}")
        return low, high
