"""Independent tasks in several processes, with the same results as in one process."""

import collections
import contextlib
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, final

from dimple.errors import DeviceError, UsageError
from dimple.memory import configure_memory

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

    from loky import ProcessPoolExecutor

# loky starts a process again that has grown by 300 MB, such as by the data it holds; no result depends on it.
warnings.filterwarnings("ignore", message="A worker was restarted while some jobs were given")

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Advance: TypeAlias = Callable[[], None]
# Tasks submitted to each other process at a time; loky hands over few more before these are done.
QUEUED_TASKS_PER_PROCESS = 2
# Seconds between two checks of the progress of the other processes.
POLL_SECONDS = 0.1
# The signals with which batch systems announce the end of a job.
STOP_SIGNALS = ("SIGTERM", "SIGUSR1")
# Environment variables that numerical libraries read when they are loaded; torch gets its number of threads later.
THREAD_COUNT_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Task(Protocol[T_co]):
    """A function at module level, with all arguments bound by `functools.partial` except the progress callback."""

    def __call__(self, advance: Advance, /) -> T_co:
        """Return the result; call `advance` after each part of the work."""
        ...


def do_nothing() -> None:
    """Do nothing: the default progress callback and the default preparation of a process."""


@final
class Workers:
    """A pool of worker processes in addition to this process, as a context manager.

    The other processes start with the block and need seconds to load their modules, so enter the block early, for
    example before this process loads its own modules.

    Args:
        jobs: the number of processes, including this one.
        threads: the number of threads of torch in every other process; by default the same as in this process, because
            it can change the last bits of a sum and no result may depend on `jobs`.
        prepare: a function at module level that every other process runs first; it must not fail.

    Raises:
        UsageError: if `jobs` is less than 1.

    Example:
        >>> with Workers() as workers:
        ...     sorted(workers.run_unordered([lambda advance: 3, lambda advance: 1]))
        [1, 3]
    """

    def __init__(self, jobs: int = 1, threads: int | None = None, prepare: Advance = do_nothing) -> None:
        if jobs < 1:
            raise UsageError(f"jobs is {jobs}; give at least 1")
        self.jobs = jobs
        self._threads = threads
        self._prepare = prepare
        self._pool: ProcessPoolExecutor | None = None
        self._progress_queue: SimpleQueue[None] | None = None
        self._submitted: set[Future[Any]] = set()

    def __enter__(self) -> "Workers":
        if self.jobs > 1:
            from multiprocessing import resource_tracker

            from loky import ProcessPoolExecutor
            from loky.backend import get_context

            threads = _torch_threads() if self._threads is None else self._threads
            self._progress_queue = get_context("loky").SimpleQueue()
            self._pool = ProcessPoolExecutor(
                self.jobs - 1,
                env=dict.fromkeys(THREAD_COUNT_VARIABLES, str(threads)),
                initializer=_initialize_process,
                initargs=(threads, self._progress_queue, self._prepare),
            )
            _remove_abandoned_semaphores()
            # The first task starts the processes. It would also start the resource tracker, which unblocks SIGINT.
            # Windows has neither.
            if hasattr(signal, "pthread_sigmask"):
                resource_tracker.ensure_running()
            with defer_interrupts():
                self._submitted.add(self._pool.submit(do_nothing))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            # loky prints a traceback if it is killed before it has handed over the tasks, which takes milliseconds.
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline and not all(f.running() or f.done() for f in self._submitted):
                time.sleep(0.001)
            self._pool.shutdown(kill_workers=True)

    def run_unordered(self, tasks: Iterable[Task[T]], advance: Advance = do_nothing) -> Iterator[T]:
        """Yield the result of each task as soon as it is done, in any order; this process runs the first task.

        Args:
            tasks: the tasks; they and their results are pickled between processes.
            advance: called once for every call of `advance` in a task, with a short delay.

        Raises:
            DeviceError: if a process was killed from outside.
            Exception: the first exception of a task; tasks that have not started are not run.
        """
        waiting = collections.deque(tasks)
        own: Task[T] | None = waiting.popleft() if waiting else None
        pending: set[Future[T]] = set()
        try:
            while own is not None or pending:
                while self._pool is not None and waiting and len(pending) < QUEUED_TASKS_PER_PROCESS * (self.jobs - 1):
                    future = self._pool.submit(_run_task, waiting.popleft())
                    pending.add(future)
                    self._submitted.add(future)
                if own is not None:
                    yield own(advance)
                # Without a task of its own this process waits for the others.
                done, pending = wait(pending, 0 if waiting else POLL_SECONDS, FIRST_COMPLETED)
                self._submitted -= done
                self._forward_progress(advance)
                yield from (future.result() for future in done)
                own = waiting.pop() if waiting else None
        except BrokenExecutor:
            raise DeviceError(
                f"one of {self.jobs} processes was killed from outside, most likely for lack of memory; use fewer jobs="
            ) from None

    def _forward_progress(self, advance: Advance) -> None:
        """Call `advance` once for each part that the other processes have finished since the last call."""
        while self._progress_queue is not None and not self._progress_queue.empty():
            self._progress_queue.get()
            advance()


# The queue through which a worker process reports its progress; set in worker processes only.
_progress_queue: "SimpleQueue[None] | None" = None


def _initialize_process(threads: int, progress_queue: "SimpleQueue[None]", prepare: Advance) -> None:
    """Set up a worker process."""
    for name in STOP_SIGNALS:
        # A batch system sends them to all processes; the one that started this one ends it.
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=exit_with_parent, args=(os.getppid(),), daemon=True).start()
    configure_memory()
    import torch

    global _progress_queue  # noqa: PLW0603
    _progress_queue = progress_queue
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    prepare()


@contextlib.contextmanager
def defer_interrupts() -> Iterator[None]:
    """Delay an interrupt (SIGINT) to the end of the block; processes started in the block never receive one."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)


def _remove_abandoned_semaphores() -> None:
    """Remove the semaphores of pools whose processes were all killed at once; Linux shows them as files."""
    for file in Path("/dev/shm").glob("sem.loky-*-*"):  # noqa: S108
        with contextlib.suppress(OSError, ValueError):
            if not is_running(int(file.name.split("-")[1])):
                file.unlink()


def is_running(pid: int) -> bool:
    """Return whether a process runs on this machine; on Windows, where asking would end it, True."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        # It belongs to somebody else.
        pass
    return True


def exit_with_parent(parent_pid: int) -> None:
    """End this process soon after its parent process has ended."""
    while os.getppid() == parent_pid:
        time.sleep(0.2)
    os._exit(1)


def _torch_threads() -> int:
    import torch

    return torch.get_num_threads()


def _report_progress() -> None:
    assert _progress_queue is not None
    _progress_queue.put(None)


def _run_task(task: Task[T]) -> T:
    return task(_report_progress)
