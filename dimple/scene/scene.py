"""The settings of one simulation as a frozen object: the content of a scene file with every default."""

import dataclasses
import re
from typing import Annotated, Literal, final

import torch
from annotated_types import MaxLen
from torch import Tensor, nn

from dimple.boundary import AffineSlice
from dimple.data import (
    DATA_SOURCES,
    LABEL_RULES,
    SAMPLINGS,
    DataSource,
    DataSplits,
    LabelRule,
    Sampling,
    SyntheticData,
    hold_out_validation,
)
from dimple.errors import SceneError, UsageError
from dimple.levelsets import LEVEL_SETS
from dimple.levelsets.adaptive import Adaptive
from dimple.levelsets.base import LevelSet
from dimple.levelsets.dense import NoLevelSet
from dimple.manifolds import MANIFOLDS, Manifold
from dimple.networks import ARCHITECTURES, MLP, Architecture
from dimple.probes import PROBES, Margin, Offset, OnOff, Probe, Robust
from dimple.scene.display_slice import require_display_slice
from dimple.scene.plugins import add_plugins
from dimple.settings import Cells, Natural, Positive, Repeats, Seed, settings
from dimple.tangents.estimators import TANGENT_ESTIMATORS, TangentEstimator
from dimple.tensors import generator
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

# The default probes.
MANIFOLD_PROBES: tuple[Probe, ...] = (Margin(), OnOff(), Offset())
IMAGE_PROBES: tuple[Probe, ...] = (Margin(),)

# The base class of each family with its table of members, by the value of `kind` in a scene file.
FAMILIES: dict[type, dict[str, type]] = {
    Architecture: ARCHITECTURES,
    Augmentation: dict(AUGMENTATIONS),
    DataSource: DATA_SOURCES,
    LabelRule: dict(LABEL_RULES),
    LevelSet: dict(LEVEL_SETS),
    Manifold: dict(MANIFOLDS),
    Objective: dict(OBJECTIVES),
    Optimizer: dict(OPTIMIZERS),
    Probe: dict(PROBES),
    Sampling: dict(SAMPLINGS),
    Schedule: dict(SCHEDULES),
    TangentEstimator: dict(TANGENT_ESTIMATORS),
}
add_plugins(FAMILIES)


@final
@settings
class SceneSlice:
    """The slice of the space of samples that a film shows, chosen at the last snapshot.

    Args:
        images: rows of the split; the first sample is the origin.
        split: the split of the samples.
        axes: `points` from the first sample to the others; `gradient` for directions along the tangent space, where
            there is one, and the steepest one off it; `pca` or `random`; null for `gradient`.
        through: a direction for each axis in place of `axes`: `boundary` to the nearest boundary point of the first
            sample, `tangent` for the next direction of its tangent space, `normal` for the next steepest one off it.
        dim: the dimension of the slice; with `through` the number of its directions.
        resolution: grid cells along each axis; null for 256 in a plane and 64 in a space.
        radius: half the side of the box; null for a box that holds the samples.
    """

    images: tuple[Natural, ...] = (0,)
    split: Literal["test", "train"] = "train"
    axes: Literal["points", "gradient", "pca", "random"] | None = None
    through: tuple[Literal["boundary", "tangent", "normal"], ...] | None = None
    dim: Literal[2, 3] = 2
    resolution: Cells | None = None
    radius: Positive | None = None


@final
@settings
class Scene:
    """A simulation: labeled data, a network, its training, and the measurements and drawings of it.

    Args:
        name: the name of the run.
        seed: of all random numbers.
        manifold: the manifold of synthetic data; null for images.
        data: labeled points on the manifold, or images.
        network: the network, with as many inputs and scores as the data have coordinates and classes.
        training: the method that fits it.
        replicas: the number of trainings at once; each equals the scene with the next seed, from `seed` on.
        snapshots: the steps at which the network is kept and measured.
        probes: the measurements at each snapshot; by default margin, onoff and offset on a manifold, and margin on
            images.
        tangents: how the tangent spaces of the data are estimated; null where they are exact, or not needed.
        levelset: the boundary between two classes of points that is drawn.
        slice: the slice in which the regions of all classes are drawn, of images or points; null for none.
        film: the film.

    Example:
        >>> from dimple.manifolds import Sphere
        >>> Scene(manifold=Sphere(dim=2)).training.last_step(60)
        1000
    """

    _: dataclasses.KW_ONLY
    name: Annotated[str, MaxLen(64)] = "scene"
    seed: Seed = 0
    manifold: Manifold | None = None
    data: DataSource = SyntheticData()
    network: Architecture = MLP()
    training: Training = Training()
    replicas: Repeats = 1
    snapshots: SnapshotSchedule = SnapshotSchedule()
    probes: tuple[Probe, ...] = MANIFOLD_PROBES
    tangents: TangentEstimator | None = None
    levelset: LevelSet = Adaptive(resolution=64)
    slice: SceneSlice | None = None
    film: Film = Film()

    def __post_init__(self) -> None:
        if not NAME_PATTERN.fullmatch(self.name):
            raise SceneError(f"name is {self.name!r}; names match [A-Za-z0-9][A-Za-z0-9._-]{{0,63}}")
        if self.manifold is None and self.probes is MANIFOLD_PROBES:
            object.__setattr__(self, "probes", IMAGE_PROBES)
        self._check_data()
        kinds = [type(probe) for probe in self.probes]
        if len(set(kinds)) != len(kinds):
            raise SceneError("probes lists a kind twice; list each kind once")
        if self.training.evaluate.attack is not None and Robust in kinds:
            raise SceneError("training.evaluate.attack and probes both give robust accuracy; leave one of them out")
        for side in ("low", "high"):
            corner = getattr(self.levelset, side)
            if self.manifold is not None and corner is not None and len(corner) != self.manifold.ambient_dim:
                raise SceneError(
                    f"levelset.{side} has {len(corner)} numbers; the space has {self.manifold.ambient_dim} coordinates"
                )

    def _check_data(self) -> None:
        """Refuse keys that contradict the kind of the data."""
        if self.manifold is None and self.data.has_manifold:
            raise SceneError("the key manifold is missing; add a line `manifold: ...`, or name images under data")
        if self.manifold is not None:
            if not self.data.has_manifold:
                raise SceneError("manifold is set, and data names images; leave one of them out")
            if self.tangents is not None:
                raise SceneError("tangents is set, and those of the manifold are exact; leave it out")

    def require_manifold(self) -> Manifold:
        """Return the manifold.

        Raises:
            SceneError: if the scene has images.
        """
        if self.manifold is None:
            raise SceneError(f"{self.name}: has images and no manifold, which this needs; name a scene with one")
        return self.manifold

    def samples(self, location: str | None = None) -> DataSplits:
        """Return all samples; they depend only on `data`, `manifold`, `seed` and the files of the data set.

        Args:
            location: the data set as `NAME:PATH`; None to look for it.

        Raises:
            SceneError, DataError: if the data cannot be made or read.
            UsageError: if the location is that of another data set, or the scene makes its data.
        """
        if location is not None and not self.data.dataset:
            raise UsageError(f"data is {location!r}, and the scene {self.name} makes its data itself; leave it out")
        samples = self.data.sample(self.manifold, self.seed, location)
        is_held_out = self.training.evaluate.keep_best is not None
        return hold_out_validation(samples, self.seed) if is_held_out else samples

    @property
    def all_probes(self) -> tuple[Probe, ...]:
        """The measurements at each snapshot: the probes, and the attack of the evaluation of the training."""
        attack = self.training.evaluate.attack
        return self.probes if attack is None else (*self.probes, Robust(**dataclasses.asdict(attack)))

    def replica(self, index: int) -> "Scene":
        """Return the scene of one replica, which is trained alone."""
        return dataclasses.replace(self, seed=self.seed + index, replicas=1)

    def build_network(self, shape: tuple[int, ...], class_count: int) -> nn.Module:
        """Return the network before its first update, float32, on the CPU, for samples of this shape."""
        return self.network.build(shape, generator(self.seed, "network"), class_count)

    @property
    def is_drawable(self) -> bool:
        """Return whether the scene has a level set to draw."""
        return self.manifold is not None and not isinstance(self.levelset, NoLevelSet)

    @property
    def has_display_slice(self) -> bool:
        """Return whether the scene is drawn in a slice, since its space has more than three dimensions."""
        return self.is_drawable and self.require_manifold().ambient_dim > 3

    def display_bounds(self, samples: DataSplits, affine_slice: AffineSlice | None = None) -> tuple[Tensor, Tensor]:
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
            require_display_slice(self.require_manifold(), self.seed)
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
