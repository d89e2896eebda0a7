"""Measurement of recorded networks in a process of its own, while the training goes on."""

import collections
import functools
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from dimple.experiment.probing.in_memory import MeasurementArguments
from dimple.experiment.probing.measured_run import measure_task
from dimple.experiment.probing.measurement import Measurement
from dimple.experiment.recorded_run import RecordedNetworks
from dimple.progress import silent_progress
from dimple.workers import THREAD_COUNT_VARIABLES, do_nothing, end_pool, exit_with_parent

if TYPE_CHECKING:
    from concurrent.futures import Future

# The training has the processor first.
NICENESS = 10


@final
class LiveMeasurement:
    """A worker process that measures networks one after the other, with one thread and low priority.

    It starts at once, and has loaded its modules some seconds later.

    Args:
        arguments: of the measurement, with samples on the CPU.
    """

    def __init__(self, arguments: MeasurementArguments) -> None:
        import cloudpickle
        from loky import ProcessPoolExecutor

        # A probe of a notebook travels with its code.
        payload = cloudpickle.dumps(arguments)
        self._pool = ProcessPoolExecutor(
            1, env=dict.fromkeys(THREAD_COUNT_VARIABLES, "1"), initializer=_prepare, initargs=(payload,)
        )
        self._pool.submit(do_nothing)
        self._waiting: collections.deque[tuple[int, Mapping[str, Tensor]]] = collections.deque()
        self._running: tuple[int, Future[Measurement]] | None = None
        self._template = b""

    def submit(self, step: int, state: Mapping[str, Tensor], networks: RecordedNetworks) -> None:
        """Add a network to those that wait."""
        import cloudpickle

        self._template = self._template or cloudpickle.dumps(networks.without_states())
        self._waiting.append((step, state))

    def poll(self) -> tuple[int, Measurement] | None:
        """Return the step that has been measured since the last call, if there is one, and begin with the next.

        Raises:
            Exception: that of the measurement, or of a worker that was killed.
        """
        finished = None
        if self._running is not None:
            step, future = self._running
            if not future.done():
                return None
            self._running = None
            finished = step, future.result()
        if self._waiting:
            step, state = self._waiting.popleft()
            self._running = step, self._pool.submit(_measure, self._template, dict(state))
        return finished

    def stop(self) -> None:
        """End the worker, whatever it is doing."""
        end_pool(self._pool)


# What the worker measures; set in the worker process only.
_arguments: MeasurementArguments | None = None


def _prepare(payload: bytes) -> None:
    """Set up the worker process."""
    import cloudpickle

    threading.Thread(target=exit_with_parent, args=(os.getppid(),), daemon=True).start()
    if callable(getattr(os, "nice", None)):
        os.nice(NICENESS)
    torch.set_num_threads(1)
    global _arguments  # noqa: PLW0603
    _arguments = cloudpickle.loads(payload)


@functools.lru_cache(maxsize=1)
def _load_template(payload: bytes) -> RecordedNetworks:
    import cloudpickle

    networks: RecordedNetworks = cloudpickle.loads(payload)
    return networks


def _measure(template: bytes, state: dict[str, Any]) -> Measurement:
    assert _arguments is not None
    with _arguments.task(_load_template(template).load(state)) as task:
        return measure_task(task, silent_progress)
