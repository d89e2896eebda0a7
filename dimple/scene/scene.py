"""One experiment as a frozen object: what a scene file says, with every default filled in."""

import dataclasses
import re
from typing import Annotated, final

import torch
from annotated_types import MaxLen
from torch import Tensor

from dimple.boundary import Section
from dimple.data import LABELLINGS, SAMPLINGS, Labelling, ManifoldSamples, Sampling, Synthetic
from dimple.errors import SceneError
from dimple.levelsets import LEVEL_SETS
from dimple.levelsets.adaptive import Adaptive
from dimple.levelsets.base import LevelSet
from dimple.levelsets.dense import NoLevelSet
from dimple.manifolds import MANIFOLDS, Manifold
from dimple.networks.mlp import MLP
from dimple.probes import PROBES, Margin, Offset, OnOff, Probe
from dimple.scene.display_slice import require_flat
from dimple.settings import Seed, settings
from dimple.training import TRAININGS, Snapshots, Standard, Training
from dimple.views.film.settings import Film

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

FAMILIES: dict[type, dict[str, type]] = {
    Labelling: dict(LABELLINGS),
    LevelSet: dict(LEVEL_SETS),
    Manifold: dict(MANIFOLDS),
    Probe: dict(PROBES),
    Sampling: dict(SAMPLINGS),
    Training: dict(TRAININGS),
}


@final
@settings
class Scene:
    """A manifold, labelled points on it, a network, its training, and what is measured and drawn on the way.

    Example:
        >>> from dimple.manifolds import Sphere
        >>> Scene(manifold=Sphere(dim=2)).training.steps
        1000
    """

    _: dataclasses.KW_ONLY
    name: Annotated[str, MaxLen(64)] = "scene"
    seed: Seed = 0
    manifold: Manifold
    data: Synthetic = Synthetic()
    network: MLP = MLP()
    training: Training = Standard()
    snapshots: Snapshots = Snapshots()
    probes: tuple[Probe, ...] = (Margin(starts=4), OnOff(), Offset())
    levelset: LevelSet = Adaptive(cells=64)
    film: Film = Film()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise SceneError(f"name is {self.name!r}; names match [A-Za-z0-9][A-Za-z0-9._-]{{0,63}}")
        kinds = [type(probe) for probe in self.probes]
        if len(set(kinds)) != len(kinds):
            raise SceneError("probes lists a kind twice; give each probe once")
        n = self.manifold.ambient_dim
        for side in ("low", "high"):
            corner = getattr(self.levelset, side)
            if corner is not None and len(corner) != n:
                raise SceneError(f"levelset.{side} has {len(corner)} numbers; the space has {n} coordinates")

    def samples(self) -> ManifoldSamples:
        """The points that the seed gives."""
        return self.data.draw(self.manifold, self.seed)

    @property
    def drawable(self) -> bool:
        """Whether there is a boundary to draw."""
        return not isinstance(self.levelset, NoLevelSet)

    @property
    def in_section(self) -> bool:
        """Whether it is drawn in a section of a space of more than three dimensions."""
        return self.drawable and self.manifold.ambient_dim > 3

    def domain(self, samples: ManifoldSamples, section: Section | None = None) -> tuple[Tensor, Tensor]:
        """The corners of the box that is drawn: as set, else the manifold's own box widened by a third of its size.

        Args:
            section: in whose coordinates the corners are wanted.

        Raises:
            SceneError: if the corners are in the wrong order, or nothing can be drawn.
        """
        points = torch.cat([samples.train, samples.probe])
        if self.in_section:
            require_flat(self.manifold, self.seed)
            if self.levelset.low is not None or self.levelset.high is not None:
                raise SceneError("levelset: low and high are for R^2 and R^3; a section's box is fitted to the data")
            points = points if section is None else section.coordinates(points)
        low, high = points.min(0).values, points.max(0).values
        pad = (high - low).max() / 3
        low = low - pad if self.levelset.low is None else low.new_tensor(self.levelset.low)
        high = high + pad if self.levelset.high is None else high.new_tensor(self.levelset.high)
        if bool((low >= high).any()):
            raise SceneError(f"levelset.low {low.tolist()} must be below levelset.high {high.tolist()}")
        return low, high
