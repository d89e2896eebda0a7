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
from dimple.levelsets.dense import NoLevelSet
from dimple.limits import require_memory, require_time
from dimple.manifolds.geometry.closest_point import require_own_points
from dimple.manifolds.geometry.reach import require_resolved_reach
from dimple.protocols import Advance, TangentField
from dimple.scene.scene import Scene
from dimple.tensors import generator
from dimple.training.loop import RecordCallback, StateCache


def prepare_scene(scene: Scene, data: str | None, device: torch.device) -> "PreparedScene":
    """Return a scene with its samples, after all checks that need no training.

    Args:
        scene: the scene.
        data: the data set as `NAME:PATH`; None to look for it.
        device: of training and measurements.

    Raises:
        UsageError, SceneError, DataError: if it cannot be simulated, with the way out.
    """
    samples = scene.samples(data)
    if len(samples.classes) > 2:
        # A mesh has two sides; a slice shows the regions of all classes.
        scene = dataclasses.replace(scene, levelset=NoLevelSet())
    prepared = PreparedScene(scene, samples, device)
    prepared.require_fitting()
    if scene.is_drawable:
        scene.display_bounds(samples)
    if scene.manifold is not None:
        require_own_points(scene.manifold, samples.heldout)
        require_resolved_reach(scene.manifold, samples.heldout)
    return prepared


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
        """Refuse a scene whose network, tangent spaces or slice do not fit its samples, or that would never end.

        Nothing is written before.

        Raises:
            SceneError: with the way out.
        """
        self._require_affordable(sum(parameter.numel() for parameter in self.build_network().parameters()))
        scene = self.scene
        if self.tangents is None:
            needing = [
                f"probes lists {probe_names([probe])[0]}, which" for probe in scene.probes if probe.needs_tangents
            ]
            needing += ["training.objective"] if scene.training.objective.needs_tangents else []
            along = scene.slice.through if scene.slice is not None else None
            needing += ["slice.through names tangent, which"] if "tangent" in (along or ()) else []
            if needing:
                raise SceneError(f"{needing[0]} needs tangent spaces; add tangents: {{kind: local_pca}}")
        self._require_slice()

    def _require_affordable(self, weights: int) -> None:
        """Refuse a training or measurements that take longer than the limit, by a rough estimate."""
        scene = self.scene
        training = scene.training
        count = len(self.samples.train)
        steps = training.last_step(count)
        # A pass forward and backward multiplies each weight three times.
        cost = 3.0 * weights * scene.replicas
        passes = 1 + getattr(training.objective, "steps", 0) + getattr(training.objective, "max_passes", 0)
        work = steps * min(training.batch_size or count, count) * passes * cost
        require_time(
            work, f"training: has {steps} steps for {weights} weights and {scene.replicas} replicas", SceneError
        )
        snapshots = min(scene.snapshots.count, steps + 1)
        require_memory(4.0 * weights * scene.replicas * snapshots, f"snapshots: are {snapshots}", SceneError)
        samples = self.samples
        rows = sum(map(len, (samples.train_rows, samples.test_rows, samples.validation, samples.heldout)))
        for probe in scene.all_probes:
            work = snapshots * rows * probe.passes_per_sample * cost
            (name,) = probe_names([probe])
            require_time(work, f"probes: {name} measures {rows} points {snapshots} times", SceneError)

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
            SliceConfig(run=self.scene.name, seed=self.scene.seed, **dataclasses.asdict(chosen))
        except UsageError as error:
            # The keys of the scene have the names of the options.
            raise SceneError(str(error).replace("--", "slice.")) from None
        wanted = (chosen.through or ()).count("tangent")
        if wanted and self.tangents is not None:
            dim = self.tangents.tangent_basis(self.samples.train[:1].to(self.device)).shape[-1]
            if wanted > dim:
                raise SceneError(f"slice.through names {wanted} tangent directions; the tangent spaces have {dim}")

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
