"""What is asked of somebody's model, or of a run: which probes, on how many samples of which data."""

import dataclasses
import shlex
from collections.abc import Iterable
from typing import Any, Literal, final

from dimple.errors import UsageError
from dimple.probes import PROBES
from dimple.probes.margin import METHODS
from dimple.settings import Count, Positive, Seed, nearest, settings

# The probe whose subspaces come from the data, and which no scene file can name.
SUBSPACE = "subspace"
# What is asked of whole networks, and of the steps of a series together.
CONFIDENCE, SPECTRA, SPEED, TRANSFER = "confidence", "spectra", "speed", "transfer"
WHOLE = (CONFIDENCE, SPECTRA, SPEED, TRANSFER)
KINDS = (*PROBES, SUBSPACE, *WHOLE)
# What a run brings along, so that it cannot be named beside one.
OF_MODELS = ("model", "data", "weights", "checkpoints", "state_key")


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
        run: instead of all of these, the folder of a simulated scene: its snapshots, samples and exact tangents.
        split: which samples: of the test set, of the training set, or of both.
        probes: kinds of the table of probes, `subspace`, or of whole networks: `confidence` (is it calibrated, does it
            follow the margin), `spectra` (how fast the scores can change), `speed` (how the boundary moves from step to
            step of a series), `transfer` (do the boundary points of one step of a series fool the others).
        norm: of the margin; searches within subspaces are always in l2.
        method: of the margin, a name of its table of methods.
        budget: the most passes of a search, in every probe that has a budget; None for each probe's own.
        bands: the subspaces of the probe `subspace`: frequency bands of images, or blocks of principal directions.
        samples: how many samples of each split, drawn by the seed; all of them where there are fewer.
        neighbours, dim: of the local PCA over the training images that gives the tangents.
        draws: random subspaces of the nulls.
    """

    model: str = "digits_convnet"
    data: str = "digits"
    weights: str | None = None
    checkpoints: str | None = None
    state_key: str | None = None
    run: str | None = None
    split: Literal["test", "train", "both"] = "test"
    probes: tuple[str, ...] = ("margin", "onoff")
    norm: Literal["l1", "l2", "linf"] = "l2"
    method: str = "closest"
    budget: Positive | None = None
    bands: Literal["dct", "pca"] = "dct"
    samples: Count = 200
    seed: Seed = 0
    neighbours: Count = 50
    dim: Count = 16
    draws: Count = 39

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.probes if kind not in KINDS]
        if unknown or not self.probes:
            raise UsageError(_not_among("--probe", unknown[0] if unknown else "empty", KINDS))
        if self.method not in METHODS:
            raise UsageError(_not_among("--method", self.method, tuple(METHODS)))
        if self.weights is not None and self.checkpoints is not None:
            raise UsageError("--weights and --checkpoints exclude each other; name one file or one series")
        self._require_norm()
        for kind in (SPEED, TRANSFER):
            if kind in self.probes and self.checkpoints is None and self.run is None:
                raise UsageError(f"--probe {kind} compares the steps of a series; name one with --checkpoints or --run")
        if self.dim >= self.neighbours:
            raise UsageError(f"--dim is {self.dim} with --neighbours {self.neighbours}; dim must be smaller")
        if self.run is not None:
            defaults = {field.name: field.default for field in dataclasses.fields(self)}
            require_none_beside_run(name for name in OF_MODELS if getattr(self, name) != defaults[name])

    def _require_norm(self) -> None:
        """Refuse a norm that what is asked cannot measure in."""
        if self.method == "lbfgs" and self.norm != "l2":
            raise UsageError(
                f"--norm is {self.norm}, and --method lbfgs minimises l2; choose --norm l2 or --method fab"
            )
        if "exact" in self.probes and self.norm == "l1":
            raise UsageError("--norm is l1, and --probe exact proves l2 and linf distances; choose one of these")

    @property
    def command(self) -> str:
        """The command that asks the same, without what it would ask anyway.

        Example:
            >>> ProbeRequest(probes=("margin",), samples=20).command
            'dimple probe --probe margin --samples 20'
        """
        return command_of("probe", self).replace("--probes", "--probe")

    @property
    def splits(self) -> tuple[Literal["train", "test"], ...]:
        """The splits by name, training first."""
        return ("train", "test") if self.split == "both" else (self.split,)


def _not_among(flag: str, word: str, known: tuple[str, ...]) -> str:
    listed = f"choose from {', '.join(known)}"
    near = nearest(word, known)
    return f"{flag} is {word}; " + (f"did you mean {near!r}? ({listed})" if near else listed)


def require_none_beside_run(names: Iterable[str]) -> None:
    """Refuse the first of these settings.

    Raises:
        UsageError: naming its flag.
    """
    for name in names:
        raise UsageError(f"--run brings its own networks and data; leave out --{name.replace('_', '-')}")


def command_of(verb: str, request: Any) -> str:
    """The command line of a request, without what it would ask anyway; a flag is repeated for several values."""
    words = ["dimple", verb]
    for field in dataclasses.fields(request):
        value = getattr(request, field.name)
        if value != field.default:
            flag = f"--{field.name.replace('_', '-')}"
            words += [word for one in (value if isinstance(value, tuple) else (value,)) for word in (flag, f"{one}")]
    return shlex.join(words)
