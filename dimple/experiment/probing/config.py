"""Settings of `dimple probe`: a model or a run, the data, the probes and the number of samples."""

import dataclasses
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, final

from dimple.errors import RunError, UsageError
from dimple.names import (
    DIGITS,
    DIGITS_MODEL,
    METHODS,
    MODEL_FIELDS,
    PROBE_PLUGINS,
    SAMPLE_PROBES,
    TANGENTS,
    installed_plugins,
)
from dimple.settings import (
    Count,
    Dimension,
    Finite,
    Natural,
    Passes,
    Positive,
    Repeats,
    Seed,
    SettingError,
    expand_home,
    settings,
    suggest_word,
)

# The probe whose subspaces come from the data; a scene file cannot name it.
C = TypeVar("C")

SUBSPACE = "subspace"
AUTOENCODER = "autoencoder"
# The probes of the full network, and of several steps of a series together.
CONFIDENCE = "confidence"
SPECTRA = "spectra"
SPEED = "speed"
TRANSFER = "transfer"
# The value of `weights` for a network as its code builds it: untrained, or trained by that code.
UNTRAINED = "none"
# The settings of a coarse look. Fewer than 39 random subspaces give no band of 95 %.
QUICK: dict[str, Any] = {"samples": 10, "null_draws": 5, "max_passes": 15.0}
# The objectives along whose gradients the speed is measured.
ALONG = ("clean", "adversarial", "trades", "boundary_aware")
# What has no meaning where distances are numbers of coordinates.
NO_L0_PROBES = ("certified", "curvature", "curve", "exact", "robust", SPEED)
NETWORK_PROBES = (CONFIDENCE, SPECTRA, SPEED, TRANSFER)
PROBE_KINDS = (*SAMPLE_PROBES, SUBSPACE, *NETWORK_PROBES)
# Settings that are flags of their own on the command line, `--logits`.
SCORES = ("logits", "probabilities", "log_probabilities")


@final
@settings
class ProbeConfig:
    """All settings that decide the numbers of `dimple probe`; a measurement keeps them in its config.yaml.

    Args:
        model: a network as for `dimple.build_model`.
        data: a data set as for `dimple.data.load_samples`.
        label: the column with the labels of a table.
        weights: a weights file, `hf:OWNER/NAME`, or `none` for a network as its code builds it; without it the digits
            network is trained first, in a few seconds, and others have the weights that `dimple fetch` got for them.
        checkpoints: a pattern of weights files, or several, instead of `weights`, measured in their natural order; a
            folder stands for the weights files in it.
        state_dict_key: the key of the state dict, where the weights file holds several.
        mean, std: of the normalization that the network was trained with, one number or one for each channel, in units
            of images from 0 to 1 (with other bounds in theirs); the network is applied to `(x - mean) / std`. They
            replace those of a built-in network.
        channels: the order in which the network takes the channels, `rgb` or `bgr`; mean and std are in this order.
        scores: what the network returns: `logits`, `probabilities` or `log_probabilities`; None to see.
        run: the folder of a simulated run instead of all of these, with its snapshots, samples and exact tangents.
        split: the samples: of the test set, of the training set, or of both.
        probes: names of the table of probes, `my_file.py:NAME` or `my_file.py:NAME(scale=2)` of code that was allowed,
            `subspace`, or probes of the full network: `confidence` (calibration, and the correlation of confidence and
            margin), `spectra` (bounds on how fast the scores can change), `speed` (motion of the boundary from step to
            step of a series), `transfer` (error of each step of a series at the boundary points of the others).
        bounds: `data`, the range of the images, [0, 1], or `none`: distances to any input; or two numbers, the range of
            data that are not in [0, 1].
        norm: of the margin; searches within subspaces always use l2.
        method: the search method of the margin, a name of its table of methods.
        max_passes: the largest number of passes of a search of one sample, in every probe that searches; None for the
            default of each probe.
        nodes, seconds: of the probe `exact`: the largest number of nodes and the longest time of the search at one
            sample; None for the defaults, 2,000 nodes and no limit of time.
        subspaces: of the probe `subspace`: `dct` for frequency bands of images, `pca` for blocks of principal
            directions.
        samples: the number of samples of each split, drawn by the seed; all of them where there are fewer.
        indices: the rows of each split to measure, instead of a random choice.
        only: `all` samples, or those that the last network classifies correctly (`correct`).
        per_class: the number of samples of each class, instead of `samples` in all.
        along: of the probe `speed`: objectives down whose gradients the weights of each step would move (`clean`,
            `adversarial`, `trades`, `boundary_aware`), instead of the motion from step to step.
        tangents: the estimate of the tangent spaces from the training images: `local_pca`, of the `neighbors` nearest;
            `class_pca`, of the class of the nearest; `global_pca`, of all; `autoencoder`, which is trained on them and
            kept in the cache, or `autoencoder:FILE`, such a file.
        dim: the dimension of the tangent spaces; `auto` for the estimate of TwoNN, rounded.
        neighbors: the number of training images of local PCA.
        null_draws: the number of random subspaces of each null.
        eps: the radii of the probe `robust`, those at which the probe `curve` runs the standard attacks, or the one
            radius of the objectives of `along`, in units of which margins are then grouped; None for the default of
            `robust`, and no attacks of `curve`.
        certificate: the bounds of the probes `certified` and `curve`: `crown`, `ibp`, which is looser and a hundred
            times cheaper, or `optimized`, which is tighter and takes several times as long.

    Raises:
        UsageError: if a choice is unknown or two settings contradict each other.
        SettingError: if a value breaks the rule of its field.
    """

    model: str = DIGITS_MODEL
    data: str = DIGITS
    label: str | None = None
    weights: str | None = None
    checkpoints: str | tuple[str, ...] | None = None
    state_dict_key: str | None = None
    mean: tuple[Finite, ...] | None = None
    std: tuple[Positive, ...] | None = None
    channels: Literal["rgb", "bgr"] = "rgb"
    scores: Literal["logits", "probabilities", "log_probabilities"] | None = None
    run: str | None = None
    split: Literal["test", "train", "both"] = "test"
    probes: tuple[str, ...] = ("margin", "onoff")
    bounds: Literal["data", "none"] | tuple[Finite, Finite] = "data"
    norm: Literal["l0", "l1", "l2", "linf"] = "l2"
    method: str = "closest"
    max_passes: Passes | None = None
    nodes: Count | None = None
    seconds: Positive | None = None
    subspaces: Literal["dct", "pca"] = "dct"
    samples: Count = 200
    indices: tuple[Natural, ...] | None = None
    only: Literal["all", "correct"] = "all"
    per_class: Count | None = None
    seed: Seed = 0
    along: tuple[str, ...] = ()
    tangents: str = "local_pca"
    neighbors: Count = 50
    dim: Dimension | Literal["auto"] = 16
    null_draws: Repeats = 39
    eps: tuple[Positive, ...] | None = None
    certificate: Literal["crown", "ibp", "optimized"] = "crown"

    def __post_init__(self) -> None:
        problems = [*self._unknown_names(), *self._contradictions(), *self._norm_problems(), *self._along_problems()]
        if problems:
            raise UsageError(*problems)

    def _unknown_names(self) -> Iterator[str]:
        if not self.probes:
            yield _unknown_choice_message("--probe", "empty", PROBE_KINDS)
        known_probes = (*PROBE_KINDS, *installed_plugins(PROBE_PLUGINS))
        for flag, words, choices in (
            ("--probe", [kind for kind in self.probes if ":" not in kind], known_probes),
            ("--method", (self.method,), METHODS),
            ("--along", self.along, ALONG),
        ):
            yield from (_unknown_choice_message(flag, word, choices) for word in words if word not in choices)
        if problem := tangents_problem(self.tangents):
            yield f"--tangents {problem}"

    def _contradictions(self) -> Iterator[str]:
        if self.weights is not None and self.checkpoints is not None:
            yield "--weights and --checkpoints exclude each other; name one file or one series"
        if len(self.mean or ()) != len(self.std or ()):
            yield "--mean and --std belong together; give both, with as many numbers"
        yield from self._bounds_problems()
        for kind in self.series_probes:
            if self.checkpoints is None and self.run is None:
                yield f"--probe {kind} compares the steps of a series; name one with --checkpoints or --run"
        if self.indices is not None and (not self.indices or self.per_class is not None):
            yield "--indices names the samples: give at least one, and leave out --per-class"
        if self.run is not None and self.tangents != "local_pca":
            yield "--run brings its own tangent spaces; leave out --tangents"
        if self.dim != "auto" and self.dim >= self.neighbors and self.tangents == "local_pca":
            yield f"--dim is {self.dim} with --neighbors {self.neighbors}; dim must be smaller"
        if self.run is not None:
            defaults = {field.name: field.default for field in dataclasses.fields(self)}
            yield from model_field_problems(name for name in MODEL_FIELDS if getattr(self, name) != defaults[name])

    def _bounds_problems(self) -> Iterator[str]:
        if not isinstance(self.bounds, tuple):
            return
        if not self.bounds[0] < self.bounds[1]:
            yield f"--bounds is {self.bounds[0]:g},{self.bounds[1]:g}; give the lower one first"
        if self.run is not None:
            yield "--run brings its own bounds; leave out --bounds, or give --bounds none"

    @property
    def series_probes(self) -> tuple[str, ...]:
        """The probes that compare the steps of a series."""
        return tuple(kind for kind in self.probes if kind == TRANSFER or (kind == SPEED and not self.along))

    def _along_problems(self) -> Iterator[str]:
        """Yield what the objectives lack: the probe or the radius that they need."""
        if self.along and (SPEED not in self.probes or self.eps is None or len(self.eps) != 1):
            yield "--along belongs to --probe speed and needs --eps, the training radius, such as --eps 0.1"
        if self.along and self.norm not in ("l2", "linf"):
            yield f"--norm is {self.norm}, and the objectives of --along have l2 and linf; choose one of these"

    def _norm_problems(self) -> Iterator[str]:
        """Yield where the method or a probe does not support the norm."""
        if self.norm == "l0":
            yield from self._l0_problems()
            return
        if self.method == "lbfgs" and self.norm != "l2":
            yield f"--norm is {self.norm}, and --method lbfgs minimizes l2; choose --norm l2 or --method fab"
        if "exact" in self.probes and self.norm == "l1":
            yield "--norm is l1, and --probe exact proves l2 and linf distances; choose one of these"
        if "exact" not in self.probes and not (self.nodes is None and self.seconds is None):
            yield "--nodes and --seconds limit --probe exact; add it, or leave them out"
        attacks = [kind for kind in ("robust", "curve") if kind in self.probes]
        if attacks and self.norm == "l1":
            yield f"--norm is l1, and --probe {attacks[0]} attacks in l2 and linf; choose one of these"
        if self.eps is not None and not attacks and not self.along:
            yield "--eps gives the radii of --probe robust or curve, or that of --along; add one, or leave out --eps"
        if self.certificate != "crown" and not {"certified", "curve"} & set(self.probes):
            yield "--certificate chooses the bounds of --probe certified and curve; add one, or leave it out"

    def _l0_problems(self) -> Iterator[str]:
        """Yield what cannot be measured where distances are numbers of coordinates."""
        if self.method != "closest":
            yield f"--norm is l0, and --method {self.method} searches in other norms; leave out --method"
        if self.bounds == "none":
            yield "--norm is l0, and without bounds one coordinate moves as far as it likes; leave out --bounds"
        for kind in self.probes:
            if kind in NO_L0_PROBES:
                yield f"--norm is l0, and --probe {kind} needs a distance that varies smoothly; choose --norm l1 or l2"

    @property
    def command(self) -> str:
        """The command line with these settings, without those that have their default value.

        Example:
            >>> ProbeConfig(probes=("margin",), samples=20).command
            'dimple probe --probe margin --samples 20'
        """
        return format_command("probe", self).replace("--probes", "--probe")

    @property
    def default_out(self) -> Path:
        """The folder of the run where none is given."""
        return Path("runs") / f"probe-{network_name(self)}-{self.seed}"

    @property
    def probe_config(self) -> "ProbeConfig":
        """The settings themselves, as those of a slice have them too."""
        return self

    @property
    def splits(self) -> tuple[Literal["train", "test"], ...]:
        """The names of the splits, training first."""
        return ("train", "test") if self.split == "both" else (self.split,)


def read_config(config_type: type[C], settings: Mapping[str, Any], path: Path) -> tuple[C, dict[str, str]]:
    """Return the configuration of a run from its settings, and the check sums of its networks and data.

    Args:
        config_type: the class of the configuration.
        settings: those of the run.
        path: their file, for messages.

    Raises:
        RunError: if they are no such configuration.
    """
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    values.pop("checksums", None)
    try:
        return config_type(**values), dict(settings["checksums"])
    except (UsageError, SettingError, TypeError, ValueError) as error:
        raise RunError(f"{path}: {error}") from None


def describe_quick(config: ProbeConfig) -> str:
    """Return what is coarse about a quick measurement."""
    # Needs torch, which the settings alone do without.
    from dimple.stats.null_bands import interval_coverage

    return (
        f"quick, a coarse look: {config.samples} samples of each split, at most {config.max_passes:g} passes a search, "
        f"and {config.null_draws} random subspaces, whose band holds {interval_coverage(config.null_draws):.0%} of "
        "further ones: leave out --quick before you conclude"
    )


def format_duration(seconds: float) -> str:
    """Return a time in words.

    Example:
        >>> format_duration(40), format_duration(600), format_duration(9000)
        ('40 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def network_name(config: Any) -> str:
    """Return the name of the model, or of the run, as a part of the name of a folder."""
    if config.run is not None:
        return Path(config.run).name
    return re.sub(r"[^\w.+-]+", ".", config.model.rpartition("/")[2]).strip(".")


def tangents_problem(name: str) -> str:
    """Return the mistake in the name of an estimate, or an empty text."""
    kind, colon, file = name.partition(":")
    if kind not in TANGENTS or (colon and kind != AUTOENCODER):
        return f"is {name!r}; " + suggest_word(kind, TANGENTS, f"choose from {', '.join(TANGENTS)}")
    if colon and not expand_home(file).is_file():
        return f"is {name!r}, and there is no file {file!r}; leave it out to train an autoencoder"
    return ""


def _unknown_choice_message(flag: str, word: str, choices: tuple[str, ...]) -> str:
    listed = f"choose from {', '.join(choices)}"
    hint = suggest_word(word, choices, listed)
    return f"{flag} is {word}; {hint if hint == listed else f'{hint} ({listed})'}"


def model_field_problems(names: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each of the settings `names`, which exclude a run."""
    return (f"--run brings its own networks and data; leave out --{name.replace('_', '-')}" for name in names)


def format_command(verb: str, config: Any) -> str:
    """Return the command line with the settings of `config`, without those that have their default value.

    A setting with several words becomes a repeated flag, and one with several numbers a list with commas.
    """
    words = ["dimple", verb]
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value != field.default:
            flag = f"--{field.name.replace('_', '-')}"
            if field.name == "scores":
                words.append(f"--{value.replace('_', '-')}")
                continue
            values = value if isinstance(value, tuple) else (value,)
            if not isinstance(values[0], str):
                values = (",".join(str(one).removesuffix(".0") for one in values),)
            words += [word for one in values for word in (flag, one)]
    return shlex.join(words)
