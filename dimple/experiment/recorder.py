"""A recorder for anybody's training loop: copies of the weights along it, measured when the training ends."""

import contextlib
import operator
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, final

import torch
from torch import Tensor, nn

from dimple.errors import DimpleError, RunError, UsageError, describe_cause
from dimple.experiment.live_measurement import LiveMeasurement
from dimple.experiment.probing.in_memory import MeasurementArguments, check_arguments
from dimple.experiment.probing.measurement import Measurement
from dimple.experiment.recorded_run import RecordedNetworks, write_recorded_run
from dimple.experiment.run import Run
from dimple.experiment.trackers import build_tracker, tracked_numbers
from dimple.locations import require_free_folder, run_path
from dimple.progress import announce, show_progress
from dimple.protocols import Progress
from dimple.runs.lock import is_locked_here, lock_folder, unlock_folder

# The factor between the steps that are recorded with `every="log"`.
LOG_FACTOR = 1.2
# Snapshots that are kept however little time the training takes.
MIN_SNAPSHOTS = 5
# Wrappers of a network, by the attribute in which they hold it.
WRAPPERS = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "DeepSpeedEngine": "module",
    "OptimizedModule": "_orig_mod",
    # Averages of the weights: of torch, timm and ema-pytorch.
    "AveragedModel": "module",
    "ModelEmaV2": "module",
    "ModelEmaV3": "module",
    "EMA": "ema_model",
}
SHARDED = ("FullyShardedDataParallel", "FSDPModule")
# Classes and attributes of weights of which each process has a part: of torch, and of DeepSpeed's third stage.
SHARDED_WEIGHTS = ("DTensor", "ds_id")


@final
class Recorder:
    """A record of a training in a run folder, which every command opens: curves along the steps, a film of a slice.

    In the block, `record(step, model)` copies the weights, buffers and numbers of the model into memory, at few of the
    steps. When the block ends, also by an error of the training, the network as it is then is copied too, as one step
    later if it changed since the last call. The copies are measured by the probes at the samples; weights, tables,
    report and slice are written. The model is never changed: neither its mode nor any random state.

    Whatever goes wrong while it records becomes one warning, and the training goes on; mistakes in the arguments, and a
    folder that holds a run already, are errors before it begins. In a distributed training the process of rank 0
    records, and the others do nothing. Wrappers (DataParallel, DistributedDataParallel, compiled modules, averaged
    models) are taken off, and networks in half precision are measured in single precision.

    Args:
        out: the run folder.
        x: samples `(B, *shape)` at which the boundary is measured, as for `measure`.
        y: their labels `(B,)`.
        probes: probes or their names, as for `measure`.
        bounds: the valid range of the coordinates, as for `measure`; None for the full space.
        every: "log" for steps that grow by a fifth, from every step at first; or a number of steps.
        max_overhead: the largest fraction of the training time that copies, and the trial of the first one, may take.
            Beyond it steps are left out, but for the first five; the report and `run.info["recorder"]` say how many and
            which.
        plane: rows of `x`: the plane through the first, in the directions of the others or, where fewer than three are
            given, of the gradients, whose class regions are filmed, which takes most of the time after the training;
            None for no film.
        live: measure beside the training, in a process of its own on the CPU with one thread and low priority; what is
            not measured when the block ends is measured then.
        log: an experiment tracker, which gets the statistics of each step as soon as they are measured: TensorBoard's
            SummaryWriter, a run of Weights & Biases, the module mlflow, or anything with `log(dict, step)`.
        force: replace a run that is already in the folder.
        progress: how the measurement shows its progress.
        measured: further arguments of `measure`: preprocessing, output, reference, tangents, batch_size, seed, device.

    Attributes:
        run: the finished run, after the block.
        is_open: true within the block.

    Raises:
        UsageError, ShapeError, ModelError: as `measure`, from the constructor, or from the first call where only the
            network shows the mistake.
        RunError: from the constructor and at the start of the block, if the folder cannot be written or holds a run.

    Example:
        >>> import tempfile
        >>> x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
        >>> network = nn.Linear(1, 2)
        >>> optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with Recorder(f"{folder}/run", x, y, bounds=None) as record:
        ...         for step in range(20):
        ...             record(step, network)
        ...             optimizer.zero_grad()
        ...             nn.functional.cross_entropy(network(x), y).backward()
        ...             _ = optimizer.step()
        ...     record.run.steps[:4], record.run.kind
        ([0, 1, 2, 3], 'measurement')
    """

    def __init__(
        self,
        out: Path | str,
        x: Any,
        y: Any = None,
        probes: Sequence[Any] = ("margin",),
        *,
        bounds: Any,
        every: Literal["log"] | int = "log",
        max_overhead: float = 0.05,
        plane: Sequence[int] | None = None,
        live: bool = False,
        log: Any = None,
        force: bool = False,
        progress: Progress = show_progress,
        **measured: Any,
    ) -> None:
        if not (every == "log" or every > 0):
            raise UsageError(f"every is {every!r}; give 'log' or a number of steps")
        if not 0 < max_overhead <= 1:
            raise UsageError(f"max_overhead is {max_overhead!r}; give a fraction of the training time, such as 0.05")
        self._track = None if log is None else build_tracker(log)
        self._arguments: MeasurementArguments = check_arguments(x, y, probes, bounds=bounds, **measured)
        self._plane = None if plane is None else tuple(plane)
        if self._plane is not None and not all(0 <= row < len(self._arguments.x) for row in self._plane):
            raise UsageError(f"plane is {self._plane}; give rows of x, from 0 to {len(self._arguments.x) - 1}")
        if live and self._arguments.x.device.type != "cpu":
            raise UsageError("live=True measures on the CPU, beside the training; leave out device=")
        self._is_live = live
        self._every = every
        self._max_overhead = max_overhead
        self._force = force
        self._progress = progress
        self._out = out
        self._require_free_folder()
        self._begin()

    def _require_free_folder(self) -> None:
        """Refuse a folder that the finished record could not be written to."""
        require_free_folder(self._out, self._force)
        path = run_path(self._out)
        if (path / "run.json").exists() and not self._force:
            raise RunError(
                f"{path}: holds an unfinished run, which no recording continues; choose another out=, or force=True to "
                "replace it"
            )

    def _reserve_folder(self) -> None:
        """Lock the folder until the end of the block, so that a second training is refused before it begins."""
        path = run_path(self._out)
        if is_locked_here(path):
            raise RunError(f"{path}: is being recorded by another block of this process; choose another out=")
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock_folder(path)
        except RunError:
            raise
        except OSError as error:
            raise RunError(f"{path}: cannot be made ({error.strerror or error}); choose another out=") from None

    def _release_folder(self) -> None:
        path = run_path(self._out)
        unlock_folder(path)
        # Where nothing was written, nothing is left.
        with contextlib.suppress(OSError):
            path.rmdir()

    def _begin(self) -> None:
        """Forget what was recorded before."""
        self._networks: RecordedNetworks | None = None
        self._next = 0.0
        self._step = -1
        # The model of the last call, its weights, and how often each of them had been changed.
        self._last: tuple[nn.Module, Sequence[Tensor], list[int]] | None = None
        self._network: nn.Module | None = None
        self._live: LiveMeasurement | None = None
        self._measured: dict[int, Measurement] = {}
        self._tracked: set[int] = set()
        self._is_first = _is_first_process()
        self._copying = 0.0
        self._started = time.perf_counter()
        # Steps that were due, and left out.
        self._left_out: list[int] = []
        self._failure = ""
        self._is_disordered = False
        self.is_open = False
        self.run: Run | None = None

    def __enter__(self) -> Self:
        self._begin()
        if self._is_first:
            self._require_free_folder()
            self._reserve_folder()
        self.is_open = True
        if self._is_live and _is_first_process():
            self._live = LiveMeasurement(self._arguments)
            # Its start is no part of the training.
            self._started = time.perf_counter()
        return self

    def __call__(self, step: int, model: nn.Module) -> None:
        """Record the weights of a model at a step, if the step is due.

        The first call also tries the copy at a few of the samples, so that labels, samples and output that do not fit
        the network are errors before the training goes on.

        Steps are whole numbers that increase over all of the training; others are left out, with one warning.
        """
        # A process group may begin after the block.
        self._is_first = self._is_first and _is_first_process()
        if self._failure or not self._is_first:
            return
        has_none = self._networks is None
        try:
            step = operator.index(step)
            if step <= self._step:
                self._warn_of_order(step)
                return
            self._step = step
            self._poll_live()
            # Calls between two copies cost next to nothing.
            if self._last is not None and self._last[0] is model and step < self._next:
                self._last = (model, self._last[1], _versions(self._last[1]))
                return
            network = unwrap(model)
            parameters = list(network.parameters())
            # A lazy network has no weights before its first call.
            if not any(map(nn.parameter.is_lazy, parameters)):
                self._last = (model, parameters, _versions(parameters))
                self._network = network
                self._record(step, network)
        # Nothing here may end the training of somebody else.
        except Exception as error:
            self._fail(error)
        if has_none and self._networks is not None:
            self._try_measurement(self._networks)

    def _try_measurement(self, networks: RecordedNetworks) -> None:
        """Try the first copy at the samples: mistakes in the arguments that only a network shows are errors too."""
        started = time.perf_counter()
        device = self._arguments.x.device
        try:
            network = networks.network(networks.steps[0]).to(device)
            with torch.random.fork_rng([device] if device.type == "cuda" else []), self._arguments.task(network):
                pass
        except DimpleError as error:
            self._networks = None
            self._failure = _sentence(error)
            raise
        # What is wrong with the copy alone is said when it is measured.
        except Exception:
            return
        self._copying += time.perf_counter() - started

    def _record(self, step: int, network: nn.Module) -> None:
        """Copy the weights at a step that is due, if the time allows it."""
        if step < self._next:
            return
        started = time.perf_counter()
        is_over = self._copying > self._max_overhead * (started - self._started)
        if is_over and self._networks is not None and len(self._networks) >= MIN_SNAPSHOTS:
            self._left_out.append(step)
            return
        if self._networks is None:
            self._networks = RecordedNetworks(network)
        state = self._networks.copy_state(network)
        self._networks.add(step, state)
        if self._live is not None:
            self._live.submit(step, state, self._networks)
        self._next = max(step * LOG_FACTOR, step + 1) if self._every == "log" else step + self._every
        self._copying += time.perf_counter() - started

    def _poll_live(self) -> None:
        """Take what has been measured beside the training, and give it to the tracker."""
        if self._live is None:
            return
        try:
            finished = self._live.poll()
        except Exception as error:
            self._stop_live()
            warnings.warn(
                f"the measurement beside the training stops, and the rest is measured at its end: {_sentence(error)}",
                stacklevel=4,
            )
            return
        if finished is not None:
            self._measured[finished[0]] = finished[1]
            self._track_measured()

    def _stop_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _track_measured(self) -> None:
        """Give the statistics of steps to the tracker, of which it has not got any."""
        if self._track is None:
            return
        for step in sorted(self._measured.keys() - self._tracked):
            self._tracked.add(step)
            self._track(tracked_numbers(self._measured[step].statistics), step)

    def _record_end(self) -> None:
        """Copy the weights as they are when the block ends: one step later if they have changed since the last call."""
        if self._networks is None or self._last is None or self._network is None or self._failure:
            return
        _, parameters, versions = self._last
        state = self._networks.copy_state(self._network)
        # The counts of changes miss those of `data` and of buffers.
        has_changed = _versions(parameters) != versions or (
            self._step == self._networks.steps[-1] and not self._networks.is_last(state)
        )
        step = self._step + has_changed
        if step > self._networks.steps[-1]:
            self._networks.add(step, state)

    def _warn_of_order(self, step: int) -> None:
        if not self._is_disordered:
            self._is_disordered = True
            warnings.warn(
                f"record was called with step {step} after {self._step}; steps have to increase over all epochs, so "
                "such calls are left out: count the updates of the training",
                stacklevel=3,
            )

    def _fail(self, error: Exception) -> None:
        """Warn once, and record nothing more."""
        self._failure = _sentence(error)
        warnings.warn(f"the recorder stops at this step, and the training goes on: {self._failure}", stacklevel=3)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.is_open = False
        if not self._is_first:
            return
        try:
            self._poll_live()
            self._record_end()
            if self._networks is not None:
                self._write()
            elif not self._failure:
                warnings.warn("nothing was recorded: call record(step, model) in the block", stacklevel=2)
        # An error of the training itself is not hidden by one of the record.
        except Exception as problem:
            warnings.warn(f"the record could not be measured: {_sentence(problem)}", stacklevel=2)
        finally:
            self._stop_live()
            self._release_folder()

    def _write(self) -> None:
        assert self._networks is not None
        elapsed = time.perf_counter() - self._started
        facts = {
            "snapshots": len(self._networks),
            "left_out": len(self._left_out),
            "left_out_steps": [self._left_out[0], self._left_out[-1]] if self._left_out else [],
            "overhead": round(self._copying / max(elapsed, 1e-9), 4),
            "failure": self._failure,
            "measured_live": len(self._measured),
        }
        self._stop_live()
        self.run = write_recorded_run(
            self._arguments, self._networks, self._measured, self._out, self._plane, facts, self._force, self._progress
        )
        self._track_measured()
        if self._progress is show_progress:
            kept = f"{len(self._networks)} snapshots of steps {self._networks.steps[0]} to {self._networks.steps[-1]}"
            left_out = f", {len(self._left_out)} left out to keep max_overhead" if self._left_out else ""
            announce("record", f"{kept}{left_out}: {self.run.path / 'report.html'}")


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, DimpleError) else describe_cause(error)


def _versions(parameters: Sequence[Tensor]) -> list[int]:
    """Return how often each weight has been changed in place."""
    return [parameter._version for parameter in parameters]


def unwrap(model: nn.Module) -> nn.Module:
    """Return the network inside wrappers for parallel training, compilation and averaging.

    Raises:
        UsageError: for sharded weights, of which no process has all.

    Example:
        >>> network = nn.Linear(1, 2)
        >>> unwrap(nn.DataParallel(network)) is network
        True
    """
    while True:
        names = {cls.__name__ for cls in type(model).__mro__}
        if names & set(SHARDED) or _is_sharded(model):
            raise UsageError("the weights are sharded over processes, so no process can copy them; gather them first")
        inner = next((getattr(model, attribute) for name, attribute in WRAPPERS.items() if name in names), None)
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def _is_sharded(model: nn.Module) -> bool:
    weight = next(model.parameters(), None)
    cls, attribute = SHARDED_WEIGHTS
    return type(weight).__name__ == cls or getattr(weight, attribute, None) is not None


def _is_first_process() -> bool:
    distributed = torch.distributed
    return not (distributed.is_available() and distributed.is_initialized() and distributed.get_rank() != 0)
