"""Independent tasks in several processes, with the same results as in one process."""

import abc
import collections
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, TypeVar, final

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


def _run_nothing(_advance: Advance) -> None:
    """Start a process early: a task that does nothing."""


_Queue: TypeAlias = "collections.deque[tuple[Future[T], Task[T]]]"


class Process(Protocol):
    """A process that runs one task after another."""

    def submit(self, task: Task[T], /) -> "Future[T]":
        """Hand over a task, which starts when those before it are done."""
        ...

    def count_progress(self) -> int:
        """Return how often its tasks have called `advance` since the last call."""
        ...

    def end(self) -> None:
        """End the process now, whatever it does."""
        ...


class Engine(abc.ABC):
    """Processes that run independent tasks, as a context manager: those of this machine (`Workers`), or of a cluster.

    A process that is killed is replaced, and its task is run again. A task whose process was killed twice is lost.

    Args:
        jobs: the number of processes.
        others: how many of these are not this process.
    """

    # The errors of a task whose process was killed, which a member knows when it starts one.
    killed: tuple[type[BaseException], ...] = ()

    def __init__(self, jobs: int, others: int) -> None:
        self.jobs = jobs
        # Work of fewer seconds is not worth the start of the processes.
        self.worth_seconds = 0.0
        self._other_count = others
        self._processes: list[Process] = []

    @property
    def runs_here(self) -> bool:
        """True if this process runs all tasks."""
        return self._other_count == 0

    @property
    def takes_part(self) -> bool:
        """True if this process runs tasks too."""
        return self._other_count < self.jobs

    @abc.abstractmethod
    def _start_process(self) -> Process:
        """Return a new process."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.end()
        self._processes.clear()

    def run_unordered(
        self, tasks: Iterable[Task[T]], advance: Advance = do_nothing, lost: Callable[[Task[T]], T] | None = None
    ) -> Iterator[T]:
        """Yield the result of each task as soon as it is done, in any order; if it takes part, this process runs one.

        Args:
            tasks: the tasks; they and their results are pickled between processes.
            advance: called once for every call of `advance` in a task, with a short delay.
            lost: returns the result of a task that is lost; without it, that is an error.

        Raises:
            DeviceError: if a task is lost.
            Exception: the first exception of a task; tasks that have not started are not run.
        """
        waiting = collections.deque(tasks)
        # Tasks that are run again, by other processes only.
        repeated: collections.deque[Task[T]] = collections.deque()
        suspects: list[Task[T]] = []
        own: Task[T] | None = waiting.popleft() if self.takes_part and waiting else None
        queues: list[_Queue[T]] = [collections.deque() for _ in range(min(self._other_count, len(waiting)))]
        while own is not None or waiting or repeated or any(queues):
            self._fill(queues, waiting, repeated)
            if own is not None:
                yield own(advance)
            # Without a task of its own this process waits for the others.
            futures = [future for queue in queues for future, _ in queue]
            wait(futures, 0 if self.takes_part and waiting else POLL_SECONDS, FIRST_COMPLETED)
            for number, queue in enumerate(queues):
                for _ in range(self._processes[number].count_progress()):
                    advance()
                while queue and queue[0][0].done():
                    future, task = queue.popleft()
                    if not isinstance(future.exception(), self.killed):
                        yield future.result()
                        continue
                    self._processes[number].end()
                    self._processes[number] = self._start_process()
                    # The tasks behind it had not started.
                    waiting.extendleft(behind for _, behind in reversed(queue))
                    queue.clear()
                    if not any(task is suspect for suspect in suspects):
                        suspects.append(task)
                        repeated.append(task)
                    elif lost is not None:
                        yield lost(task)
                    else:
                        raise DeviceError(
                            f"one of {self.jobs} processes was killed from outside, twice at the same task, most "
                            "likely for lack of memory; use fewer jobs="
                        )
            own = (waiting.popleft if self.runs_here else waiting.pop)() if self.takes_part and waiting else None

    def _fill(
        self,
        queues: "list[_Queue[T]]",
        waiting: "collections.deque[Task[T]]",
        repeated: "collections.deque[Task[T]]",
    ) -> None:
        """Hand over as many tasks as keep the other processes busy until this one looks at them again."""
        while len(self._processes) < len(queues):
            self._processes.append(self._start_process())
        for length in range(1, 1 + (QUEUED_TASKS_PER_PROCESS if self.takes_part else 1)):
            for number, queue in enumerate(queues):
                if len(queue) < length and (waiting or repeated):
                    task = waiting.popleft() if waiting else repeated.popleft()
                    queue.append((self._submit(number, task), task))

    def _submit(self, number: int, task: Task[T]) -> "Future[T]":
        try:
            return self._processes[number].submit(task)
        except self.killed:
            # It was killed while it had nothing to do.
            self._processes[number].end()
            self._processes[number] = self._start_process()
            return self._processes[number].submit(task)


@final
class Workers(Engine):
    """Worker processes on this machine in addition to this process, as a context manager.

    The other processes start with the block and need seconds to load their modules, so enter the block early, for
    example before this process loads its own modules.

    Args:
        jobs: the number of processes, including this one.
        threads: the number of threads of torch in every other process; by default the same as in this process, because
            it can change the last bits of a sum and no result may depend on `jobs`.
        prepare: a function at module level that every other process runs first; it must not fail.
        isolated: let this process run no task, so that no task can end it; for more than one job, all of them are then
            other processes, which start with the first tasks.

    Raises:
        UsageError: if `jobs` is less than 1.

    Example:
        >>> with Workers() as workers:
        ...     sorted(workers.run_unordered([lambda advance: 3, lambda advance: 1]))
        [1, 3]
    """

    def __init__(
        self, jobs: int = 1, threads: int | None = None, prepare: Advance = do_nothing, isolated: bool = False
    ) -> None:
        if jobs < 1:
            raise UsageError(f"jobs is {jobs}; give at least 1")
        super().__init__(jobs, jobs if isolated and jobs > 1 else jobs - 1)
        self._threads = threads
        self._prepare = prepare

    def __enter__(self) -> Self:
        if self.takes_part:
            for _ in range(self._other_count):
                self._processes.append(process := self._start_process())
                process.submit(_run_nothing)
        return self

    def _start_process(self) -> "Process":
        from loky.process_executor import TerminatedWorkerError

        self.killed = (TerminatedWorkerError,)
        _remove_abandoned_semaphores()
        return _LokyProcess(_torch_threads() if self._threads is None else self._threads, self._prepare)


@final
class _LokyProcess:
    """A pool of one process, so that it is known at which task a process was killed."""

    def __init__(self, threads: int, prepare: Advance) -> None:
        from multiprocessing import resource_tracker

        from loky import ProcessPoolExecutor
        from loky.backend import get_context

        self._progress: SimpleQueue[None] = get_context("loky").SimpleQueue()
        self._pool = ProcessPoolExecutor(
            1,
            env=dict.fromkeys(THREAD_COUNT_VARIABLES, str(threads)),
            initializer=_initialize_process,
            initargs=(threads, self._progress, prepare),
        )
        self._submitted: set[Future[Any]] = set()
        # The first task would also start the resource tracker, which unblocks SIGINT. Windows has neither.
        if hasattr(signal, "pthread_sigmask"):
            resource_tracker.ensure_running()

    def submit(self, task: Task[T]) -> "Future[T]":
        import cloudpickle

        # Here, since loky would pickle it in a thread, while a task of this process may change what both refer to.
        pickled = cloudpickle.dumps(task)
        # The first task starts the process.
        with defer_interrupts():
            future: Future[T] = self._pool.submit(_run_task, pickled)
        self._submitted = {one for one in self._submitted if not one.done()} | {future}
        return future

    def count_progress(self) -> int:
        count = 0
        while not self._progress.empty():
            self._progress.get()
            count += 1
        return count

    def end(self) -> None:
        # loky prints a traceback if it is killed before it has handed over the tasks, which takes milliseconds.
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and not all(one.running() or one.done() for one in self._submitted):
            time.sleep(0.001)
        end_pool(self._pool)


def end_pool(pool: "ProcessPoolExecutor") -> None:
    """Kill the processes of a pool of loky, and release what they hold."""
    pool.shutdown(kill_workers=True)
    # loky joins no process that was killed from outside; this does, and so removes its semaphore.
    multiprocessing.active_children()


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
    # The process that sends the work has read the same files and networks, and given their warnings.
    warnings.simplefilter("ignore", UserWarning)
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


def _run_task(pickled: bytes) -> Any:
    import cloudpickle

    return cloudpickle.loads(pickled)(_report_progress)
