"""What is asked of somebody's model: which probes, on how many samples of which data."""

import dataclasses
from typing import Literal, final

from dimple.errors import UsageError
from dimple.probes import PROBES, Probe
from dimple.settings import Count, Seed, settings


@final
@settings
class ProbeRequest:
    """All that decides the numbers of `dimple probe`; it is kept beside them as scene.yaml.

    Args:
        model: a name of the table of models, or `package.module:factory`.
        data: `digits`, `cifar10:PATH`, `mnist:DIR`, `folder:DIR` or `npz:FILE`.
        weights: a weights file; without it the digits network is trained on the spot.
        checkpoints: instead, a glob of weights files, measured in their natural order.
        state_key: which state dict, where the weights file holds several.
        probes: kinds of the table of probes.
        norm: of the margin; the on/off split is always in l2.
        samples: how many test images, drawn by the seed; all of them where there are fewer.
        neighbours, dim: of the local PCA over the training images that gives the tangents.
        draws: random subspaces of the null.
    """

    model: str
    data: str
    weights: str | None = None
    checkpoints: str | None = None
    state_key: str | None = None
    probes: tuple[str, ...] = ("margin", "onoff")
    norm: Literal["l2", "linf"] = "l2"
    samples: Count = 200
    seed: Seed = 0
    neighbours: Count = 50
    dim: Count = 16
    draws: Count = 20

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.probes if kind not in PROBES]
        if unknown or not self.probes:
            raise UsageError(f"--probe is {unknown[:1] or 'empty'}; choose from {', '.join(PROBES)}")
        if self.weights is not None and self.checkpoints is not None:
            raise UsageError("--weights and --checkpoints exclude each other; name one file or one series")
        if self.dim >= self.neighbours:
            raise UsageError(f"--dim is {self.dim} with --neighbours {self.neighbours}; dim must be smaller")

    def build_probes(self) -> list[Probe]:
        """The probes, with the request's norm, draws and seed where they have such a field."""
        wanted = {"norm": self.norm, "draws": self.draws, "seed": self.seed}
        built = []
        for kind in dict.fromkeys(self.probes):
            fields = [field.name for field in dataclasses.fields(PROBES[kind])]  # type: ignore[arg-type]
            built.append(PROBES[kind](**{name: value for name, value in wanted.items() if name in fields}))
        return built
