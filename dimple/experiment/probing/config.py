"""Settings of `dimple probe`: a model or a run, the data, the probes and the number of samples."""

import dataclasses
import shlex
from collections.abc import Iterable
from typing import Any, Literal, final

from dimple.errors import UsageError
from dimple.probes import PROBES
from dimple.probes.margin import METHODS
from dimple.settings import Count, Dimension, Finite, Natural, Passes, Positive, Repeats, Seed, settings, suggest_word

# The probe whose subspaces come from the data; a scene file cannot name it.
SUBSPACE = "subspace"
# The probes of the full network, and of several steps of a series together.
CONFIDENCE = "confidence"
SPECTRA = "spectra"
SPEED = "speed"
TRANSFER = "transfer"
# The objectives along whose gradients the speed is measured.
ALONG = ("clean", "adversarial", "trades", "boundary_aware")
NETWORK_PROBES = (CONFIDENCE, SPECTRA, SPEED, TRANSFER)
PROBE_KINDS = (*PROBES, SUBSPACE, *NETWORK_PROBES)
# Settings that a run replaces, so that they cannot be given with it.
MODEL_FIELDS = ("model", "data", "weights", "checkpoints", "state_dict_key", "mean", "std")


@final
@settings
class ProbeConfig:
    """All settings that decide the numbers of `dimple probe`; a measurement keeps them in its config.yaml.

    Args:
        model: a name of the table of models, or `package.module:factory`.
        data: `digits`, `cifar10:PATH`, `mnist:DIR`, `folder:DIR` or `npz:FILE`.
        weights: a weights file, or `none` for a network as its code builds it; without it the digits network is trained
            first, in a few seconds.
        checkpoints: a pattern of weights files, or several, instead of `weights`, measured in their natural order; a
            folder stands for the weights files in it.
        state_dict_key: the key of the state dict, where the weights file holds several.
        mean, std: of the normalization that the network was trained with, one number or one for each channel, in units
            of images from 0 to 1; the network is applied to `(x - mean) / std`.
        run: the folder of a simulated run instead of all of these, with its snapshots, samples and exact tangents.
        split: the samples: of the test set, of the training set, or of both.
        probes: names of the table of probes, `subspace`, or probes of the full network: `confidence` (calibration, and
            the correlation of confidence and margin), `spectra` (bounds on how fast the scores can change), `speed`
            (motion of the boundary from step to step of a series), `transfer` (error of each step of a series at the
            boundary points of the others).
        norm: of the margin; searches within subspaces always use l2.
        method: the search method of the margin, a name of its table of methods.
        max_passes: the largest number of passes of a search of one sample, in every probe that searches; None for the
            default of each probe.
        subspaces: of the probe `subspace`: `dct` for frequency bands of images, `pca` for blocks of principal
            directions.
        samples: the number of samples of each split, drawn by the seed; all of them where there are fewer.
        indices: the rows of each split to measure, instead of a random choice.
        only: `all` samples, or those that the last network classifies correctly (`correct`).
        per_class: the number of samples of each class, instead of `samples` in all.
        along: of the probe `speed`: objectives down whose gradients the weights of each step would move (`clean`,
            `adversarial`, `trades`, `boundary_aware`), instead of the motion from step to step.
        neighbors, dim: of the local PCA over the training images that estimates the tangent spaces.
        null_draws: the number of random subspaces of each null.
        eps: the radii of the probe `robust`, or the one radius of the objectives of `along`, in units of which margins
            are then grouped; None for the default of `robust`.

    Raises:
        UsageError: if a choice is unknown or two settings contradict each other.
        SettingError: if a value breaks the rule of its field.
    """

    model: str = "digits_convnet"
    data: str = "digits"
    weights: str | None = None
    checkpoints: str | tuple[str, ...] | None = None
    state_dict_key: str | None = None
    mean: tuple[Finite, ...] | None = None
    std: tuple[Positive, ...] | None = None
    run: str | None = None
    split: Literal["test", "train", "both"] = "test"
    probes: tuple[str, ...] = ("margin", "onoff")
    norm: Literal["l1", "l2", "linf"] = "l2"
    method: str = "closest"
    max_passes: Passes | None = None
    subspaces: Literal["dct", "pca"] = "dct"
    samples: Count = 200
    indices: tuple[Natural, ...] | None = None
    only: Literal["all", "correct"] = "all"
    per_class: Count | None = None
    seed: Seed = 0
    along: tuple[str, ...] = ()
    neighbors: Count = 50
    dim: Dimension = 16
    null_draws: Repeats = 39
    eps: tuple[Positive, ...] | None = None

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.probes if kind not in PROBE_KINDS]
        if unknown or not self.probes:
            raise UsageError(_unknown_choice_message("--probe", unknown[0] if unknown else "empty", PROBE_KINDS))
        if self.method not in METHODS:
            raise UsageError(_unknown_choice_message("--method", self.method, tuple(METHODS)))
        if self.weights is not None and self.checkpoints is not None:
            raise UsageError("--weights and --checkpoints exclude each other; name one file or one series")
        if len(self.mean or ()) != len(self.std or ()):
            raise UsageError("--mean and --std belong together; give both, with as many numbers")
        self._require_norm()
        self._require_along()
        for kind in self.series_probes:
            if self.checkpoints is None and self.run is None:
                raise UsageError(f"--probe {kind} compares the steps of a series; name one with --checkpoints or --run")
        if self.indices is not None and (not self.indices or self.per_class is not None):
            raise UsageError("--indices names the samples: give at least one, and leave out --per-class")
        if self.dim >= self.neighbors:
            raise UsageError(f"--dim is {self.dim} with --neighbors {self.neighbors}; dim must be smaller")
        if self.run is not None:
            defaults = {field.name: field.default for field in dataclasses.fields(self)}
            reject_model_fields(name for name in MODEL_FIELDS if getattr(self, name) != defaults[name])

    @property
    def series_probes(self) -> tuple[str, ...]:
        """The probes that compare the steps of a series."""
        return tuple(kind for kind in self.probes if kind == TRANSFER or (kind == SPEED and not self.along))

    def _require_along(self) -> None:
        """Refuse unknown objectives, and those without the probe or the radius that they need."""
        for kind in self.along:
            if kind not in ALONG:
                raise UsageError(_unknown_choice_message("--along", kind, ALONG))
        if self.along and (SPEED not in self.probes or self.eps is None or len(self.eps) != 1):
            raise UsageError("--along belongs to --probe speed and needs --eps, the training radius, such as --eps 0.1")
        if self.along and self.norm == "l1":
            raise UsageError("--norm is l1, and the objectives of --along have l2 and linf; choose one of these")

    def _require_norm(self) -> None:
        """Refuse a norm that the method or a probe does not support."""
        if self.method == "lbfgs" and self.norm != "l2":
            raise UsageError(
                f"--norm is {self.norm}, and --method lbfgs minimizes l2; choose --norm l2 or --method fab"
            )
        if "exact" in self.probes and self.norm == "l1":
            raise UsageError("--norm is l1, and --probe exact proves l2 and linf distances; choose one of these")
        if "robust" in self.probes and self.norm == "l1":
            raise UsageError("--norm is l1, and --probe robust attacks in l2 and linf; choose one of these")
        if self.eps is not None and "robust" not in self.probes and not self.along:
            raise UsageError("--eps gives the radii of --probe robust, or that of --along; add one, or leave out --eps")

    @property
    def command(self) -> str:
        """The command line with these settings, without those that have their default value.

        Example:
            >>> ProbeConfig(probes=("margin",), samples=20).command
            'dimple probe --probe margin --samples 20'
        """
        return format_command("probe", self).replace("--probes", "--probe")

    @property
    def splits(self) -> tuple[Literal["train", "test"], ...]:
        """The names of the splits, training first."""
        return ("train", "test") if self.split == "both" else (self.split,)


def _unknown_choice_message(flag: str, word: str, choices: tuple[str, ...]) -> str:
    listed = f"choose from {', '.join(choices)}"
    hint = suggest_word(word, choices, listed)
    return f"{flag} is {word}; {hint if hint == listed else f'{hint} ({listed})'}"


def reject_model_fields(names: Iterable[str]) -> None:
    """Refuse the settings `names`, which exclude a run.

    Raises:
        UsageError: if there is a name; it gives the flag of the first one.
    """
    for name in names:
        raise UsageError(f"--run brings its own networks and data; leave out --{name.replace('_', '-')}")


def format_command(verb: str, config: Any) -> str:
    """Return the command line with the settings of `config`, without those that have their default value.

    A setting with several words becomes a repeated flag, and one with several numbers a list with commas.
    """
    words = ["dimple", verb]
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value != field.default:
            flag = f"--{field.name.replace('_', '-')}"
            values = value if isinstance(value, tuple) else (value,)
            if not isinstance(values[0], str):
                values = (",".join(map(str, values)),)
            words += [word for one in values for word in (flag, one)]
    return shlex.join(words)
