"""A scene with its samples on a device: what training, measuring and controls of a simulation share."""

import dataclasses
import functools
import warnings
from collections.abc import Callable
from typing import final

import torch
from torch import nn

from dimple.data import DataSplits
from dimple.errors import SceneError, ShapeError, UsageError
from dimple.experiment.provenance import probe_names
from dimple.experiment.run import Run
from dimple.experiment.slices.config import SliceConfig
from dimple.protocols import Advance, TangentField
from dimple.scene.scene import Scene
from dimple.tensors import generator
from dimple.training.loop import RecordCallback, StateCache


@final
@dataclasses.dataclass(frozen=True)
class PreparedScene:
    """A scene, its samples, and the device on which its networks are trained and measured.

    `dataclasses.replace(prepared, samples=...)` is the same experiment with other samples.
    """

    scene: Scene
    samples: DataSplits
    device: torch.device

    @functools.cached_property
    def tangents(self) -> TangentField | None:
        """The tangent spaces of the data, exact or as the scene estimates them; None where there are none.

        Raises:
            SceneError: if there are too few samples for the estimate.
        """
        samples = self.samples
        if samples.tangents is not None or self.scene.tangents is None:
            return samples.tangents
        try:
            return self.scene.tangents.fit(samples.train.to(self.device), samples.train_labels.to(self.device))
        except ShapeError as error:
            raise SceneError(f"tangents: {error}") from None

    @property
    def snapshot_steps(self) -> list[int]:
        """The steps at which the network is kept, if training does not end before."""
        return self.scene.snapshots.steps(self.scene.training.last_step(len(self.samples.train)))

    def require_fitting(self) -> None:
        """Refuse a scene whose network, tangent spaces or slice do not fit its samples, before anything is written.

        Raises:
            SceneError: with the way out.
        """
        self.build_network()
        scene = self.scene
        if self.tangents is None:
            needing = [
                f"probes lists {probe_names([probe])[0]}, which" for probe in scene.probes if probe.needs_tangents
            ]
            needing += ["training.objective"] if scene.training.objective.needs_tangents else []
            if needing:
                raise SceneError(f"{needing[0]} needs tangent spaces; add tangents: {{kind: local_pca}}")
        self._require_slice()

    def _require_slice(self) -> None:
        """Refuse a slice through samples that do not exist, or that give no slice."""
        chosen = self.scene.slice
        if chosen is None:
            return
        count = len(self.samples.train if chosen.split == "train" else self.samples.test)
        missing = [row for row in chosen.images if row >= count]
        if missing:
            raise SceneError(
                f"slice.images names {missing[0]}, and the {chosen.split} split has {count} samples; "
                f"give rows from 0 to {count - 1}"
            )
        try:
            SliceConfig(seed=self.scene.seed, **dataclasses.asdict(chosen))
        except UsageError as error:
            # The keys of the scene have the names of the options.
            raise SceneError(str(error).replace("--", "slice.")) from None

    def build_network(self) -> nn.Module:
        """Return a network of the scene with its first random weights, float32, on the device."""
        return self.scene.build_network(self.samples.shape, len(self.samples.classes)).to(self.device)

    def initial_network(self) -> nn.Module:
        """Return the network before its first update; features that need no labels are fitted to the samples."""
        network = self.build_network()
        x = self.samples.train.float().to(self.device)
        self.scene.network.fit_features(network, x, generator(self.scene.seed, "features"))
        return network

    def load_network(self, run: Run, step: int, replica: int | None = None) -> tuple[nn.Module, float]:
        """Return the network of a snapshot, and its loss."""
        state, loss = run.read_snapshot(step, replica)
        network = self.build_network()
        network.load_state_dict(state)
        return network, loss

    def fit(
        self,
        network: nn.Module,
        record: RecordCallback,
        *,
        cache: StateCache | None = None,
        warn: Callable[[str], None] = warnings.warn,
        advance: Advance | None = None,
    ) -> None:
        """Train a network as the scene says, with the callbacks of `Training.fit`."""
        self.scene.training.fit(
            network,
            self.samples.train.float().to(self.device),
            self.samples.train_labels.to(self.device),
            self.snapshot_steps,
            record,
            seed=self.scene.seed,
            tangents=self.tangents,
            bounds=self.samples.bounds,
            cache=cache,
            warn=warn,
            advance=advance,
        )
