"""Settings of `dimple slice`: the network, the images, the axes and the resolution."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias, final

from dimple.errors import Mistakes, UsageError
from dimple.experiment.probing.config import ProbeConfig, format_command, network_name
from dimple.names import MODEL_FIELDS
from dimple.settings import Cells, Finite, Natural, Positive, Repeats, Seed, settings

# Grid cells along each axis by default and at most, by the dimension of the slice: the scores at all corners are in
# memory.
DEFAULT_RESOLUTION = {2: 256, 3: 64}
MAX_RESOLUTION = {2: 1024, 3: 160}
# A direction of an axis of a slice.
SliceDirection: TypeAlias = Literal["boundary", "tangent", "normal"]


@final
@settings
class SliceConfig:
    """All settings that decide a slice; its run keeps them in its config.yaml.

    Args:
        model, data, label, weights, checkpoints, state_dict_key, mean, std, channels, scores, bounds, run: the network
            or the series and its data, see `ProbeConfig`.
        split: the split that the images come from.
        images: numbers of the images in the split; the first image is the origin. With `run`, numbers of its points.
        axes: the choice of the axes; None is `gradient` with a run, else `points`.
            `points`: from the first image to each of the others. If that gives fewer than `dim` axes, the further ones
            are dominant directions of the gradients of the logit margins at the images, orthogonal to the first ones.
            `gradient`: dominant directions of the gradients at the first image. With a run, up to `dim` - 1 directions
            of its tangent space come first, and the gradients are those off this space.
            `pca`: the directions of largest variance of the training data.
            `random`: random directions.
        through: a direction for each axis, in place of `axes`, all from the first image.
            `boundary`: to its nearest boundary point in the last network.
            `tangent`: the next direction of its tangent space, which a run must have.
            `normal`: the next dominant direction of the gradients at all images, without their components in the
            tangent space where there is one.
        dim: the dimension of the slice; with `through` the number of its directions.
        resolution: grid cells along each axis; None for 256 in a plane and 64 in a space.
        levelset: `adaptive` evaluates the network where classes change, `dense` at every corner of the grid.
        radius: half the side of the box, around the first image; None for a box that holds the images.
        null_draws: the number of random slices for the comparison of the class regions, and the number of random
            subspaces for the comparison of the distances.

    Raises:
        UsageError: if two settings contradict each other.
        SettingError: if a value breaks the rule of its field.
    """

    model: str = "digits_convnet"
    data: str = "digits"
    label: str | None = None
    weights: str | None = None
    checkpoints: str | tuple[str, ...] | None = None
    state_dict_key: str | None = None
    mean: tuple[Finite, ...] | None = None
    std: tuple[Positive, ...] | None = None
    channels: Literal["rgb", "bgr"] = "rgb"
    scores: Literal["logits", "probabilities", "log_probabilities"] | None = None
    bounds: Literal["data", "none"] | tuple[Finite, Finite] = "data"
    run: str | None = None
    split: Literal["test", "train"] = "test"
    images: tuple[Natural, ...] = (0,)
    axes: Literal["points", "gradient", "pca", "random"] | None = None
    through: tuple[SliceDirection, ...] | None = None
    dim: Literal[2, 3] = 2
    resolution: Cells | None = None
    levelset: Literal["adaptive", "dense"] = "adaptive"
    radius: Positive | None = None
    null_draws: Repeats = 5
    seed: Seed = 0

    def __post_init__(self) -> None:
        mistakes = Mistakes()
        problems = [*self._direction_problems()]
        if not problems and self.through is not None:
            object.__setattr__(self, "dim", len(self.through))
        if problems := [*problems, *self._problems()]:
            with mistakes.collect():
                raise UsageError(*problems)
        # Checks the settings that both commands have.
        with mistakes.collect():
            _ = self.probe_config
        mistakes.raise_all()

    def _direction_problems(self) -> Iterator[str]:
        if self.through is None:
            return
        if self.axes is not None:
            yield "--axes and --through both choose the axes; leave one of them out"
        count = len(self.through)
        if count not in DEFAULT_RESOLUTION:
            yield f"--through names {count} directions; a slice has 2 or 3"
        elif self.dim not in (SliceConfig.dim, count):
            yield f"--dim is {self.dim}, and --through names {count} directions; leave --dim out"
        if self.through.count("boundary") > 1:
            yield "--through names boundary twice; an image has one nearest boundary point"

    def _problems(self) -> Iterator[str]:
        if not self.images:
            yield "--images is empty; give numbers of images in the split, such as 3,17,42"
        for image in dict.fromkeys(self.images):
            if self.images.count(image) > 1:
                yield f"--images names {image} twice; a slice needs images that differ"
        if self.axes_kind == "points" and len(self.images) > self.dim + 1:
            yield (
                f"--images names {len(self.images)}, and a slice of dimension {self.dim} holds {self.dim + 1}; "
                "name fewer, or --dim 3"
            )
        if not 8 <= self.grid_resolution <= MAX_RESOLUTION[self.dim]:
            yield (
                f"--resolution is {self.grid_resolution}; in {self.dim} dimensions give a number from 8 to "
                f"{MAX_RESOLUTION[self.dim]}"
            )

    @property
    def axes_kind(self) -> str:
        """The kind of the axes, with its default; `through` where their directions are given."""
        if self.through is not None:
            return "through"
        return self.axes or ("points" if self.run is None else "gradient")

    @property
    def grid_resolution(self) -> int:
        """The number of grid cells along each axis, with its default."""
        return self.resolution or DEFAULT_RESOLUTION[self.dim]

    @property
    def command(self) -> str:
        """The command line with these settings, without those that have their default value.

        Example:
            >>> SliceConfig(images=(3, 17, 42), resolution=64).command
            'dimple slice --images 3,17,42 --resolution 64'
        """
        rows = ",".join(map(str, self.images))
        lists = f"--images {rows}"
        plain = dataclasses.replace(self, images=(0,))
        if self.through is not None:
            lists += f" --through {','.join(self.through)}"
            plain = dataclasses.replace(plain, through=None, dim=SliceConfig.dim)
        return format_command("slice", plain).replace("dimple slice", f"dimple slice {lists}", 1)

    @property
    def default_out(self) -> Path:
        """The folder of the run where none is given."""
        return Path("runs") / f"slice-{network_name(self)}-{'-'.join(map(str, self.images))}"

    @property
    def probe_config(self) -> ProbeConfig:
        """The settings of the network and its samples as a configuration of probes."""
        names = (*MODEL_FIELDS, "bounds", "run", "split", "seed", "null_draws")
        return dataclasses.replace(ProbeConfig(), **{name: getattr(self, name) for name in names})
