"""Sources of a measurement: the networks and the samples, from image files and checkpoints or from a run."""

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, final

import torch
from torch import Tensor, nn

from dimple.attacks.closest import takes_references
from dimple.boundary import Boundary
from dimple.boundary.classifier import TRIAL_SAMPLES, prepare_classifier
from dimple.data import Images, Points, load_samples
from dimple.errors import DataError, RunError
from dimple.experiment.probing.config import UNTRAINED, ProbeConfig
from dimple.experiment.probing.models import load_trajectory, weights_file
from dimple.experiment.run import Run
from dimple.locations import has_own_weights
from dimple.manifolds import Manifold
from dimple.probes import Margin
from dimple.protocols import Progress, TangentField
from dimple.runs import Checkpoints
from dimple.runs.manifest import list_files
from dimple.scene import load_run_scene
from dimple.settings import expand_home
from dimple.tangents.estimators import TangentEstimator
from dimple.tensors import Box, generator

# The number of training images from which searches may start.
MAX_REFERENCE = 10_000
# What is measured where the data have no splits.
UNSPLIT_NOTE = "the data have one; tangent spaces are estimated from the measured samples themselves"
# The passes with which a search without gradients is at most a quarter too long on a half-space: for each dimension,
# and at least.
BISECTION_PASSES_PER_DIMENSION = 5
MIN_BISECTION_PASSES = 40


class LabeledSamples(Protocol):
    """Samples with their classes, in a fixed order."""

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor, /) -> tuple[Tensor, Tensor]:
        """Return the samples `(B, *shape)` in the rows `indices` `(B,)`, and their classes `(B,)`."""
        ...


class NetworkSeries(Protocol):
    """A trajectory of frozen networks, of which each can be loaded alone."""

    @property
    def steps(self) -> Sequence[int]:
        """The steps, rising."""
        ...

    def __iter__(self) -> Iterator[tuple[int, nn.Module]]: ...

    def __len__(self) -> int: ...

    def network(self, step: int, /) -> nn.Module:
        """Return the network of a step."""
        ...


@final
@dataclasses.dataclass(frozen=True)
class Sources:
    """Networks and samples of a measurement.

    Attributes:
        networks: the frozen networks, each with its step.
        samples: by split.
        bounds: the bounds of the inputs; None where the inputs are unbounded.
        classes: names by class number.
        step_unit: the unit of a step.
        facts: name and text of each fact for the page.
        checksums: the sha256 of all files and arrays that the numbers depend on besides the configuration.
        manifold: the manifold on which the samples lie; None for images.
        tangents: the exact tangent spaces at the samples, where they are known.
        tangent_estimator: the estimate of the tangent spaces by the scene whose run is measured, where it has one.
        image_dataset: the specification of the images; None for points.
        read_training: reads the training samples, where they need not be among the samples.
        scores: what the networks return, where it is known, as in `ProbeConfig`.
        reference: samples from which searches start too; None where the passes suffice for one descent alone.
        scene: the settings of the scene whose run is measured.
        lacks_passes: whether more passes would give such samples to the search.
    """

    networks: NetworkSeries
    samples: Mapping[str, LabeledSamples]
    bounds: Box | None
    classes: tuple[str, ...]
    step_unit: str
    facts: list[tuple[str, str]]
    checksums: dict[str, str]
    manifold: Manifold | None = None
    tangents: TangentField | None = None
    tangent_estimator: TangentEstimator | None = None
    image_dataset: str | None = None
    read_training: Callable[[], LabeledSamples] | None = None
    scores: str | None = None
    reference: Tensor | None = None
    scene: Mapping[str, Any] | None = None
    lacks_passes: bool = False

    @property
    def pixel_levels(self) -> int | None:
        """The level of the brightest pixel, where the samples are images that were stored as such levels."""
        images = next(iter(self.samples.values()))
        return images.max_level if isinstance(images, Images) and images.max_level > 1 else None

    def training_samples(self) -> LabeledSamples:
        """Return the training samples, which are read where only test samples are measured."""
        if "train" in self.samples or self.read_training is None:
            return self.samples["train"]
        return self.read_training()

    def dtype(self, device: torch.device) -> torch.dtype:
        """Return the precision of the samples: single for images, double for points where the device has it."""
        return torch.float64 if self.image_dataset is None and device.type != "mps" else torch.float32

    def make_boundary(self, network: nn.Module, device: torch.device, gradient_users: Sequence[str]) -> Boundary:
        """Return the boundary of a network within the bounds, on the device, after a trial of the network.

        A network of images is evaluated in its own precision where the device has it.

        Raises:
            ModelError: if the network is not a deterministic function of one sample with a gradient where needed.
        """
        samples = next(iter(self.samples.values()))
        dtype = self.dtype(device)
        x = samples.batch(torch.arange(min(TRIAL_SAMPLES, len(samples))))[0].to(device, dtype)
        # The networks are in eval mode before and after the trial.
        placed = self.place(network, device)
        with prepare_classifier(
            placed, x, gradient_users=gradient_users, are_logits=self.scores is not None
        ) as classifier:
            reference = None if self.reference is None else self.reference.to(x)
            return Boundary(classifier.unwrap(x), self.bounds, reference)

    def place(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Return the network on the device: one of points in the precision of the samples, others in their own."""
        is_own = self.image_dataset is not None and device.type != "mps"
        return network.to(device) if is_own else network.to(device, self.dtype(device))


def load_sources(config: ProbeConfig, device: torch.device, progress: Progress) -> Sources:
    """Load the networks and the samples that a configuration names, and check them against each other.

    Raises:
        UsageError, DataError, ModelError, RunError, SceneError: with one sentence for the user.
    """
    run = config.run
    sources = _load_image_sources(config, device, progress) if run is None else _load_run_sources(run)
    if config.bounds == "none":
        sources = dataclasses.replace(sources, bounds=None)
    if run is None:
        within = "none, by --bounds none" if sources.bounds is None else str(sources.bounds)
        sources.facts.append(("bounds of the inputs", within))
    if config.method == "bisection":
        first, _ = next(iter(sources.samples.values())).batch(torch.zeros(1, dtype=torch.int64))
        n = first.numel()
        passes = max(MIN_BISECTION_PASSES, BISECTION_PASSES_PER_DIMENSION * n)
        note = (
            "by decisions only (bisection), without gradients: margins are upper bounds; for a half-space of "
            f"{n} dimensions they are up to a quarter too long with {passes:,} passes, and severalfold with few"
        )
        sources.facts.append(("search", note))
    return sources


def _load_image_sources(config: ProbeConfig, device: torch.device, progress: Progress) -> Sources:
    def read(split: Literal["train", "test"]) -> Images | Points:
        return load_samples(config.data, split, bounds=config.bounds, label=config.label)

    samples: dict[str, Images | Points] = {split: read(split) for split in config.splits}
    first = next(iter(samples.values()))
    networks = load_trajectory(config, first, device, progress)
    paths = networks.paths if isinstance(networks, Checkpoints) else [weights_file(config) or Path()]
    checksums = {f"{split} images": _sha256(_content(images)) for split, images in samples.items()}
    paths = [*paths, expand_home(config.tangents.partition(":")[2])]
    checksums |= {str(path): _sha256(path.read_bytes()) for path in paths if path.is_file()}
    facts = [
        ("model", config.model),
        ("weights", _describe_weights(config)),
        *([("state dict", networks.state_dict)] if networks.state_dict else []),
        *([("steps", networks.note)] if isinstance(networks, Checkpoints) and networks.note else []),
        *([("normalization", _describe_normalization(config))] if config.mean or config.channels == "bgr" else []),
        *([("output of the model", config.scores.replace("_", "-"))] if config.scores else []),
        ("data", ", ".join(images.source for images in samples.values())),
        *([] if first.is_split else [("splits", UNSPLIT_NOTE)]),
        *([("samples", "only those that the last network classifies correctly")] if config.only == "correct" else []),
    ]
    reference = None
    can_take_references = config.method == Margin().method and takes_references(math.prod(first.shape), math.inf)
    lacks_passes = can_take_references and not takes_references(math.prod(first.shape), config.max_passes or 0.0)
    if can_take_references and not lacks_passes:
        try:
            reference = _choose_reference(read("train"), config.seed)
        except DataError as error:
            facts.append(("search", f"from the images alone, without training images: {error}"))
        else:
            facts.append(("search", f"also from the nearest of {len(reference)} training images of other classes"))
            checksums["reference images"] = _sha256(reference.numpy().tobytes())
    return Sources(
        networks,
        samples,
        first.bounds,
        first.classes,
        "number of the checkpoint",
        facts,
        checksums,
        image_dataset=config.data if isinstance(first, Images) else None,
        read_training=lambda: read("train"),
        scores=config.scores,
        reference=reference,
        lacks_passes=lacks_passes and config.norm != "l0",
    )


def _content(samples: Images | Points) -> bytes:
    return (samples.pixels if isinstance(samples, Images) else samples.x).numpy().tobytes()


def _describe_normalization(config: ProbeConfig) -> str:
    numbers = "none" if config.mean is None else f"mean {config.mean}, std {config.std}"
    return f"{numbers}, channels in the order {config.channels}"


def _choose_reference(images: Images | Points, seed: int) -> Tensor:
    """Return training images from which searches with more than one descent start."""
    rows = torch.randperm(len(images), generator=generator(seed, "reference"))[:MAX_REFERENCE]
    return images.batch(rows)[0]


def _describe_weights(config: ProbeConfig) -> str:
    if config.weights == UNTRAINED:
        return "none: the network as its code builds it"
    checkpoints = config.checkpoints
    series = checkpoints if checkpoints is None or isinstance(checkpoints, str) else ", ".join(checkpoints)
    if has_own_weights(config.model) and not (config.weights or series):
        return "those of the model"
    return config.weights or series or "trained for this measurement"


def _load_run_sources(folder: str) -> Sources:
    run = Run.open(folder)
    if "train" not in run.info.get("seconds", {}):
        raise RunError(f"{folder}: holds no finished training; name a folder made by dimple simulate")
    # The probes of the scene are not needed.
    scene = load_run_scene(run, ["probes=[]"])
    splits = run.samples()
    samples = {
        "train": LabeledPoints(splits.train, splits.train_labels),
        "test": LabeledPoints(splits.test, splits.test_labels),
    }
    files = [file for file in list_files(run.path / "snapshots") if file.suffix == ".safetensors"]
    checksums = {file.name: _sha256(run.read_bytes(file)) for file in files}
    checksums["scene.yaml"] = _sha256(run.read_bytes(run.settings_path))
    facts = [("scene", scene.name), ("run", folder), ("snapshots", str(len(files)))]
    return Sources(
        RunSnapshots(run, splits.train.dtype),
        samples,
        splits.bounds,
        run.class_names,
        "updates",
        facts,
        checksums,
        scene.manifold,
        splits.tangents,
        scene.tangents,
        splits.source or None,
        scene=run.settings,
    )


@final
@dataclasses.dataclass(frozen=True)
class LabeledPoints:
    """Samples `(N, *shape)` of a run with their classes `(N,)`."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return the samples in the rows `indices`, and their classes."""
        return self.x[indices], self.y[indices]


@final
class RunSnapshots:
    """The networks of a run as a trajectory, frozen and in the precision in which the run measures their margins."""

    def __init__(self, run: Run, dtype: torch.dtype) -> None:
        self.run = run
        self.dtype = dtype

    @property
    def steps(self) -> list[int]:
        """The steps of the snapshots."""
        return self.run.steps

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[tuple[int, nn.Module]]:
        return ((step, self.network(step)) for step in self.steps)

    def network(self, step: int) -> nn.Module:
        """Return the network of a snapshot."""
        return self.run.network(step).to(self.dtype)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
