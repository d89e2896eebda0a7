"""Whose boundary a probe request asks about, and at what samples: image networks, or the snapshots of a run."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, final

import torch
from torch import Tensor, nn

from dimple.data import Images, load_images
from dimple.errors import RunError
from dimple.experiment.probing.config import ProbeRequest
from dimple.experiment.probing.models import Single, load_trajectory
from dimple.manifolds import Manifold
from dimple.networks import frozen
from dimple.protocols import Progress
from dimple.runs import Checkpoints, Run
from dimple.scene import Scene, load_scene
from dimple.tensors import Box, generator


class Samples(Protocol):
    """Labelled samples that are taken by their row."""

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor, /) -> tuple[Tensor, Tensor]:
        """Some samples `(B, *shape)` and their classes `(B,)`."""
        ...


@final
@dataclasses.dataclass(frozen=True)
class Subject:
    """What is measured.

    Attributes:
        networks: frozen, each with its step.
        samples: by split.
        box: the bounds of the inputs, None where there are none.
        classes: names by class number.
        step_unit: what a step counts.
        facts: name and value, in words, for the page.
        contents: the sha256 of all that the numbers depend on besides the request.
        manifold: what the samples lie on, where that is known exactly; None for images.
        images: the training set of images; None for points.
    """

    networks: "Single | Checkpoints | Snapshots"
    samples: Mapping[str, Samples]
    box: Box | None
    classes: tuple[str, ...]
    step_unit: str
    facts: list[tuple[str, str]]
    contents: dict[str, str]
    manifold: Manifold | None = None
    images: str | None = None


def load_subject(request: ProbeRequest, device: torch.device, progress: Progress) -> Subject:
    """The networks and the samples that the request names, checked against each other.

    Raises:
        UsageError, DataError, ModelError, RunError, SceneError: each with one sentence for the user.
    """
    return _images(request, device, progress) if request.run is None else _run(request.run)


def _images(request: ProbeRequest, device: torch.device, progress: Progress) -> Subject:
    samples: dict[str, Images] = {split: load_images(request.data, split) for split in request.splits}
    some = next(iter(samples.values()))
    networks = load_trajectory(request, some, device, progress)
    paths = networks.paths if isinstance(networks, Checkpoints) else [Path(request.weights or "")]
    contents = {f"{split} images": _digest(images.pixels.numpy().tobytes()) for split, images in samples.items()}
    contents |= {str(path): _digest(path.read_bytes()) for path in paths if path.is_file()}
    facts = [
        ("model", request.model),
        ("weights", request.weights or request.checkpoints or "trained on the spot"),
        ("data", ", ".join(images.source for images in samples.values())),
    ]
    return Subject(
        networks, samples, some.box, some.classes, "number of the checkpoint", facts, contents, images=request.data
    )


def _run(folder: str) -> Subject:
    run = Run.open(folder)
    if "train" not in run.info.get("seconds", {}):
        raise RunError(f"{folder}: holds no finished training; name a folder made by dimple simulate")
    # What the run itself measured is another matter, and of no account here.
    scene = load_scene(str(run.path / "scene.yaml"), ["probes=[]"])
    drawn = scene.samples()
    samples = {
        "train": Points(drawn.train, drawn.train_labels),
        "test": Points(drawn.test, drawn.test_labels),
    }
    files = sorted((run.path / "snapshots").glob("*.safetensors"))
    contents = {file.name: _digest(file.read_bytes()) for file in files}
    contents["scene.yaml"] = _digest(run.scene_text.encode())
    facts = [("scene", scene.name), ("run", folder), ("snapshots", str(len(files)))]
    return Subject(
        Snapshots(run, scene), samples, None, ("0", "1"), "updates", facts, contents, manifold=scene.manifold
    )


@final
@dataclasses.dataclass(frozen=True)
class Points:
    """Points `(N, n)` with their classes `(N,)`."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Some of them."""
        return self.x[indices], self.y[indices]


@final
class Snapshots:
    """The snapshots of a run, frozen and in float64, as the run itself measured their margins."""

    def __init__(self, run: Run, scene: Scene) -> None:
        self.run, self.scene = run, scene

    def __len__(self) -> int:
        return len(self.run.steps)

    def __iter__(self) -> Iterator[tuple[int, nn.Module]]:
        return ((step, self.at(step)) for step in self.run.steps)

    def at(self, step: int) -> nn.Module:
        """The network after that many updates."""
        network = self.scene.network.build(self.scene.manifold.ambient_dim, generator(self.scene.seed, "network"))
        network.load_state_dict(self.run.read_snapshot(step)[0])
        return frozen(network).double()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
