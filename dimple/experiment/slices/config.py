"""What is asked of `dimple section`: whose boundary, through which images, along which axes, and how finely."""

import dataclasses
from typing import Literal, final

from dimple.errors import UsageError
from dimple.experiment.probing.config import ProbeRequest, command_of
from dimple.settings import Count, Natural, Positive, Seed, settings

# Cells a side unless asked otherwise, and at most: the scores of all corners are kept in memory.
CELLS = {2: 256, 3: 64}
MOST_CELLS = {2: 1024, 3: 160}


@final
@settings
class SectionRequest:
    """All that decides a section; it is kept beside it as scene.yaml.

    Args:
        model, data, weights, checkpoints, state_key, run: whose boundary, as for `ProbeRequest`.
        images: rows of the split, the first of them the point where all axes start; of a run, its points.
        axes: `points` runs through all images and, where there are fewer than the axes need, on along the dominant
            directions of the gaps' gradients off them; `gradient` is these directions at the first image alone, for a
            run beside the tangent space there; `pca` the widest directions of the training data; `random` any.
            None is `gradient` for a run, else `points`.
        dim: of the section.
        cells: of the lattice, a side; None for 256 in the plane and 64 in space.
        levelset: `adaptive` asks the network where classes change, `dense` at every corner.
        radius: half the side of the box, around the first image; None for a box that holds the images.
        draws: random sections, and random subspaces of the distances, that everything is compared with.
    """

    model: str = "digits_convnet"
    data: str = "digits"
    weights: str | None = None
    checkpoints: str | None = None
    state_key: str | None = None
    run: str | None = None
    split: Literal["test", "train"] = "test"
    images: tuple[Natural, ...] = (0,)
    axes: Literal["points", "gradient", "pca", "random"] | None = None
    dim: Literal[2, 3] = 2
    cells: Count | None = None
    levelset: Literal["adaptive", "dense"] = "adaptive"
    radius: Positive | None = None
    draws: Count = 5
    seed: Seed = 0

    def __post_init__(self) -> None:
        if not self.images:
            raise UsageError("--images is empty; name rows of the data set, such as 3,17,42")
        for image in self.images:
            if self.images.count(image) > 1:
                raise UsageError(f"--images names {image} twice; a section needs images that differ")
        if self.kind == "points" and len(self.images) > self.dim + 1:
            raise UsageError(
                f"--images names {len(self.images)}, and a section of dimension {self.dim} holds {self.dim + 1}; "
                "name fewer, or --dim 3"
            )
        if not 8 <= self.fineness <= MOST_CELLS[self.dim]:
            raise UsageError(
                f"--cells is {self.fineness}; in {self.dim} dimensions give a number from 8 to {MOST_CELLS[self.dim]}"
            )
        # Its own checks are those of the flags that both commands have.
        _ = self.of_network

    @property
    def kind(self) -> str:
        """How the axes are chosen."""
        return self.axes or ("points" if self.run is None else "gradient")

    @property
    def fineness(self) -> int:
        """Cells a side."""
        return self.cells or CELLS[self.dim]

    @property
    def command(self) -> str:
        """The command that asks the same.

        Example:
            >>> SectionRequest(images=(3, 17, 42), cells=64).command
            'dimple section --images 3,17,42 --cells 64'
        """
        rows = ",".join(map(str, self.images))
        others = command_of("section", dataclasses.replace(self, images=(0,)))
        return others.replace("dimple section", f"dimple section --images {rows}", 1)

    @property
    def of_network(self) -> ProbeRequest:
        """The same question for a network and its samples, as the probes ask it."""
        names = ("model", "data", "weights", "checkpoints", "state_key", "run", "split", "seed", "draws")
        return dataclasses.replace(ProbeRequest(), **{name: getattr(self, name) for name in names})
