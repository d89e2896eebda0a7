"""The training loop, which passes the network at given steps to a callback and can stop and continue anywhere."""

import copy
import dataclasses
import functools
import math
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Protocol, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dimple.boundary.boundary import compute_logit_margin
from dimple.errors import DivergedError, SceneError
from dimple.protocols import Advance, TangentField
from dimple.settings import Count, Positive, settings
from dimple.tensors import Box, generator
from dimple.training.augmentation import Augmentation
from dimple.training.evaluation import Evaluation
from dimple.training.objectives import Batch, Objective, Standard
from dimple.training.objectives.base import evaluation_mode
from dimple.training.optimizers import Adam, Optimizer
from dimple.training.overfitting import OverfittingCheck
from dimple.training.schedules import Averaging, Constant, Schedule, Stop

RecordCallback = Callable[[int, nn.Module, float], None]
Arrays = dict[str, NDArray[Any]]
DEFAULT_STEPS = 1000
# The state of an unfinished training is kept at least this often.
SECONDS_BETWEEN_STATES = 20.0
STATE = "training"
SECONDS_BETWEEN_REPORTS = 0.5
PREPARED = "prepared"


class StateCache(Protocol):
    """Storage for the state of an unfinished training, such as a run folder."""

    def read_cache(self, name: str, /) -> Arrays | None:
        """Return the arrays that were written last, or None."""
        ...

    def write_cache(self, name: str, arrays: Arrays, /) -> None:
        """Write arrays in place of those before, all or none of them."""
        ...


@final
@settings
class Training:
    """A method that fits a network to labeled samples.

    Args:
        objective: the function of the weights that becomes small.
        optimizer: the rule that changes the weights.
        schedule: the learning rate of each step.
        batch_size: samples in each step, in a new random order each epoch; null for all samples.
        augmentation: random changes of the samples of each batch, one after another.
        averaging: a running mean of the weights, which snapshots then hold; null for the trained weights.
        clip_norm: largest l2 norm of the gradient of all weights; a longer one is shortened.
        stop: the end of training.
        evaluate: the accuracies that are measured at each snapshot; they do not change the training.

    Example:
        >>> Training(stop=Stop(epochs=3), batch_size=32).last_step(100)
        12
    """

    # Keys of a scene file that stand for longer ones.
    SHORT_FORMS: ClassVar[Mapping[str, str]] = {
        "kind": "objective.kind",
        "steps": "stop.steps",
        "epochs": "stop.epochs",
        "optimizer": "optimizer.kind",
        "lr": "optimizer.lr",
        "momentum": "optimizer.momentum",
        "weight_decay": "optimizer.weight_decay",
    }

    objective: Objective = Standard()
    optimizer: Optimizer = Adam()
    schedule: Schedule = Constant()
    batch_size: Count | None = None
    augmentation: tuple[Augmentation, ...] = ()
    averaging: Averaging | None = None
    clip_norm: Positive | None = None
    stop: Stop = Stop()
    evaluate: Evaluation = Evaluation()

    def __post_init__(self) -> None:
        if self.augmentation and self.objective.needs_tangents:
            raise SceneError("augmentation moves the samples whose tangent spaces objective.restrict needs; drop one")

    def steps_per_epoch(self, count: int) -> int:
        """Return the number of updates in which each of `count` samples is used once; the last batch may be smaller."""
        return math.ceil(count / min(self.batch_size or count, count))

    def last_step(self, count: int) -> int:
        """Return the largest number of updates on `count` samples; accuracy, loss or margin may end training before."""
        limits = [] if self.stop.steps is None else [self.stop.steps]
        if self.stop.epochs is not None:
            limits.append(self.stop.epochs * self.steps_per_epoch(count))
        return min(limits, default=DEFAULT_STEPS)

    def fit(
        self,
        network: nn.Module,
        x: Tensor,
        y: Tensor,
        record_steps: list[int],
        record: RecordCallback,
        *,
        seed: int = 0,
        tangents: TangentField | None = None,
        bounds: Box | None = None,
        cache: StateCache | None = None,
        warn: Callable[[str], None] = warnings.warn,
        advance: Advance | None = None,
    ) -> None:
        """Train the network in place.

        Each step draws its random numbers from the seed and its number alone, so a training that continues from `cache`
        ends in the same bits on a CPU as one that was not interrupted.

        Args:
            network: maps `(N, *shape)` to scores.
            x: `(N, *shape)` training samples.
            y: `(N,)` their classes.
            record_steps: steps in ascending order; step 0 is before the first update.
            record: called as `record(step, network, loss)` at each of them and at the last step, before the update of
                that step; the loss is the objective on the batch of the step. A continued training calls it again for
                the steps after the state that it continues from.
            seed: of the order of the samples and of random perturbations.
            tangents: the tangent spaces of the data, for an objective that is restricted to them.
            bounds: the range of valid inputs, such as pixels, which perturbed samples do not leave.
            cache: where the state of the training is kept, and read if there is one.
            warn: called once with one sentence when single-step adversarial training has lost the robustness to several
                steps, which is checked at the record steps and at the ends of epochs of several batches.
            advance: called a few times a second with the number of steps since its last call, and with a note of their
                rate, the loss and the accuracy on the batch.

        Raises:
            DivergedError: at the first step whose loss is not finite.
            SceneError: if the objective needs tangent spaces and there are none.
        """
        basis = None
        if self.objective.needs_tangents:
            if tangents is None:
                raise SceneError("training.objective.restrict needs the tangent spaces of the data; set it to none")
            basis = tangents.tangent_basis(x)
        data = Batch(x, y, torch.Generator, basis, bounds)
        _Fit(self, network, data, seed, cache).run(set(record_steps), record, warn, advance)


@final
class _Follower:
    """Reports on a training in progress.

    Args:
        advance: the callback of `Training.fit`.
        step: the first step.
    """

    def __init__(self, advance: Advance, step: int) -> None:
        self._advance = advance
        self._time = time.monotonic()
        self._step = step
        advance(step)

    def follow(self, step: int, is_last: bool, loss: float, network: nn.Module, batch: Batch) -> None:
        """Report the steps since the last report, if that is some time ago or this is the last step."""
        seconds = time.monotonic() - self._time
        if seconds < SECONDS_BETWEEN_REPORTS and not is_last:
            return
        with evaluation_mode(network), torch.no_grad():
            accuracy = float((network(batch.x).argmax(1) == batch.y).double().mean())
        rate = (step - self._step) / max(seconds, 1e-9)
        self._advance(step - self._step, f"{rate:,.0f}/s, loss {loss:.3g}, accuracy {accuracy:.3g}")
        self._time = time.monotonic()
        self._step = step


@final
class PrefixedCache:
    """The part of a cache for one of several trainings.

    Args:
        cache: the cache of all of them.
        prefix: begins the names of the part.
    """

    def __init__(self, cache: StateCache, prefix: str) -> None:
        self.cache = cache
        self.prefix = prefix

    def read_cache(self, name: str) -> Arrays | None:
        return self.cache.read_cache(f"{self.prefix}-{name}")

    def write_cache(self, name: str, arrays: Arrays) -> None:
        self.cache.write_cache(f"{self.prefix}-{name}", arrays)


@final
class _Fit:
    """One training in progress."""

    def __init__(
        self,
        training: Training,
        network: nn.Module,
        data: Batch,
        seed: int,
        cache: StateCache | None,
        purpose: tuple[str, ...] = (),
    ) -> None:
        self.training = training
        self.network = network
        self.seed = seed
        self.cache = cache
        self.purpose = purpose
        # Epochs are those of the given samples, also where the objective trains on fewer.
        self.last_step = training.last_step(len(data.x))
        self.data = self._prepare(dataclasses.replace(data, generator=lambda: self._generator("preparation")))
        self.per_epoch = training.steps_per_epoch(len(self.data.x))
        self.averaged = copy.deepcopy(network) if training.averaging is not None else None
        self.trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.memory = [training.optimizer.start(parameter.detach()) for parameter in self.trained]
        self.overfitting = OverfittingCheck.of(training.objective, self.data)
        self.order = (-1, torch.empty(0, dtype=torch.long))

    def _prepare(self, data: Batch) -> Batch:
        """Return the samples and the memory of the objective, from the cache where they are kept."""
        weights = self.network.state_dict()
        kept = None if self.cache is None else self.cache.read_cache(PREPARED)
        if kept is None:
            prepared = self.training.objective.prepare(self.network, data, functools.partial(self._train_first, data))
            if self.cache is not None and prepared is not data:
                tensors = {"x": prepared.x, "y": prepared.y} | _prefixed("memory", prepared.memory)
                self.cache.write_cache(PREPARED, _to_arrays(tensors | _prefixed("network", weights)))
            return prepared
        restored = {name: torch.from_numpy(array.copy()).to(data.x.device) for name, array in kept.items()}
        with torch.no_grad():
            for name, tensor in weights.items():
                tensor.copy_(restored[f"network/{name}"])
        memory = {name[7:]: tensor for name, tensor in restored.items() if name.startswith("memory/")}
        return dataclasses.replace(data, x=restored["x"], y=restored["y"], basis=None, memory=memory)

    def _train_first(
        self, data: Batch, network: nn.Module, objective: Objective, stop: Stop | None, schedule: Schedule | None = None
    ) -> nn.Module:
        """Train a network before the main training, as `FirstTraining` says."""
        training = dataclasses.replace(
            self.training,
            objective=objective,
            stop=stop or self.training.stop,
            schedule=schedule or self.training.schedule,
        )
        trained: list[nn.Module] = []
        cache = None if self.cache is None else PrefixedCache(self.cache, "first")
        first = _Fit(training, network, data, self.seed, cache, (*self.purpose, "first"))
        first.run(set(), lambda _, last, __: trained.append(last), warnings.warn)
        return trained[-1]

    def run(
        self,
        record_steps: set[int],
        record: RecordCallback,
        warn: Callable[[str], None],
        advance: Advance | None = None,
    ) -> None:
        """Train from the state in the cache, or from the beginning."""
        first = self._restore()
        kept = time.monotonic()
        follower = None if advance is None else _Follower(advance, first)
        for step in range(first, self.last_step + 1):
            if self.cache is not None and step > first and time.monotonic() - kept >= SECONDS_BETWEEN_STATES:
                self.cache.write_cache(STATE, _to_arrays(self._tensors()) | {"step": np.array(step)})
                kept = time.monotonic()
            batch = self._batch(step)
            loss = self._differentiate(batch)
            if not math.isfinite(loss):
                raise DivergedError(
                    f"training.optimizer.lr is {self.training.optimizer.lr}: the loss is {loss} at step {step}; choose "
                    "a smaller one, or bound the gradient by training.clip_norm"
                )
            is_last = step == self.last_step or (step % self.per_epoch == 0 and self._has_reached_goal())
            self._check_overfitting(step, is_last or step in record_steps, warn)
            if is_last or step in record_steps:
                record(step, self.averaged or self.network, loss)
            if follower is not None:
                follower.follow(step, is_last, loss, self.network, batch)
            if is_last:
                return
            self._update(step)

    def _differentiate(self, batch: Batch) -> float:
        """Set the gradients of the weights, and return the loss."""
        try:
            return float(self.training.objective.differentiate(self.network, batch))
        except ValueError as error:
            if len(batch.x) == 1 and "more than 1 value per channel" in str(error):
                raise SceneError(
                    f"training.batch_size is {self.training.batch_size}: of {len(self.data.x)} samples, one is left "
                    "for a batch of its own, which has no variance for batch normalization; choose another batch_size"
                ) from None
            raise

    def _check_overfitting(self, step: int, is_recorded: bool, warn: Callable[[str], None]) -> None:
        is_epoch = self.per_epoch > 1 and step % self.per_epoch == 0
        if self.overfitting is not None and (is_recorded or is_epoch):
            sentence = self.overfitting.warning(self.network, step)
            if sentence is not None:
                warn(sentence)

    def _batch(self, step: int) -> Batch:
        """Return the samples of a step."""
        batch = dataclasses.replace(self.data, generator=lambda: self._generator("training", step))
        if self.per_epoch > 1:
            epoch, index = divmod(step, self.per_epoch)
            if self.order[0] != epoch:
                self.order = (epoch, torch.randperm(len(batch.x), generator=self._generator("batches", epoch)))
            size = self.training.batch_size or len(batch.x)
            batch = batch.select(self.order[1][index * size : (index + 1) * size].to(batch.x.device))
        stream = self._generator("augmentation", step)
        for augmentation in self.training.augmentation:
            batch = dataclasses.replace(batch, x=batch.clamp(augmentation(batch.x, stream)))
        return batch

    def _generator(self, *purpose: object) -> torch.Generator:
        return generator(self.seed, *self.purpose, *purpose)

    def _has_reached_goal(self) -> bool:
        """Return whether the accuracy, the loss or the smallest margin ends the training."""
        stop = self.training.stop
        if stop.accuracy is None and stop.loss is None and stop.min_margin is None:
            return False
        y = self.data.y
        with evaluation_mode(self.network), torch.no_grad():
            scores = self.network(self.data.x)
        return (
            (stop.accuracy is not None and float((scores.argmax(1) == y).double().mean()) >= stop.accuracy)
            or (stop.loss is not None and float(nn.functional.cross_entropy(scores, y)) <= stop.loss)
            or (stop.min_margin is not None and float(compute_logit_margin(scores, y).min()) >= stop.min_margin)
        )

    def _update(self, step: int) -> None:
        """Change the weights from their gradients; weights without a gradient stay."""
        rows = [
            (parameter, parameter.grad, memory)
            for parameter, memory in zip(self.trained, self.memory, strict=True)
            if parameter.grad is not None
        ]
        parameters, gradients, memory = (list(column) for column in zip(*rows, strict=True))
        if self.training.clip_norm is not None:
            length = torch.linalg.vector_norm(torch.stack([gradient.norm() for gradient in gradients]))
            shrink = (self.training.clip_norm / length.clamp(min=1e-12)).clamp(max=1.0)
            gradients = [gradient * shrink for gradient in gradients]
        lr = self.training.optimizer.lr * self.training.schedule.factor(step, self.last_step)
        self.training.optimizer.update(parameters, gradients, memory, lr)
        if self.training.averaging is not None and self.averaged is not None:
            self._average(self.training.averaging.decay, self.averaged)

    @torch.no_grad()
    def _average(self, decay: float, averaged: nn.Module) -> None:
        for mean, parameter in zip(averaged.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(parameter, 1 - decay)
        for copied, buffer in zip(averaged.buffers(), self.network.buffers(), strict=True):
            copied.copy_(buffer)

    def _tensors(self) -> dict[str, Tensor]:
        """Return all tensors that a step changes, by name."""
        tensors = _prefixed("network", self.network.state_dict()) | _prefixed("memory", self.data.memory)
        if self.averaged is not None:
            tensors |= _prefixed("averaged", self.averaged.state_dict())
        if self.overfitting is not None:
            tensors |= _prefixed("overfitting", self.overfitting.tensors())
        for row, memory in enumerate(self.memory):
            tensors |= _prefixed(f"optimizer/{row}", {str(index): tensor for index, tensor in enumerate(memory)})
        return tensors

    def _restore(self) -> int:
        """Return the step to begin with: 0, or that of the state in the cache, whose tensors are copied."""
        arrays = None if self.cache is None else self.cache.read_cache(STATE)
        tensors = self._tensors()
        if arrays is None or arrays.keys() != tensors.keys() | {"step"}:
            return 0
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(torch.from_numpy(arrays[name]))
        return int(arrays["step"])


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def _to_arrays(tensors: Mapping[str, Tensor]) -> Arrays:
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


@final
@settings
class SnapshotSchedule:
    """A schedule of `count` steps from 0 to the last one: log-spaced, or evenly spaced (`linear`).

    A boundary moves most in the first steps; log spacing resolves them.

    Example:
        >>> SnapshotSchedule(count=5).steps(1000)
        [0, 1, 10, 100, 1000]
    """

    count: Count = 50
    spacing: Literal["log", "linear"] = "log"

    def steps(self, last_step: int) -> list[int]:
        """Return the steps in ascending order; they are fewer than `count` if rounding makes some equal."""
        if self.spacing == "linear" or self.count < 3:
            return sorted({round(step) for step in np.linspace(0, last_step, self.count)} | {0, last_step})
        return sorted({0} | {round(step) for step in np.geomspace(1, last_step, self.count - 1)} | {last_step})
